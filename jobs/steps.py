"""The resumable runner: claim a request, do its steps one after the other, give it back when one fails.

Where a request stands is in its row, so a run may end anywhere, for any reason, and the next one goes on. A step is
idempotent; each of its effects is a transaction that begins with `queue.hold`, and the last one also says which step
comes next. Whoever lost the claim finds that out at its next effect, which rolls back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import structlog
from rq.timeouts import BaseTimeoutException

from app.audit.entry import AuditAction
from app.bootstrap import Services
from app.errors import PortcullisError
from app.subjects.model import NEXT_STEP, RequestKind, RequestState, Step
from app.subjects.queue import Claim, LostClaim, current
from jobs import confirm, entries, erasure, export, purge, rectify
from jobs.heartbeat import beating

StepFunction = Callable[[Services, Claim], None]


def _nothing_to_prepare(services: Services, claim: Claim) -> None:
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        services.queue.advance(tx, claim, NEXT_STEP[RequestKind.ACCESS][Step.START])


_COPY: Mapping[Step, StepFunction] = {Step.START: _nothing_to_prepare, Step.COLLECT: export.collect}
STEPS: Mapping[RequestKind, Mapping[Step, StepFunction]] = {
    RequestKind.ERASURE: {
        Step.START: erasure.survey,
        Step.DELETE: erasure.delete,
        Step.VERIFY: erasure.verify,
        Step.SHRED: erasure.shred,
        Step.PURGE: purge.purge,
        Step.CERTIFY: erasure.certify,
    },
    RequestKind.ACCESS: _COPY,
    RequestKind.PORTABILITY: _COPY,
    RequestKind.RECTIFICATION: {Step.START: rectify.profile, Step.REWRITE: rectify.events},
    RequestKind.RESTRICTION: {Step.START: confirm.restricted},
    RequestKind.OBJECTION: {Step.START: confirm.objected},
}


def run(services: Services, request_id: str) -> None:
    """Take the request as far as it goes; returns at once when it is not due, over, or somebody else's.

    A step that fails is given back with its error code, to be due again later. A timeout of RQ counts as a crash, like
    SystemExit and a kill: the transaction rolls back and the lease runs out.
    """
    claim = services.queue.claim(request_id)
    if claim is None:
        return
    log = structlog.get_logger().bind(request_id=request_id)
    try:
        beat = partial(services.queue.renew, claim)
        with beating(beat, services.queue.lease_seconds / 3, request_id=request_id):
            _walk(services, claim)
    except LostClaim:
        log.warning("claim_lost")
    except BaseTimeoutException:
        log.error("request_timed_out")
    except Exception as fault:
        _release(services, claim, code_of(fault))


def code_of(fault: BaseException) -> str:
    """What may be told of an exception: the code of ours, the class of others. Its text may quote a value."""
    return fault.code if isinstance(fault, PortcullisError) else type(fault).__name__


def _walk(services: Services, claim: Claim) -> None:
    while True:
        request = services.queue.look(claim)
        if request.state is RequestState.PENDING:
            _begin(services, claim)
        STEPS[request.kind][request.step](services, claim)
        with services.database.read() as tx:
            if current(tx, request.id).state is RequestState.DONE:
                return


def _begin(services: Services, claim: Claim) -> None:
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        if services.queue.start(tx, claim):
            facts = {"kind": claim.request.kind.value}
            entries.stage(services, tx, claim.request, AuditAction.REQUEST_STARTED, facts=facts)


def _release(services: Services, claim: Claim, code: str) -> None:
    log = structlog.get_logger().bind(request_id=claim.request.id, code=code)
    try:
        again = services.queue.release(claim, code)
    except PortcullisError as fault:
        # Also when the database is what failed: the lease runs out, and the request is due again.
        log.warning("request_not_released", fault=fault.code)
    else:
        if again:
            log.warning("request_will_be_tried_again")
        else:
            log.error("request_failed")
