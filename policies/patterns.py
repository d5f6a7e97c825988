"""What patterns can be said to cover, without trying names: for findings about a policy, not for checks.

Everything here errs on one side: ``covers`` says yes only when every name that the second pattern matches is matched by
the first, and ``meet`` says no only when no name is matched by both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from policies.text import folded_name

_WILD = "*?"
_RUN = re.compile(r"[*?]{2,}")


def path_covers(wide: str, narrow: str) -> bool:
    """Whether a property pattern names every path that another names. Patterns match the end of a path."""
    outer, inner = segments(wide), segments(narrow)
    tail = inner[-len(outer) :]
    return len(outer) <= len(inner) and all(map(_covers, outer, tail))


def event_covers(wide: str, narrow: str) -> bool:
    """Whether a glob over whole event names matches every name that another matches."""
    # In the name of an event `?` stands for anything but a dot, and `*` for dots too.
    return _covers(_normal(folded_name(wide)), _normal(folded_name(narrow)))


def paths_meet(one: str, other: str) -> bool:
    """Whether some path could be named by both property patterns."""
    first, second = segments(one), segments(other)
    length = min(len(first), len(second))
    return all(map(_meet, first[-length:], second[-length:]))


def events_meet(ones: Iterable[str], others: Iterable[str]) -> bool:
    """Whether some event name could be matched by both lists of globs; an empty list stands for every event."""
    first = [_normal(folded_name(glob)) for glob in ones] or ["*"]
    second = [_normal(folded_name(glob)) for glob in others] or ["*"]
    return any(_meet(one, other) for one in first for other in second)


def events_cover(wide: Iterable[str], narrow: Iterable[str]) -> bool:
    """Whether one list of event globs matches every name that another matches; an empty list stands for every event."""
    outer, inner = tuple(wide) or ("*",), tuple(narrow) or ("*",)
    return all(any(event_covers(one, glob) for one in outer) for glob in inner)


def segments(pattern: str) -> tuple[str, ...]:
    """The names that a property pattern is made of, in the form in which they are compared."""
    return tuple(_normal(part) for part in folded_name(pattern.replace("[]", "")).split("."))


def _normal(glob: str) -> str:
    """Runs of wildcards in one spelling: first every ``?``, then one ``*``."""
    return _RUN.sub(lambda run: "?" * run.group().count("?") + "*" * ("*" in run.group()), glob)


@lru_cache(maxsize=4_096)
def _covers(wide: str, narrow: str) -> bool:
    """The second glob read as if its wildcards were letters that only a wildcard can stand for."""
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


@lru_cache(maxsize=4_096)
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
