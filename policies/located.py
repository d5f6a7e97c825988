"""Values that remember where they were written, and readers for them that note problems instead of raising.

A reader that meets a mistake notes it and returns a harmless stand-in, so that one pass finds every mistake.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from policies.errors import PolicyProblem

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?|[-+]?[0-9]{1,40}[eE][-+]?[0-9]{1,3}"
)
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Located:
    """A scalar (always text), a list, or a mapping from name to (key, value). ``plain`` scalars were not
    quoted."""

    value: str | list[Located] | dict[str, tuple[Located, Located]] = field(repr=False)
    line: int
    column: int
    plain: bool = False

    @property
    def kind(self) -> str:
        """The kind of value, as a person would say it."""
        if isinstance(self.value, dict):
            return "a mapping"
        return "a list" if isinstance(self.value, list) else "a single value"


class Reader:
    """Reads located values and collects problems. ``path`` arguments are like ``rules[2].action``."""

    def __init__(self, problems: list[PolicyProblem]) -> None:
        """Take the list that problems are added to."""
        self.problems = problems

    def note(self, node: Located, path: str, message: str, hint: str = "") -> None:
        """Note one problem at the place of ``node``."""
        self.problems.append(PolicyProblem(node.line, node.column, path, message, hint))

    def fields(self, node: Located, path: str, known: Collection[str], required: Collection[str]) -> dict[str, Located]:
        """The known entries of a mapping; unknown and missing ones become problems."""
        if not isinstance(node.value, dict):
            self.note(node, path, f"must be a mapping, not {node.kind}")
            return {}
        for name, (key, _) in node.value.items():
            if name not in known:
                self.note(key, path, f"unknown key `{shown(name)}`", meant(name, known))
        for name in required:
            if name not in node.value:
                self.note(node, path, f"`{name}` is missing")
        return {name: value for name, (_, value) in node.value.items() if name in known}

    def text(self, node: Located, path: str, limit: int = 200, empty: bool = False) -> str:
        """A single value as text of at most ``limit`` characters."""
        if not isinstance(node.value, str):
            self.note(node, path, f"must be text, not {node.kind}")
            return ""
        if not node.value and not empty:
            self.note(node, path, "must not be empty")
        if len(node.value) > limit:
            self.note(node, path, f"must be at most {limit} characters")
        return node.value[:limit]

    def pattern(self, node: Located, path: str, form: re.Pattern[str], description: str) -> str:
        """Text that has a given form."""
        text = self.text(node, path)
        if text and not form.fullmatch(text):
            self.note(node, path, f"must be {description}")
        return text

    def member(self, node: Located, path: str, kind: type[E], stand_in: E) -> E:
        """One member of an enumeration, by its written name."""
        text = self.text(node, path)
        if text in {entry.value for entry in kind}:
            return kind(text)
        if text:
            names = [entry.value for entry in kind]
            self.note(
                node,
                path,
                f"unknown value `{shown(text)}`",
                meant(text, names) or f"one of {', '.join(names)}",
            )
        return stand_in

    def boolean(self, node: Located, path: str) -> bool:
        """``true`` or ``false``; other spellings are refused because people disagree about them."""
        if isinstance(node.value, str) and node.plain and node.value in ("true", "false"):
            return node.value == "true"
        self.note(node, path, "must be true or false")
        return False

    def integer(self, node: Located, path: str, low: int, high: int) -> int:
        """A whole number between ``low`` and ``high``."""
        if isinstance(node.value, str) and node.plain and _INTEGER.fullmatch(node.value):
            number = int(node.value)
            if low <= number <= high:
                return number
        self.note(node, path, f"must be a whole number from {low} to {high}")
        return low

    def number(self, node: Located, path: str) -> float | None:
        """A number, whole or not; None when it is none."""
        if isinstance(node.value, str) and node.plain:
            if _INTEGER.fullmatch(node.value):
                return int(node.value)
            if _FLOAT.fullmatch(node.value):
                return float(node.value)
        self.note(node, path, "must be a number")
        return None

    def items(self, node: Located, path: str, read: Callable[[Located, str], T], single: bool = False) -> tuple[T, ...]:
        """Every item of a list; with ``single`` one value alone is accepted as a list of one."""
        if isinstance(node.value, list):
            return tuple(read(item, f"{path}[{i}]") for i, item in enumerate(node.value))
        if single and isinstance(node.value, str):
            return (read(node, path),)
        self.note(node, path, f"must be a list, not {node.kind}")
        return ()


def json_value(node: Located) -> Any:
    """The JSON value a node stands for: quoted scalars are text, plain ones follow the JSON spelling of
    types."""
    if isinstance(node.value, dict):
        return {name: json_value(value) for name, (_, value) in node.value.items()}
    if isinstance(node.value, list):
        return [json_value(item) for item in node.value]
    if not node.plain:
        return node.value
    if node.value in _CONSTANTS:
        return _CONSTANTS[node.value]
    if _INTEGER.fullmatch(node.value):
        return int(node.value)
    return float(node.value) if _FLOAT.fullmatch(node.value) else node.value


Positions: TypeAlias = Mapping[str, tuple[int, int]]
"""Line and column, from 1, of each part of a policy by its path, such as ``rules[2].properties[0]``."""


def positions(node: Located) -> Positions:
    """Where every part below ``node`` was written."""
    return dict(_positions(node, ""))


def position(known: Positions, path: str) -> tuple[int, int]:
    """The place of ``path``, or of the nearest part around it that was written; zeros when nothing is known."""
    while path and path not in known:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return known.get(path, (0, 0))


def _positions(node: Located, path: str) -> Iterator[tuple[str, tuple[int, int]]]:
    yield path, (node.line, node.column)
    if isinstance(node.value, dict):
        for name, (_, value) in node.value.items():
            yield from _positions(value, f"{path}.{name}" if path else name)
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            yield from _positions(item, f"{path}[{index}]")


def meant(written: str, known: Collection[str]) -> str:
    """A hint naming the closest known name, or nothing."""
    close = difflib.get_close_matches(written[:60].lower(), sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def shown(written: str) -> str:
    """A written name, short enough to print."""
    return written if len(written) <= 60 else f"{written[:59]}…"
