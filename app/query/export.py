"""The raw export as a stream of bytes, with bounded memory and no transaction open while a reader is slow.

Events are read in short transactions: an open one would keep the bytes of an erased person in the database (PostgreSQL
could not vacuum them away, SQLite could not truncate its log) for as long as somebody reads slowly. Ids are revealed
in yet another transaction just before their lines leave, so whoever is hidden meanwhile is not in the next lines.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator

from app.database import Database
from app.events.port import EventQuery, EventRow, EventStore
from app.keys.service import ProjectKeys
from app.query.batches import batches
from app.query.legible import Legible
from app.query.params import ExportParams
from app.query.render import event_line, open_event, uids_of
from app.sight import people
from app.where.tree import Expr

_READ_EVENTS = 5_000
_READ_BYTES = 4 << 20
_LINES = 2_500
# Ids that are kept in clear while the export runs, so that somebody of many events is unsealed once: some megabytes.
_MOST_OPENED = 20_000
_READ_S = 1.0
_FIRST_SPAN_MS = 3_600_000


class EventExport:
    """One export. Iterate `chunks` once; `sent` is the number of lines handed out so far."""

    def __init__(
        self,
        database: Database,
        store: EventStore,
        keys: ProjectKeys,
        params: ExportParams,
        legible: Legible,
        where: Expr | None,
    ) -> None:
        self._database = database
        self._store = store
        self._keys = keys
        self._params = params
        self._legible = legible
        self._where = where
        self._opened: dict[int, str] = {}
        self.sent = 0

    def chunks(self) -> Iterator[bytes]:
        """Whole lines of JSON in time order, some thousands at a time, none of them empty."""
        for rows in self._reads():
            for part in batches(rows, _LINES):
                lines = self._lines(part)[: self._left()]
                self.sent += len(lines)
                if lines:
                    yield b"\n".join(lines) + b"\n"
                if self._left() == 0:
                    return

    def _left(self) -> int | None:
        return None if self._params.limit is None else self._params.limit - self.sent

    def _lines(self, rows: list[EventRow]) -> list[bytes]:
        with self._database.read() as tx:
            events = [open_event(row) for row in self._legible.rows(tx, rows)]
            sight = self._legible.sight
            if len(self._opened) > _MOST_OPENED:
                self._opened.clear()
            revealed = people.revealed(tx, self._store, self._keys, sight, uids_of(events), self._opened)
            nobody = people.shows_nobody(sight)
        events = [each for each in events if nobody or each.row.uid != people.NOBODY]
        lines = (event_line(each, revealed, time_in_ms=self._params.time_in_ms) for each in events)
        return [line for line in lines if line is not None]

    def _reads(self) -> Iterator[list[EventRow]]:
        # The span of one read follows the density of the data, so that every read is a short range of the clustered
        # key, which no planner answers by sorting the rest of the table.
        done, span = (self._params.from_ms - 1, 0), _FIRST_SPAN_MS
        start = self._params.from_ms
        while start < self._params.to_ms:
            end = min(start + span, self._params.to_ms)
            began = time.monotonic()
            rows, whole = self._read(start, end, done)
            slow = time.monotonic() - began > _READ_S
            if rows:
                done = (rows[-1].time_ms, rows[-1].dedup)
                yield rows
            start = end if whole else done[0]
            # An expression that little matches reads much to find it: time bounds a read as well.
            if not whole or slow:
                span = max(span // 2, 1)
            elif len(rows) < _READ_EVENTS // 4:
                span *= 4

    def _read(self, start: int, end: int, done: tuple[int, int]) -> tuple[list[EventRow], bool]:
        """The next events after `done`, and whether they are all up to `end`."""
        wanted = _READ_EVENTS if self._left() is None else max(_LINES, min(_READ_EVENTS, self._left() or 0))
        query = EventQuery(from_ms=start, to_ms=end, names=self._params.names, where=self._where)
        rows: list[EventRow] = []
        size = 0
        with self._database.read() as tx:
            for row in self._store.scan(tx, self._legible.sight, query):
                if (row.time_ms, row.dedup) <= done:
                    continue
                rows.append(row)
                size += len(row.properties)
                if len(rows) == wanted or size >= _READ_BYTES:
                    return rows, False
        return rows, True


def gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks as one gzip stream, each readable as soon as it arrives. A failure leaves it without its trailer."""
    packer = zlib.compressobj(wbits=31)
    for chunk in chunks:
        yield packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
