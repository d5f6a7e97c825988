"""Requests of people, passed on to the collector and followed to the end; then the certificate says how that ended.

Whoever has the project's turn does it, between deliveries: nothing is on its way to the collector while it is asked to erase
somebody. One call a turn, which keeps to the vendor's one a second. A process that dies after the collector's answer asks
again: erasing twice erases once, and of two copies one is fetched.
"""

from __future__ import annotations

from dataclasses import replace

import structlog
from sqlalchemy.engine import Connection

from app.audit.certificate import digest
from app.audit.entry import AuditAction, Entry
from app.bootstrap import Services
from app.identity.groups import named_group
from app.subjects import certificate
from app.subjects.model import RequestKind, RequestState, SubjectRequest
from app.subjects.queue import SYSTEM, current
from app.turns import Turn
from app.upstream import asking, errands, outbox
from app.upstream.asking import Job, Progress
from app.upstream.collector import Collector
from app.upstream.errands import Errand, ErrandKind, ErrandState, Wish
from app.upstream.speaking import NotTaken, Speaker
from jobs import entries
from jobs.purge import settle
from jobs.waiting import wait_ms

_LONGEST_WAIT_MS = 3_600_000
_FIRST_LOOK_MS = 30_000
_MOST_ASKED = 3
_GIVE_UP_MS = 60 * 86_400_000
_REFUSED = "refused"


def take(services: Services, tx: Connection, request: SubjectRequest, identifiers: list[str]) -> None:
    """Pass a request on for these ids: in the transaction that destroys them here, or that answers with what is held here."""
    # A collector knows two wishes: erase, and a copy, whatever article asks for it.
    kind = ErrandKind.ERASURE if request.kind is RequestKind.ERASURE else ErrandKind.ACCESS
    wish = Wish(request.id, request.project_id, kind, request.compliance_type, request.disclosure_type)
    errands.take(tx, services.keyring.of(tx, request.project_id), wish, identifiers, services.clock())


def run_one(services: Services, turn: Turn, speaker: Speaker, lease_ms: int) -> bool:
    """Take the errand that waits longest one step further. False when none is due. Raises `LostTurn`."""
    with services.database.write() as tx:
        outbox.TURNS.renew(tx, turn, services.clock(), lease_ms)
        found = errands.next_due(tx, turn.project_id, services.clock())
        if found is None:
            return False
        collector = services.upstreams.collector(tx, turn.project_id)
        ids = [] if found.task else errands.identifiers(tx, services.keyring.of(tx, turn.project_id), found)
    fault: NotTaken | None = None
    job, task = Job(Progress.WORKING), found.task
    try:
        if task is None:
            task = _ask(speaker, collector, found, ids)
            job = job if task else Job(Progress.DONE)
        else:
            job = asking.follow(speaker, collector, found.kind, task)
    except NotTaken as trouble:
        fault = trouble
    with services.database.write() as tx:
        outbox.TURNS.renew(tx, turn, services.clock(), lease_ms)
        _settle(services, tx, found, task, job, fault)
    if job.progress is Progress.DONE:
        settle(services.database, ("errand",))
    return True


def _ask(speaker: Speaker, collector: Collector, found: Errand, ids: list[str]) -> str:
    """The name of the job; empty when there was nobody to ask for but groups, whose profiles are deleted at once."""
    groups = [group for each in ids if (group := named_group(each))]
    if groups and found.kind is ErrandKind.ERASURE:
        token = collector.account.token
        deletions = [{"$token": token, "$group_key": each.key, "$group_id": each.id, "$delete": ""} for each in groups]
        speaker.operations(collector, "groups", deletions)
    people = [each for each in ids if named_group(each) is None]
    return asking.ask(speaker, collector, found, people) if people else ""


def _settle(services: Services, tx: Connection, found: Errand, task: str | None, job: Job, fault: NotTaken | None) -> None:
    now = services.clock()
    overdue = now - found.created_ms > _GIVE_UP_MS
    if fault is not None and (fault.code == _REFUSED or overdue):
        _end(services, tx, found, ErrandState.FAILED, fault.code if fault.code == _REFUSED else "never_finished")
    elif fault is not None:
        structlog.get_logger().warning("not_passed_on", request_id=found.request_id, code=fault.code)
        errands.look_again(tx, found, now + wait_ms(fault, found.failures, _LONGEST_WAIT_MS), fault.code)
    elif job.progress is Progress.DONE:
        _end(services, tx, found, ErrandState.COMPLETE, None)
        if job.address and found.kind is ErrandKind.ACCESS:
            errands.keep_address(tx, services.keyring.of(tx, found.project_id), found, job.address)
    elif job.progress is Progress.REVOKED or (job.progress is not Progress.WORKING and found.asked >= _MOST_ASKED):
        _end(services, tx, found, ErrandState.FAILED, f"{job.progress.value}_there")
    elif job.progress is not Progress.WORKING:
        errands.ask_again(tx, found, now + _FIRST_LOOK_MS, f"{job.progress.value}_there")
    elif overdue:
        _end(services, tx, found, ErrandState.FAILED, "never_finished")
    elif found.task is None and task:
        errands.asked(tx, found, task, now, now + _FIRST_LOOK_MS)
        _stage(services, tx, found, AuditAction.UPSTREAM_ASKED, {"collector": found.base, "kind": found.kind.value})
    else:
        since = now - (found.asked_ms or now)
        errands.look_again(tx, found, now + max(_FIRST_LOOK_MS, min(_LONGEST_WAIT_MS, since // 4)))


def _end(services: Services, tx: Connection, found: Errand, state: ErrandState, code: str | None) -> None:
    errands.end(tx, found, state, services.clock(), code)
    facts = {"collector": found.base, "kind": found.kind.value, "outcome": state.value, **({"error": code} if code else {})}
    _stage(services, tx, found, AuditAction.UPSTREAM_ANSWERED, facts)


def _stage(services: Services, tx: Connection, found: Errand, action: AuditAction, facts: dict[str, str]) -> None:
    entry = Entry(
        action, found.project_id, SYSTEM, services.clock(), obj=found.request_id, counts={"ids": found.ids}, facts=facts
    )
    services.audit.stage(tx, entry)


# --- what the certificate says ---------------------------------------------------------------------------------------


def outcomes(services: Services, tx: Connection, request: SubjectRequest) -> dict[str, int]:
    """How the request stands at each collector, as counts of the request that its certificate is made from."""
    found = errands.standings(errands.of_request(tx, request.project_id, request.id))
    return certificate.at_collectors(((each.base, each.state.value, each.ids) for each in found), services.clock())


def restate(services: Services) -> int:
    """Issue anew the certificates of erasures that a collector finished with, or failed at. Returns how many."""
    with services.database.read() as tx:
        waiting = errands.untold(tx)
    return sum(_restate(services, request_id) for request_id in waiting)


def _restate(services: Services, request_id: str) -> bool:
    with services.database.write() as tx:
        request = current(tx, request_id)
        ended = request.finished_ms
        if request.state not in (RequestState.DONE, RequestState.ANSWERED) or ended is None:
            return False  # Its certificate is still to be issued, and will say it.
        if request.certificate is None:
            errands.tell(tx, request_id)
            return False  # What a legal hold keeps is not certified, whatever the collector did.
        counts = outcomes(services, tx, request)
        request = replace(request, counts={**request.counts, **counts})
        note = certificate.issue(request, ended, services.keyring.of(tx, request.project_id).signing)
        services.queue.restate(tx, request_id, counts, note)
        errands.tell(tx, request_id)
        facts = {"sha256": digest(note), "again": "collector"}
        entries.stage(services, tx, request, AuditAction.ERASURE_CERTIFIED, facts=facts)
    return True


def expire(services: Services) -> int:
    """Forget ids of errands that failed long ago. Returns how many errands."""
    with services.database.write() as tx:
        return errands.expire(tx, services.clock())
