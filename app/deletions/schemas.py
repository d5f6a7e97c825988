"""Shapes of the API for data deletions."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.audit.entry import iso
from app.deletions.model import REASONS, REFERENCE, Deletion, Extent, Target, extent_of
from app.deletions.survey import Survey

_MOST_NAMES = 200
_MOST_CHARACTERS = 5_000


def _usable(value: str) -> None:
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValidationError("must be valid text without NUL")


_NAME = validate.And(validate.Length(1, 255), _usable)


class ExtentSchema(Schema):
    """What is deleted: events by name, time and condition, or one property from every event or profile that has it."""

    target = fields.String(
        load_default=Target.EVENTS.value,
        validate=validate.OneOf([each.value for each in Target]),
        metadata={"description": "Whole events, or the property of events or of profiles that `property` names."},
    )
    events = fields.List(
        fields.String(validate=_NAME),
        validate=validate.Length(1, _MOST_NAMES),
        metadata={"description": "Names of events; left out: every name."},
    )
    from_ = fields.String(
        data_key="from", metadata={"description": "First UTC day, or an RFC 3339 moment. Of the time of events."}
    )
    to = fields.String(metadata={"description": "Last UTC day, inclusive, or an RFC 3339 moment, exclusive."})
    where = fields.String(
        validate=validate.Length(1, _MOST_CHARACTERS),
        metadata={"description": "An expression over properties that names no person: docs/reading.md."},
    )
    property = fields.String(validate=_NAME, metadata={"description": "The property to delete from history."})


class CreateSchema(ExtentSchema):
    """What is deleted, and why."""

    reason = fields.String(required=True, validate=validate.OneOf(REASONS))
    reference = fields.String(
        validate=validate.Regexp(REFERENCE), metadata={"description": "The number of a case, such as CASE-4711."}
    )
    confirm = fields.Boolean(
        load_default=False, metadata={"description": "Accept it although it covers nothing, or everything, or too much to count."}
    )


class DayCountSchema(Schema):
    """Events of one name on one UTC day."""

    event = fields.String(required=True)
    day = fields.String(required=True)
    count = fields.Integer(required=True)


class EventCountSchema(Schema):
    """Events of one name."""

    event = fields.String(required=True)
    count = fields.Integer(required=True)


class SurveySchema(Schema):
    """What a deletion would cover now. `complete` false: time was up, and the numbers are lower bounds."""

    matches = fields.String(required=True, metadata={"description": "nothing, some, everything, unknown"})
    matched = fields.Integer(required=True)
    people = fields.Integer(required=True)
    people_exact = fields.Boolean(required=True)
    complete = fields.Boolean(required=True)
    events = fields.List(fields.Nested(EventCountSchema), required=True)
    days = fields.List(fields.Nested(DayCountSchema), required=True)


class DeletionSchema(Schema):
    """One deletion."""

    id = fields.String(required=True)
    state = fields.String(required=True, metadata={"description": "hidden, erasing, done, undone"})
    step = fields.String(required=True)
    target = fields.String(required=True)
    events = fields.List(fields.String(), allow_none=True, required=True)
    from_ = fields.String(attribute="from", data_key="from", allow_none=True, required=True)
    to = fields.String(allow_none=True, required=True, metadata={"description": "Exclusive."})
    where = fields.String(allow_none=True, required=True)
    property = fields.String(allow_none=True, required=True)
    reason = fields.String(required=True)
    reference = fields.String(allow_none=True, required=True)
    created = fields.String(required=True)
    created_by = fields.String(required=True)
    undo_until = fields.String(required=True)
    undone_by = fields.String(allow_none=True, required=True)
    finished = fields.String(allow_none=True, required=True)
    matched = fields.Integer(required=True)
    people = fields.Integer(required=True)
    complete = fields.Boolean(required=True)
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    error = fields.String(allow_none=True, required=True)
    next_try = fields.String(allow_none=True, required=True)


class DeletionListSchema(Schema):
    """Deletions, newest first."""

    deletions = fields.List(fields.Nested(DeletionSchema), required=True)


def asked(body: dict[str, Any]) -> Extent:
    """What the fields of `ExtentSchema` ask for. Raises `InvalidInput`."""
    names = body.get("events")
    return extent_of(
        Target(body["target"]),
        events=None if names is None else tuple(names),
        from_=body.get("from_"),
        to=body.get("to"),
        where=body.get("where"),
        property_name=body.get("property"),
    )


def survey_view(found: Survey) -> dict[str, Any]:
    """A survey as `SurveySchema` has it."""
    return {
        "matches": found.matches,
        "matched": found.matched,
        "people": found.people,
        "people_exact": found.people_exact,
        "complete": found.complete,
        "events": [{"event": name, "count": n} for name, n in found.events.items()],
        "days": [{"event": name, "day": iso(day)[:10], "count": n} for name, day, n in found.days],
    }


def deletion_view(found: Deletion) -> dict[str, Any]:
    """A deletion as `DeletionSchema` has it."""
    extent = found.extent
    return {
        "id": found.id,
        "state": found.state.value,
        "step": found.step.value,
        "target": extent.target.value,
        "events": None if extent.events is None else list(extent.events),
        "from": _iso(extent.from_ms),
        "to": _iso(extent.to_ms),
        "where": extent.where,
        "property": extent.property_name,
        "reason": found.reason,
        "reference": found.reference,
        "created": iso(found.created_ms),
        "created_by": found.created_by,
        "undo_until": iso(found.undo_until_ms),
        "undone_by": found.undone_by,
        "finished": _iso(found.finished_ms),
        "matched": found.matched,
        "people": found.people,
        "complete": found.complete,
        "counts": dict(found.counts),
        "error": found.error_code,
        "next_try": iso(found.due_ms) if found.error_code else None,
    }


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
