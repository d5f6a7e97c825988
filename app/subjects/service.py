"""Data-subject requests: what is accepted, at once and in one transaction, and what is told about it later."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.doorbell import Doorbell
from app.errors import Conflict, NotFound
from app.events.placement import EventStores
from app.identity import fence, register
from app.identity.closure import closure
from app.identity.register import Row
from app.keys.service import Keyring
from app.settings import Settings
from app.subjects.model import RequestKind, RequestState, Step, SubjectRequest
from app.subjects.queue import as_request, current
from app.subjects.tables import archive, archive_chunk, request_subject, subject_request
from policies.model import SubjectState

# GDPR article 12(3): one month. CCPA section 1798.130(a)(2): 45 days.
_DEADLINE_DAYS = {"GDPR": 30, "CCPA": 45}
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that was accepted. `unknown` are the positions of ids that the register had never seen."""

    request: SubjectRequest
    unknown: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """A request and the ids that it named, as far as they still exist: an erased id is not kept to be shown."""

    request: SubjectRequest
    identifiers: tuple[str, ...] = field(repr=False)
    archive_ready: bool


class Subjects:
    """What a privacy officer does."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        stores: EventStores,
        audit: AuditLog,
        doorbell: Doorbell,
        clock: Callable[[], int],
        settings: Settings,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._stores = stores
        self._audit = audit
        self._doorbell = doorbell
        self._clock = clock
        self._settings = settings

    # --- requests ----------------------------------------------------------------------------------------------------

    def create_erasure(self, by: Principal, identifiers: Sequence[str], compliance: str) -> Accepted:
        """Accept an erasure (GDPR article 17): hidden and refused from this commit on, in every place.

        An id that nobody has seen gets its tombstone as well: a late event of that person must find it.
        """
        with self._database.write() as tx:
            accepted = self.accept_erasure(tx, by, identifiers, compliance)
        self._doorbell.ring(accepted.request.id)
        return accepted

    def accept_erasure(self, tx: Connection, by: Principal, identifiers: Sequence[str], compliance: str) -> Accepted:
        """The same in the transaction of a caller who rings afterwards: a re-import orders an erasure with its own act."""
        wanted, now = list(dict.fromkeys(identifiers)), self._clock()
        fence.enter_exclusive(tx, by.project.id)
        keys = self._keyring.of(tx, by.project.id)
        unknown = closure(tx, keys, wanted).unknown
        rows = register.resolve(tx, keys, wanted)
        register.enrol(tx, keys, set(wanted) - rows.keys(), now)
        found = closure(tx, keys, wanted)
        living = [row for row in found.rows.values() if row.state not in register.LEAVING]
        request = self._insert(
            tx, by, RequestKind.ERASURE, compliance, "Data", len(wanted), len(unknown), self._settings.erasure_grace
        )
        uids = found.uids
        register.set_state(tx, by.project.id, uids, SubjectState.ERASING, request_id=request.id)
        _name_subjects(tx, request, {row.uid for row in living if row.uid is not None}, named=True)
        revoked = revoke_archives(tx, by.project.id, uids)
        self._stage_created(tx, request, by, living, len(uids))
        self._stage_revoked(tx, by, revoked)
        return Accepted(request, _positions(identifiers, unknown))

    def create_access(self, by: Principal, identifiers: Sequence[str], compliance: str, disclosure: str) -> Accepted:
        """Accept a request for a copy of everything held about these people (GDPR article 15)."""
        wanted = list(dict.fromkeys(identifiers))
        with self._database.write() as tx:
            keys = self._keyring.of(tx, by.project.id)
            found = closure(tx, keys, wanted)
            living = [row for row in found.rows.values() if row.uid is not None and not row.hidden]
            request = self._insert(tx, by, RequestKind.ACCESS, compliance, disclosure, len(wanted), len(found.unknown), 0)
            named = {row.uid for row in living if row.uid is not None}
            uids = {each.uid for each in found.members if not each.row.hidden}
            _name_subjects(tx, request, named, named=True)
            _name_subjects(tx, request, uids - named, named=False)
            self._stage_created(tx, request, by, living, len(uids))
        self._doorbell.ring(request.id)
        return Accepted(request, _positions(identifiers, found.unknown))

    def _insert(
        self,
        tx: Connection,
        by: Principal,
        kind: RequestKind,
        compliance: str,
        disclosure: str,
        ids: int,
        unknown: int,
        grace_s: int,
    ) -> SubjectRequest:
        now = self._clock()
        values = {
            "id": str(uuid.uuid4()),
            "project_id": by.project.id,
            "kind": kind.value,
            "state": RequestState.PENDING.value,
            "step": Step.START.value,
            "compliance_type": compliance,
            "disclosure_type": disclosure,
            "requested_by": by.id,
            "id_count": ids,
            "unknown_count": unknown,
            "created_ms": now,
            "deadline_ms": now + _DEADLINE_DAYS[compliance] * _DAY_MS,
            "next_due_ms": now + grace_s * 1_000,
            "lease_until_ms": 0,
            "fence": 0,
            "attempts": 0,
            "counts": "{}",
        }
        return as_request(tx.execute(sa.insert(subject_request).values(values).returning(*subject_request.columns)).one())

    def cancel(self, by: Principal, request_id: str) -> SubjectRequest:
        """Take back an erasure that has not started. Raises `Conflict` once a worker has begun."""
        with self._database.write() as tx:
            fence.enter_exclusive(tx, by.project.id)
            before = self._own(tx, by, request_id)
            pending = sa.and_(
                subject_request.c.id == request_id,
                subject_request.c.state == RequestState.PENDING.value,
                subject_request.c.fence == 0,
            )
            values = {"state": RequestState.CANCELLED.value, "next_due_ms": None, "finished_ms": self._clock()}
            if tx.execute(sa.update(subject_request).where(pending).values(values)).rowcount != 1:
                raise Conflict(
                    f"the request is {before.state.value} and can no longer be cancelled",
                    remedy="only a pending request can be cancelled; set PORTCULLIS_ERASURE_GRACE to leave time",
                )
            register.restore_state(tx, by.project.id, request_id)
            entry = Entry(AuditAction.REQUEST_CANCELLED, by.project.id, by.id, self._clock(), obj=request_id)
            self._audit.stage(tx, entry)
            return current(tx, request_id)

    def retry(self, by: Principal, request_id: str) -> SubjectRequest:
        """Let a failed request run again after an operator mended the cause. Raises `Conflict` for any other state."""
        with self._database.write() as tx:
            self._own(tx, by, request_id)
            failed = sa.and_(subject_request.c.id == request_id, subject_request.c.state == RequestState.FAILED.value)
            values = {
                "state": RequestState.RUNNING.value,
                "next_due_ms": self._clock(),
                "attempts": 0,
                "finished_ms": None,
            }
            if tx.execute(sa.update(subject_request).where(failed).values(values)).rowcount != 1:
                raise Conflict("only a failed request can be retried")
            entry = Entry(AuditAction.REQUEST_RETRIED, by.project.id, by.id, self._clock(), obj=request_id)
            self._audit.stage(tx, entry)
            request = current(tx, request_id)
        self._doorbell.ring(request_id)
        return request

    def status(self, by: Principal, request_id: str, kind: RequestKind | None = None) -> RequestStatus:
        """A request of the caller's project, with the ids that it named. Raises `NotFound`."""
        with self._database.read() as tx:
            request = self._own(tx, by, request_id)
            if kind is not None and request.kind is not kind:
                raise _no_request()
            keys = self._keyring.of(tx, by.project.id)
            uids = _named(tx, request_id)
            revealed = register.reveal(tx, keys, uids)
            ready = sa.select(archive.c.ready).where(archive.c.request_id == request_id, archive.c.wrapped_key.is_not(None))
            return RequestStatus(
                request,
                tuple(sorted(revealed[uid].identifier for uid in uids if uid in revealed)),
                bool(tx.execute(ready).scalar()),
            )

    def requests(self, by: Principal, limit: int, before_ms: int | None = None) -> list[SubjectRequest]:
        """The newest requests of the caller's project."""
        wanted = sa.select(subject_request).where(subject_request.c.project_id == by.project.id)
        if before_ms is not None:
            wanted = wanted.where(subject_request.c.created_ms < before_ms)
        with self._database.read() as tx:
            rows = tx.execute(wanted.order_by(subject_request.c.created_ms.desc(), subject_request.c.id).limit(limit))
            return [as_request(row) for row in rows]

    @staticmethod
    def _own(tx: Connection, by: Principal, request_id: str) -> SubjectRequest:
        request = current(tx, request_id)
        if request.project_id != by.project.id:
            raise _no_request()
        return request

    def _stage_created(
        self, tx: Connection, request: SubjectRequest, by: Principal, people: Sequence[Row], closure_size: int
    ) -> None:
        # One person is named by reference, which dies with the register row; many are named by the request alone.
        uid = people[0].uid if len(people) == 1 else None
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
                facts={"kind": request.kind.value, "regime": request.compliance_type},
            ),
        )

    def _stage_revoked(self, tx: Connection, by: Principal, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            entry = Entry(AuditAction.ARCHIVE_REVOKED, by.project.id, by.id, self._clock(), obj=request_id)
            self._audit.stage(tx, entry)

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


def revoke_archives(tx: Connection, project_id: int, uids: Sequence[int]) -> list[str]:
    """Destroy every archive that holds one of these people: its key and its bytes. Returns the requests it answered."""
    holding: set[str] = set()
    for start in range(0, len(uids), 1_000):
        chunk = uids[start : start + 1_000]
        rows = (
            sa.select(archive.c.request_id)
            .join(request_subject, request_subject.c.request_id == archive.c.request_id)
            .where(request_subject.c.project_id == project_id, request_subject.c.uid.in_(chunk))
        )
        holding.update(tx.execute(rows).scalars())
    for request_id in sorted(holding):
        destroy_archive(tx, request_id)
    return sorted(holding)


def destroy_archive(tx: Connection, request_id: str) -> None:
    """Delete the key and the sealed bytes of one archive; the row stays to say that it existed."""
    tx.execute(sa.delete(archive_chunk).where(archive_chunk.c.request_id == request_id))
    gone = {"wrapped_key": None, "ready": False, "size": 0, "chunks": 0, "sha256": None}
    tx.execute(sa.update(archive).where(archive.c.request_id == request_id).values(gone))


def _name_subjects(tx: Connection, request: SubjectRequest, uids: set[int], *, named: bool) -> None:
    if uids:
        tx.execute(
            sa.insert(request_subject),
            [{"request_id": request.id, "uid": uid, "project_id": request.project_id, "named": named} for uid in sorted(uids)],
        )


def _named(tx: Connection, request_id: str) -> list[int]:
    rows = sa.select(request_subject.c.uid).where(request_subject.c.request_id == request_id, request_subject.c.named.is_(True))
    return list(tx.execute(rows).scalars())


def _positions(identifiers: Sequence[str], unknown: Sequence[str]) -> tuple[int, ...]:
    missing = set(unknown)
    return tuple(index for index, each in enumerate(identifiers) if each in missing)


def _no_request() -> NotFound:
    return NotFound("no such request", field="id", remedy="use the id that was returned when it was created")
