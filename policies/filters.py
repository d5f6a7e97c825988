"""Drop filters: events refused for what their properties say (wire section 17)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from policies.classify import EventPatterns
from policies.model import ActionKind, Condition, DropFilter, Reason, Remark
from policies.text import folded_name, joined_name

Test: TypeAlias = Callable[[Sequence[Any]], bool]


class CompiledFilter:
    """One drop filter, ready to be asked."""

    __slots__ = ("_conditions", "applies_to", "remark")

    def __init__(self, written: DropFilter) -> None:
        """Compile the event patterns and the conditions."""
        self.applies_to = EventPatterns(written.events).match
        self.remark = Remark(f"drop.{written.id}", "event", ActionKind.DROP_EVENT, Reason.DROP_FILTER)
        self._conditions = tuple(
            (tuple(joined_name(folded_name(part)) for part in each.property.replace("[]", "").split(".")), _test(each))
            for each in written.where
        )

    def catches(self, properties: Mapping[str, Any]) -> bool:
        """Whether every condition holds."""
        return all(test(tuple(_found(properties, path))) for path, test in self._conditions)


def _found(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Every scalar at ``path``, whatever lists stand between; names are compared as rules compare them."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _found(item, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and joined_name(folded_name(key)) == path[0]:
                yield from _found(item, path[1:])


def _test(condition: Condition) -> Test:
    wanted = tuple(map(_comparable, condition.values))
    match condition.test:
        case "is":
            return lambda found: any(_comparable(each) in wanted for each in found)
        case "is_not":
            return lambda found: not any(_comparable(each) in wanted for each in found)
        case "contains":
            return lambda found: any(
                isinstance(each, str) and any(str(part[1]) in folded_name(each) for part in wanted) for each in found
            )
        case "exists":
            return lambda found: bool(found) is bool(condition.values[0])
        case "above":
            return lambda found: any(_is_number(each) and each > wanted[0][1] for each in found)
        case _:
            return lambda found: any(_is_number(each) and each < wanted[0][1] for each in found)


def _comparable(value: Any) -> tuple[str, Any]:
    """Text without regard to case and dress; numbers by size; yes, no and nothing apart from both."""
    if isinstance(value, str):
        return "text", folded_name(value)
    if _is_number(value):
        return "number", value
    return "other", value if isinstance(value, bool | None) else id(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
