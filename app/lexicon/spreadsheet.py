"""The dictionary as CSV, out and in: one row an entry. What is seen and what policy says is written and never read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.audit.entry import iso
from app.errors import InvalidInput
from app.lexicon.model import Change, Entry, Key, Kind, State

READ = (
    "kind",
    "event",
    "name",
    "display_name",
    "description",
    "tags",
    "owners",
    "teams",
    "state",
    "merged_into",
    "verified",
    "classified",
)
SHOWN = ("category", "sensitivity", "classified_by_policy", "types", "first_seen", "last_seen", "volume_30_days", "lacks")
MOST_ROWS = 5_000
# A cell that a spreadsheet would run as a formula gets a mark in front, and loses it when it is read back.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SHAPE = f"a first line with some of {', '.join(READ)}; kind and name in every row"


def written(entries: Iterable[tuple[Entry, Sequence[Any]]]) -> Iterator[str]:
    """CSV, a line at a time (RFC 4180), of entries beside the cells that `SHOWN` names."""
    yield _line((*READ, *SHOWN))
    for each, shown in entries:
        texts = (each.key.kind.value, each.key.event, each.key.name, each.display_name or "", each.description or "")
        lists = (", ".join(words) for words in (each.tags, each.owners, each.teams))
        flags = (str(flag).lower() for flag in (each.verified, each.classified))
        yield _line((*texts, *lists, each.state.value, each.merged_into or "", *flags, *shown))


def moment(at_ms: int | None) -> str:
    """A moment in a cell; empty for none."""
    return "" if at_ms is None else iso(at_ms)


def read(text: str) -> dict[Key, Change]:
    """The changes that a CSV asks for. A column that is not there changes nothing, an empty cell clears.

    Raises `InvalidInput` with the line.
    """
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    changes: dict[Key, Change] = {}
    try:
        heads = [each.strip().lower().lstrip("\ufeff") for each in next(rows, [])]
        if not {"kind", "name"} <= set(heads):
            raise InvalidInput("the first line does not name the columns", field="body", remedy=_SHAPE)
        for row in rows:
            if any(row):
                key, change = _row(dict(zip(heads, row, strict=False)), rows.line_num)
                if key in changes:
                    raise _wrong(rows.line_num, "name", "the entry stands in two rows")
                changes[key] = change
                if len(changes) > MOST_ROWS:
                    raise InvalidInput(f"more than {MOST_ROWS} rows", field="body", remedy="split the file")
    except csv.Error:
        raise _wrong(rows.line_num, "body", "the line is not CSV") from None
    return changes


def _row(cells: dict[str, str], line: int) -> tuple[Key, Change]:
    sent = {name: _unmarked(cell.strip()) for name, cell in cells.items() if name in READ}
    try:
        key = Key(Kind(sent["kind"]), sent["name"], sent.get("event", ""))
        state = {"state": State(sent["state"])} if sent.get("state") else {}
    except ValueError:
        raise _wrong(line, "kind", "kind or state is no word that is known here") from None
    texts: dict[str, Any] = {name: sent[name] or None for name in ("display_name", "description", "merged_into") if name in sent}
    lists: dict[str, Any] = {name: _words(sent[name]) for name in ("tags", "owners", "teams") if name in sent}
    flags: dict[str, Any] = {name: _flag(sent[name], name, line) for name in ("verified", "classified") if sent.get(name)}
    given: dict[str, Any] = {**state, **texts, **lists, **flags}
    return key, Change(**given)


def _words(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in cell.split(",") if word.strip()))


def _flag(cell: str, name: str, line: int) -> bool:
    if cell.lower() not in ("true", "false"):
        raise _wrong(line, name, f"{name} is neither true nor false")
    return cell.lower() == "true"


def _wrong(line: int, field: str, what: str) -> InvalidInput:
    return InvalidInput(f"line {line}: {what}", field=field, remedy=_SHAPE)


def _line(cells: Iterable[Any]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerow([_marked(str(each)) for each in cells])
    return out.getvalue()


def _marked(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _unmarked(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell
