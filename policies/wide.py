"""Where the wide pass looks: the values of a few records as one text, and the way back from a match to a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from policies.detect import Suspicion, Tracer
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
    encoded = _ENCODER.encode(rows)
    traces = suspicion.traces(encoded)
    if traces is None or (traces and len(encoded) > _MAX_TRACED):
        return None
    asking = queries.any(encoded)
    if not traces:
        return _asking(queries, rows, {}) if asking else _NOWHERE
    # No newline stands inside a JSON text, so each row is the line of the same number.
    lines = _ENCODER.encode_lines(rows)
    found = _traced(suspicion.tracer(traces), lines, rows)
    return _asking(queries, rows, found) if asking else found


def _asking(queries: Queries, rows: Sequence[Sequence[Any]], found: dict[int, set[int]]) -> dict[int, set[int]]:
    """The same with every value that holds a name which a rule is about."""
    for row, values in enumerate(rows):
        for at, value in enumerate(values):
            if type(value) not in _NO_TEXT and queries.any(_ENCODER.encode(value)):
                found.setdefault(row, set()).add(at)
    return found


def _traced(tracer: Tracer, lines: bytes, rows: Sequence[Sequence[Any]]) -> dict[int, set[int]]:
    """Every value that a match touches. The search goes on with the value after it: in one value a single match is as
    good as many, and no match that begins in one hides another in the next."""
    found: dict[int, set[int]] = {}
    # The row and the value to look at next; ``begin`` is where that value stands in ``lines``.
    row = at = 0
    begin = 1
    while (match := tracer(lines, begin - 1)) is not None:
        start, end = match.span()
        passed = lines.count(b"\n", begin - 1, start)
        if passed:
            row, at = row + passed, 0
            begin = lines.rfind(b"\n", begin - 1, start) + 2
        while begin <= end:
            if row == len(rows):
                return found
            if at == len(rows[row]):
                # ``begin`` is behind the bracket that closes this row, or before the one of an empty row.
                begin += 2 if at else 3
                row, at = row + 1, 0
                continue
            size = len(_ENCODER.encode(rows[row][at]))
            if begin + size > start:
                found.setdefault(row, set()).add(at)
            begin, at = begin + size + 1, at + 1
    return found
