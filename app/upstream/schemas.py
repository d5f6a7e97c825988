"""Shapes of proxy mode. Credentials go in and never come out; nothing here says what a parcel or a request is about."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from app.audit.entry import iso
from app.upstream.errands import Errand, ErrandState
from app.upstream.outbox import REASONS, Keeps
from app.upstream.service import Parked, Standing

_SECRET = validate.Length(0, 1_000)
_LARGEST = 2**63 - 1


class ChooseSchema(Schema):
    """A collector and who the project is there. What is left out is not kept from before: credentials are given anew."""

    url = fields.String(
        required=True, validate=validate.Length(1, 300), metadata={"description": "https://host or https://host:port"}
    )
    region = fields.String(load_default=None, validate=validate.Length(1, 40), allow_none=True)
    keeps = fields.String(load_default=Keeps.BOTH.value, validate=validate.OneOf([each.value for each in Keeps]))
    token = fields.String(required=True, load_only=True, validate=validate.Length(1, 1_000))
    username = fields.String(load_default="", load_only=True, validate=_SECRET)
    secret = fields.String(load_default="", load_only=True, validate=_SECRET)
    project_id = fields.String(load_default="", validate=validate.Length(0, 100))
    oauth = fields.String(
        load_default="",
        load_only=True,
        validate=_SECRET,
        metadata={"description": "An owner's or admin's token there: deletions and retrievals are passed on with it."},
    )


class StandingSchema(Schema):
    """How forwarding stands."""

    url = fields.String(required=True)
    region = fields.String(required=True)
    keeps = fields.String(required=True)
    passes_requests_on = fields.Boolean(required=True)
    waiting = fields.Integer(required=True)
    oldest = fields.String(required=True, allow_none=True)
    parked = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "By reason."})
    delivered = fields.Integer(required=True)
    last_delivery = fields.String(required=True, allow_none=True)
    failures = fields.Integer(required=True, metadata={"description": "Tries in a row that failed."})
    last_error = fields.String(required=True, allow_none=True)
    next_try = fields.String(required=True, allow_none=True)
    requests = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "By state."})


class StopQuery(Schema):
    """Whether what waits is to be lost."""

    discard = fields.Boolean(load_default=False)


class StoppedSchema(Schema):
    """Nothing is forwarded any more."""

    stopped = fields.Boolean(required=True)


class TestedSchema(Schema):
    """`ok`, or the code of what went wrong."""

    __test__ = False
    delivery = fields.String(required=True)
    requests = fields.String(required=True, metadata={"description": "`no_credential` where none was given."})


class ParkedQuery(Schema):
    """Which page."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1_000))
    after = fields.Integer(load_default=0, validate=validate.Range(0, _LARGEST))


class ParkedParcelSchema(Schema):
    """One parcel that waits for an operator."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    reason = fields.String(required=True)
    queued = fields.String(required=True)


class ParkedSchema(Schema):
    """Parcels that wait for an operator, the oldest first."""

    parcels = fields.List(fields.Nested(ParkedParcelSchema), required=True)


class ReasonsSchema(Schema):
    """For which reasons; all of them when none is named."""

    reasons = fields.List(
        fields.String(validate=validate.OneOf(REASONS)), load_default=None, allow_none=True, validate=validate.Length(1, 20)
    )


class CountSchema(Schema):
    """How many."""

    parcels = fields.Integer(required=True)


class ErrandsQuery(Schema):
    """Which requests."""

    state = fields.String(load_default=None, validate=validate.OneOf([each.value for each in ErrandState]))
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1_000))


class ErrandSchema(Schema):
    """One part of a request that was passed on."""

    request_id = fields.String(required=True)
    kind = fields.String(required=True)
    collector = fields.String(required=True)
    state = fields.String(required=True)
    ids = fields.Integer(required=True)
    created = fields.String(required=True)
    asked = fields.String(required=True, allow_none=True)
    ended = fields.String(required=True, allow_none=True)
    next_look = fields.String(required=True, allow_none=True)
    failures = fields.Integer(required=True)
    error_code = fields.String(required=True, allow_none=True)


class ErrandListSchema(Schema):
    """Requests that were passed on, the newest first."""

    requests = fields.List(fields.Nested(ErrandSchema), required=True)


class AskedAgainSchema(Schema):
    """How many parts of the request are asked for once more."""

    parts = fields.Integer(required=True)


class AnswersSchema(Schema):
    """Where the collector's answers lie. Whoever has an address may have what lies there."""

    addresses = fields.List(fields.String(), required=True)


def standing_view(found: Standing) -> dict[str, Any]:
    """As `StandingSchema` shows it."""
    return {
        "url": found.base,
        "region": found.region,
        "keeps": found.keeps.value,
        "passes_requests_on": found.asks,
        "waiting": found.waiting,
        "oldest": _moment(found.oldest_ms),
        "parked": found.parked,
        "delivered": found.delivered,
        "last_delivery": _moment(found.delivered_ms),
        "failures": found.failures,
        "last_error": found.last_error,
        "next_try": _moment(found.due_ms if found.failures else None),
        "requests": found.errands,
    }


def parked_view(found: Parked) -> dict[str, Any]:
    """As `ParkedParcelSchema` shows it."""
    return {"id": found.id, "kind": found.kind, "reason": found.reason, "queued": iso(found.queued_ms)}


def errand_view(found: Errand) -> dict[str, Any]:
    """As `ErrandSchema` shows it."""
    return {
        "request_id": found.request_id,
        "kind": found.kind.value,
        "collector": found.base,
        "state": found.state.value,
        "ids": found.ids,
        "created": iso(found.created_ms),
        "asked": _moment(found.asked_ms),
        "ended": _moment(found.ended_ms),
        "next_look": _moment(found.next_due_ms),
        "failures": found.failures,
        "error_code": found.error_code,
    }


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
