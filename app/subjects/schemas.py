"""Shapes of the officer's API."""

from __future__ import annotations

import csv
import io
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.audit.entry import iso
from app.identity.closure import Means
from app.identity.signals import Evidence
from app.subjects import workflow
from app.subjects.model import Outcome, RequestKind, RequestState, SubjectRequest, places_of
from app.subjects.preview import Preview, Shown
from policies.regimes import REGIMES

_MAX_IDS = 2_000
_MAX_ID_BYTES = 1_024


def _usable(value: str) -> None:
    if not value:
        raise ValidationError("must not be empty")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValidationError("must be valid text without NUL")
    if len(value.encode()) > _MAX_ID_BYTES:
        raise ValidationError(f"must be at most {_MAX_ID_BYTES} bytes")


def _property() -> fields.String:
    return fields.String(validate=validate.Length(1, 255))


def identifiers() -> fields.Field[Any]:
    """A list of ids of people, in the body and never in a URL."""
    return _Identifiers(
        fields.String(validate=_usable),
        required=True,
        validate=validate.Length(1, _MAX_IDS),
        metadata={"description": "Ids of people: user ids, or `$device:<id>` for a device. A text is read as CSV, an id a line."},
    )


class _Identifiers(fields.List[Any]):
    """A list, or the text of a CSV file: the first cell of each line, without a heading `distinct_id`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> list[Any]:
        if isinstance(value, str):
            try:
                cells = [row[0] for row in csv.reader(io.StringIO(value)) if row and row[0]]
            except csv.Error:
                raise ValidationError("must be CSV, an id a line") from None
            value = cells[1:] if cells[:1] == ["distinct_id"] else cells
        return super()._deserialize(value, attr, data, **options)


class IdentifiersSchema(Schema):
    """Ids of people."""

    distinct_ids = identifiers()


class ChoiceSchema(IdentifiersSchema):
    """Whose choice, and about which purposes."""

    purposes = fields.List(
        fields.String(validate=validate.Length(1, 200)),
        load_default=[],
        validate=validate.Length(max=100),
        metadata={"description": "Purposes of the active policy; left out, the choice is about everything."},
    )


class LiftSchema(IdentifiersSchema):
    """Erased ids to accept again, and on what basis."""

    basis = fields.String(
        required=True,
        validate=validate.OneOf(["consent", "contract", "mistake"]),
        metadata={"description": "Why data may be collected again: consent, contract, or a mistaken request."},
    )


class OptOutSchema(Schema):
    """What an opt-out or opt-in changed."""

    people = fields.Integer(required=True)
    ids = fields.Integer(required=True)
    erased = fields.Integer(required=True, metadata={"description": "Ids that are erased: nothing left to opt out."})


class LiftedSchema(Schema):
    """How many tombstones were lifted."""

    lifted = fields.Integer(required=True)


class SignalSchema(Schema):
    """A browser's signal that was honoured: how often, first and last."""

    signal = fields.String(required=True)
    first = fields.String(required=True)
    last = fields.String(required=True)
    n = fields.Integer(required=True)


class StatesSchema(Schema):
    """What is known of each id, in the order asked; null for an id never seen."""

    states = fields.List(fields.String(allow_none=True), required=True)
    refused_purposes = fields.List(fields.List(fields.String()), required=True)
    signals = fields.List(fields.List(fields.Nested(SignalSchema)), required=True)


class MemberSchema(Schema):
    """One id of a closure."""

    distinct_id = fields.String(required=True)
    canonical_id = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["user", "device", "alias", "group"]))
    means = fields.String(required=True, validate=validate.OneOf([each.value for each in Means]))
    state = fields.String(required=True)
    pseudonyms = fields.List(fields.String(), required=True, metadata={"description": "Under each key version, newest first."})


class ClosurePreviewSchema(Schema):
    """What a request about some people would reach."""

    people = fields.Integer(required=True)
    ids = fields.Integer(required=True)
    events = fields.Integer(required=True)
    profiles = fields.Integer(required=True)
    held = fields.Integer(required=True, metadata={"description": "Records in quarantine."})
    places = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "Rows by place."})
    archives = fields.Integer(required=True, metadata={"description": "Copies that an erasure would destroy."})
    recipients = fields.List(fields.String(), required=True, metadata={"description": "Hosts that the project forwards to."})
    legal_holds = fields.Integer(required=True, metadata={"description": "Ids of whom something would be kept."})
    unknown_positions = fields.List(
        fields.Integer(), required=True, metadata={"description": "Positions of ids that mean nobody here."}
    )
    erased = fields.Integer(required=True)
    members = fields.List(
        fields.Nested(MemberSchema), allow_none=True, metadata={"description": "null for a reader who may not see ids."}
    )
    more = fields.Integer(required=True, metadata={"description": "Ids that are left out of `members`."})


class ChangesSchema(Schema):
    """What to correct. Events are corrected where they carry the property; `events` names those, none for all."""

    profile_set = fields.Dict(keys=_property(), load_default={})
    profile_unset = fields.List(_property(), load_default=[])
    event_set = fields.Dict(keys=_property(), load_default={})
    event_unset = fields.List(_property(), load_default=[])
    events = fields.List(_property(), load_default=[], validate=validate.Length(max=100))


class NewRequestSchema(IdentifiersSchema):
    """A data-subject request."""

    kind = fields.String(required=True, validate=validate.OneOf([each.value for each in RequestKind]))
    compliance_type = fields.String(load_default="GDPR", validate=validate.OneOf(list(REGIMES)))
    disclosure_type = fields.String(load_default="Data", validate=validate.OneOf(["Data", "Categories", "Sources"]))
    purposes = fields.List(
        fields.String(validate=validate.Length(1, 200)),
        load_default=[],
        validate=validate.Length(max=100),
        metadata={"description": "Of an objection: purposes of the active policy; left out, it is about everything."},
    )
    changes = fields.Nested(ChangesSchema, metadata={"description": "Of a rectification: what to correct."})


class IdempotencySchema(Schema):
    """The header that makes a request safe to send again."""

    class Meta:
        """Other headers are others' affair."""

        unknown = EXCLUDE

    idempotency_key = fields.String(
        data_key="Idempotency-Key", metadata={"description": "Any text of your own, one for each request; up to 200 characters."}
    )


class RequestsQuery(Schema):
    """Paging of requests, newest first."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1_000))
    before_ms = fields.Integer(
        validate=validate.Range(0, 2**63 - 1),
        metadata={"description": "Only requests created before this Unix time in milliseconds."},
    )
    state = fields.String(validate=validate.OneOf([each.value for each in RequestState]))
    kind = fields.String(validate=validate.OneOf([each.value for each in RequestKind]))
    batch = fields.String(validate=validate.Length(1, 100), metadata={"description": "Only requests of this upload."})


class VerifiedSchema(Schema):
    """Who made sure that the request comes from its person, how and when."""

    by = fields.String(required=True)
    method = fields.String(required=True)
    at = fields.String(required=True)


class RequestSchema(Schema):
    """A data-subject request and how far it is. Names nobody."""

    id = fields.String(required=True)
    kind = fields.String(required=True)
    state = fields.String(required=True)
    step = fields.String(required=True)
    compliance_type = fields.String(required=True)
    disclosure_type = fields.String(required=True)
    requested_by = fields.String(required=True)
    ids = fields.Integer(required=True)
    unknown_ids = fields.Integer(required=True)
    created = fields.String(required=True)
    deadline = fields.String(required=True)
    started = fields.String(allow_none=True)
    finished = fields.String(allow_none=True)
    attempts = fields.Integer(required=True)
    error_code = fields.String(allow_none=True)
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    outcome = fields.String(allow_none=True, validate=validate.OneOf([each.value for each in Outcome]))
    reason = fields.String(allow_none=True)
    places = fields.Dict(required=True, metadata={"description": "Of an erasure: what became of each place."})
    required = fields.List(fields.String(), required=True, metadata={"description": "What persons must do on the way."})
    possible = fields.List(fields.String(), required=True, metadata={"description": "What officers may do now."})
    identity = fields.Nested(VerifiedSchema, allow_none=True)
    approved_by = fields.String(allow_none=True)
    acknowledge_by = fields.String(allow_none=True)
    acknowledged = fields.String(allow_none=True)
    extended = fields.String(allow_none=True)
    extension_reason = fields.String(allow_none=True)
    alarm_level = fields.Integer(required=True)
    answered = fields.String(allow_none=True)
    lifted = fields.String(allow_none=True)
    batch = fields.String(allow_none=True)
    archive_ready = fields.Boolean()
    certified = fields.Boolean(required=True)
    warnings = fields.List(fields.Dict())


class RequestListSchema(Schema):
    """Requests, newest first."""

    requests = fields.List(fields.Nested(RequestSchema), required=True)


def signal_view(seen: Evidence) -> dict[str, Any]:
    """Evidence as `SignalSchema` shows it."""
    return {"signal": seen.signal, "first": iso(seen.first_ms), "last": iso(seen.last_ms), "n": seen.n}


def preview_view(found: Preview) -> dict[str, Any]:
    """A preview as `ClosurePreviewSchema` shows it."""
    names = ("people", "ids", "events", "profiles", "held", "archives", "legal_holds", "erased", "more")
    figures = {name: getattr(found, name) for name in names}
    figures |= {"places": dict(found.places), "recipients": list(found.recipients)}
    members = None if found.members is None else [_member_view(each) for each in found.members]
    return {**figures, "unknown_positions": list(found.unknown), "members": members}


def _member_view(each: Shown) -> dict[str, Any]:
    names = {"distinct_id": each.identifier, "canonical_id": each.canonical, "pseudonyms": list(each.pseudonyms)}
    return {**names, "kind": each.kind, "means": each.means, "state": each.state}


def request_view(request: SubjectRequest) -> dict[str, Any]:
    """A request as `RequestSchema` shows it."""
    verified = {"by": request.identity_by, "method": request.identity_method, "at": _iso(request.identity_ms)}
    return {
        "id": request.id,
        "kind": request.kind.value,
        "state": request.state.value,
        "step": request.step.value,
        "compliance_type": request.compliance_type,
        "disclosure_type": request.disclosure_type,
        "requested_by": request.requested_by,
        "ids": request.id_count,
        "unknown_ids": request.unknown_count,
        "created": iso(request.created_ms),
        "deadline": iso(request.deadline_ms),
        "started": _iso(request.started_ms),
        "finished": _iso(request.finished_ms),
        "attempts": request.attempts,
        "error_code": request.error_code,
        "counts": dict(request.counts),
        "certified": request.certificate is not None,
        "outcome": request.outcome.value if request.outcome else None,
        "reason": request.reason,
        "places": places_of(request) if request.kind is RequestKind.ERASURE else {},
        "required": sorted(request.required),
        "possible": sorted(set(workflow.possible(request.state, request.started_ms is not None)) & workflow.BY_OFFICERS),
        "identity": verified if request.identity_ms is not None else None,
        "approved_by": request.approved_by,
        "acknowledge_by": _iso(request.acknowledge_due_ms),
        "acknowledged": _iso(request.acknowledged_ms),
        "extended": _iso(request.extended_ms),
        "extension_reason": request.extension_reason,
        "alarm_level": request.alarm_level,
        "answered": _iso(request.answered_ms),
        "lifted": _iso(request.lifted_ms),
        "batch": request.batch,
    }


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
