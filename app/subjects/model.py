"""The words of a data-subject request: kinds, states, the steps of each kind, and which change of state is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class RequestKind(StrEnum):
    """What the person asks for (GDPR articles 15 and 17)."""

    ACCESS = "access"
    ERASURE = "erasure"


class RequestState(StrEnum):
    """Where the request is. The last three end it, FAILED until an operator retries it."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Step(StrEnum):
    """What a worker does next. Each is idempotent; the row advances in the transaction of the step's last effect."""

    START = "start"
    DELETE = "delete"
    VERIFY = "verify"
    SHRED = "shred"
    PURGE = "purge"
    CERTIFY = "certify"
    COLLECT = "collect"
    FINISHED = "finished"


NEXT_STEP: Mapping[RequestKind, Mapping[Step, Step]] = {
    RequestKind.ERASURE: {
        Step.START: Step.DELETE,
        Step.DELETE: Step.VERIFY,
        Step.VERIFY: Step.SHRED,
        Step.SHRED: Step.PURGE,
        Step.PURGE: Step.CERTIFY,
        Step.CERTIFY: Step.FINISHED,
    },
    RequestKind.ACCESS: {Step.START: Step.COLLECT, Step.COLLECT: Step.FINISHED},
}

MOVES: Mapping[RequestState, frozenset[RequestState]] = {
    RequestState.PENDING: frozenset({RequestState.RUNNING, RequestState.CANCELLED}),
    RequestState.RUNNING: frozenset({RequestState.DONE, RequestState.FAILED}),
    RequestState.FAILED: frozenset({RequestState.RUNNING}),
    RequestState.DONE: frozenset(),
    RequestState.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class SubjectRequest:
    """One request as stored. Times are Unix milliseconds; `counts` maps `<phase>.<place>` to a whole number."""

    id: str
    project_id: int
    kind: RequestKind
    state: RequestState
    step: Step
    compliance_type: str
    disclosure_type: str
    requested_by: str
    id_count: int
    unknown_count: int
    created_ms: int
    deadline_ms: int
    started_ms: int | None
    finished_ms: int | None
    next_due_ms: int | None
    fence: int
    attempts: int
    error_code: str | None
    counts: Mapping[str, int]
    certificate: str | None = field(repr=False)
