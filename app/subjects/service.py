"""Data-subject requests: what is accepted, at once and in one transaction, and what is told about it later."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.doorbell import Doorbell
from app.errors import InvalidInput, NotFound
from app.identity import fence, register
from app.identity.closure import Closure, closure
from app.identity.register import Row
from app.keys.service import Keyring
from app.settings import Settings
from app.subjects import idempotency, workflow
from app.subjects.choices import Choices
from app.subjects.corrections import Change, seal_change, the_one_person
from app.subjects.effects import Effects, name_subjects, named
from app.subjects.idempotency import Once
from app.subjects.model import COPIES, RequestKind, RequestState, Required, Step, SubjectRequest
from app.subjects.queue import as_request, current
from app.subjects.tables import archive, subject_request
from policies.regimes import REGIMES, next_alarm

_NO_TERMS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What is asked for. `purposes` belong to an objection, `change` to a rectification, `disclosure` to a copy."""

    kind: RequestKind
    identifiers: Sequence[str] = field(repr=False)
    compliance: str = "GDPR"
    disclosure: str = "Data"
    purposes: Sequence[str] = ()
    change: Change | None = field(default=None, repr=False)
    batch: str | None = None
    once: Once | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that was accepted. `unknown` are the positions of ids that the register had never seen. `replayed` says that
    the same Idempotency-Key had made it before."""

    request: SubjectRequest
    unknown: tuple[int, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """A request and the ids that it named, as far as they still exist: an erased id is not kept to be shown."""

    request: SubjectRequest
    identifiers: tuple[str, ...] = field(repr=False)
    archive_ready: bool


class Subjects:
    """Accepts requests and tells of them. What officers do with one afterwards is `app.subjects.acts`."""

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
        self._keyring = keyring
        self._choices = choices
        self._audit = audit
        self._doorbell = doorbell
        self._clock = clock
        self._settings = settings
        self._effects = Effects(keyring, choices, audit, clock)

    # --- requests ----------------------------------------------------------------------------------------------------

    def create_erasure(self, by: Principal, identifiers: Sequence[str], compliance: str) -> Accepted:
        """Accept an erasure (GDPR article 17): hidden and refused from this commit on, in every place."""
        return self.create(by, NewRequest(RequestKind.ERASURE, identifiers, compliance))

    def create_access(self, by: Principal, identifiers: Sequence[str], compliance: str, disclosure: str) -> Accepted:
        """Accept a request for a copy of everything held about these people (GDPR article 15)."""
        return self.create(by, NewRequest(RequestKind.ACCESS, identifiers, compliance, disclosure))

    def create(self, by: Principal, wanted: NewRequest) -> Accepted:
        """Accept a request. What its kind does at once is done from this commit on, unless somebody has to act before that.

        Raises `InvalidInput` for terms that cannot be, and `Conflict` for an idempotency key that came with another body.
        """
        with self._database.write() as tx:
            accepted = self.accept(tx, by, wanted, [Required(each) for each in self._settings.request_steps])
        if accepted.request.state is RequestState.PENDING:
            self._doorbell.ring(accepted.request.id)
        return accepted

    def accept(self, tx: Connection, by: Principal, wanted: NewRequest, required: Sequence[Required]) -> Accepted:
        """The same in the transaction of a caller who rings afterwards; `required` is what persons must do before it starts.

        A re-import orders its erasure like this, whose people an officer has looked at already.
        """
        identifiers, request_id = list(dict.fromkeys(wanted.identifiers)), str(uuid.uuid4())
        if wanted.kind in COPIES:
            fence.enter_shared(tx, by.project.id)
        else:
            fence.enter_exclusive(tx, by.project.id)
        keys = self._keyring.of(tx, by.project.id)
        if wanted.once and (earlier := idempotency.take(tx, keys, wanted.once, request_id, self._clock())):
            return Accepted(self._own(tx, by, earlier.request_id), earlier.unknown, replayed=True)
        found, unknown = self._people(tx, by, wanted.kind, identifiers)
        request = self._insert(tx, by, wanted, request_id, required, (len(identifiers), len(unknown)))
        living = [row for row in found.rows.values() if row.uid is not None and _concerned(wanted.kind, row)]
        name_subjects(tx, request, {row.uid for row in living if row.uid is not None}, named=True)
        self._check_terms(tx, by, wanted, found, request)
        self._stage_created(tx, request, by, living, len(found.uids))
        if request.state is RequestState.PENDING:
            self._effects.apply(tx, by, request, found)
        positions = _positions(wanted.identifiers, unknown)
        if wanted.once:
            idempotency.keep(tx, keys, wanted.once, positions)
        return Accepted(request, positions)

    def _people(self, tx: Connection, by: Principal, kind: RequestKind, wanted: Sequence[str]) -> tuple[Closure, tuple[str, ...]]:
        """The closure of these ids, and those that nobody had seen.

        An id that nobody has seen gets its tombstone, restriction or opt-out as well: a late event must find it.
        """
        keys = self._keyring.of(tx, by.project.id)
        found = closure(tx, keys, wanted)
        unknown = found.unknown
        if kind is RequestKind.ERASURE and (unseen := set(wanted) - found.rows.keys()):
            register.enrol(tx, keys, unseen, self._clock())
            found = closure(tx, keys, wanted)
        elif kind in (RequestKind.RESTRICTION, RequestKind.OBJECTION):
            found = self._choices.everyone(tx, by, wanted)
        return found, unknown

    def _check_terms(self, tx: Connection, by: Principal, wanted: NewRequest, found: Closure, request: SubjectRequest) -> None:
        """What only the transaction can tell of the terms; keeps what is to be corrected."""
        if wanted.kind is RequestKind.OBJECTION:
            self._choices.require(tx, by, wanted.purposes)
        if wanted.kind is RequestKind.RECTIFICATION:
            if wanted.change is None:
                raise InvalidInput("nothing to correct was sent", field="changes", remedy="name what to set or unset")
            uid = the_one_person(found)
            seal_change(tx, self._keyring.of(tx, by.project.id), request, uid, wanted.change)

    def _insert(
        self,
        tx: Connection,
        by: Principal,
        wanted: NewRequest,
        request_id: str,
        required: Sequence[Required],
        counted: tuple[int, int],
    ) -> SubjectRequest:
        now, regime = self._clock(), REGIMES[wanted.compliance]
        ids, unknown = counted
        state, deadline = workflow.first_state(required), regime.deadline_ms(wanted.kind.value, now)
        terms = {"purposes": sorted(set(wanted.purposes))} if wanted.purposes else _NO_TERMS
        values = {
            "id": request_id,
            "project_id": by.project.id,
            "kind": wanted.kind.value,
            "state": state.value,
            "step": Step.START.value,
            "compliance_type": wanted.compliance,
            "disclosure_type": wanted.disclosure,
            "requested_by": by.id,
            "id_count": ids,
            "unknown_count": unknown,
            "created_ms": now,
            "deadline_ms": deadline,
            "next_due_ms": now + grace_ms(self._settings, wanted.kind) if state is RequestState.PENDING else None,
            "lease_until_ms": 0,
            "fence": 0,
            "attempts": 0,
            "counts": "{}",
            "required": ",".join(sorted(required)),
            "terms": json.dumps(terms, sort_keys=True),
            "batch": wanted.batch,
            "acknowledge_due_ms": regime.acknowledge_ms(wanted.kind.value, now),
            "next_alarm_ms": next_alarm(now, deadline, 0),
        }
        return as_request(tx.execute(sa.insert(subject_request).values(values).returning(*subject_request.columns)).one())

    def status(self, by: Principal, request_id: str, *kinds: RequestKind) -> RequestStatus:
        """A request of the caller's project, of one of these kinds if any, with the ids that it named. Raises `NotFound`."""
        with self._database.read() as tx:
            request = self._own(tx, by, request_id)
            if kinds and request.kind not in kinds:
                raise no_request()
            keys = self._keyring.of(tx, by.project.id)
            uids = named(tx, request_id)
            revealed = register.reveal(tx, keys, uids)
            ready = sa.select(archive.c.ready).where(archive.c.request_id == request_id, archive.c.wrapped_key.is_not(None))
            return RequestStatus(
                request,
                tuple(sorted(revealed[uid].identifier for uid in uids if uid in revealed)),
                bool(tx.execute(ready).scalar()),
            )

    def requests(
        self,
        by: Principal,
        limit: int,
        before_ms: int | None = None,
        *,
        state: str | None = None,
        kind: str | None = None,
        batch: str | None = None,
    ) -> list[SubjectRequest]:
        """The newest requests of the caller's project, those of a state, a kind or an upload where asked."""
        wanted = sa.select(subject_request).where(subject_request.c.project_id == by.project.id)
        for name, value in (("state", state), ("kind", kind), ("batch", batch)):
            wanted = wanted if value is None else wanted.where(subject_request.c[name] == value)
        if before_ms is not None:
            wanted = wanted.where(subject_request.c.created_ms < before_ms)
        with self._database.read() as tx:
            rows = tx.execute(wanted.order_by(subject_request.c.created_ms.desc(), subject_request.c.id).limit(limit))
            return [as_request(row) for row in rows]

    @staticmethod
    def _own(tx: Connection, by: Principal, request_id: str) -> SubjectRequest:
        request = current(tx, request_id)
        if request.project_id != by.project.id:
            raise no_request()
        return request

    def _stage_created(
        self, tx: Connection, request: SubjectRequest, by: Principal, people: Sequence[Row], closure_size: int
    ) -> None:
        # One person is named by reference, which dies with the register row; many are named by the request alone.
        uid = people[0].uid if len(people) == 1 else None
        facts = {"kind": request.kind.value, "regime": request.compliance_type}
        if request.state is not RequestState.PENDING:
            facts["waits_for"] = ",".join(sorted(request.required))
        self._audit.stage(
            tx,
            Entry(
                AuditAction.REQUEST_CREATED,
                by.project.id,
                by.id,
                self._clock(),
                obj=request.id,
                ref=register.audit_ref(tx, by.project.id, uid) if uid else None,
                counts={"ids": request.id_count, "unknown": request.unknown_count, "closure": closure_size},
                facts=facts,
            ),
        )

    def lift_tombstones(self, by: Principal, identifiers: Sequence[str], basis: str) -> int:
        """After a recorded re-consent, accept these erased ids again. What was erased does not come back."""
        with self._database.write() as tx:
            fence.enter_exclusive(tx, by.project.id)
            lifted = register.forget_tombstones(tx, self._keyring.of(tx, by.project.id), identifiers)
            self._audit.stage(
                tx,
                Entry(
                    AuditAction.TOMBSTONE_LIFTED,
                    by.project.id,
                    by.id,
                    self._clock(),
                    counts={"ids": lifted},
                    facts={"basis": basis},
                ),
            )
        return lifted


def grace_ms(settings: Settings, kind: RequestKind) -> int:
    """How long a request of this kind waits, in force and still revocable, before a worker begins."""
    return settings.erasure_grace * 1_000 if kind is RequestKind.ERASURE else 0


def _concerned(kind: RequestKind, row: Row) -> bool:
    """Whether the request names this id: who is hidden is not copied, who is erased is not erased again."""
    return not row.hidden if kind in COPIES else row.state not in register.LEAVING


def _positions(identifiers: Sequence[str], unknown: Sequence[str]) -> tuple[int, ...]:
    missing = set(unknown)
    return tuple(index for index, each in enumerate(identifiers) if each in missing)


def no_request() -> NotFound:
    """What a foreign project's request reads like too."""
    return NotFound("no such request", field="id", remedy="use the id that was returned when it was created")
