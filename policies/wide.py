"""Where the wide pass looks: the values of a few records as one text, and the way back from a match to a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from policies.detect import Suspicion
from policies.patternset import Finder
from policies.queries import Queries

_ENCODER: Final = msgspec.json.Encoder()
_NO_TEXT: Final = frozenset({int, float, bool, type(None)})
_NOWHERE: Final[Mapping[int, set[int]]] = {}
# In a longer text the places are not looked for: every pattern that was seen would read it again.
_MAX_TRACED = 32_768


def is_clean(suspicion: Suspicion, queries: Queries, value: Any) -> bool:
    """Whether the wide pass suspects nothing anywhere in one JSON-like value, or in a sequence of them. Raises what
    ``msgspec`` raises for a value that it cannot write."""
    encoded = _ENCODER.encode(value)
    return not (suspicion.any(encoded) or queries.any(encoded))


def suspects(suspicion: Suspicion, queries: Queries, rows: Sequence[Sequence[Any]]) -> Mapping[int, set[int]] | None:
    """Which values of which rows deserve a closer look: positions of values by the position of their row.

    A value that is not named is clean by itself; one that is may be, too. None when the places cannot be told,
    so that every value must be judged. Raises what ``msgspec`` raises for a value that it cannot write.
    """
    # No newline stands inside a JSON text, so each row is the line of the same number.
    lines = _ENCODER.encode_lines(rows)
    traces = suspicion.traces(lines)
    if traces is None or (traces and len(lines) > _MAX_TRACED):
        return None
    asking = queries.any(lines)
    if not traces:
        return _asking(queries, rows, {}) if asking else _NOWHERE
    found = _traced(suspicion.tracer(traces), lines, rows)
    return _asking(queries, rows, found) if asking else found


def _asking(queries: Queries, rows: Sequence[Sequence[Any]], found: dict[int, set[int]]) -> dict[int, set[int]]:
    """The same with every value that holds a name which a rule is about."""
    for row, values in enumerate(rows):
        for at, value in enumerate(values):
            if type(value) not in _NO_TEXT and queries.any(_ENCODER.encode(value)):
                found.setdefault(row, set()).add(at)
    return found


def _traced(tracer: Finder, lines: bytes, rows: Sequence[Sequence[Any]]) -> dict[int, set[int]]:
    """Every value that a match touches. The search goes on with the value after it: in one value a single match is as
    good as many, and no match that begins in one hides another in the next."""
    found: dict[int, set[int]] = {}
    row = line = position = 0  # ``line`` is where the line of this row begins.
    while (span := tracer(lines, position)) is not None:
        start, end = span
        if passed := lines.count(b"\n", line, start):
            row, line = row + passed, lines.rfind(b"\n", line, start) + 1
        while line < end and row < len(rows):
            # The values of the row again, now each with a newline behind it where the row has a comma or its bracket: what
            # stands before a place of the row is counted.
            apart, count = _ENCODER.encode_lines(rows[row]), len(rows[row])
            last = end - line - 1
            first = apart.count(b"\n", 0, max(start - line, 0))
            behind = min(apart.count(b"\n", 0, last) + 1, count)
            if first < behind:
                found.setdefault(row, set()).update(range(first, behind))
            if behind < count:
                position = line + 1 + apart.find(b"\n", last)
                break
            row, line = row + 1, line + len(apart) + (2 if count else 3)
            position = line
    return found
