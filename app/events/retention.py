"""How far retention got, project by project and rule by rule, and whose turn it is. In the caller's transaction.

A mark says that everything older has been dealt with, so a run goes on where the last one stopped. An event that
arrives behind the marks (an import of old data) is noted by ingest, and the next run goes back to its day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.access.tables import project
from app.events.tables import retention_late, retention_mark, retention_turn
from app.turns import Turns

_DAY_MS = 86_400_000
# Digests are never negative: before the first event, or profile, of any moment.
_BEFORE_ALL = -1


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one rule got: (time, dedup) of events and (changed, seq) of profiles; `untold` are counts not yet audited."""

    project_id: int
    digest: str
    events: tuple[int, int]
    profiles: tuple[int, int]
    untold: Mapping[str, int]


# --- whose turn it is ------------------------------------------------------------------------------------------------


TURNS = Turns(retention_turn)
"""The right to apply one project's retention."""


def plan(tx: Connection) -> None:
    """Give every project a turn, due at once, that has none yet."""
    none = ~sa.exists().where(retention_turn.c.project_id == project.c.id)
    missing = sa.select(project.c.id, sa.literal(0), sa.literal(0), sa.literal("")).where(none)
    names = ["project_id", "due_ms", "lease_until_ms", "holder"]
    tx.execute(_insert(tx, retention_turn).from_select(names, missing).on_conflict_do_nothing())


# --- how far it got --------------------------------------------------------------------------------------------------


def mark(tx: Connection, project_id: int, digest: str) -> Mark:
    """Where the rule with this digest stands; a new one stands at the beginning."""
    wanted = sa.and_(retention_mark.c.project_id == project_id, retention_mark.c.digest == digest)
    row = tx.execute(sa.select(retention_mark).where(wanted)).first()
    if row is None:
        fresh = {"event_ms": _BEFORE_ALL, "event_dedup": _BEFORE_ALL, "profile_ms": _BEFORE_ALL, "profile_seq": _BEFORE_ALL}
        values = {"project_id": project_id, "digest": digest, **fresh, "untold": "{}", "events": 0, "properties": 0}
        row = tx.execute(sa.insert(retention_mark).values(values).returning(*retention_mark.columns)).one()
    events, profiles = (row.event_ms, row.event_dedup), (row.profile_ms, row.profile_seq)
    return Mark(project_id, digest, events, profiles, json.loads(row.untold))


def advance(tx: Connection, at: Mark, counts: Mapping[str, int], *, events: int = 0, properties: int = 0) -> None:
    """Move the mark and add to what is still to be told; `events` and `properties` add to what the metric shows."""
    untold = {name: at.untold.get(name, 0) + counts.get(name, 0) for name in {*at.untold, *counts}}
    values = {
        "event_ms": at.events[0],
        "event_dedup": at.events[1],
        "profile_ms": at.profiles[0],
        "profile_seq": at.profiles[1],
        "untold": json.dumps({name: n for name, n in sorted(untold.items()) if n}),
        "events": retention_mark.c.events + events,
        "properties": retention_mark.c.properties + properties,
    }
    tx.execute(sa.update(retention_mark).where(_of(at)).values(values))


def told(tx: Connection, at: Mark) -> None:
    """What was removed stands in the audit log now."""
    tx.execute(sa.update(retention_mark).where(_of(at)).values(untold="{}"))


def _of(at: Mark) -> sa.ColumnElement[bool]:
    return sa.and_(retention_mark.c.project_id == at.project_id, retention_mark.c.digest == at.digest)


# --- what arrived behind it ------------------------------------------------------------------------------------------


def note_late(tx: Connection, project_id: int, earliest_ms: int, now_ms: int) -> None:
    """Ingest says that it stored an event of this time. Only what is at least a day old can be behind a mark."""
    if earliest_ms > now_ms - _DAY_MS:
        return
    day = earliest_ms // _DAY_MS * _DAY_MS
    noted = tx.execute(sa.select(retention_late.c.from_ms).where(retention_late.c.project_id == project_id)).scalar()
    # To the day, and looked at first: imports in parallel must not wait for each other at this row.
    if noted is None or noted > day:
        insert = _insert(tx, retention_late).values(project_id=project_id, from_ms=day)
        lower = insert.excluded.from_ms < retention_late.c.from_ms
        values = {"from_ms": insert.excluded.from_ms}
        tx.execute(insert.on_conflict_do_update(index_elements=["project_id"], set_=values, where=lower))


def go_back(tx: Connection, project_id: int) -> None:
    """Move every mark back to the earliest late arrival. Under the exclusive fence, so that no batch is under way."""
    late = sa.delete(retention_late).where(retention_late.c.project_id == project_id).returning(retention_late.c.from_ms)
    from_ms = tx.execute(late).scalar()
    if from_ms is not None:
        behind = sa.and_(retention_mark.c.project_id == project_id, retention_mark.c.event_ms >= from_ms)
        tx.execute(sa.update(retention_mark).where(behind).values(event_ms=from_ms, event_dedup=_BEFORE_ALL))


def reopen_profiles(tx: Connection, project_id: int, changes_ms: Sequence[int]) -> None:
    """Move marks back behind which profiles now stand that last changed then: where a rule's days were raised."""
    if not changes_ms:
        return
    from_ms = min(changes_ms)
    passed = sa.and_(retention_mark.c.project_id == project_id, retention_mark.c.profile_ms >= from_ms)
    tx.execute(sa.update(retention_mark).where(passed).values(profile_ms=from_ms, profile_seq=_BEFORE_ALL))


def _insert(tx: Connection, table: sa.Table) -> Any:
    return (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(table)
