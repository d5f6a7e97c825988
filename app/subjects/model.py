"""The words of a data-subject request: kinds, states, the steps of each kind, and the codes that officers choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RequestKind(StrEnum):
    """What the person asks for (GDPR articles 15 to 18, 20 and 21)."""

    ACCESS = "access"
    PORTABILITY = "portability"
    ERASURE = "erasure"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"
    OBJECTION = "objection"


COPIES = (RequestKind.ACCESS, RequestKind.PORTABILITY)
"""The kinds that an archive answers."""


class RequestState(StrEnum):
    """Where the request is. `app.subjects.workflow` says how it gets from one to the next."""

    RECEIVED = "received"
    IDENTIFIED = "identified"
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Outcome(StrEnum):
    """What became of a request or of one place, said plainly; a request without one is under way, or was withdrawn."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    REFUSED = "refused"


class Required(StrEnum):
    """What a person must do on the way, where the installation asks for it (PORTCULLIS_REQUEST_STEPS)."""

    IDENTITY = "identity"
    APPROVAL = "approval"
    SECOND_PERSON = "second_person"
    ANSWER = "answer"


class IdentityMethod(StrEnum):
    """How it was made sure that the request comes from the person (GDPR article 12(6), 11 CCR section 7060)."""

    SIGNED_IN = "signed_in"
    CONFIRMED_CONTACT = "confirmed_contact"
    DOCUMENT = "document"
    MATCHED_FACTS = "matched_facts"
    AUTHORISED_AGENT = "authorised_agent"
    IN_PERSON = "in_person"


class Rejection(StrEnum):
    """Why a request is not acted on (GDPR articles 11(2), 12(5), 17(3); CCPA section 1798.105(d))."""

    IDENTITY_NOT_VERIFIED = "identity_not_verified"
    NO_MATCH = "no_match"
    UNFOUNDED = "manifestly_unfounded"
    EXCESSIVE = "excessive"
    DUPLICATE = "duplicate"
    NOT_CONTROLLER = "not_controller"
    EXPRESSION = "art17_3_a_expression"
    LEGAL_OBLIGATION = "art17_3_b_legal_obligation"
    PUBLIC_HEALTH = "art17_3_c_public_health"
    ARCHIVING = "art17_3_d_archiving"
    LEGAL_CLAIMS = "art17_3_e_legal_claims"
    OTHERS_RIGHTS = "rights_of_others"


class ExtensionReason(StrEnum):
    """Why more time is needed (GDPR article 12(3))."""

    COMPLEXITY = "complexity"
    NUMBER = "number_of_requests"


class Channel(StrEnum):
    """How the person was told."""

    EMAIL = "email"
    POST = "post"
    PHONE = "phone"
    IN_APP = "in_app"
    PORTAL = "portal"
    IN_PERSON = "in_person"


class Step(StrEnum):
    """What a worker does next. Each is idempotent; the row advances in the transaction of the step's last effect."""

    START = "start"
    DELETE = "delete"
    VERIFY = "verify"
    SHRED = "shred"
    PURGE = "purge"
    CERTIFY = "certify"
    COLLECT = "collect"
    REWRITE = "rewrite"
    FINISHED = "finished"


_COPY = {Step.START: Step.COLLECT, Step.COLLECT: Step.FINISHED}
NEXT_STEP: Mapping[RequestKind, Mapping[Step, Step]] = {
    RequestKind.ERASURE: {
        Step.START: Step.DELETE,
        Step.DELETE: Step.VERIFY,
        Step.VERIFY: Step.SHRED,
        Step.SHRED: Step.PURGE,
        Step.PURGE: Step.CERTIFY,
        Step.CERTIFY: Step.FINISHED,
    },
    RequestKind.ACCESS: _COPY,
    RequestKind.PORTABILITY: _COPY,
    RequestKind.RECTIFICATION: {Step.START: Step.REWRITE, Step.REWRITE: Step.FINISHED},
    RequestKind.RESTRICTION: {Step.START: Step.FINISHED},
    RequestKind.OBJECTION: {Step.START: Step.FINISHED},
}


@dataclass(frozen=True, slots=True)
class SubjectRequest:
    """One request as stored. Times are Unix milliseconds; `counts` maps `<phase>.<place>` to a whole number.

    `required` is what persons must do on the way; `terms` what the kind needs to know and names nobody, such as purposes.
    `batch` is the upload that the request came with. `alarm_level` is the share of its time that an alarm told of last.
    """

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
    required: frozenset[Required] = frozenset()
    terms: Mapping[str, Any] = field(default_factory=dict)
    batch: str | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    identity_by: str | None = None
    identity_method: str | None = None
    identity_ms: int | None = None
    approved_by: str | None = None
    approved_ms: int | None = None
    acknowledge_due_ms: int | None = None
    acknowledged_ms: int | None = None
    extended_ms: int | None = None
    extension_reason: str | None = None
    alarm_level: int = 0
    answered_ms: int | None = None
    answer_channel: str | None = None
    lifted_ms: int | None = None


def places_of(request: SubjectRequest) -> dict[str, dict[str, int | str]]:
    """What was found, deleted, kept under a legal hold and left in each place of an erasure, and the outcome there."""
    phases = {"before", "deleted", "kept", "after"}
    places: dict[str, dict[str, int | str]] = {}
    for name, n in request.counts.items():
        phase, _, place = name.partition(".")
        if phase in phases and place:
            places.setdefault(place, {})[phase] = n
    for found in places.values():
        if outcome := _outcome_of(request, found):
            found["outcome"] = outcome.value
    return dict(sorted(places.items()))


def _outcome_of(request: SubjectRequest, found: Mapping[str, int | str]) -> Outcome | None:
    if request.state is RequestState.FAILED:
        return Outcome.COMPLETE if found.get("after") == 0 and not found.get("kept") else Outcome.FAILED
    if request.outcome is None:
        return None
    if not found.get("kept"):
        return Outcome.COMPLETE
    return Outcome.PARTIAL if found.get("deleted") else Outcome.REFUSED
