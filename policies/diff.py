"""What changes between two policies, in the words of the language; and whether less or more is let through, where that
can be said.

``STRICTER`` and ``LOOSER`` are said of one item by itself. Where it depends on other rules, nothing is said.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar

from policies.model import (
    Action,
    ActionKind,
    Consent,
    Consented,
    DateUnit,
    DetectorTerms,
    Fallback,
    Generalise,
    Geolocation,
    Hash,
    Mask,
    Policy,
    Purpose,
    Retention,
    Rule,
    Sensitivity,
    Truncate,
    Unknown,
)
from policies.patterns import Patterns, TooMuch

T = TypeVar("T")


class Change(StrEnum):
    """What happened to an item."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


class Direction(StrEnum):
    """Whether less (STRICTER) or more (LOOSER) is let through."""

    STRICTER = "stricter"
    LOOSER = "looser"


@dataclass(frozen=True, slots=True)
class Item:
    """One difference: ``kind`` is the part of the policy, ``name`` the id or key in it, ``details`` say what changed in
    the policy's own words."""

    kind: str
    name: str
    change: Change
    details: tuple[str, ...] = ()
    direction: Direction | None = None

    def __str__(self) -> str:
        """One line for a person."""
        said = f" [{self.direction}]" if self.direction else ""
        return f"{self.change} {self.kind} {self.name}{said}" + (f": {'; '.join(self.details)}" if self.details else "")


def diff(before: Policy, after: Policy) -> tuple[Item, ...]:
    """Every difference of meaning between two policies: rules, detectors, events, consent, the ladder, retention."""
    return (*_rules(before, after), *_detectors(before, after), *_rest(before, after))


def summary(items: Iterable[Item]) -> dict[str, str]:
    """The counts of a diff as short facts, such as ``rules_added: 2``: for an audit entry. Nothing is said of zeros."""
    counts: dict[str, int] = {}
    for each in items:
        keys = [f"{each.kind}s_{each.change}" if each.kind in _SEVERAL else f"{each.kind}_{each.change}"]
        for key in (*keys, *([str(each.direction)] if each.direction else [])):
            counts[key] = counts.get(key, 0) + 1
    return {key: str(count) for key, count in sorted(counts.items())}


_SEVERAL = frozenset({"rule", "detector", "case"})


# --- rules -----------------------------------------------------------------------------------------------------------


def _rules(before: Policy, after: Policy) -> Iterator[Item]:
    old, new = {rule.id: rule for rule in before.rules}, {rule.id: rule for rule in after.rules}
    patterns = Patterns()
    moved = _moved([each for each in old if each in new], [each for each in new if each in old])
    for rule_id, rule in new.items():
        if rule_id not in old:
            yield Item("rule", rule_id, Change.ADDED, _said(rule), _of_new_rule(patterns, rule, after, before.unknown_properties))
            continue
        if old[rule_id] != rule:
            yield Item("rule", rule_id, Change.CHANGED, tuple(_fields(old[rule_id], rule)), _of_rule(old[rule_id], rule))
        if rule_id in moved:
            yield Item("rule", rule_id, Change.MOVED, (_place(list(old), rule_id, "was"), _place(list(new), rule_id, "is")))
    for rule_id, rule in old.items():
        if rule_id not in new:
            yield Item(
                "rule",
                rule_id,
                Change.REMOVED,
                _said(rule),
                _opposite(_of_new_rule(patterns, rule, before, after.unknown_properties)),
            )


def _moved(old: Sequence[str], new: Sequence[str]) -> set[str]:
    """The ids that are not where they were among those that stayed."""
    stayed = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return set(old) - {each for block in stayed for each in old[block.a : block.a + block.size]}


def _place(ids: list[str], rule_id: str, verb: str) -> str:
    at = ids.index(rule_id)
    return f"{verb} first" if at == 0 else f"{verb} after `{ids[at - 1]}`"


def _said(rule: Rule) -> tuple[str, ...]:
    return (f"{written(rule.action)} on {', '.join(rule.properties)}",)


def _of_new_rule(patterns: Patterns, rule: Rule, policy: Policy, unknown: Unknown) -> Direction | None:
    """A rule that meets no other decides where ``unknown_properties`` decided before."""
    try:
        if unknown.found or any(other is not rule and _rules_meet(patterns, rule, other) for other in policy.rules):
            return None
    except TooMuch:
        return None
    otherwise = {Fallback.ALLOW: ActionKind.KEEP, Fallback.QUARANTINE: ActionKind.QUARANTINE, Fallback.DROP: ActionKind.DROP}
    return _by_rank(_RANK[otherwise[unknown.otherwise]], _RANK[rule.action.kind])


def _rules_meet(patterns: Patterns, one: Rule, other: Rule) -> bool:
    return (
        bool(set(one.scopes) & set(other.scopes))
        and patterns.events_meet(one.events, other.events)
        and any(patterns.paths_meet(first, second) for first in one.properties for second in other.properties)
    )


def _of_rule(old: Rule, new: Rule) -> Direction | None:
    """Something is said when everything that changed points one way."""
    if (old.properties, old.scopes, old.events) != (new.properties, new.scopes, new.events):
        return None
    return _together(
        (old.action == new.action, _of_action(old.action, new.action)),
        (old.classified == new.classified, Direction.STRICTER if new.classified else Direction.LOOSER),
        (old.scan == new.scan, Direction.STRICTER if new.scan else Direction.LOOSER),
        (old.purposes == new.purposes, _of_purposes(old.purposes, new.purposes)),
    )


def _of_purposes(old: Sequence[str], new: Sequence[str]) -> Direction | None:
    """What serves none cannot be refused; what serves more of them has more reasons to stay."""
    if not (old and new):
        return Direction.STRICTER if new else Direction.LOOSER
    return _by_set(old, new, Direction.LOOSER)


# How much of a value is left: more of it with a lower number. Equal numbers cannot be compared.
_RANK = {
    ActionKind.KEEP: 0,
    ActionKind.TRUNCATE: 1,
    ActionKind.MASK: 1,
    ActionKind.GENERALISE: 1,
    ActionKind.ENCRYPT: 1,
    ActionKind.TOKENISE: 1,
    ActionKind.HASH: 1,
    ActionKind.REDACT: 3,
    ActionKind.REPLACE: 3,
    ActionKind.QUARANTINE: 4,
    ActionKind.DROP: 5,
    ActionKind.DROP_EVENT: 6,
}


def _of_action(old: Action, new: Action) -> Direction | None:
    match old, new:
        case Mask(), Mask():
            return _together(
                (old.keep_first == new.keep_first, _by_rank(new.keep_first, old.keep_first)),
                (old.keep_last == new.keep_last, _by_rank(new.keep_last, old.keep_last)),
            )
        case Truncate(), Truncate():
            return _by_rank(new.length, old.length)
        case Hash(), Hash() if old.purpose == new.purpose and None in (old.period, new.period):
            return Direction.STRICTER if old.period is None else Direction.LOOSER
        case Generalise(), Generalise():
            return _of_coarseness(old, new)
    if {old.kind, new.kind} == {ActionKind.HASH, ActionKind.TOKENISE}:
        # Both join; a token can be turned back.
        return Direction.STRICTER if new.kind is ActionKind.HASH else Direction.LOOSER
    return _by_rank(_RANK[old.kind], _RANK[new.kind])


def _of_coarseness(old: Generalise, new: Generalise) -> Direction | None:
    if old.bucket and new.bucket:
        # Only a multiple of the old width never tells more than the old interval did.
        wide, narrow = max(old.bucket, new.bucket), min(old.bucket, new.bucket)
        return _by_rank(old.bucket, new.bucket) if wide % narrow == 0 else None
    if old.date and new.date:
        order = tuple(DateUnit)
        return _by_rank(order.index(old.date), order.index(new.date))
    if old.postal and new.postal:
        return _by_rank(new.postal, old.postal)
    if old.bands and new.bands:
        if set(old.bands) < set(new.bands):
            return Direction.LOOSER
        return Direction.STRICTER if set(new.bands) < set(old.bands) else None
    return None


# --- the rest --------------------------------------------------------------------------------------------------------


def _detectors(before: Policy, after: Policy) -> Iterator[Item]:
    old = dict(before.detectors)
    for detector, terms in after.detectors:
        if detector in old and old[detector] != terms:
            yield Item(
                "detector", detector, Change.CHANGED, tuple(_fields(old[detector], terms)), _of_terms(old[detector], terms)
            )


def _of_terms(old: DetectorTerms, new: DetectorTerms) -> Direction | None:
    return _together(
        (old.action == new.action, _by_rank(_RANK[old.action], _RANK[new.action])),
        (old.confidence == new.confidence, _by_rank(new.confidence, old.confidence)),
        (set(old.context) == set(new.context), _by_set(old.context, new.context, Direction.STRICTER)),
        (set(old.allow) == set(new.allow), _by_set(old.allow, new.allow, Direction.LOOSER)),
    )


def _rest(before: Policy, after: Policy) -> Iterator[Item]:
    yield from _one("geolocation", before.geolocation, after.geolocation, lambda a, b: _by_order(Geolocation, b, a))
    yield from _one("default_region", before.default_region, after.default_region, lambda _a, _b: None)
    yield from _one("unknown_properties", before.unknown_properties, after.unknown_properties, _of_unknown)
    yield from _one("unknown_events", before.unknown_events, after.unknown_events, _of_unknown)
    yield from _listed("events.allow", before.allowed_events, after.allowed_events, Direction.LOOSER)
    yield from _listed("events.block", before.blocked_events, after.blocked_events, Direction.STRICTER)
    yield from _identified("events.drop", _by_id(before.drop_filters), _by_id(after.drop_filters), Direction.STRICTER)
    yield from _consent(before.consent, after.consent)
    yield from _identified("retention", _by_id(before.retention), _by_id(after.retention), Direction.STRICTER, _of_retention)
    old, new = ({case.name: case for case in policy.cases} for policy in (before, after))
    yield from _identified("case", old, new, None)


def _consent(old: Consent, new: Consent) -> Iterator[Item]:
    yield from _one("consent.default", old.default, new.default, lambda a, b: _by_order(Consented, a, b))
    yield from _listed("consent.signals", old.signals, new.signals, Direction.STRICTER)
    yield from _identified("consent.purposes", _by_id(old.purposes), _by_id(new.purposes), None, _of_purpose)


def _of_purpose(old: Purpose, new: Purpose) -> Direction | None:
    """More events of one purpose may also mean that they were refused for less before: only signals are compared."""
    return _by_set(old.signals, new.signals, Direction.STRICTER) if old.events == new.events else None


def _of_unknown(old: Unknown, new: Unknown) -> Direction | None:
    """At each level, what a finding of that gravity leads to; the levels below it count too."""
    pairs = [(_answer(old, level), _answer(new, level)) for level in (None, *Sensitivity)]
    return _together(*((a == b, _by_rank(a, b)) for a, b in pairs))


def _answer(unknown: Unknown, level: Sensitivity | None) -> int:
    order, gravity = tuple(Fallback), tuple(Sensitivity)
    found = [each for at, each in unknown.found if level is not None and gravity.index(at) <= gravity.index(level)]
    return max(order.index(each) for each in (unknown.otherwise, *found))


def _of_retention(old: Retention, new: Retention) -> Direction | None:
    if (old.events, old.category) != (new.events, new.category):
        return None
    return _by_rank(new.days, old.days)


def _one(kind: str, old: T, new: T, direction: Callable[[T, T], Direction | None]) -> Iterator[Item]:
    if old != new:
        yield Item(kind, "", Change.CHANGED, (f"{written(old)} → {written(new)}",), direction(old, new))


def _listed(kind: str, old: Sequence[str], new: Sequence[str], of_addition: Direction) -> Iterator[Item]:
    yield from (Item(kind, str(each), Change.ADDED, (), of_addition) for each in new if each not in old)
    yield from (Item(kind, str(each), Change.REMOVED, (), _opposite(of_addition)) for each in old if each not in new)


def _identified(
    kind: str,
    old: Mapping[str, T],
    new: Mapping[str, T],
    of_addition: Direction | None,
    direction: Callable[[T, T], Direction | None] = lambda _a, _b: None,
) -> Iterator[Item]:
    for name, each in new.items():
        if name not in old:
            yield Item(kind, name, Change.ADDED, (), of_addition)
        elif old[name] != each:
            yield Item(kind, name, Change.CHANGED, tuple(_fields(old[name], each)), direction(old[name], each))
    yield from (Item(kind, name, Change.REMOVED, (), _opposite(of_addition)) for name in old if name not in new)


# --- words -----------------------------------------------------------------------------------------------------------


def written(value: Any) -> str:
    """A part of a policy in the words of the language, short."""
    if isinstance(value, Unknown):
        found = "".join(f", {level}: {each}" for level, each in value.found)
        return f"{value.otherwise}{found}"
    if is_dataclass(value) and hasattr(value, "kind"):
        settings = [f"{each.name}: {written(getattr(value, each.name))}" for each in fields(value) if each.name != "kind"]
        settings = [each for each in settings if not each.endswith((": none", ": -"))]
        return f"{value.kind} {{{', '.join(settings)}}}" if settings else str(value.kind)
    if isinstance(value, tuple):
        return ", ".join(map(written, value)) or "-"
    if value is None:
        return "none"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


# The values in these fields are examples or constants of the data itself: that they changed is said, and not to what.
_UNTOLD = frozenset({"record", "expected", "expected_name", "where", "why", "reasons", "signals"})


def _fields(old: Any, new: Any) -> Iterator[str]:
    for each in fields(new):
        a, b = getattr(old, each.name), getattr(new, each.name)
        if a != b:
            yield each.name if each.name in _UNTOLD and not isinstance(new, Purpose) else f"{each.name}: {_change(a, b)}"


def _change(old: Any, new: Any) -> str:
    """A list by what came and went; anything else as it was and is."""
    if isinstance(old, tuple) and isinstance(new, tuple) and set(old) != set(new):
        came, went = ([str(each) for each in these if each not in those] for these, those in ((new, old), (old, new)))
        return " ".join([*(f"+{each}" for each in came), *(f"-{each}" for each in went)])
    return f"{written(old)} → {written(new)}"


def _by_id(items: Iterable[Any]) -> dict[str, Any]:
    return {item.name if isinstance(item, Purpose) else item.id: item for item in items}


def _by_rank(old: float, new: float) -> Direction | None:
    """A higher rank lets less through."""
    return None if old == new else Direction.STRICTER if new > old else Direction.LOOSER


def _by_order(kind: type[StrEnum], old: StrEnum, new: StrEnum) -> Direction | None:
    order = list(kind)
    return _by_rank(order.index(old), order.index(new))


def _by_set(old: Iterable[str], new: Iterable[str], of_addition: Direction) -> Direction | None:
    first, second = set(old), set(new)
    if first < second:
        return of_addition
    return _opposite(of_addition) if second < first else None


def _opposite(direction: Direction | None) -> Direction | None:
    if direction is None:
        return None
    return Direction.LOOSER if direction is Direction.STRICTER else Direction.STRICTER


def _together(*parts: tuple[bool, Direction | None]) -> Direction | None:
    """The one direction in which every part that changed points. A part is whether it is unchanged, and where it points."""
    pointing = {direction for unchanged, direction in parts if not unchanged}
    return pointing.pop() if len(pointing) == 1 else None
