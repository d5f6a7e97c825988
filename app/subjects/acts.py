"""What officers do with a request on its way: verify, approve, reject, cancel, pause, resume, retry, extend, answer, lift.

Each act is one transaction: the state as `workflow.TABLE` allows it, what follows for the people concerned, and the audit
entry. The UPDATE repeats the state that was read, so of two acts at once one is told that the request has moved on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.doorbell import Doorbell
from app.errors import Conflict
from app.identity import fence
from app.keys.service import Keyring
from app.settings import Settings
from app.subjects import workflow
from app.subjects.choices import Choices
from app.subjects.effects import Effects
from app.subjects.model import (
    Channel,
    ExtensionReason,
    IdentityMethod,
    Outcome,
    Rejection,
    RequestKind,
    RequestState,
    Required,
    SubjectRequest,
)
from app.subjects.queue import current
from app.subjects.service import grace_ms, no_request
from app.subjects.tables import correction, subject_request
from app.subjects.workflow import Event
from policies.regimes import REGIMES, level_at, next_alarm


class Acts:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        choices: Choices,
        audit: AuditLog,
        doorbell: Doorbell,
        clock: Callable[[], int],
        settings: Settings,
    ) -> None:
        self._database = database
        self._audit = audit
        self._doorbell = doorbell
        self._clock = clock
        self._settings = settings
        self._effects = Effects(keyring, choices, audit, clock)

    # --- before it runs ----------------------------------------------------------------------------------------------

    def identify(self, by: Principal, request_id: str, method: IdentityMethod) -> SubjectRequest:
        """Record that the request comes from the person, and how that was made sure. Without an approval it then goes on."""
        with self._database.write() as tx:
            request = self._enter(tx, by, request_id)
            values = {"identity_by": by.id, "identity_method": method.value, "identity_ms": self._clock()}
            facts = {"method": method.value}
            request = self._move(tx, by, request, Event.IDENTIFY, AuditAction.REQUEST_IDENTIFIED, facts, **values)
            if not workflow.needs_approval(request.required):
                request = self._clear(tx, by, request)
        return self._rung(request)

    def approve(self, by: Principal, request_id: str) -> SubjectRequest:
        """Let the request take effect. Raises `Conflict` for the same person twice where two are asked for."""
        with self._database.write() as tx:
            request = self._enter(tx, by, request_id)
            workflow.after(request, Event.APPROVE)
            if Required.SECOND_PERSON in request.required and by.id in (request.requested_by, request.identity_by):
                raise Conflict(
                    "the request must be approved by somebody who has neither submitted it nor verified the identity",
                    remedy="approve it with another officer's credential",
                )
            request = self._clear(tx, by, request, AuditAction.REQUEST_APPROVED, approved_by=by.id, approved_ms=self._clock())
        return self._rung(request)

    def _clear(
        self, tx: Connection, by: Principal, request: SubjectRequest, action: AuditAction | None = None, **values: Any
    ) -> SubjectRequest:
        due = self._clock() + grace_ms(self._settings, request.kind)
        found = self._effects.people_of(tx, request)
        request = self._move(tx, by, request, Event.APPROVE, action, {}, next_due_ms=due, **values)
        self._effects.apply(tx, by, request, found)
        return request

    def reject(self, by: Principal, request_id: str, reason: Rejection) -> SubjectRequest:
        """Refuse a request that has not started, for a reason that its person is told (GDPR article 12(4))."""
        ended = {"reason": reason.value, "outcome": Outcome.REFUSED.value}
        return self._withdraw(by, request_id, Event.REJECT, AuditAction.REQUEST_REJECTED, {"reason": reason.value}, **ended)

    def cancel(self, by: Principal, request_id: str) -> SubjectRequest:
        """Take back a request that has not started. Raises `Conflict` once a worker has begun."""
        return self._withdraw(by, request_id, Event.CANCEL, AuditAction.REQUEST_CANCELLED, {})

    def _withdraw(
        self, by: Principal, request_id: str, event: Event, action: AuditAction, facts: Mapping[str, str], **values: Any
    ) -> SubjectRequest:
        with self._database.write() as tx:
            request = self._enter(tx, by, request_id)
            workflow.after(request, event)
            self._effects.undo(tx, by, request)
            tx.execute(sa.delete(correction).where(correction.c.request_id == request.id))
            ended = {"next_due_ms": None, "finished_ms": self._clock(), "lease_until_ms": 0}
            return self._move(tx, by, request, event, action, facts, **ended, **values)

    # --- while it runs -----------------------------------------------------------------------------------------------

    def pause(self, by: Principal, request_id: str) -> SubjectRequest:
        """Stop the work on a request where it is; what it hides stays hidden. A worker at it changes nothing from now on."""
        with self._database.write() as tx:
            request = self._enter(tx, by, request_id)
            # The raised fence is what stops the worker, also when the request is resumed before the worker looks.
            values = {"next_due_ms": None, "lease_until_ms": 0, "fence": subject_request.c.fence + 1}
            return self._move(tx, by, request, Event.PAUSE, AuditAction.REQUEST_PAUSED, {}, **values)

    def resume(self, by: Principal, request_id: str) -> SubjectRequest:
        """Go on with a paused request."""
        return self._due_again(by, request_id, Event.RESUME, AuditAction.REQUEST_RESUMED)

    def retry(self, by: Principal, request_id: str) -> SubjectRequest:
        """Let a failed request run again after an operator mended the cause. Raises `Conflict` for any other state."""
        return self._due_again(by, request_id, Event.RETRY, AuditAction.REQUEST_RETRIED)

    def _due_again(self, by: Principal, request_id: str, event: Event, action: AuditAction) -> SubjectRequest:
        with self._database.write() as tx:
            request = self._enter(tx, by, request_id)
            due = self._clock() + (grace_ms(self._settings, request.kind) if request.started_ms is None else 0)
            values = {"next_due_ms": due, "attempts": 0, "finished_ms": None, "outcome": None}
            request = self._move(tx, by, request, event, action, {}, **values)
        return self._rung(request)

    # --- the clock and the person ------------------------------------------------------------------------------------

    def acknowledge(self, by: Principal, request_id: str, channel: Channel) -> SubjectRequest:
        """Record that receipt was confirmed to the person (11 CCR section 7021(a)). Once."""
        with self._database.write() as tx:
            request = self._enter(tx, by, request_id)
            if request.acknowledged_ms is not None:
                raise Conflict("receipt was confirmed before")
            values = {"acknowledged_ms": self._clock()}
            return self._write(tx, by, request, AuditAction.REQUEST_ACKNOWLEDGED, {"channel": channel.value}, values)

    def extend(self, by: Principal, request_id: str, reason: ExtensionReason, channel: Channel) -> SubjectRequest:
        """Record the notice of an extension, and move the deadline as far as the regime allows. Once, and in time.

        Raises `Conflict` for a request that has been extended or answered, is overdue, or whose regime knows no extension.
        """
        with self._database.write() as tx:
            request, now = self._enter(tx, by, request_id), self._clock()
            longest = REGIMES[request.compliance_type].extended_ms(request.kind.value, request.created_ms)
            if longest is None:
                raise Conflict(f"{request.compliance_type} gives no extension for a request of kind {request.kind.value}")
            if request.extended_ms is not None or not workflow.clock_runs(request.state, request.required):
                raise Conflict("the request was extended before, or is answered", remedy="a request is extended once")
            if now > request.deadline_ms:
                raise Conflict("the time to answer is over", remedy="notice of an extension is given within the first period")
            level = level_at(request.created_ms, longest, now)
            values = {
                "deadline_ms": longest,
                "extended_ms": now,
                "extension_reason": reason.value,
                "alarm_level": level,
                "next_alarm_ms": next_alarm(request.created_ms, longest, level),
            }
            facts = {"reason": reason.value, "channel": channel.value}
            return self._write(tx, by, request, AuditAction.REQUEST_EXTENDED, facts, values)

    def answer(self, by: Principal, request_id: str, channel: Channel) -> SubjectRequest:
        """Record that the person was told what became of the request, and by what way."""
        with self._database.write() as tx:
            request = self._enter(tx, by, request_id)
            facts = {"channel": channel.value, "outcome": request.outcome or ""}
            values = {"answered_ms": self._clock(), "answer_channel": channel.value}
            return self._move(tx, by, request, Event.ANSWER, AuditAction.REQUEST_ANSWERED, facts, **values)

    def lift(self, by: Principal, request_id: str) -> SubjectRequest:
        """End a restriction, after the person was told (GDPR article 18(3)). Raises `Conflict` for any other request."""
        with self._database.write() as tx:
            request = self._enter(tx, by, request_id)
            workflow.after(request, Event.LIFT)
            if request.kind is not RequestKind.RESTRICTION or request.lifted_ms is not None or request.reason is not None:
                raise Conflict("there is no restriction of this request to lift")
            self._effects.lift(tx, by, request)
            return self._move(tx, by, request, Event.LIFT, None, {}, lifted_ms=self._clock())

    # --- what every act does -----------------------------------------------------------------------------------------

    def _enter(self, tx: Connection, by: Principal, request_id: str) -> SubjectRequest:
        fence.enter_exclusive(tx, by.project.id)
        request = current(tx, request_id, lock=True)
        if request.project_id != by.project.id:
            raise no_request()
        return request

    def _move(
        self,
        tx: Connection,
        by: Principal,
        request: SubjectRequest,
        event: Event,
        action: AuditAction | None,
        facts: Mapping[str, str],
        **values: Any,
    ) -> SubjectRequest:
        to = workflow.after(request, event)
        values["state"] = to.value
        if not workflow.clock_runs(to, request.required):
            values["next_alarm_ms"] = None
        return self._write(tx, by, request, action, facts, values)

    def _write(
        self,
        tx: Connection,
        by: Principal,
        request: SubjectRequest,
        action: AuditAction | None,
        facts: Mapping[str, str],
        values: Mapping[str, Any],
    ) -> SubjectRequest:
        started = subject_request.c.started_ms
        same = sa.and_(
            subject_request.c.id == request.id,
            subject_request.c.state == request.state.value,
            started.is_(None) if request.started_ms is None else started.is_not(None),
        )
        if tx.execute(sa.update(subject_request).where(same).values(values)).rowcount != 1:
            raise Conflict("the request has moved on meanwhile", remedy="look at it again")
        if action is not None:
            told = {"kind": request.kind.value, **facts}
            self._audit.stage(tx, Entry(action, by.project.id, by.id, self._clock(), obj=request.id, facts=told))
        return current(tx, request.id)

    def _rung(self, request: SubjectRequest) -> SubjectRequest:
        if request.state is RequestState.PENDING:
            self._doorbell.ring(request.id)
        return request
