"""Claiming, leasing and advancing requests: SQL is the truth, and RQ only says "look again".

A claim is one UPDATE that raises the fence. Every effect of a worker runs in a transaction that begins with `hold`: a worker
that was stopped, paused or replaced finds another fence and its effects roll back. So delivery may happen any number of
times, from any number of processes, and each step takes effect once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.database import Database
from app.errors import NotFound, PortcullisError
from app.subjects.model import MOVES, RequestKind, RequestState, Step, SubjectRequest
from app.subjects.tables import subject_request

_OPEN = (RequestState.PENDING.value, RequestState.RUNNING.value)
MAX_ATTEMPTS = 12
_RING_AGAIN_MS = 10_000


class LostClaim(PortcullisError):
    """Another worker holds the request now; whatever this one was doing must roll back."""

    code = "lost_claim"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a request until the lease ends or somebody raises the fence."""

    request: SubjectRequest
    fence: int


class RequestQueue:
    """The request table as a queue. `lease_ms` is how long a worker may be silent before another takes over."""

    def __init__(self, database: Database, clock: Callable[[], int], lease_ms: int) -> None:
        self._database = database
        self._clock = clock
        self._lease_ms = lease_ms

    def due(self, limit: int = 100) -> list[str]:
        """Ids of requests that nobody works on and whose time has come; each is not offered again for ten seconds."""
        now = self._clock()
        ready = sa.and_(
            subject_request.c.state.in_(_OPEN),
            subject_request.c.next_due_ms <= now,
            subject_request.c.lease_until_ms <= now,
        )
        with self._database.read() as tx:
            if tx.execute(sa.select(subject_request.c.id).where(ready).limit(1)).first() is None:
                return []
        with self._database.write() as tx:
            oldest = sa.select(subject_request.c.id).where(ready).order_by(subject_request.c.next_due_ms).limit(limit)
            ids = list(tx.execute(oldest.with_for_update(skip_locked=True)).scalars())
            tx.execute(
                sa.update(subject_request).where(subject_request.c.id.in_(ids)).values(next_due_ms=now + _RING_AGAIN_MS)
            )
        return ids

    def claim(self, request_id: str) -> Claim | None:
        """Take the request. None when it is finished, not due yet (grace period) or somebody works on it."""
        now = self._clock()
        free = sa.and_(
            subject_request.c.id == request_id,
            subject_request.c.state.in_(_OPEN),
            subject_request.c.lease_until_ms <= now,
        )
        with self._database.write() as tx:
            row = tx.execute(
                sa.update(subject_request)
                .where(free)
                .values(
                    fence=subject_request.c.fence + 1,
                    lease_until_ms=now + self._lease_ms,
                    attempts=subject_request.c.attempts + 1,
                )
                .returning(*subject_request.columns)
            ).first()
        return None if row is None else Claim(as_request(row), row.fence)

    def hold(self, tx: Connection, claim: Claim) -> None:
        """Begin an effect: renew the lease, or raise `LostClaim` when the fence has been raised."""
        mine = sa.and_(subject_request.c.id == claim.request.id, subject_request.c.fence == claim.fence)
        renewed = tx.execute(
            sa.update(subject_request).where(mine).values(lease_until_ms=self._clock() + self._lease_ms)
        )
        if renewed.rowcount != 1:
            raise LostClaim("another worker holds this request")

    def advance(
        self, tx: Connection, claim: Claim, step: Step, counts: Mapping[str, int] | None = None, **values: Any
    ) -> None:
        """Record that the work up to `step` is done, in the transaction of its effect. Resets the attempts."""
        if counts:
            values["counts"] = json.dumps({**current(tx, claim.request.id).counts, **counts}, sort_keys=True)
        self._set(tx, claim, step=step.value, attempts=0, error_code=None, **values)

    def move(self, tx: Connection, claim: Claim, state: RequestState, **values: Any) -> None:
        """Change the state as `MOVES` allows; an ended request is no longer due."""
        before = current(tx, claim.request.id).state
        if state is not before and state not in MOVES[before]:
            raise LostClaim(f"a request cannot go from {before} to {state}")
        if state in (RequestState.DONE, RequestState.FAILED):
            values |= {"finished_ms": self._clock(), "next_due_ms": None, "lease_until_ms": 0}
        self._set(tx, claim, state=state.value, **values)

    def release(self, claim: Claim, error_code: str) -> bool:
        """Give the request back after a failed attempt, to be due again later. False when attempts are used up."""
        now = self._clock()
        spent = claim.request.attempts >= MAX_ATTEMPTS
        with self._database.write() as tx:
            self.hold(tx, claim)
            delay = min(1_000 * 2 ** min(claim.request.attempts, 9), 600_000)
            self._set(tx, claim, error_code=error_code, lease_until_ms=0, next_due_ms=now + delay)
        return not spent

    @staticmethod
    def _set(tx: Connection, claim: Claim, **values: Any) -> None:
        mine = sa.and_(subject_request.c.id == claim.request.id, subject_request.c.fence == claim.fence)
        if tx.execute(sa.update(subject_request).where(mine).values(**values)).rowcount != 1:
            raise LostClaim("another worker holds this request")


def current(tx: Connection, request_id: str) -> SubjectRequest:
    """The request as this transaction sees it. Raises `NotFound`."""
    row = tx.execute(sa.select(subject_request).where(subject_request.c.id == request_id)).first()
    if row is None:
        raise NotFound("no such request", field="id", remedy="use the id that was returned when it was created")
    return as_request(row)


def as_request(row: Any) -> SubjectRequest:
    """A row of the table as the value that the rest of the code passes around."""
    fields = {name: getattr(row, name) for name in SubjectRequest.__dataclass_fields__}
    fields["kind"] = RequestKind(row.kind)
    fields["state"] = RequestState(row.state)
    fields["step"] = Step(row.step)
    fields["counts"] = json.loads(row.counts)
    return SubjectRequest(**fields)
