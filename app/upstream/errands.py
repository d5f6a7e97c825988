"""Requests of people that are passed on to a collector: whom to ask for, what was asked, and how it ended. All in the
caller's transaction.

    pending   the collector is not finished: not asked yet, or asked and working
    complete  it says that it is done
    failed    it says that it is not, will not, or did not say for too long; an operator may ask again
    not_asked it was never asked, because nobody gave a credential for that, or because the project has left it

The ids are sealed under the project's key while they are needed, and nowhere else: an erasure destroys them in the register
in the transaction that writes them here. They go when the collector is done, or thirty days after it failed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.errors import Conflict, NotFound
from app.keys.sealing import seal, unseal
from app.keys.service import ProjectKeys
from app.upstream.tables import errand, upstream, upstream_former

MOST_IDS = 1_999
"""How many ids the vendor takes at once (wire section 15; the lower of two published numbers)."""
KEPT_MS = 30 * 86_400_000
"""How long ids of a failed errand wait to be asked for again, and the address of an answer to be used."""
LEFT = "collector_left"
"""Why an errand failed whose collector the project has left."""


class ErrandKind(StrEnum):
    """What is asked for, in the words of a request of this service."""

    ERASURE = "erasure"
    ACCESS = "access"


class ErrandState(StrEnum):
    """How it stands: see the module."""

    PENDING = "pending"
    COMPLETE = "complete"
    FAILED = "failed"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is passed on: the request, and what the person asked for."""

    request_id: str
    project_id: int
    kind: ErrandKind
    compliance_type: str
    disclosure_type: str


@dataclass(frozen=True, slots=True)
class Errand:
    """One errand as stored, without its ids. Times are Unix milliseconds; `task` is the collector's name for it."""

    id: int
    request_id: str
    project_id: int
    kind: ErrandKind
    compliance_type: str
    disclosure_type: str
    base: str
    state: ErrandState
    ids: int
    task: str | None
    created_ms: int
    asked_ms: int | None
    ended_ms: int | None
    next_due_ms: int | None
    asked: int
    failures: int
    error_code: str | None


# --- taking ----------------------------------------------------------------------------------------------------------


def take(tx: Connection, keys: ProjectKeys, wish: Wish, identifiers: Iterable[str], now_ms: int) -> None:
    """Write down that these ids are to be asked for at the project's collector, and that they are not at those which it
    has left. Nothing happens in a project that never had one."""
    ids = list(identifiers)
    row = tx.execute(sa.select(upstream.c.base, upstream.c.asks).where(upstream.c.project_id == wish.project_id)).first()
    former = sa.select(upstream_former.c.base).where(upstream_former.c.project_id == wish.project_id)
    left = list(tx.execute(former.order_by(upstream_former.c.base)).scalars())
    if not ids or (row is None and not left):
        return
    made = [_row(wish, base, len(ids), now_ms, None) for base in left if row is None or base != row.base]
    for start in range(0, len(ids), MOST_IDS):
        if row is None:
            break
        some = ids[start : start + MOST_IDS]
        sealed = seal(keys.subject, msgspec.json.encode(some), _label(wish.request_id)) if row.asks else None
        made.append(_row(wish, row.base, len(some), now_ms, sealed))
    tx.execute(sa.insert(errand), made)


def _row(wish: Wish, base: str, ids: int, now_ms: int, sealed: bytes | None) -> dict[str, Any]:
    state = ErrandState.NOT_ASKED if sealed is None else ErrandState.PENDING
    return {
        "project_id": wish.project_id,
        "request_id": wish.request_id,
        "kind": wish.kind.value,
        "compliance_type": wish.compliance_type,
        "disclosure_type": wish.disclosure_type,
        "base": base,
        "state": state.value,
        "ids": ids,
        "sealed": sealed,
        "created_ms": now_ms,
        "ended_ms": now_ms if sealed is None else None,
        "next_due_ms": None if sealed is None else now_ms,
        "asked": 0,
        "failures": 0,
        "told": sealed is None or wish.kind is ErrandKind.ACCESS,
    }


# --- working ---------------------------------------------------------------------------------------------------------


def waits(now_ms: int) -> sa.ColumnElement[bool]:
    """The condition on a project's turn that an errand of it is due."""
    mine = sa.and_(errand.c.project_id == upstream.c.project_id, errand.c.next_due_ms <= now_ms)
    return sa.exists().where(mine)


def next_due(tx: Connection, project_id: int, now_ms: int) -> Errand | None:
    """The errand that waits longest, or None when none is due."""
    due = sa.and_(errand.c.project_id == project_id, errand.c.next_due_ms <= now_ms)
    row = tx.execute(sa.select(errand).where(due).order_by(errand.c.next_due_ms, errand.c.id).limit(1)).first()
    return None if row is None else _errand(row)


def identifiers(tx: Connection, keys: ProjectKeys, found: Errand) -> list[str]:
    """The ids to ask for. Raises `Conflict` when they are gone."""
    sealed = tx.execute(sa.select(errand.c.sealed).where(errand.c.id == found.id)).scalar()
    if sealed is None:
        raise Conflict("the ids of this errand are not kept any more", remedy="ask the collector by its own means")
    return msgspec.json.decode(unseal(keys.subject, sealed, _label(found.request_id)), type=list[str])


def asked(tx: Connection, found: Errand, task: str, now_ms: int, due_ms: int) -> None:
    """The collector took it on, under this name."""
    values = {"task": task, "asked_ms": now_ms, "asked": errand.c.asked + 1, "failures": 0, "error_code": None}
    _set(tx, found.id, next_due_ms=due_ms, **values)


def look_again(tx: Connection, found: Errand, due_ms: int, error_code: str | None = None, **values: Any) -> None:
    """Not finished: look at it again. `error_code` is of the try that failed, None when none did."""
    _set(tx, found.id, next_due_ms=due_ms, error_code=error_code, failures=found.failures + 1 if error_code else 0, **values)


def ask_again(tx: Connection, found: Errand, due_ms: int, error_code: str) -> None:
    """The collector lost it or gave it up: it is asked once more."""
    look_again(tx, found, due_ms, error_code, task=None)


def end(tx: Connection, found: Errand, state: ErrandState, now_ms: int, error_code: str | None = None) -> None:
    """It is over. The ids of one that is complete are gone with it."""
    gone = {"sealed": None} if state is ErrandState.COMPLETE else {}
    told = found.kind is ErrandKind.ACCESS
    _set(tx, found.id, state=state.value, ended_ms=now_ms, next_due_ms=None, error_code=error_code, told=told, **gone)


def keep_address(tx: Connection, keys: ProjectKeys, found: Errand, address: str) -> None:
    """Where the answer to a retrieval lies, sealed as the ids were."""
    _set(tx, found.id, sealed=seal(keys.subject, msgspec.json.encode([address]), _label(found.request_id)))


def address(tx: Connection, keys: ProjectKeys, found: Errand) -> str:
    """Where the answer to a complete retrieval lies. Raises `Conflict` when it is gone."""
    return identifiers(tx, keys, found)[0]


def revive(tx: Connection, project_id: int, request_id: str, now_ms: int) -> int:
    """Ask once more for what failed of a request. Returns how many errands. Raises `NotFound`, and `Conflict` when nothing of
    it failed whose ids are still kept."""
    if not of_request(tx, project_id, request_id):
        raise NotFound("no such request was passed on", field="request_id", remedy="list them with GET /v1/upstream/requests")
    failed = sa.and_(errand.c.state == ErrandState.FAILED.value, errand.c.sealed.is_not(None))
    mine = sa.and_(errand.c.project_id == project_id, errand.c.request_id == request_id, failed)
    again = {"state": ErrandState.PENDING.value, "ended_ms": None, "next_due_ms": now_ms, "created_ms": now_ms, "told": True}
    fresh = {"task": None, "asked": 0, "failures": 0, "error_code": None}
    n = tx.execute(sa.update(errand).where(mine).values({**again, **fresh})).rowcount
    if not n:
        raise Conflict("nothing of this request failed, or its ids are not kept any more", field="request_id")
    return n


def leave(tx: Connection, project_id: int, now_ms: int) -> int:
    """The project leaves its collector: what is not finished there never will be known to be. Returns how many."""
    values = {"state": ErrandState.FAILED.value, "error_code": LEFT, "ended_ms": now_ms, "next_due_ms": None, "sealed": None}
    told = errand.c.kind == ErrandKind.ACCESS.value
    return tx.execute(sa.update(errand).where(_open(project_id)).values({**values, "told": told})).rowcount


def withdraw(tx: Connection, request_ids: Collection[str], now_ms: int) -> int:
    """Forget what was asked for in these retrievals: a person in them is being erased. Returns how many errands."""
    mine = sa.and_(errand.c.request_id.in_(list(request_ids)), errand.c.kind == ErrandKind.ACCESS.value)
    kept = sa.and_(mine, errand.c.sealed.is_not(None))
    gone = {"sealed": None, "state": ErrandState.FAILED.value, "error_code": "withdrawn", "next_due_ms": None}
    return tx.execute(sa.update(errand).where(kept).values({**gone, "ended_ms": now_ms})).rowcount


def expire(tx: Connection, now_ms: int) -> int:
    """Forget the ids of what failed long ago, and addresses of answers. Returns how many errands."""
    old = sa.and_(errand.c.sealed.is_not(None), errand.c.ended_ms <= now_ms - KEPT_MS)
    return tx.execute(sa.update(errand).where(old).values(sealed=None)).rowcount


# --- looking ---------------------------------------------------------------------------------------------------------


def open_errands(tx: Connection, project_id: int) -> int:
    """How many the collector of a project has not finished."""
    return int(tx.execute(sa.select(sa.func.count()).select_from(errand).where(_open(project_id))).scalar_one())


def tally(tx: Connection, project_id: int) -> dict[str, int]:
    """How many errands of a project stand how."""
    rows = sa.select(errand.c.state, sa.func.count()).where(errand.c.project_id == project_id).group_by(errand.c.state)
    return {state: int(n) for state, n in tx.execute(rows.order_by(errand.c.state))}


def of_request(tx: Connection, project_id: int, request_id: str) -> list[Errand]:
    """The errands of one request, in the order in which they were written down."""
    mine = sa.and_(errand.c.project_id == project_id, errand.c.request_id == request_id)
    return [_errand(row) for row in tx.execute(sa.select(errand).where(mine).order_by(errand.c.id))]


def listing(tx: Connection, project_id: int, state: ErrandState | None, limit: int) -> list[Errand]:
    """The newest errands of a project, in one state or in any."""
    rows = sa.select(errand).where(errand.c.project_id == project_id)
    rows = rows if state is None else rows.where(errand.c.state == state.value)
    return [_errand(row) for row in tx.execute(rows.order_by(errand.c.id.desc()).limit(limit))]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands at one collector: the worst that any part of it came to, and for how many ids it was asked."""

    base: str = field()
    state: ErrandState
    ids: int


_WORST = (ErrandState.COMPLETE, ErrandState.PENDING, ErrandState.NOT_ASKED, ErrandState.FAILED)


def standings(found: Sequence[Errand]) -> list[Standing]:
    """One standing a collector, in the order of their addresses."""
    by_base: dict[str, list[Errand]] = {}
    for each in found:
        by_base.setdefault(each.base, []).append(each)
    return [
        Standing(base, max((each.state for each in some), key=_WORST.index), sum(each.ids for each in some))
        for base, some in sorted(by_base.items())
    ]


def untold(tx: Connection, limit: int = 100) -> list[str]:
    """Requests of which no errand is open, and one ended since their certificate said how it stands."""
    other = errand.alias()
    open_too = sa.exists().where(other.c.request_id == errand.c.request_id, other.c.state == ErrandState.PENDING.value)
    ended = sa.and_(errand.c.told.is_(False), errand.c.state != ErrandState.PENDING.value, sa.not_(open_too))
    return list(tx.execute(sa.select(errand.c.request_id).where(ended).distinct().limit(limit)).scalars())


def tell(tx: Connection, request_id: str) -> None:
    """The certificate of the request says how its ended errands stand."""
    ended = sa.and_(errand.c.request_id == request_id, errand.c.state != ErrandState.PENDING.value)
    tx.execute(sa.update(errand).where(ended).values(told=True))


def _open(project_id: int) -> sa.ColumnElement[bool]:
    return sa.and_(errand.c.project_id == project_id, errand.c.state == ErrandState.PENDING.value)


def _set(tx: Connection, errand_id: int, **values: Any) -> None:
    tx.execute(sa.update(errand).where(errand.c.id == errand_id).values(**values))


def _errand(row: Any) -> Errand:
    fields: Mapping[str, Any] = {name: getattr(row, name) for name in Errand.__dataclass_fields__}
    return Errand(**{**fields, "kind": ErrandKind(row.kind), "state": ErrandState(row.state)})


def _label(request_id: str) -> str:
    return f"errand|{request_id}"
