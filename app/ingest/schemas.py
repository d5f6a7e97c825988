"""Shapes of the control plane of ingest, for validation and for `/openapi.json`."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields


class RefusalsQuery(Schema):
    """Which days."""

    from_date = fields.Date(metadata={"description": "First UTC day, yyyy-mm-dd; today when left out."})
    to_date = fields.Date(metadata={"description": "Last UTC day, inclusive."})


class RefusalsSchema(Schema):
    """How many records were refused, by reason code (docs/policy.md lists the codes)."""

    from_date = fields.String(required=True)
    to_date = fields.String(required=True)
    total = fields.Integer(required=True)
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    signals_of_unknown_ids = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "Records in which a browser's signal was honoured under ids that nobody had seen, by signal."},
    )


# `/v1/check` is read by msgspec, not by marshmallow: it stands in other services' request path. So its shape is written out.
_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "properties"],
    "properties": {"event": {"type": "string"}, "properties": {"type": "object"}},
}
_REMARK: dict[str, Any] = {
    "type": "object",
    "required": ["rule", "path", "action", "reason"],
    "properties": {name: {"type": "string"} for name in ("rule", "path", "action", "reason")},
}
_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["verdict", "event", "remarks"],
    "properties": {
        "verdict": {"enum": ["pass", "changed", "dropped", "quarantined"]},
        "event": {"oneOf": [_EVENT, {"type": "null"}]},
        "remarks": {"type": "array", "items": _REMARK},
    },
}
CHECK_DOC: dict[str, Any] = {
    "summary": "Judge events by the active policy and store nothing",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["events"],
                    "additionalProperties": False,
                    "properties": {
                        "events": {"type": "array", "maxItems": 2000, "items": _EVENT},
                        "signals": {"type": "array", "items": {"enum": ["gpc", "dnt"]}},
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "One result an event, in order.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["policy", "results"],
                        "properties": {
                            "policy": {
                                "type": "object",
                                "required": ["name", "version"],
                                "properties": {"name": {"type": "string"}, "version": {"type": "integer"}},
                            },
                            "results": {"type": "array", "items": _RESULT},
                        },
                    }
                }
            },
        }
    },
}
