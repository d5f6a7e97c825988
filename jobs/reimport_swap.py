"""From an officer's word to the end: hold the people still, order their erasure, wait for it, store what was staged, check.

The order of things is what makes it safe. Nothing is deleted before everything sanitised is staged and its figures agree.
The transaction that orders the erasure also gives the staged rows to fresh ids and forgets whose they were. What is staged
is deleted only when it was read back from the store, row by row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import islice

from sqlalchemy.engine import Connection

from app.access.roles import Role
from app.access.service import Principal
from app.audit.certificate import digest
from app.audit.entry import AuditAction
from app.errors import PortcullisError, Unavailable
from app.events import retention
from app.events.port import EventQuery, EventRow, ProfileQuery
from app.identity import fence, register
from app.identity.closure import Closure, closure_of
from app.query.cohorts import saved
from app.reimport import ledger, report, staging
from app.reimport.model import State
from app.reimport.service import MOST_PEOPLE
from app.subjects import holds
from app.subjects.model import RequestKind, RequestState
from app.subjects.queue import current as current_request
from app.subjects.service import NewRequest
from jobs import purge
from jobs.reimport_work import Work

_PROFILES_AT_ONCE = 200
_PEOPLE_AT_ONCE = 200
_CHUNKS_AT_ONCE = 10
_MOST_RESTARTS = 5
_REGIME = "GDPR"
_PLACES = ("reimport_chunk", "reimport_subject", "reimport_mark")


class NotReconciled(PortcullisError):
    """What is in the store is not what was staged, however often it was stored. What is staged is kept."""

    code = "not_reconciled"


class ErasureFailed(PortcullisError):
    """The erasure that the re-import waits for has failed. Nothing is lost: it goes on once the erasure does."""

    code = "erasure_failed"


# --- before the erasure ----------------------------------------------------------------------------------------------


def gather(work: Work) -> None:
    """GATHERING: whoever is in the cohort now, with every id of theirs."""
    while not work.over():
        with work.effect() as tx:
            expression = saved(tx, work.of.project_id, work.of.terms.cohort or 0).expression
            sight = work.services.sights.internal(tx, work.project)
            query = ProfileQuery(after_seq=work.standing.seq, where=expression)
            rows = list(islice(work.store.scan_profiles(tx, sight, query), _PROFILES_AT_ONCE))
            _take_in(work, tx, [row.uid for row in rows])
            if rows:
                work.standing.seq = rows[-1].seq
            people, ids = staging.count_people(tx, work.of.id)
        if ids > MOST_PEOPLE:
            return _undo(work, "too_many_people")
        if not rows:
            return _surveying(work) if people else _undo(work, "nobody_left")
    return None


def _take_in(work: Work, tx: Connection, uids: list[int]) -> None:
    """Add these people, but for those of whom somebody may not be processed; spelling may join what no link does."""
    keys = work.services.keyring.of(tx, work.of.project_id)
    found = closure_of(tx, keys, uids)
    groups: Iterable[Closure] = [found]
    if any(each.row.hidden for each in found.members):
        groups = [closure_of(tx, keys, [uid]) for uid in uids]
    for each in groups:
        if any(member.row.hidden for member in each.members):
            work.standing.left_out += len(each.people)
        else:
            staging.add_subjects(tx, work.of, each)


def _surveying(work: Work) -> None:
    left_out = work.standing.left_out
    with work.services.database.write() as tx:
        work.move(tx, State.SURVEYING)
        sealed = staging.sealed_standing(work.of, work.keys.sealing, staging.Standing(left_out=left_out))
        work.services.reimports.queue.hold(tx, work.of, standing=sealed)


def freeze(work: Work) -> None:
    """FREEZING: hide the people and refuse their data, so that what is staged next is all there is."""
    while not work.over():
        with work.services.database.write() as tx:
            fence.enter_exclusive(tx, work.of.project_id)
            work.services.reimports.queue.hold(tx, work.of)
            some = staging.people_after(tx, work.of.id, work.standing.person, _PEOPLE_AT_ONCE)
            keys = work.services.keyring.of(tx, work.of.project_id)
            if some and not staging.hold_still(tx, keys, work.of, some):
                return work.undo(tx, "subject_restricted")
            if not some:
                return _frozen(work, tx)
            work.standing.person = some[-1]
            sealed = staging.sealed_standing(work.of, work.keys.sealing, work.standing)
            work.services.reimports.queue.progress(tx, work.of, len(some), standing=sealed)
    return None


def _frozen(work: Work, tx: Connection) -> None:
    people, ids = staging.count_people(tx, work.of.id)
    if not people:
        return work.undo(tx, "nobody_left")
    staging.discard(tx, work.of, people=False)
    ledger.forget(tx, work.of.id)
    work.move(tx, State.STAGING)
    work.tell(tx, AuditAction.REIMPORT_FROZEN, counts={"people": people, "ids": ids})
    return None


def order(work: Work) -> None:
    """ORDERING: accept the erasure and forget who becomes whom, in one transaction. There is no way back from it."""
    of, services = work.of, work.services
    with services.database.write() as tx:
        fence.enter_exclusive(tx, of.project_id)
        services.reimports.queue.hold(tx, of)
        keys = services.keyring.of(tx, of.project_id)
        uids = staging.uids_of(tx, of.id)
        # Whoever was let go or linked since has data that is not staged: begin again, with them.
        if not staging.all_held_still(tx, of) or closure_of(tx, keys, uids).uids != uids:
            return _again(work, tx)
        if holds.scopes_of(tx, of.project_id, uids):
            return work.undo(tx, "legal_hold")
        fresh = staging.sever(tx, keys, of)
        identifiers = [each.identifier for each in register.reveal(tx, keys, uids).values()]
        by = Principal(of.approved_by or of.requested_by, work.project, Role.OFFICER)
        accepted = services.subjects.accept(tx, by, NewRequest(RequestKind.ERASURE, identifiers, _REGIME), ())
        work.move(tx, State.ERASING, erasure_id=accepted.request.id)
        work.tell(tx, AuditAction.REIMPORT_ORDERED, counts={"people": fresh}, facts={"erasure": accepted.request.id})
    services.doorbell.ring(accepted.request.id)
    return None


def _again(work: Work, tx: Connection) -> None:
    if work.standing.restarts >= _MOST_RESTARTS:
        return work.undo(tx, "subjects_kept_changing")
    staging.discard(tx, work.of, people=False)
    return work.move(tx, State.FREEZING, restarts=work.standing.restarts + 1)


# --- after it --------------------------------------------------------------------------------------------------------


def wait(work: Work) -> bool:
    """ERASING: whether the erasure is done. Raises `ErasureFailed`, to be asked again later."""
    with work.services.database.read() as tx:
        request = current_request(tx, work.of.erasure_id or "")
    if request.state is RequestState.FAILED:
        raise ErasureFailed("the erasure has failed", remedy="mend its cause, then POST /v1/requests/{id}/retry")
    if request.state is RequestState.CANCELLED:
        with work.services.database.write() as tx:
            work.services.reimports.queue.hold(tx, work.of)
            staging.forget_fresh(tx, work.of)
            work.undo(tx, "erasure_cancelled", State.CANCELLED)
        return True
    if request.state is not RequestState.DONE:
        return False
    with work.services.database.write() as tx:
        work.move(tx, State.IMPORTING)
    return True


def restore(work: Work) -> None:
    """IMPORTING: store what is staged, under the fresh ids. A window that is stored twice is stored once."""
    of, version = work.of, work.of.terms.version or 0
    while not work.over():
        with work.services.database.read() as tx:
            found = staging.staged_after(tx, of, work.keys.sealing, work.standing.seq, _CHUNKS_AT_ONCE)
        if not found:
            with work.services.database.write() as tx:
                return work.move(tx, State.RECONCILING)
        rows = [event.row(uid, version) for _, uid, chunk in found for event in chunk.events]
        profiles = [chunk.profile.row(uid, version) for _, uid, chunk in found if chunk.profile]
        work.standing.seq = found[-1][0]
        with work.services.database.write() as tx:
            fence.enter_shared(tx, of.project_id)
            work.services.reimports.queue.hold(tx, of)
            work.store.append(tx, of.project_id, rows)
            work.store.put_profiles(tx, of.project_id, profiles)
            _note_late(work, tx, rows)
            sealed = staging.sealed_standing(of, work.keys.sealing, work.standing)
            work.services.reimports.queue.progress(tx, of, len(rows) + len(profiles), standing=sealed)
    return None


def _note_late(work: Work, tx: Connection, rows: list[EventRow]) -> None:
    """Events arrive behind the marks of retention, which has to go back for them."""
    try:
        kept_for = work.services.rulebook.active(tx, work.of.project_id).written.retention
    except Unavailable:
        return
    if rows and kept_for:
        retention.note_late(tx, work.of.project_id, min(row.time_ms for row in rows), work.services.clock())


def reconcile(work: Work) -> None:
    """RECONCILING: read back what was stored and compare it with what is staged; then it is over."""
    while not work.over():
        with work.services.database.read() as tx:
            uids = staging.fresh_after(tx, work.of.id, work.standing.person, _PEOPLE_AT_ONCE)
        if not uids:
            return _finish(work)
        if not _as_staged(work, uids):
            return _restore_again(work)
        work.standing.person = uids[-1]
        with work.effect(len(uids)):
            pass
    return None


def _as_staged(work: Work, uids: list[int]) -> bool:
    of, version = work.of, work.of.terms.version or 0
    with work.services.database.read() as tx:
        sight = work.services.sights.internal(tx, work.project)
        staged = _Sum()
        profiles: dict[int, str] = {}
        for uid, chunk in staging.staged_of(tx, of, work.keys.sealing, uids):
            staged.add(event.row(uid, version) for event in chunk.events)
            if chunk.profile:
                profiles[uid] = chunk.profile.properties
        stored = _Sum()
        stored.add(work.store.scan(tx, sight, EventQuery(uids=uids)))
        found = {row.uid: row.properties for row in work.store.read_profiles(tx, sight, uids)}
    return (staged.n, staged.digest) == (stored.n, stored.digest) and found == profiles


class _Sum:
    """How many rows, and a digest of them that does not depend on their order."""

    def __init__(self) -> None:
        self.n = 0
        self.digest = 0

    def add(self, rows: Iterable[EventRow]) -> None:
        """Add rows."""
        for row in rows:
            text = f"{row.time_ms}\0{row.dedup}\0{row.uid}\0{row.name}\0{row.properties}".encode("utf-8", "replace")
            self.n += 1
            self.digest = (self.digest + int.from_bytes(hashlib.sha256(text).digest(), "big")) % (1 << 256)


def _restore_again(work: Work) -> None:
    if work.standing.restarts >= _MOST_RESTARTS:
        raise NotReconciled("what is stored is not what was staged", remedy="look who else writes to the event store")
    with work.services.database.write() as tx:
        work.move(tx, State.IMPORTING, restarts=work.standing.restarts + 1)


def _finish(work: Work) -> None:
    of, services = work.of, work.services
    made = json.loads(of.report or "{}")
    with services.database.write() as tx:
        services.reimports.queue.hold(tx, of)
        erased = current_request(tx, of.erasure_id or "").certificate
        note = report.statement(
            of,
            made,
            None if erased is None else digest(erased),
            services.clock(),
            services.keyring.of(tx, of.project_id).signing,
        )
        staging.discard(tx, of, people=True)
        ledger.forget(tx, of.id)
        work.move(tx, State.DONE, statement=note)
        counts = {"people": made["people"], "events": made["reconciliation"]["events_after"]}
        work.tell(tx, AuditAction.REIMPORT_DONE, counts=counts, facts={"sha256": digest(note)})
    purge.settle(services.database, _PLACES)


# --- back ------------------------------------------------------------------------------------------------------------


def undo(work: Work) -> None:
    """UNDOING: let the people go as they were, and destroy what was staged."""
    while not work.over():
        with work.services.database.write() as tx:
            fence.enter_exclusive(tx, work.of.project_id)
            work.services.reimports.queue.hold(tx, work.of)
            if staging.let_go(tx, work.of, _PEOPLE_AT_ONCE):
                continue
            staging.discard(tx, work.of, people=True)
            ledger.forget(tx, work.of.id)
            work.move(tx, State(work.of.ending or State.CANCELLED))
        purge.settle(work.services.database, _PLACES)
        return


def _undo(work: Work, code: str) -> None:
    with work.services.database.write() as tx:
        work.undo(tx, code)
