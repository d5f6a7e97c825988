"""The queue of what a collector has still to be told, in SQL: written in the transaction that accepts, emptied by
whoever holds the project's turn. All in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.errors import Unavailable
from app.events.port import EventRow
from app.turns import Turn, Turns
from app.upstream.tables import outgoing, upstream

_RETRY_AFTER = 30
MOST_WAITING = 1_000_000
"""How many parcels of a project may wait for a collector that does not take them."""
MOST_BYTES = 4 << 20
"""How much text of parcels is in memory at a time: what comes after it waits for the next page."""
UNCERTAIN = "uncertain"
"""Why an operation is parked that may have been taken: done twice it would count twice."""
REASONS = ("invalid_record", "too_large", "refused", UNCERTAIN)
"""Why a parcel is parked: its record is at fault, it is too large, it is refused and nobody says why, or the above."""


class Keeps(StrEnum):
    """What becomes of what is forwarded: kept here too, or not."""

    BOTH = "store_and_forward"
    NOTHING = "forward_only"


class Kind(StrEnum):
    """What a parcel is."""

    EVENT = "event"
    PROFILE = "profile"
    GROUP = "group"


class Change(msgspec.Struct, frozen=True, array_like=True):
    """The body of an operation on a profile or group: its operand as JSON; `literal` when it is for the id that was named
    and not for its person; `seen` False when it is no sign of life (wire section 8)."""

    operand: msgspec.Raw
    literal: bool
    seen: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that took effect here. `operand` is JSON; `uid` is whose profile, and `time_ms` when it was sent."""

    uid: int
    kind: Kind
    time_ms: int
    name: str
    operand: bytes = field(repr=False)
    literal: bool
    seen: bool


@dataclass(frozen=True, slots=True)
class Parcel:
    """One thing to be delivered. Of an event `body` is the JSON text of its properties, with uids where ids belong; of an
    operation it is a `Change`. `time_ms` is Unix time in milliseconds."""

    uid: int
    time_ms: int
    name: str = field(repr=False)
    body: str = field(repr=False)
    id: int
    kind: Kind = Kind.EVENT
    attempted: bool = False
    overtaken: bool = False
    queued_ms: int = 0


def post_events(tx: Connection, project_id: int, rows: Sequence[EventRow], now_ms: int) -> None:
    """Queue events as they are stored, in order, for a project that has a collector; nothing else is queued.

    Raises `Unavailable` when more than `MOST_WAITING` wait already: the batch is refused as a whole before anything is
    acknowledged, and its sender keeps it.
    """
    if rows and keeps(tx, project_id) is not None:
        events = ((Kind.EVENT, row.uid, row.time_ms, row.name, row.properties) for row in rows)
        _post(tx, project_id, events, now_ms)


def post_operations(tx: Connection, project_id: int, operations: Sequence[Operation], now_ms: int) -> None:
    """The same for operations on profiles and groups, in the order in which they took effect. Raises `Unavailable`."""
    if operations and keeps(tx, project_id) is not None:
        changes = ((each.kind, each.uid, each.time_ms, each.name, _change(each)) for each in operations)
        _post(tx, project_id, changes, now_ms)


def _change(each: Operation) -> str:
    return msgspec.json.encode(Change(msgspec.Raw(each.operand), each.literal, each.seen)).decode()


def _post(tx: Connection, project_id: int, parcels: Iterable[tuple[Kind, int, int, str, str]], now_ms: int) -> None:
    if _backlog_exceeds(tx, project_id, MOST_WAITING):
        raise Unavailable(
            "the collector behind this one does not take data, and what waits for it has reached its bound",
            retry_after=_RETRY_AFTER,
            remedy="see `portcullis upstream status`",
        )
    shared: dict[str, Any] = {"project_id": project_id, "queued_ms": now_ms}
    names = ("kind", "uid", "time_ms", "name", "body")
    tx.execute(sa.insert(outgoing), [{**shared, **dict(zip(names, each, strict=True))} for each in parcels])
    wake = sa.and_(upstream.c.project_id == project_id, upstream.c.failures == 0, upstream.c.due_ms > now_ms)
    tx.execute(sa.update(upstream).where(wake).values(due_ms=now_ms))


def keeps(tx: Connection, project_id: int) -> Keeps | None:
    """What is kept here of what this project accepts, or None for a project that forwards nothing."""
    found = tx.execute(_KEEPS, {"of_project": project_id}).scalar()
    return None if found is None else Keeps(found)


_KEEPS = sa.select(upstream.c.keeps).where(upstream.c.project_id == sa.bindparam("of_project"))


def _backlog_exceeds(tx: Connection, project_id: int, most: int) -> bool:
    mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.parked.is_(None))
    ends = tx.execute(sa.select(sa.func.min(outgoing.c.id), sa.func.max(outgoing.c.id)).where(mine)).one()
    # Ids are shared by every project, so the distance is at least the number: nearly always it settles the matter.
    if ends[0] is None or ends[1] - ends[0] < most:
        return False
    beyond = sa.select(outgoing.c.id).where(mine).order_by(outgoing.c.id).offset(most).limit(1)
    return tx.execute(beyond).first() is not None


TURNS = Turns(upstream)
"""The right to deliver for one project, and to ask its collector for what people want."""


def due(tx: Connection, now_ms: int, *others: sa.ColumnElement[bool]) -> list[int]:
    """The projects with something to deliver, or for which one of `others` holds, whose turn has come and is nobody's."""
    waits = sa.exists().where(outgoing.c.project_id == upstream.c.project_id, outgoing.c.parked.is_(None))
    return TURNS.due(tx, now_ms, sa.or_(waits, *others))


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
    """The first parcels beyond the id `after` that are not parked, in order: at most so many, and about `MOST_BYTES`."""
    rows = sa.select(outgoing).where(outgoing.c.project_id == project_id, outgoing.c.parked.is_(None), outgoing.c.id > after)
    found, size = list[Parcel](), 0
    with tx.execute(rows.order_by(outgoing.c.id).limit(most), execution_options={"yield_per": 50}) as result:
        for row in result:
            found.append(as_parcel(row))
            size += len(row.body)
            if size > MOST_BYTES:
                break
    return found


def as_parcel(row: Any) -> Parcel:
    """A row of the queue as the value that is passed around."""
    flags = (bool(row.attempted), bool(row.overtaken))
    return Parcel(row.uid, row.time_ms, row.name, row.body, row.id, Kind(row.kind), *flags, row.queued_ms)


def delivered(tx: Connection, turn: Turn, parcels: Collection[Parcel], now_ms: int) -> None:
    """These were taken: they leave the queue. An operation on one of their profiles that is parked comes late from now on."""
    forget(tx, turn.project_id, [each.id for each in parcels])
    count = {"delivered": upstream.c.delivered + len(parcels), "delivered_ms": now_ms}
    tx.execute(sa.update(upstream).where(upstream.c.project_id == turn.project_id).values(count))
    profiles = {each.uid for each in parcels if each.kind is not Kind.EVENT}
    if profiles:
        of_them = sa.and_(outgoing.c.uid.in_(profiles), outgoing.c.parked.is_not(None), outgoing.c.kind != Kind.EVENT.value)
        late = sa.and_(outgoing.c.project_id == turn.project_id, of_them)
        tx.execute(sa.update(outgoing).where(late).values(overtaken=True))


def forget(tx: Connection, project_id: int, ids: Collection[int]) -> None:
    """These leave the queue undelivered, or delivered."""
    if ids:
        tx.execute(sa.delete(outgoing).where(outgoing.c.project_id == project_id, outgoing.c.id.in_(list(ids))))


def attempt(tx: Connection, project_id: int, ids: Collection[int], *, on_its_way: bool) -> None:
    """Say that these are on their way and must not be sent again, or that nothing of them was taken."""
    mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.id.in_(list(ids)))
    tx.execute(sa.update(outgoing).where(mine).values(attempted=on_its_way or None))


def park(tx: Connection, project_id: int, reasons: Mapping[int, str]) -> None:
    """Set these apart, each with the code of the reason: the collector refused them, and would again."""
    for reason in sorted(set(reasons.values())):
        ids = [each for each, why in reasons.items() if why == reason]
        mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.id.in_(ids))
        tx.execute(sa.update(outgoing).where(mine).values(parked=reason, attempted=None))


def unpark(tx: Connection, project_id: int, now_ms: int, reasons: Collection[str] | None = None) -> int:
    """Try what is parked again, now: for these reasons, or all of it. Returns how many."""
    n = tx.execute(sa.update(outgoing).where(_parked(project_id, reasons)).values(parked=None)).rowcount
    tx.execute(sa.update(upstream).where(upstream.c.project_id == project_id).values(due_ms=now_ms, failures=0))
    return n


def discard(tx: Connection, project_id: int, reasons: Collection[str] | None = None) -> int:
    """Delete what is parked, for these reasons or all of it. Returns how many."""
    return tx.execute(sa.delete(outgoing).where(_parked(project_id, reasons))).rowcount


def _parked(project_id: int, reasons: Collection[str] | None) -> sa.ColumnElement[bool]:
    for_these = outgoing.c.parked.is_not(None) if reasons is None else outgoing.c.parked.in_(list(reasons))
    return sa.and_(outgoing.c.project_id == project_id, for_these)
