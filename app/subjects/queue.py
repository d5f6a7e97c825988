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

from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import NotFound, PortcullisError
from app.subjects import workflow
from app.subjects.model import Outcome, RequestKind, RequestState, Required, Step, SubjectRequest
from app.subjects.tables import subject_request
from app.subjects.workflow import Event
from app.turns import backoff_ms

# Who the audit log says did it, when no person did.
SYSTEM = "system"
MAX_ATTEMPTS = 12
_OPEN = tuple(each.value for each in workflow.OPEN)


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

    def __init__(self, database: Database, clock: Callable[[], int], lease_ms: int, audit: AuditLog) -> None:
        self._database = database
        self._clock = clock
        self._lease_ms = lease_ms
        self._audit = audit

    @property
    def lease_seconds(self) -> float:
        """How long a claim lives without a sign of life."""
        return self._lease_ms / 1_000

    def due(self, limit: int = 100) -> list[str]:
        """Ids of requests that nobody works on and whose time has come, the longest waiting first.

        It only reads: `next_due_ms` also carries the end of the grace period and of a pause after a failure, so
        ringing must not move it. Who rings remembers for itself what it rang.
        """
        oldest = sa.select(subject_request.c.id).where(self._ready(self._clock()))
        ordered = oldest.order_by(subject_request.c.next_due_ms, subject_request.c.id).limit(limit)
        with self._database.read() as tx:
            return list(tx.execute(ordered).scalars())

    def claim(self, request_id: str) -> Claim | None:
        """Take the request. None when it is finished, not due yet (grace period) or somebody works on it.

        A request whose workers died at every attempt never reaches `release`; its next claim ends it as FAILED.
        """
        now = self._clock()
        with self._database.write() as tx:
            row = tx.execute(
                sa.update(subject_request)
                .where(subject_request.c.id == request_id, self._ready(now))
                .values(
                    fence=subject_request.c.fence + 1,
                    lease_until_ms=now + self._lease_ms,
                    attempts=subject_request.c.attempts + 1,
                )
                .returning(*subject_request.columns)
            ).first()
            if row is None:
                return None
            claim = Claim(as_request(row), row.fence)
            if claim.request.attempts > MAX_ATTEMPTS:
                self._fail(tx, claim, claim.request.error_code or "worker_died")
                return None
        return claim

    def hold(self, tx: Connection, claim: Claim) -> None:
        """Begin an effect: renew the lease, or raise `LostClaim` when the fence has been raised."""
        self._set(tx, claim, lease_until_ms=self._clock() + self._lease_ms)

    def renew(self, claim: Claim) -> None:
        """Say that the worker lives, between effects. Raises `LostClaim`."""
        with self._database.write() as tx:
            self.hold(tx, claim)

    def look(self, claim: Claim) -> SubjectRequest:
        """The request as it stands. Raises `LostClaim` when it is somebody else's by now, or over."""
        with self._database.read() as tx:
            request = current(tx, claim.request.id)
        if request.fence != claim.fence or request.state.value not in _OPEN:
            raise LostClaim("the request is no longer this worker's")
        return request

    def advance(self, tx: Connection, claim: Claim, step: Step, counts: Mapping[str, int] | None = None, **values: Any) -> None:
        """Record that the work up to `step` is done, in the transaction of its effect. Resets the attempts."""
        if counts:
            values["counts"] = _merged(current(tx, claim.request.id).counts, counts)
        self._set(tx, claim, step=step.value, attempts=0, error_code=None, **values)

    def tally(self, tx: Connection, claim: Claim, counts: Mapping[str, int]) -> None:
        """Add to the counts in the transaction of a partial effect. Progress, so it resets the attempts too."""
        before = current(tx, claim.request.id).counts
        sums = {name: before.get(name, 0) + n for name, n in counts.items()}
        self._set(tx, claim, attempts=0, counts=_merged(before, sums))

    def start(self, tx: Connection, claim: Claim) -> bool:
        """RUNNING from now on. False when it had been started before: it was paused, failed or reopened in between."""
        before = self._before(tx, claim, Event.START)
        first = before.started_ms is None
        self._set(tx, claim, state=RequestState.RUNNING.value, **({"started_ms": self._clock()} if first else {}))
        return first

    def finish(self, tx: Connection, claim: Claim, outcome: Outcome = Outcome.COMPLETE) -> None:
        """DONE, with what became of it; it is no longer due."""
        before = self._before(tx, claim, Event.FINISH)
        told = {} if workflow.clock_runs(RequestState.DONE, before.required) else {"next_alarm_ms": None}
        self._set(tx, claim, state=RequestState.DONE.value, outcome=outcome.value, **told, **self._ended())

    def _before(self, tx: Connection, claim: Claim, event: Event) -> SubjectRequest:
        before = current(tx, claim.request.id)
        if event not in workflow.possible(before.state, before.started_ms is not None):
            raise LostClaim(f"a request that is {before.state} cannot {event}")
        return before

    def release(self, claim: Claim, error_code: str) -> bool:
        """Give the request back after a failed attempt, to be due again later; False when attempts are used up.

        Then it is FAILED, visible with its error code, until an operator retries it. Raises `LostClaim`.
        """
        with self._database.write() as tx:
            self.hold(tx, claim)
            attempts = current(tx, claim.request.id).attempts
            if attempts >= MAX_ATTEMPTS:
                self._fail(tx, claim, error_code)
                return False
            due = self._clock() + backoff_ms(attempts)
            self._set(tx, claim, error_code=error_code, lease_until_ms=0, next_due_ms=due)
        return True

    @staticmethod
    def restate(tx: Connection, request_id: str, counts: Mapping[str, int], note: str) -> None:
        """Put another certificate in the place of that of a request that is done, and add to its counts."""
        over = [RequestState.DONE.value, RequestState.ANSWERED.value]
        done = sa.and_(subject_request.c.id == request_id, subject_request.c.state.in_(over))
        values = {"certificate": note, "counts": _merged(current(tx, request_id).counts, counts)}
        tx.execute(sa.update(subject_request).where(done).values(values))

    def _fail(self, tx: Connection, claim: Claim, error_code: str) -> None:
        # Also from PENDING, when not even the start succeeded: a request that cannot start must not wait unseen.
        failed = {"state": RequestState.FAILED.value, "outcome": Outcome.FAILED.value, "error_code": error_code}
        self._set(tx, claim, **failed, **self._ended())
        request, facts = claim.request, {"error": error_code, "kind": claim.request.kind.value}
        self._audit.stage(
            tx,
            Entry(AuditAction.REQUEST_FAILED, request.project_id, SYSTEM, self._clock(), obj=request.id, facts=facts),
        )

    def _ended(self) -> dict[str, Any]:
        return {"finished_ms": self._clock(), "next_due_ms": None, "lease_until_ms": 0}

    @staticmethod
    def _ready(now: int) -> sa.ColumnElement[bool]:
        return sa.and_(
            subject_request.c.state.in_(_OPEN),
            subject_request.c.next_due_ms <= now,
            subject_request.c.lease_until_ms <= now,
        )

    @staticmethod
    def _set(tx: Connection, claim: Claim, **values: Any) -> None:
        mine = sa.and_(
            subject_request.c.id == claim.request.id,
            subject_request.c.fence == claim.fence,
            subject_request.c.state.in_(_OPEN),
        )
        if tx.execute(sa.update(subject_request).where(mine).values(**values)).rowcount != 1:
            raise LostClaim("another worker holds this request, or it is over")


def current(tx: Connection, request_id: str, *, lock: bool = False) -> SubjectRequest:
    """The request as this transaction sees it, with `lock` held until the transaction ends. Raises `NotFound`."""
    wanted = sa.select(subject_request).where(subject_request.c.id == request_id)
    row = tx.execute(wanted.with_for_update() if lock else wanted).first()
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
    fields["terms"] = json.loads(row.terms)
    fields["required"] = frozenset(Required(each) for each in row.required.split(",") if each)
    fields["outcome"] = Outcome(row.outcome) if row.outcome else None
    return SubjectRequest(**fields)


def _merged(before: Mapping[str, int], counts: Mapping[str, int]) -> str:
    return json.dumps({**before, **counts}, sort_keys=True)
