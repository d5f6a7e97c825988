"""The queue of what a collector has still to be told, in SQL: written in the transaction that accepts, emptied by
whoever holds the project's turn. All in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.errors import Unavailable
from app.events.port import EventRow
from app.turns import Turn, Turns
from app.upstream.tables import outgoing, upstream

_RETRY_AFTER = 30
MOST_WAITING = 1_000_000
"""How many parcels of a project may wait for a collector that does not take them."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One event to be delivered. `body` is the JSON text of its properties, with uids where ids belong. `time_ms` is Unix
    time in milliseconds."""

    uid: int
    time_ms: int
    name: str = field(repr=False)
    body: str = field(repr=False)
    id: int


def post_events(tx: Connection, project_id: int, rows: Sequence[EventRow], now_ms: int) -> None:
    """Queue events as they are stored, in order, for a project that has a collector; nothing else is queued.

    Raises `Unavailable` when more than `MOST_WAITING` wait already: the batch is refused as a whole before anything is
    acknowledged, and its sender keeps it.
    """
    if not rows or not has_collector(tx, project_id):
        return
    if _backlog_exceeds(tx, project_id, MOST_WAITING):
        raise Unavailable(
            "the collector behind this one does not take data, and what waits for it has reached its bound",
            retry_after=_RETRY_AFTER,
            remedy="see `portcullis upstream status`",
        )
    waiting = [
        {
            "project_id": project_id,
            "uid": row.uid,
            "time_ms": row.time_ms,
            "name": row.name,
            "body": row.properties,
            "queued_ms": now_ms,
        }
        for row in rows
    ]
    tx.execute(sa.insert(outgoing), waiting)
    wake = sa.and_(upstream.c.project_id == project_id, upstream.c.failures == 0, upstream.c.due_ms > now_ms)
    tx.execute(sa.update(upstream).where(wake).values(due_ms=now_ms))


def has_collector(tx: Connection, project_id: int) -> bool:
    """Whether what this project accepts is forwarded."""
    return tx.execute(_HAS, {"of_project": project_id}).first() is not None


_HAS = sa.select(upstream.c.project_id).where(upstream.c.project_id == sa.bindparam("of_project"))


def _backlog_exceeds(tx: Connection, project_id: int, most: int) -> bool:
    mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.parked.is_(None))
    ends = tx.execute(sa.select(sa.func.min(outgoing.c.id), sa.func.max(outgoing.c.id)).where(mine)).one()
    # Ids are shared by every project, so the distance is at least the number: nearly always it settles the matter.
    if ends[0] is None or ends[1] - ends[0] < most:
        return False
    beyond = sa.select(outgoing.c.id).where(mine).order_by(outgoing.c.id).offset(most).limit(1)
    return tx.execute(beyond).first() is not None


TURNS = Turns(upstream)
"""The right to deliver for one project."""


def due(tx: Connection, now_ms: int) -> list[int]:
    """The projects with something to deliver whose turn has come and is nobody's."""
    return TURNS.due(tx, now_ms, sa.exists().where(outgoing.c.project_id == upstream.c.project_id, outgoing.c.parked.is_(None)))


def give_back(tx: Connection, turn: Turn, due_ms: int, error: str | None) -> None:
    """Let the turn go until `due_ms`; `error` is the code of what went wrong, None when nothing did."""
    failures = 0 if error is None else upstream.c.failures + 1
    TURNS.give_back(tx, turn, due_ms, failures=failures, last_error=error)


def failures(tx: Connection, project_id: int) -> int:
    """How many tries in a row failed."""
    found = tx.execute(sa.select(upstream.c.failures).where(upstream.c.project_id == project_id)).scalar()
    return int(found or 0)


# --- what is in it ---------------------------------------------------------------------------------------------------


def waiting(tx: Connection, project_id: int, after: int, most: int) -> list[Parcel]:
    """The first parcels beyond the id `after` that are not parked, in order."""
    rows = sa.select(outgoing).where(outgoing.c.project_id == project_id, outgoing.c.parked.is_(None), outgoing.c.id > after)
    found = tx.execute(rows.order_by(outgoing.c.id).limit(most))
    return [Parcel(row.uid, row.time_ms, row.name, row.body, row.id) for row in found]


def delivered(tx: Connection, turn: Turn, ids: Collection[int], now_ms: int) -> None:
    """These were taken: they leave the queue."""
    forget(tx, turn.project_id, ids)
    count = {"delivered": upstream.c.delivered + len(ids), "delivered_ms": now_ms}
    tx.execute(sa.update(upstream).where(upstream.c.project_id == turn.project_id).values(count))


def forget(tx: Connection, project_id: int, ids: Collection[int]) -> None:
    """These leave the queue undelivered, or delivered."""
    if ids:
        tx.execute(sa.delete(outgoing).where(outgoing.c.project_id == project_id, outgoing.c.id.in_(list(ids))))


def park(tx: Connection, project_id: int, reasons: Mapping[int, str]) -> None:
    """Set these apart, each with the code of the reason: the collector refused them, and would again."""
    for reason in sorted(set(reasons.values())):
        ids = [each for each, why in reasons.items() if why == reason]
        tx.execute(sa.update(outgoing).where(outgoing.c.project_id == project_id, outgoing.c.id.in_(ids)).values(parked=reason))


def unpark(tx: Connection, project_id: int, now_ms: int) -> int:
    """Try everything again that is parked, now. Returns how many."""
    mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.parked.is_not(None))
    n = tx.execute(sa.update(outgoing).where(mine).values(parked=None)).rowcount
    tx.execute(sa.update(upstream).where(upstream.c.project_id == project_id).values(due_ms=now_ms, failures=0))
    return n
