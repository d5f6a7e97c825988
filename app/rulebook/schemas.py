"""Shapes of the rulebook's routes, for validation and for `/openapi.json`."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from policies.diff import Change, Direction
from policies.explain import Outcome
from policies.findings import Severity
from policies.model import Detector, Scope, Signal, SubjectState, Verdict
from policies.vocabulary import ActionKind, Fallback, Geolocation, Reason

_REASON = "Why; kept in the audit log, so it must not name a person."


def _choice(kind: Any, **options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf([each.value for each in kind]), **options)


class NewPolicySchema(Schema):
    """A policy as its author wrote it (docs/policy.md)."""

    text = fields.String(required=True, metadata={"description": "YAML."})
    activate = fields.Boolean(load_default=False, metadata={"description": "Put it in force in the same transaction."})
    force = fields.String(metadata={"description": f"With `activate`: as when activating a version. {_REASON}"})


class TextSchema(Schema):
    """A policy text that is not stored."""

    text = fields.String(required=True, metadata={"description": "YAML."})


class ActivateSchema(Schema):
    """Why a version is put in force although its cases fail or lint finds errors. May be left out otherwise."""

    force = fields.String(metadata={"description": _REASON})


class RollbackSchema(Schema):
    """Why."""

    reason = fields.String(metadata={"description": _REASON})


class PolicySchema(Schema):
    """One immutable version."""

    version = fields.Integer(required=True)
    name = fields.String(required=True)
    digest = fields.String(required=True, metadata={"description": "SHA-256 of the text."})
    created = fields.String(required=True)
    active = fields.Boolean(required=True)
    text = fields.String()


class PolicyListSchema(Schema):
    """Every version, newest first."""

    policies = fields.List(fields.Nested(PolicySchema), required=True)


class ActivationSchema(Schema):
    """One act by which a version came in force."""

    version = fields.Integer(required=True)
    act = fields.String(required=True)
    actor = fields.String(required=True)
    reason = fields.String(allow_none=True)
    at = fields.String(required=True)


class ActivationListSchema(Schema):
    """The last 100 acts, newest first."""

    activations = fields.List(fields.Nested(ActivationSchema), required=True)


class ProblemSchema(Schema):
    """One mistake of the language."""

    line = fields.Integer(required=True)
    column = fields.Integer(required=True)
    path = fields.String(required=True)
    message = fields.String(required=True)
    hint = fields.String(required=True)


class LintFindingSchema(ProblemSchema):
    """One finding of lint."""

    code = fields.String(required=True)
    severity = _choice(Severity, required=True)


class CaseResultSchema(Schema):
    """One case of the policy, and what was wrong: names of fields, never values."""

    name = fields.String(required=True)
    passed = fields.Boolean(required=True)
    wrong = fields.List(fields.String(), required=True)


class ReviewSchema(Schema):
    """What stands for and against a text."""

    valid = fields.Boolean(required=True, metadata={"description": "It is a policy, and can be stored."})
    fit = fields.Boolean(required=True, metadata={"description": "It can be put in force without `force`."})
    problems = fields.List(fields.Nested(ProblemSchema), required=True)
    findings = fields.List(fields.Nested(LintFindingSchema), required=True)
    cases = fields.List(fields.Nested(CaseResultSchema), required=True)


class ChangeSchema(Schema):
    """One difference of meaning."""

    kind = fields.String(required=True)
    name = fields.String(required=True)
    change = _choice(Change, required=True)
    direction = _choice(Direction, allow_none=True)
    details = fields.List(fields.String(), required=True)


class DiffSchema(Schema):
    """Every difference of meaning from one version to another."""

    before = fields.Integer(required=True)
    after = fields.Integer(required=True)
    changes = fields.List(fields.Nested(ChangeSchema), required=True)


class ShippedSchema(Schema):
    """A policy that ships."""

    name = fields.String(required=True)
    description = fields.String(required=True)
    text = fields.String(required=True)


class LibrarySchema(Schema):
    """Every policy that ships."""

    policies = fields.List(fields.Nested(ShippedSchema), required=True)


# The record to explain is read by msgspec: it may be nested as deeply as whatever an SDK sends.
def _words(kind: Any) -> dict[str, Any]:
    return {"enum": [each.value for each in kind]}


_STRING: dict[str, Any] = {"type": "string"}
_REMARK: dict[str, Any] = {
    "type": "object",
    "required": ["rule", "path", "action", "reason"],
    "properties": dict.fromkeys(("rule", "path", "action", "reason"), _STRING),
}
_QUESTION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "description": "The name of the event; else `operation`."},
        "operation": {"type": "string", "description": "The operation of a profile or group update, such as `$set`."},
        "scope": _words(Scope),
        "properties": {"type": "object"},
        "version": {"type": "integer", "description": "The active version when left out."},
        "state": _words(SubjectState),
        "signals": {"type": "array", "items": _words(Signal)},
        "refused_purposes": {"type": "array", "items": _STRING},
    },
}
_PATH: dict[str, Any] = {
    "type": "object",
    "required": ["path", "rules", "winner", "action", "part", "unknown", "found", "refused"],
    "properties": {
        "path": _STRING,
        "winner": {"type": ["string", "null"]},
        "action": {"enum": [*(each.value for each in ActionKind), None]},
        "part": {"type": ["string", "null"]},
        "unknown": {"enum": [*(each.value for each in Fallback), None]},
        "refused": {"enum": [*(each.value for each in Reason), None]},
        "rules": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "rule": _STRING,
                    "outcome": _words(Outcome),
                    "action": _words(ActionKind),
                    "by": _STRING,
                    "why": _STRING,
                },
            },
        },
        "found": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"detector": _words(Detector), "action": _words(ActionKind), "confidence": {"type": "number"}},
            },
        },
    },
}
_EXPLANATION: dict[str, Any] = {
    "type": "object",
    "required": ["version", "policy", "digest", "verdict", "consent", "event", "paths", "geolocation", "geolocated", "remarks"],
    "properties": {
        "version": {"type": "integer"},
        "policy": _STRING,
        "digest": _STRING,
        "verdict": _words(Verdict),
        "consent": {"oneOf": [_REMARK, {"type": "null"}]},
        "event": {"oneOf": [_REMARK, {"type": "null"}]},
        "paths": {"type": "array", "items": _PATH},
        "geolocation": _words(Geolocation),
        "geolocated": {"type": "array", "items": _STRING},
        "remarks": {"type": "array", "items": _REMARK},
    },
}
EXPLAIN_DOC: dict[str, Any] = {
    "summary": "Every rule considered for a record, which won, and why, without values",
    "requestBody": {"required": True, "content": {"application/json": {"schema": _QUESTION}}},
    "responses": {
        "200": {"description": "The explanation.", "content": {"application/json": {"schema": _EXPLANATION}}},
    },
}
