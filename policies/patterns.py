"""What patterns can be said to cover, without trying names: for findings about a policy, not for checks.

Everything here errs on one side: ``covers`` says yes only when every name that the second pattern matches is matched by
the first, and ``meet`` says no only when no name is matched by both. The work is bounded: comparing every pattern with
every other is quadratic, and a policy may hold tens of thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from policies.text import folded_name, worded_name

_WILD = "*?"
_RUN = re.compile(r"[*?]{2,}")
BUDGET = 8_000_000
"""Pairs of characters looked at, or what costs as much: some seconds of work."""

# What stands for a wildcard in a path that a pattern matches: letters that no name has.
_EXAMPLES = {"*": "\ue000\ue001", "?": "\ue000"}


class TooMuch(Exception):
    """The comparisons would take too long. Never leaves this package."""


class Patterns:
    """Comparisons that share one budget of work. Each method raises TooMuch when it is spent."""

    __slots__ = ("_left",)

    def __init__(self, budget: int = BUDGET) -> None:
        """Start with the whole budget."""
        self._left = budget

    def path_covers(self, wide: str, narrow: str) -> bool:
        """Whether a property pattern names every path that another names. Patterns match the end of a path.

        A pattern is matched in each of its forms; one is covered when each of them is.
        """
        outer = _forms(wide)
        return all(any(self._path_covers(one, inner) for one in outer) for inner in _forms(narrow))

    def _path_covers(self, outer: Sequence[str], inner: Sequence[str]) -> bool:
        return len(outer) <= len(inner) and all(map(self._covers, outer, inner[-len(outer) :]))

    def paths_meet(self, one: str, other: str) -> bool:
        """Whether some path could be named by both property patterns."""
        first, second = segments(one), segments(other)
        length = min(len(first), len(second))
        return all(map(self._meet, first[-length:], second[-length:]))

    def event_covers(self, wide: str, narrow: str) -> bool:
        """Whether a glob over whole event names matches every name that another matches."""
        return self._covers(_event(wide), _event(narrow))

    def events_cover(self, wide: Sequence[str], narrow: Sequence[str]) -> bool:
        """Whether one list of event globs matches every name that another matches; an empty list stands for every event."""
        outer = [_event(glob) for glob in wide or ("*",)]
        known = set(outer)
        return all(glob in known or any(self._covers(one, glob) for one in outer) for glob in map(_event, narrow or ("*",)))

    def events_meet(self, ones: Iterable[str], others: Iterable[str]) -> bool:
        """Whether some event name could be matched by both lists of globs; an empty list stands for every event."""
        first = {_event(glob) for glob in ones} or {"*"}
        second = {_event(glob) for glob in others} or {"*"}
        return bool(first & second) or any(self._meet(one, other) for one in first for other in second)

    def spend(self, work: int) -> None:
        """Take work that was done elsewhere off the budget."""
        self._left -= work
        if self._left < 0:
            raise TooMuch

    def _covers(self, wide: str, narrow: str) -> bool:
        if self._differ_at_an_end(wide, narrow):
            return False
        self._left -= len(wide) * len(narrow)
        return _covers(wide, narrow)

    def _meet(self, one: str, other: str) -> bool:
        if self._differ_at_an_end(one, other):
            return False
        self._left -= len(one) * len(other)
        return _meet(one, other)

    def _differ_at_an_end(self, one: str, other: str) -> bool:
        """What tells most pairs apart at once; also where the budget is looked at."""
        self.spend(1)
        ends = (one[:1] + other[:1], one[-1:] + other[-1:])
        return any(len(pair) == 2 and pair[0] != pair[1] and not set(pair) & set(_WILD) for pair in ends)


def example(pattern: str) -> str:
    """A path that a property pattern names, in folded form. Whatever covers the pattern names this path too."""
    path = ".".join(segments(pattern))
    return "".join(_EXAMPLES.get(char, char) for char in path)


def is_wild(pattern: str) -> bool:
    """Whether a pattern has wildcards. One without them is covered by whatever names its example."""
    return any(char in _WILD for char in pattern)


@lru_cache(maxsize=4_096)
def _event(glob: str) -> str:
    return _normal(folded_name(glob))


@lru_cache(maxsize=4_096)
def segments(pattern: str) -> tuple[str, ...]:
    """The names that a property pattern is made of, in the form in which they are compared."""
    return tuple(_normal(part) for part in folded_name(pattern.replace("[]", "")).split("."))


@lru_cache(maxsize=4_096)
def _forms(pattern: str) -> tuple[tuple[str, ...], ...]:
    """The segments of a pattern as it is folded, and with `_` between its words, which the gate tries too."""
    worded = tuple(_normal(part) for part in worded_name(pattern.replace("[]", "")).split("."))
    folded = segments(pattern)
    return (folded,) if worded == folded else (folded, worded)


def _normal(glob: str) -> str:
    """Runs of wildcards in one spelling: first every ``?``, then one ``*``."""
    return _RUN.sub(lambda run: "?" * run.group().count("?") + "*" * ("*" in run.group()), glob)


def _covers(wide: str, narrow: str) -> bool:
    """The second glob read as if its wildcards were letters that only a wildcard can stand for.

    In the name of an event ``?`` stands for anything but a dot, and ``*`` for dots too.
    """
    reachable = {0}
    for char in (*narrow, ""):
        for at in sorted(reachable):
            following = at
            while following < len(wide) and wide[following] == "*":
                following += 1
                reachable.add(following)
        if char:
            reachable = {at + 1 for at in reachable if at < len(wide) and _stands_for(wide[at], char)} | {
                at for at in reachable if at < len(wide) and wide[at] == "*"
            }
    return len(wide) in reachable


def _stands_for(pattern: str, char: str) -> bool:
    if pattern == "*":
        return False
    return pattern == char or (pattern == "?" and char not in ("*", "."))


def _meet(one: str, other: str) -> bool:
    """Whether the two globs have a name in common: both are read in step, and ``*`` may stand still."""
    pending, seen = [(0, 0)], set()
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        i, j = at
        if i == len(one) and j == len(other):
            return True
        pending += _steps(one, other, i, j)
    return False


def _steps(one: str, other: str, i: int, j: int) -> list[tuple[int, int]]:
    left, right = one[i : i + 1], other[j : j + 1]
    steps = []
    if left == "*":
        steps.append((i + 1, j))
        if right:
            steps.append((i, j + 1))
    if right == "*":
        steps.append((i, j + 1))
        if left:
            steps.append((i + 1, j))
    if left and right and (left == right or left in _WILD or right in _WILD):
        steps.append((i + 1, j + 1))
    return steps
