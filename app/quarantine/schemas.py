"""Shapes of the quarantine API."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.audit.entry import iso
from app.quarantine.service import Listed, Opened, Outcome, Overview, Selection
from policies.model import Scope

_MAX_IDS = 1_000


class FilterSchema(Schema):
    """Held events by what they have in common. Times are Unix milliseconds of their arrival."""

    reason = fields.String(metadata={"description": "Reason code, for example unknown_event."})
    event = fields.String(metadata={"description": "Exact name of the event, as stored, or of the operation on a profile."})
    scope = fields.String(validate=validate.OneOf([each.value for each in Scope]))
    before_ms = fields.Integer(validate=validate.Range(0))
    after_ms = fields.Integer(validate=validate.Range(0))


class QuarantineQuery(FilterSchema):
    """A page of held events, the longest held first."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1_000))
    cursor = fields.String()


class DecideSchema(Schema):
    """Which held events to decide: `ids`, or everything that a `filter` names; `{}` is everything."""

    ids = fields.List(fields.String(), validate=validate.Length(1, _MAX_IDS))
    filter = fields.Nested(FilterSchema)

    @validates_schema
    def _one_of(self, data: dict[str, Any], **_: Any) -> None:
        if ("ids" in data) == ("filter" in data):
            raise ValidationError("give either ids or a filter; an empty filter means every held event", "filter")


class GroupSchema(Schema):
    """Held records of one scope, name and reason."""

    scope = fields.String(required=True)
    event = fields.String(required=True)
    reason = fields.String(required=True)
    held = fields.Integer(required=True)
    oldest = fields.String(required=True)
    newest = fields.String(required=True)


class ListedSchema(Schema):
    """One held record without its values. `event` is the name of an event, or of an operation on a profile."""

    id = fields.String(required=True)
    scope = fields.String(required=True)
    event = fields.String(required=True)
    reason = fields.String(required=True)
    policy_version = fields.Integer(required=True)
    received = fields.String(required=True)
    expires = fields.String(required=True)


class QuarantineSchema(Schema):
    """What waits: counts, and one page. `next` is the cursor of the page after, or null."""

    total = fields.Integer(required=True)
    ages = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    groups = fields.List(fields.Nested(GroupSchema), required=True)
    held = fields.List(fields.Nested(ListedSchema), required=True)
    next = fields.String(allow_none=True, required=True)


class HeldSchema(ListedSchema):
    """One held event in its cleaned form, with what held it."""

    time = fields.String(required=True)
    distinct_id = fields.String(required=True)
    properties = fields.Dict(required=True)
    held_by = fields.List(fields.Dict(), required=True)


class OutcomeSchema(Schema):
    """What became of the selection; `refused` and `held_again` stay in quarantine."""

    released = fields.Integer(required=True)
    discarded = fields.Integer(required=True)
    held_again = fields.Integer(required=True)
    refused = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    more = fields.Boolean(required=True)


def selection_of(body: dict[str, Any]) -> Selection:
    """The selection that a body asks for."""
    found = body.get("filter", body)
    return Selection(body.get("ids"), *(found.get(name) for name in ("reason", "event", "before_ms", "after_ms", "scope")))


def overview_view(found: Overview) -> dict[str, Any]:
    """As `QuarantineSchema` shows it."""
    groups = [
        {
            "scope": each.scope,
            "event": each.event,
            "reason": each.reason,
            "held": each.held,
            "oldest": iso(each.oldest_ms),
            "newest": iso(each.newest_ms),
        }
        for each in found.groups
    ]
    held = [_listed(each) for each in found.held]
    return {"total": found.total, "ages": found.ages, "groups": groups, "held": held, "next": found.cursor}


def opened_view(found: Opened) -> dict[str, Any]:
    """As `HeldSchema` shows it."""
    held = found.held
    return {
        **_listed(Listed.of(held)),
        "time": iso(held.time_ms),
        "distinct_id": found.distinct_id,
        "properties": found.properties,
        "held_by": [
            {"rule": each.rule, "path": each.path, "action": each.action, "reason": each.reason} for each in held.held_by
        ],
    }


def outcome_view(found: Outcome) -> dict[str, Any]:
    """As `OutcomeSchema` shows it."""
    return {
        "released": found.released,
        "discarded": found.discarded,
        "held_again": found.held_again,
        "refused": dict(found.refused),
        "more": found.more,
    }


def _listed(each: Listed) -> dict[str, Any]:
    return {
        "id": each.id,
        "scope": each.scope,
        "event": each.event,
        "reason": each.reason,
        "policy_version": each.policy_version,
        "received": iso(each.received_ms),
        "expires": iso(each.expires_ms),
    }
