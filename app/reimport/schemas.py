"""Shapes of sanitised re-imports. Ids of people come in and never go out; reports hold names and counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.audit.entry import iso
from app.reimport import report
from app.reimport.model import Reimport, Scope, Terms, Times
from app.reimport.service import Ahead, Order
from app.subjects.schemas import identifiers

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
_LARGEST = 2**63 - 1
_MOST_TRAITS = 8


def _names(most: int, description: str) -> Any:
    name = fields.String(validate=validate.Length(1, 255))
    return fields.List(name, load_default=[], validate=validate.Length(max=most), metadata={"description": description})


def _optional_identifiers() -> Any:
    found = identifiers()
    found.required = False
    return found


class NewReimportSchema(Schema):
    """What is made anonymous, under which policy, and what is measured. What is needed depends on the scope."""

    scope = fields.String(required=True, validate=validate.OneOf([each.value for each in Scope]))
    policy = fields.Raw(
        required=True,
        metadata={"type": ["integer", "string"], "description": "A policy version, or the name of one that ships."},
    )
    distinct_ids = _optional_identifiers()
    cohort = fields.Integer(strict=True, validate=validate.Range(1, _LARGEST))
    property = fields.String(validate=validate.Length(1, 255))
    events = _names(100, "Only events of these names (scope property); none: of every name.")
    from_date = fields.Date(metadata={"description": "The first UTC day (scope property)."})
    to_date = fields.Date(metadata={"description": "The last UTC day (scope property)."})
    quasi_identifiers = _names(
        _MOST_TRAITS, "Properties by which somebody might be recognised; `$day` and `$event` of an event as well."
    )
    sensitive = _names(_MOST_TRAITS, "Properties that nobody may learn of a person who is recognised.")
    k = fields.Integer(strict=True, load_default=5, validate=validate.Range(2, 10_000))
    l = fields.Integer(strict=True, load_default=2, validate=validate.Range(2, 1_000))  # noqa: E741 - l-diversity
    tolerance = fields.Float(load_default=0.0, validate=validate.Range(0, 1))
    times = fields.String(load_default="kept", validate=validate.OneOf([each.value for each in Times]))

    @validates_schema
    def _fits_its_scope(self, body: Mapping[str, Any], **_: Any) -> None:
        scope = Scope(body["scope"])
        missing = [name for name in _NEEDED[scope] if name not in body]
        strange = [name for of, names in _NEEDED.items() for name in names if name in body and name not in _NEEDED[scope]]
        if scope is Scope.PROPERTY:
            strange += [name for name in ("quasi_identifiers", "sensitive") if body[name]]
            strange += ["times"] if body["times"] != "kept" else []
        elif body["events"]:
            strange.append("events")
        found = {name: [f"is needed for scope {scope}"] for name in missing}
        found |= {name: [f"is not for scope {scope}"] for name in strange}
        if not found and scope is Scope.PROPERTY and body["from_date"] > body["to_date"]:
            found = {"to_date": ["must not be before from_date"]}
        if found:
            raise ValidationError(found)


_NEEDED = {
    Scope.PEOPLE: ("distinct_ids",),
    Scope.COHORT: ("cohort",),
    Scope.PROPERTY: ("property", "from_date", "to_date"),
}


class ReimportOverrideSchema(Schema):
    """Why a blocked re-import may go on. The reason is kept in the audit log."""

    reason = fields.String(required=True, validate=validate.Length(3, 500))


class ReimportAheadSchema(Schema):
    """What a re-import would reach. Of a cohort `people` counts profiles; of a property `events` is what is looked through."""

    people = fields.Integer(required=True)
    ids = fields.Integer(required=True)
    events = fields.Integer(required=True)
    profiles = fields.Integer(required=True)
    unknown_positions = fields.List(fields.Integer(), required=True)
    withheld = fields.Integer(required=True)


class ReimportSchema(Schema):
    """A re-import and how far it is. Names nobody. `rate` is in records a second, `eta_s` in seconds, of the state at hand."""

    id = fields.String(required=True)
    scope = fields.String(required=True)
    state = fields.String(required=True)
    policy = fields.Raw(required=True, metadata={"type": ["integer", "string"]})
    terms = fields.Dict(keys=fields.String(), required=True)
    requested_by = fields.String(required=True)
    approved_by = fields.String(required=True, allow_none=True)
    overrides = fields.List(fields.Dict(keys=fields.String()), required=True)
    created = fields.String(required=True)
    started = fields.String(required=True, allow_none=True)
    finished = fields.String(required=True, allow_none=True)
    attempts = fields.Integer(required=True)
    error_code = fields.String(required=True, allow_none=True)
    total = fields.Integer(required=True, allow_none=True)
    done = fields.Integer(required=True)
    rate = fields.Float(required=True, allow_none=True)
    eta_s = fields.Float(required=True, allow_none=True)
    erasure = fields.String(required=True, allow_none=True)
    signed = fields.Boolean(required=True)
    warnings = fields.List(fields.Dict(keys=fields.String()))


class ReimportListSchema(Schema):
    """Re-imports, newest first."""

    reimports = fields.List(fields.Nested(ReimportSchema), required=True)


class ReimportReviewSchema(Schema):
    """The report to decide on. `blocked` are codes, `objections` the same in words."""

    blocked = fields.List(fields.String(), required=True)
    objections = fields.List(fields.String(), required=True)
    overridden_by = fields.List(fields.String(), required=True)
    report = fields.Dict(keys=fields.String(), required=True)


def order_of(body: Mapping[str, Any]) -> Order:
    """A checked body as the service takes it."""
    first, last = body.get("from_date"), body.get("to_date")
    terms = Terms(
        version=None,
        library=None,
        digest="",
        quasi=tuple(dict.fromkeys(body["quasi_identifiers"])),
        sensitive=tuple(dict.fromkeys(body["sensitive"])),
        k=body["k"],
        l=body["l"],
        tolerance=body["tolerance"],
        times=Times(body["times"]),
        cohort=body.get("cohort"),
        leaked=body.get("property"),
        events=tuple(body["events"]),
        from_ms=None if first is None else _midnight(first),
        to_ms=None if last is None else _midnight(last) + _DAY_MS,
    )
    return Order(Scope(body["scope"]), body["policy"], terms, body.get("distinct_ids", ()))


def ahead_view(ahead: Ahead) -> dict[str, Any]:
    """A preview as `ReimportAheadSchema` shows it."""
    figures = {name: getattr(ahead, name) for name in ("people", "ids", "events", "profiles", "withheld")}
    return {**figures, "unknown_positions": list(ahead.unknown)}


def reimport_view(of: Reimport) -> dict[str, Any]:
    """A re-import as `ReimportSchema` shows it."""
    return {
        "id": of.id,
        "scope": of.scope.value,
        "state": of.state.value,
        "policy": of.terms.library or of.terms.version,
        "terms": _terms_view(of.terms),
        "requested_by": of.requested_by,
        "approved_by": of.approved_by,
        "overrides": [{"by": each.by, "reason": each.reason, "at": iso(each.at_ms)} for each in of.overrides],
        "created": iso(of.created_ms),
        "started": None if of.started_ms is None else iso(of.started_ms),
        "finished": None if of.finished_ms is None else iso(of.finished_ms),
        "attempts": of.attempts,
        "error_code": of.error_code,
        "total": of.total,
        "done": of.done,
        "rate": of.rate,
        "eta_s": None if of.eta_ms is None else of.eta_ms / 1_000,
        "erasure": of.erasure_id,
        "signed": of.statement is not None,
    }


def review_view(of: Reimport) -> dict[str, Any]:
    """A report as `ReimportReviewSchema` shows it."""
    made = json.loads(of.report or "{}")
    return {
        "blocked": made["blocked"],
        "objections": report.objections(made, of.terms),
        "overridden_by": sorted(of.second_pair()),
        "report": made,
    }


def _terms_view(terms: Terms) -> dict[str, Any]:
    return {
        "policy_sha256": terms.digest,
        "ids": terms.ids,
        "cohort": terms.cohort,
        "property": terms.leaked,
        "events": list(terms.events),
        "from": None if terms.from_ms is None else iso(terms.from_ms),
        "to": None if terms.to_ms is None else iso(terms.to_ms),
        "quasi_identifiers": list(terms.quasi),
        "sensitive": list(terms.sensitive),
        "k": terms.k,
        "l": terms.l,
        "tolerance": terms.tolerance,
        "times": terms.times.value,
    }


def _midnight(day: date) -> int:
    return (day.toordinal() - _EPOCH) * _DAY_MS
