"""A sanitised re-import, slice by slice: some seconds of the state that it is in, then a pause, so that others get a turn.

Where it stands is in its row; see `app.reimport.queue`. The steps are in `reimport_pass`, `reimport_swap` and
`reimport_property`: each does windows until the slice is over, and moves to the next state when nothing is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import structlog
from rq.timeouts import BaseTimeoutException

from app.bootstrap import Services
from app.errors import PortcullisError
from app.reimport.model import ENDED, Reimport, Scope, State
from app.reimport.queue import current
from app.subjects.queue import LostClaim
from jobs import reimport_pass, reimport_property, reimport_swap
from jobs.heartbeat import beating
from jobs.reimport_work import Work
from jobs.steps import code_of

_SLICE_S = 3.0
_PAUSE = 0.5
_WAIT_MS = 500

Step = Callable[[Work], None]
STEPS: Mapping[State, Step] = {
    State.GATHERING: reimport_swap.gather,
    State.SURVEYING: reimport_pass.survey,
    State.MEASURING: reimport_pass.measure,
    State.FREEZING: reimport_swap.freeze,
    State.STAGING: reimport_pass.survey,
    State.WEIGHING: reimport_pass.measure,
    State.ORDERING: reimport_swap.order,
    State.IMPORTING: reimport_swap.restore,
    State.RECONCILING: reimport_swap.reconcile,
    State.REWRITING: reimport_property.rewrite,
    State.UNDOING: reimport_swap.undo,
}


def run(services: Services, reimport_id: str, slice_s: float = _SLICE_S) -> None:
    """Take it one slice further; returns at once when it is not due, over, waits for an officer, or is somebody else's.

    A failure gives the slice back with its error code. A timeout of RQ counts as a crash: the lease runs out.
    """
    claimed = services.reimports.queue.claim(reimport_id)
    if claimed is None:
        return
    log = structlog.get_logger().bind(request_id=reimport_id, component="reimport")
    try:
        with beating(partial(_renew, services, claimed), services.reimports.queue.lease_ms / 3_000, request_id=reimport_id):
            _work(services, claimed, slice_s)
    except LostClaim:
        log.warning("claim_lost")
    except BaseTimeoutException:
        log.error("request_timed_out")
    except Exception as fault:
        log.warning("request_will_be_tried_again", code=code_of(fault))
        _release(services, claimed, code_of(fault))


def _work(services: Services, claimed: Reimport, slice_s: float) -> None:
    began = time.monotonic()
    while True:
        with services.database.read() as tx:
            found = current(tx, claimed.id)
        if found.fence != claimed.fence:
            raise LostClaim("somebody else has it by now")
        if found.state is State.REVIEW or found.state in ENDED:
            return
        work = Work(services, found, began + slice_s)
        if found.state is State.ERASING:
            if not reimport_swap.wait(work):
                services.reimports.queue.pause(claimed, _WAIT_MS, 0)
                return
        elif not work.over():
            _step(work)
        else:
            worked = round((time.monotonic() - began) * 1_000)
            services.reimports.queue.pause(claimed, round(worked * _PAUSE), worked)
            return


def _step(work: Work) -> None:
    if work.of.scope is Scope.PROPERTY and work.of.state is State.SURVEYING:
        reimport_property.survey(work)
    else:
        STEPS[work.of.state](work)


def _release(services: Services, claimed: Reimport, code: str) -> None:
    try:
        services.reimports.queue.release(claimed, code)
    except PortcullisError as fault:
        # Also when the database is what failed: the lease runs out, and it is due again.
        structlog.get_logger().warning("request_not_released", request_id=claimed.id, fault=fault.code)


def _renew(services: Services, claimed: Reimport) -> None:
    with services.database.write() as tx:
        services.reimports.queue.hold(tx, claimed)
