"""Who may work on a re-import, and how far it is: the worker's side of its row. The work itself is `jobs.reimport`.

Delivered like subject requests: the row is the truth, with a lease and a fence that every claim raises, and RQ only rings.
Work is done in slices of seconds, because the erasure that a re-import waits for may need the same worker. Every effect is
a transaction that begins with `hold` and ends with what stands in the row, so a killed worker costs one window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import NotFound
from app.reimport.model import ENDED, Override, Reimport, Scope, State, Terms, may_go
from app.reimport.tables import reimport
from app.subjects.queue import SYSTEM, LostClaim
from app.turns import backoff_ms

MAX_ATTEMPTS = 12
_WAITING = (State.REVIEW.value, *(each.value for each in ENDED))
# Once the erasure is ordered there is no way back, only onward: an attempt is never the last.
_ONWARD = (State.ERASING, State.IMPORTING, State.RECONCILING, State.UNDOING, State.REWRITING)


class ReimportQueue:
    """The table as a queue. `lease_ms` is how long a worker may be silent before another takes over."""

    def __init__(self, database: Database, audit: AuditLog, clock: Callable[[], int], lease_ms: int) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self.lease_ms = lease_ms

    def due(self, limit: int = 20) -> list[str]:
        """Ids whose next slice nobody works on, the longest waiting first."""
        wanted = sa.select(reimport.c.id).where(_ready(self._clock())).order_by(reimport.c.next_due_ms, reimport.c.id)
        with self._database.read() as tx:
            return list(tx.execute(wanted.limit(limit)).scalars())

    def claim(self, reimport_id: str) -> Reimport | None:
        """Take the next slice. None when it is over, waits for an officer, is not due, or is somebody's."""
        now = self._clock()
        values = {
            "fence": reimport.c.fence + 1,
            "attempts": reimport.c.attempts + 1,
            "lease_until_ms": now + self.lease_ms,
            "started_ms": sa.func.coalesce(reimport.c.started_ms, now),
        }
        with self._database.write() as tx:
            mine = sa.and_(reimport.c.id == reimport_id, _ready(now))
            row = tx.execute(sa.update(reimport).where(mine).values(values).returning(*reimport.columns)).first()
            claimed = None if row is None else as_reimport(row)
            if claimed is not None and claimed.attempts > MAX_ATTEMPTS and claimed.state not in _ONWARD:
                self._give_up(tx, claimed, claimed.error_code or "worker_died")
                return None
        return claimed

    def hold(self, tx: Connection, claimed: Reimport, **values: Any) -> None:
        """Begin or end an effect: renew the lease and set columns. Raises `LostClaim`."""
        self._set(tx, claimed, {"lease_until_ms": self._clock() + self.lease_ms, **values})

    def progress(self, tx: Connection, claimed: Reimport, done: int, **values: Any) -> None:
        """The same for an effect that got on by `done` records: the attempts begin anew."""
        self.hold(tx, claimed, attempts=0, error_code=None, done=reimport.c.done + done, **values)

    def move(self, tx: Connection, claimed: Reimport, state: State, **values: Any) -> None:
        """Change the state as `model.MOVES` allows, due at once; in REVIEW and at the end nothing is due."""
        before = current(tx, claimed.id).state
        if not may_go(before, state):
            raise LostClaim(f"a re-import cannot go from {before} to {state}")
        now = self._clock()
        waits = state.value in _WAITING
        moved: dict[str, Any] = {"state": state.value, "next_due_ms": None if waits else now, "attempts": 0}
        moved |= {"done": 0, "total": None, "worked_ms": 0}
        if state in ENDED:
            moved |= {"finished_ms": now, "standing": None, "wrapped_key": None, "salt": None}
        if state not in (State.UNDOING, *ENDED):
            moved["error_code"] = None
        self.hold(tx, claimed, **{**moved, **values})

    def pause(self, claimed: Reimport, pause_ms: int, worked_ms: int) -> None:
        """End a slice, to go on after a pause. Raises `LostClaim`."""
        due = self._clock() + pause_ms
        with self._database.write() as tx:
            worked = reimport.c.worked_ms + worked_ms + pause_ms
            open_ = sa.and_(reimport.c.next_due_ms.is_not(None), _held(claimed))
            tx.execute(sa.update(reimport).where(open_).values(lease_until_ms=0, next_due_ms=due, worked_ms=worked))

    def release(self, claimed: Reimport, error_code: str) -> None:
        """Give a slice back that failed, to be tried again later. Before the erasure is ordered, the last of twelve
        attempts takes everything back instead. Raises `LostClaim`."""
        with self._database.write() as tx:
            found = current(tx, claimed.id)
            if found.attempts >= MAX_ATTEMPTS and found.state not in _ONWARD:
                self._give_up(tx, claimed, error_code)
                return
            due = self._clock() + backoff_ms(found.attempts)
            self._set(tx, claimed, {"error_code": error_code, "lease_until_ms": 0, "next_due_ms": due})

    def _give_up(self, tx: Connection, claimed: Reimport, error_code: str) -> None:
        values = {"ending": State.FAILED.value, "error_code": error_code, "attempts": 0, "lease_until_ms": 0}
        self._set(tx, claimed, {"state": State.UNDOING.value, "next_due_ms": self._clock(), **values})
        self.tell(tx, claimed, AuditAction.REIMPORT_UNDONE, facts={"ending": State.FAILED.value, "error": error_code})

    def tell(
        self,
        tx: Connection,
        of: Reimport,
        action: AuditAction,
        *,
        actor: str = SYSTEM,
        counts: dict[str, int] | None = None,
        facts: dict[str, str] | None = None,
    ) -> None:
        """The audit entry, in the transaction of what it tells of."""
        entry = Entry(
            action, of.project_id, actor, self._clock(), obj=f"reimport/{of.id}", counts=counts or {}, facts=facts or {}
        )
        self._audit.stage(tx, entry)

    @staticmethod
    def _set(tx: Connection, claimed: Reimport, values: dict[str, Any]) -> None:
        if tx.execute(sa.update(reimport).where(_held(claimed)).values(values)).rowcount != 1:
            raise LostClaim("another worker holds this re-import, or it is over")


def current(tx: Connection, reimport_id: str) -> Reimport:
    """The re-import as this transaction sees it. Raises `NotFound`."""
    row = tx.execute(sa.select(reimport).where(reimport.c.id == reimport_id)).first()
    if row is None:
        raise NotFound("no such re-import", field="id", remedy="use the id that was returned when it was created")
    return as_reimport(row)


def as_reimport(row: Any) -> Reimport:
    """A row of the table as the value that the rest of the code passes around."""
    fields = {name: getattr(row, name) for name in Reimport.__dataclass_fields__}
    fields["scope"], fields["state"] = Scope(row.scope), State(row.state)
    fields["terms"] = msgspec.json.decode(row.terms, type=Terms)
    fields["overrides"] = tuple(msgspec.json.decode(row.overrides, type=list[Override]))
    return Reimport(**fields)


def _ready(now: int) -> sa.ColumnElement[bool]:
    return sa.and_(reimport.c.state.not_in(_WAITING), reimport.c.next_due_ms <= now, reimport.c.lease_until_ms <= now)


def _held(claimed: Reimport) -> sa.ColumnElement[bool]:
    ended = [each.value for each in ENDED]
    return sa.and_(reimport.c.id == claimed.id, reimport.c.fence == claimed.fence, reimport.c.state.not_in(ended))
