"""What a request does at once when nothing stands in its way any more, and what is undone when it is withdrawn.

A request that still waits for an identity or an approval has no effect: nobody's data disappears for the word of a stranger.
All of it in the caller's transaction, under the project's exclusive fence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.errors import Conflict
from app.events import retention
from app.identity import register, restriction
from app.identity.closure import Closure, closure_of
from app.keys.service import Keyring
from app.subjects import workflow
from app.subjects.choices import Choices
from app.subjects.model import COPIES, RequestKind, RequestState, SubjectRequest
from app.subjects.tables import archive, archive_chunk, request_subject, subject_request
from app.upstream import errands
from policies.model import SubjectState

_AT_ONCE = 1_000
# What a restriction may be in while it holds.
_HOLDING = [each.value for each in RequestState if each not in (*workflow.WAITING, RequestState.CANCELLED, RequestState.REJECTED)]


class Effects:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(self, keyring: Keyring, choices: Choices, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._keyring = keyring
        self._choices = choices
        self._audit = audit
        self._clock = clock

    def apply(self, tx: Connection, by: Principal, request: SubjectRequest, found: Closure) -> None:
        """Do what the kind does at once to the closure of the people that the request named."""
        uids = found.uids
        if request.kind is RequestKind.ERASURE:
            register.set_state(tx, by.project.id, uids, SubjectState.ERASING, request_id=request.id)
            revoked = revoke_archives(tx, by.project.id, uids)
            self._stage_revoked(tx, by, revoked)
            errands.withdraw(tx, revoked, self._clock())
        elif request.kind is RequestKind.RESTRICTION:
            name_subjects(tx, request, set(uids), named=False)
            ids = restriction.restrict(tx, by.project.id, uids)
            self._stage(tx, by, AuditAction.RESTRICTION_SET, request.id, {"people": len(found.people), "ids": ids})
        elif request.kind is RequestKind.OBJECTION:
            name_subjects(tx, request, set(uids), named=False)
            self._choices.object_to(tx, by, found, request.terms.get("purposes", ()))
        elif request.kind in COPIES:
            name_subjects(tx, request, {each.uid for each in found.members if not each.row.hidden}, named=False)

    def people_of(self, tx: Connection, request: SubjectRequest) -> Closure:
        """The closure of whom the request named, as it is now."""
        keys = self._keyring.of(tx, request.project_id)
        return closure_of(tx, keys, named(tx, request.id))

    def undo(self, tx: Connection, by: Principal, request: SubjectRequest) -> None:
        """Take back what `apply` did. Raises `Conflict` for an objection, which only its person takes back."""
        if request.state in workflow.WAITING:
            return
        if request.kind is RequestKind.OBJECTION:
            raise Conflict("the objection is in force already", remedy="record the person's new choice: POST /v1/opt-ins")
        if request.kind is RequestKind.ERASURE:
            register.restore_state(tx, by.project.id, request.id)
        elif request.kind is RequestKind.RESTRICTION:
            self.lift(tx, by, request)

    def lift(self, tx: Connection, by: Principal, request: SubjectRequest) -> int:
        """End a restriction for everybody whom no other one holds; returns how many ids that were."""
        # With those whom an erasure hides by now: were it cancelled, they must not be restricted again.
        noted = sa.select(request_subject.c.uid).where(request_subject.c.request_id == request.id)
        uids = {*self.people_of(tx, request).uids, *tx.execute(noted).scalars()}
        members = register.rows_of(tx, request.project_id, uids)
        held = _restricted_by_others(tx, request, list(members))
        kept = {members[uid].person for uid in held}
        free = [uid for uid, row in members.items() if row.person not in kept]
        lifted = restriction.lift(tx, by.project.id, free)
        # What fell due meanwhile was kept; the next run of retention looks at it.
        retention.note_late(tx, by.project.id, 0, self._clock())
        retention.reopen_profiles(tx, by.project.id, [0])
        counts = {"ids": lifted, "still_restricted": len(members) - len(free)}
        self._stage(tx, by, AuditAction.RESTRICTION_LIFTED, request.id, counts)
        return lifted

    def _stage_revoked(self, tx: Connection, by: Principal, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            self._stage(tx, by, AuditAction.ARCHIVE_REVOKED, request_id, {})

    def _stage(self, tx: Connection, by: Principal, action: AuditAction, request_id: str, counts: dict[str, int]) -> None:
        self._audit.stage(tx, Entry(action, by.project.id, by.id, self._clock(), obj=request_id, counts=counts))


def named(tx: Connection, request_id: str) -> list[int]:
    """The uids of the ids that a request named, as far as they live."""
    rows = sa.select(request_subject.c.uid).where(request_subject.c.request_id == request_id, request_subject.c.named.is_(True))
    return list(tx.execute(rows).scalars())


def name_subjects(tx: Connection, request: SubjectRequest, uids: set[int], *, named: bool) -> None:
    """Note whom a request concerns; those who are noted already stay as they are."""
    if not named and uids:
        known = sa.select(request_subject.c.uid).where(request_subject.c.request_id == request.id)
        uids = uids - set(tx.execute(known).scalars())
    if uids:
        tx.execute(
            sa.insert(request_subject),
            [{"request_id": request.id, "uid": uid, "project_id": request.project_id, "named": named} for uid in sorted(uids)],
        )


def _restricted_by_others(tx: Connection, request: SubjectRequest, uids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for start in range(0, len(uids), _AT_ONCE):
        rows = (
            sa.select(request_subject.c.uid)
            .join(subject_request, subject_request.c.id == request_subject.c.request_id)
            .where(
                request_subject.c.project_id == request.project_id,
                request_subject.c.uid.in_(uids[start : start + _AT_ONCE]),
                subject_request.c.id != request.id,
                subject_request.c.kind == RequestKind.RESTRICTION.value,
                subject_request.c.state.in_(_HOLDING),
                # One that was rejected holds nobody, also once its person was answered.
                subject_request.c.reason.is_(None),
                subject_request.c.lifted_ms.is_(None),
            )
        )
        found.update(tx.execute(rows).scalars())
    return found


def revoke_archives(tx: Connection, project_id: int, uids: Sequence[int]) -> list[str]:
    """Destroy every archive that holds one of these people: its key and its bytes. Returns the requests it answered."""
    holding = archives_of(tx, project_id, uids)
    for request_id in holding:
        destroy_archive(tx, request_id)
    return holding


def archives_of(tx: Connection, project_id: int, uids: Sequence[int]) -> list[str]:
    """The requests whose archives hold one of these people, destroyed ones too."""
    holding: set[str] = set()
    for start in range(0, len(uids), _AT_ONCE):
        rows = (
            sa.select(archive.c.request_id)
            .join(request_subject, request_subject.c.request_id == archive.c.request_id)
            .where(request_subject.c.project_id == project_id, request_subject.c.uid.in_(uids[start : start + _AT_ONCE]))
        )
        holding.update(tx.execute(rows).scalars())
    return sorted(holding)


def destroy_archive(tx: Connection, request_id: str) -> None:
    """Delete the key and the sealed bytes of one archive; the row stays to say that it existed."""
    tx.execute(sa.delete(archive_chunk).where(archive_chunk.c.request_id == request_id))
    gone = {"wrapped_key": None, "ready": False, "size": 0, "chunks": 0, "sha256": None}
    tx.execute(sa.update(archive).where(archive.c.request_id == request_id).values(gone))
