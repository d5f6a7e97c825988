"""Shapes of findings, simulations and suggestions. None of them holds a value."""

from __future__ import annotations

import json
from typing import Any

from marshmallow import Schema, fields, validate

from app.audit.entry import iso
from app.observe.findings import Finding, FindingState
from app.observe.simulations import Simulation
from app.observe.suggestions import MOST_EVENTS, Suggested
from policies.model import Condition, DropFilter
from policies.proposal import rule_text
from policies.suggest import Suggestion


class FindingsQuery(Schema):
    """Which findings."""

    state = fields.String(validate=validate.OneOf([each.value for each in FindingState]))


class FindingSchema(Schema):
    """A property that started to carry personal data. `share` is of the records of the event, 0 to 1."""

    id = fields.String(required=True)
    state = fields.String(required=True)
    scope = fields.String(required=True)
    event = fields.String(required=True, allow_none=True)
    property = fields.String(required=True)
    detector = fields.String(required=True)
    carrying = fields.Boolean(required=True)
    hits = fields.Integer(required=True)
    records = fields.Integer(required=True)
    share = fields.Float(required=True)
    first_seen = fields.String(required=True)
    last_seen = fields.String(required=True)
    opened = fields.String(required=True)
    decided = fields.String(required=True, allow_none=True)
    decided_by = fields.String(required=True, allow_none=True)
    proposed_rule = fields.String(required=True, allow_none=True)


class FindingListSchema(Schema):
    """Findings, newest first."""

    findings = fields.List(fields.Nested(FindingSchema), required=True)


class ResolveSchema(Schema):
    """`mended`: open it again if it comes back. `expected`: never again."""

    outcome = fields.String(required=True, validate=validate.OneOf(["mended", "expected"]))


class SimulateSchema(Schema):
    """How much history."""

    days = fields.Integer(load_default=7, validate=validate.Range(1, 400))


class SimulationSchema(Schema):
    """One simulation: progress, and the report once it is done."""

    id = fields.String(required=True)
    state = fields.String(required=True)
    version = fields.Integer(required=True)
    active_version = fields.Integer(required=True)
    created = fields.String(required=True)
    started = fields.String(allow_none=True, required=True)
    finished = fields.String(allow_none=True, required=True)
    since = fields.String(required=True)
    until = fields.String(required=True)
    requested_by = fields.String(required=True)
    done = fields.Integer(required=True)
    total = fields.Integer(allow_none=True, required=True)
    rate = fields.Float(allow_none=True, required=True, metadata={"description": "Records a second, pauses included."})
    eta_seconds = fields.Integer(allow_none=True, required=True)
    attempts = fields.Integer(required=True)
    error_code = fields.String(allow_none=True, required=True)
    report = fields.Dict(allow_none=True, required=True)


class SimulationListSchema(Schema):
    """Simulations without their reports, newest first."""

    simulations = fields.List(fields.Nested(SimulationSchema), required=True)


class SuggestionsQuery(Schema):
    """How many of the last events to look at."""

    events = fields.Integer(load_default=5_000, validate=validate.Range(1, MOST_EVENTS))


class SuggestionSchema(Schema):
    """A proposed rule for one property that no rule names."""

    property = fields.String(required=True)
    scope = fields.String(required=True)
    category = fields.String(required=True)
    sensitivity = fields.String(required=True)
    confidence = fields.Float(required=True)
    grounds = fields.List(fields.String(), required=True)
    evidence = fields.Dict(required=True)
    rule = fields.String(required=True)


class SuggestionsSchema(Schema):
    """Suggestions, and all of them as one policy text."""

    policy_version = fields.Integer(required=True)
    records = fields.Integer(required=True, metadata={"description": "Events and profiles that were looked at."})
    complete = fields.Boolean(required=True, metadata={"description": "False when the time for one look was up before the end."})
    left_out = fields.Integer(required=True)
    suggestions = fields.List(fields.Nested(SuggestionSchema), required=True)
    policy = fields.String(required=True)


class DropFilterSchema(Schema):
    """A drop filter as a policy writes it (docs/policy.md): an id, globs of events, and conditions that must all hold."""

    id = fields.String(required=True)
    events = fields.List(fields.String())
    where = fields.List(fields.Dict(), required=True, metadata={"description": "Such as `{property: role, is: [test]}`."})


class PreviewSchema(DropFilterSchema):
    """A filter to try, and on how many days."""

    days = fields.Integer(load_default=7, validate=validate.Range(1, 400))


class PreviewedSchema(Schema):
    """What the filter would have refused."""

    records = fields.Integer(required=True, metadata={"description": "Stored events that were looked at."})
    caught = fields.Integer(required=True)
    events = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    complete = fields.Boolean(required=True)


class DropFiltersSchema(Schema):
    """The filters of the policy version in force."""

    version = fields.Integer(required=True)
    filters = fields.List(fields.Nested(DropFilterSchema), required=True)


class FilterInForceSchema(Schema):
    """The version that is in force now."""

    version = fields.Integer(required=True)
    digest = fields.String(required=True)


def filter_view(found: DropFilter) -> dict[str, Any]:
    """As a policy writes it."""
    where = [{"property": each.property, each.test: _operand(each)} for each in found.where]
    return {"id": found.id, "events": list(found.events), "where": where}


def _operand(each: Condition) -> Any:
    return each.values[0] if each.test in ("exists", "above", "below") else list(each.values)


def finding_view(found: Finding) -> dict[str, Any]:
    """As `FindingSchema` shows it."""
    return {
        "id": found.id,
        "state": found.state.value,
        "scope": found.scope.value,
        "event": found.event or None,
        "property": found.path,
        "detector": found.detector.value,
        "carrying": found.carrying,
        "hits": found.hits,
        "records": found.records,
        "share": round(found.share, 4),
        "first_seen": iso(found.first_seen_ms),
        "last_seen": iso(found.last_seen_ms),
        "opened": iso(found.opened_ms),
        "decided": _moment(found.decided_ms),
        "decided_by": found.decided_by,
        "proposed_rule": found.proposed_rule,
    }


def simulation_view(found: Simulation, *, report: bool = True) -> dict[str, Any]:
    """As `SimulationSchema` shows it."""
    return {
        "id": found.id,
        "state": found.state.value,
        "version": found.version,
        "active_version": found.active_version,
        "created": iso(found.created_ms),
        "started": _moment(found.started_ms),
        "finished": _moment(found.finished_ms),
        "since": iso(found.from_ms),
        "until": iso(found.to_ms),
        "requested_by": found.requested_by,
        "done": found.done,
        "total": found.total,
        "rate": None if found.rate is None else round(found.rate, 1),
        "eta_seconds": None if found.eta_ms is None else round(found.eta_ms / 1_000),
        "attempts": found.attempts,
        "error_code": found.error_code,
        "report": json.loads(found.report) if found.report and report else None,
    }


def suggestions_view(found: Suggested) -> dict[str, Any]:
    """As `SuggestionsSchema` shows it."""
    return {
        "policy_version": found.version,
        "records": found.records,
        "complete": found.complete,
        "left_out": found.left_out,
        "suggestions": [_suggestion(each) for each in found.suggestions],
        "policy": found.policy,
    }


def _suggestion(each: Suggestion) -> dict[str, Any]:
    evidence = {
        "records": each.records,
        "values": each.values,
        "distinct": each.distinct,
        "types": dict(each.types),
        "hits": dict(each.hits),
        "events": list(each.events),
    }
    return {
        "property": each.proposal.property,
        "scope": each.proposal.scope.value,
        "category": each.proposal.category,
        "sensitivity": each.proposal.sensitivity.value,
        "confidence": each.confidence,
        "grounds": list(each.grounds),
        "evidence": evidence,
        "rule": rule_text(each.proposal),
    }


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
