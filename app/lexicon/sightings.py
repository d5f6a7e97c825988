"""What was seen of events and properties, counted in memory and written every few seconds: never a write for a batch.

A process that is killed loses the counts of those seconds, and no event. Only names, kinds of values and numbers are kept.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.database import Database
from app.errors import PortcullisError
from app.lexicon.model import PROPERTY_OF, Approval, Key, Kind, State, type_bit
from app.lexicon.names import UNNAMED, nameable
from app.lexicon.reading import RULE
from app.lexicon.tables import lexicon_entry, lexicon_project, lexicon_volume
from policies.classify import HOUSEKEEPING
from policies.model import Decision, Scope, Verdict

PAUSE_S = 5.0
MOST_ENTRIES = 50_000
"""Entries of one project that arise by being seen; further names are counted as `<key>`."""
_MOST_WAITING = 20_000
_MOST_REMEMBERED = 100_000
_MOST_NEW_NAMES = 500
_MOST_OF_A_BATCH = 50_000
_HOUR_MS = 3_600_000
_PROPERTY = "properties."
_AT_ONCE = 500

_Shape = tuple[Scope, str, tuple[str, ...]]


class Seen:
    """What one batch showed. A record costs one look-up: records with the same name and keys are counted together."""

    __slots__ = ("refused", "shapes")

    def __init__(self) -> None:
        """Nothing yet."""
        self.shapes: dict[_Shape, list[Any]] = {}
        self.refused: dict[Key, int] = {}

    def note(self, scope: Scope, before: Decision, after: Decision) -> None:
        """Count one record: what the gate made of it, and what the dictionary made of that."""
        if before is not after:
            self._refused(scope, before, after)
        properties = after.properties
        if properties is None:
            return
        shape = (scope, after.name or "" if scope is Scope.EVENT else "", tuple(properties))
        found = self.shapes.get(shape)
        if found is None:
            # One record tells what kinds of values such records hold.
            self.shapes[shape] = [1, [type_bit(value) for value in properties.values()]]
        else:
            found[0] += 1

    def _refused(self, scope: Scope, before: Decision, after: Decision) -> None:
        for remark in after.remarks:
            if remark.rule != RULE:
                continue
            if after.verdict is Verdict.DROPPED:
                self._refuse(Key(Kind.EVENT, before.name or ""))
            elif remark.path.startswith(_PROPERTY):
                self._refuse(Key(PROPERTY_OF[scope], remark.path.removeprefix(_PROPERTY)))

    def _refuse(self, key: Key) -> None:
        self.refused[key] = self.refused.get(key, 0) + 1


@dataclass(slots=True)
class _Waiting:
    """What one name showed since the last write."""

    types: int = 0
    first_ms: int = 0
    last_ms: int = 0


@dataclass(slots=True)
class _Project:
    """One project's counts that no transaction has written yet, by entry and by (entry, UTC day)."""

    entries: dict[Key, _Waiting] = field(default_factory=dict)
    days: dict[tuple[Key, str], list[int]] = field(default_factory=dict)

    def see(self, key: Key, types: int, now_ms: int) -> None:
        """Note that a name came."""
        found = self.entries.get(key)
        if found is None:
            if len(self.entries) >= _MOST_WAITING:
                return
            found = self.entries[key] = _Waiting(first_ms=now_ms)
        found.types |= types
        found.last_ms = max(found.last_ms, now_ms)

    def count(self, key: Key, day: str, n: int, refused: int) -> None:
        """Note how often."""
        if (key, day) not in self.days and len(self.days) >= _MOST_WAITING:
            key = key._replace(name=UNNAMED)
        counts = self.days.setdefault((key, day), [0, 0])
        counts[0] += n
        counts[1] += refused

    def add(self, other: _Project) -> None:
        """Take back what could not be written."""
        for key, each in other.entries.items():
            self.see(key, each.types, each.last_ms)
            if key in self.entries:
                self.entries[key].first_ms = min(self.entries[key].first_ms, each.first_ms)
        for (key, day), (n, refused) in other.days.items():
            self.count(key, day, n, refused)


class _Names:
    """Names of one batch: themselves if they can have an entry, else what stands for all those.

    Detectors look at a name once, and at so many new ones of a batch.
    """

    __slots__ = ("_known", "_left")

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self._left = _MOST_NEW_NAMES

    def of(self, name: str) -> str:
        found = self._known.get(name)
        if found is not None:
            return found
        self._left -= 1
        if self._left < 0 or not nameable(name):
            return UNNAMED
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[name] = name
        return name


class Sightings:
    """The counts of one process. Safe to share between threads."""

    def __init__(self, database: Database, pause_s: float = PAUSE_S) -> None:
        self._database = database
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[int, _Project] = {}
        self._timer: threading.Timer | None = None
        # What stands in the database already: hour of the last write and types, so that it is not written each time.
        self._written: dict[tuple[int, Key], tuple[int, int]] = {}
        self._named: dict[str, str] = {}

    def add(self, project_id: int, seen: Seen, now_ms: int) -> None:
        """Add what a batch showed, once it is committed."""
        if not (seen.shapes or seen.refused):
            return
        day, found = utc_day(now_ms), list(self._found(seen))
        with self._lock:
            waiting = self._waiting.setdefault(project_id, _Project())
            for key, types, n, refused in found:
                waiting.see(key, types, now_ms)
                if not key.event:
                    waiting.count(key, day, n, refused)
            if self._timer is None:
                self._timer = threading.Timer(self._pause_s, self._write_quietly)
                self._timer.daemon = True
                self._timer.start()

    def _found(self, seen: Seen) -> Iterator[tuple[Key, int, int, int]]:
        """Entry, kinds of values, times taken and refused. How many names a batch can bring is bounded, whoever sends it."""
        names = _Names(self._named)
        properties = _MOST_OF_A_BATCH
        for (scope, name, keys), (n, types) in seen.shapes.items():
            event = names.of(name) if scope is Scope.EVENT else ""
            if scope is Scope.EVENT:
                yield Key(Kind.EVENT, event), 0, n, 0
            properties -= len(keys)
            for sent, bits in zip(keys, types, strict=True) if properties >= 0 else ():
                if sent not in HOUSEKEEPING:
                    key = Key(PROPERTY_OF[scope], names.of(sent))
                    yield key, bits, n, 0
                    if event:
                        yield key._replace(event=event), bits, n, 0
        for key, n in seen.refused.items():
            yield key._replace(name=names.of(key.name)), 0, 0, n

    # --- writing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what waits. Raises `Unavailable`; then it waits on."""
        with self._writing:
            with self._lock:
                taken, self._waiting = self._waiting, {}
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            for project_id in sorted(taken):
                try:
                    written = self._write(project_id, taken[project_id])
                except PortcullisError:
                    with self._lock:
                        for left, counts in taken.items():
                            self._waiting.setdefault(left, _Project()).add(counts)
                    raise
                del taken[project_id]
                self._remember(written)

    def _write_quietly(self) -> None:
        try:
            self.flush()
        except PortcullisError as fault:
            structlog.get_logger().warning("sightings_not_written", code=fault.code)
        except Exception as fault:
            structlog.get_logger().error("sightings_not_written", fault=type(fault).__name__)

    def _write(self, project_id: int, waiting: _Project) -> dict[tuple[int, Key], tuple[int, int]]:
        due = {
            key: each
            for key, each in waiting.entries.items()
            if UNNAMED not in (key.name, key.event) and self._is_news(project_id, key, each)
        }
        with self._database.write() as tx:
            _write_entries(tx, project_id, due)
            _write_days(tx, project_id, waiting.days)
        return {(project_id, key): (each.last_ms // _HOUR_MS, each.types) for key, each in due.items()}

    def _is_news(self, project_id: int, key: Key, seen: _Waiting) -> bool:
        hour, types = self._written.get((project_id, key), (-1, 0))
        return hour != seen.last_ms // _HOUR_MS or seen.types & ~types != 0

    def _remember(self, written: Mapping[tuple[int, Key], tuple[int, int]]) -> None:
        if len(self._written) + len(written) > _MOST_REMEMBERED:
            self._written.clear()
        for key, (hour, types) in written.items():
            self._written[key] = (hour, types | self._written.get(key, (0, 0))[1])


def _write_entries(tx: Connection, project_id: int, due: Mapping[Key, _Waiting]) -> None:
    if not due:
        return
    settings = tx.execute(sa.select(lexicon_project).where(lexicon_project.c.project_id == project_id)).first()
    mine = lexicon_entry.c.project_id == project_id
    room = MOST_ENTRIES - tx.execute(sa.select(sa.func.count()).select_from(lexicon_entry).where(mine)).scalar_one()
    keys = sorted(due)
    known = _known(tx, project_id, keys)
    chosen = [key for key in keys if key in known]
    new = [key for key in keys if key not in known][: max(room, 0)]
    if len(chosen) + len(new) < len(keys):
        structlog.get_logger().warning("lexicon_full", project_id=project_id)
    rows = [_row(project_id, key, due[key], _first_state(settings, key, due[key].first_ms)) for key in sorted(chosen + new)]
    if rows:
        tx.execute(_upsert_entry(tx.dialect.name), rows)
    if settings is not None and any(_asks(settings, key) is not Approval.OFF for key in new if not key.event):
        # Somebody goes by the list of known names, and it has just grown.
        grown = sa.update(lexicon_project).where(lexicon_project.c.project_id == project_id)
        tx.execute(grown.values(version=lexicon_project.c.version + 1))


def _known(tx: Connection, project_id: int, keys: Sequence[Key]) -> set[Key]:
    columns = (lexicon_entry.c.kind, lexicon_entry.c.name, lexicon_entry.c.event)
    found: set[Key] = set()
    for at in range(0, len(keys), _AT_ONCE):
        wanted = sa.tuple_(*columns).in_([tuple(map(str, key)) for key in keys[at : at + _AT_ONCE]])
        rows = tx.execute(sa.select(*columns).where(lexicon_entry.c.project_id == project_id, wanted))
        found |= {Key(Kind(row.kind), row.name, row.event) for row in rows}
    return found


def _asks(settings: Any, key: Key) -> Approval:
    return Approval(settings.new_events if key.kind is Kind.EVENT else settings.new_properties)


def _first_state(settings: Any, key: Key, first_ms: int) -> State:
    """What a name is that turns up: pending where the project approves new names, unless it was there before."""
    if settings is None or key.event or _asks(settings, key) is Approval.OFF:
        return State.VISIBLE
    return State.PENDING if first_ms >= (settings.approval_since_ms or 0) else State.VISIBLE


def _row(project_id: int, key: Key, seen: _Waiting, state: State) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "kind": key.kind.value,
        "event": key.event,
        "name": key.name,
        "state": state.value,
        "types": seen.types,
        "first_ms": seen.first_ms,
        "last_ms": seen.last_ms,
        **BLANK,
    }


BLANK = {"classified": False, "verified": False, "tags": "[]", "owners": "[]", "teams": "[]", "described": False}
"""What an entry says that nobody described."""


@cache
def _upsert_entry(dialect: str) -> Any:
    insert: Any = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(lexicon_entry)
    old, new = lexicon_entry.c, insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[column.name for column in lexicon_entry.primary_key.columns],
        set_={
            "types": old.types.op("|")(new.types),
            "first_ms": sa.func.coalesce(old.first_ms, new.first_ms),
            "last_ms": sa.case((sa.func.coalesce(old.last_ms, 0) < new.last_ms, new.last_ms), else_=old.last_ms),
        },
    )


def _write_days(tx: Connection, project_id: int, days: Mapping[tuple[Key, str], Sequence[int]]) -> None:
    rows = [
        {"project_id": project_id, "kind": key.kind.value, "name": key.name, "day": day, "n": n, "refused": refused}
        for (key, day), (n, refused) in sorted(days.items())
    ]
    if rows:
        tx.execute(_upsert_day(tx.dialect.name), rows)


@cache
def _upsert_day(dialect: str) -> Any:
    insert: Any = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(lexicon_volume)
    return insert.on_conflict_do_update(
        index_elements=[column.name for column in lexicon_volume.primary_key.columns],
        set_={name: lexicon_volume.c[name] + insert.excluded[name] for name in ("n", "refused")},
    )


def utc_day(at_ms: int) -> str:
    """The UTC date of a moment, `yyyy-mm-dd`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
