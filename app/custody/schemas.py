"""Shapes of the API for keys and tokens."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from app.audit.entry import iso
from app.custody.service import DEFAULT_BRIDGE_DAYS, MOST_BRIDGE_DAYS
from app.keys.service import ROTATING, KeyVersion

_MOST_TOKENS = 1_000
_MOST_CHARACTERS = 20_000
_REASONS = ("correction", "legal_obligation", "security_incident", "subject_request", "support_case")


class RotateSchema(Schema):
    """Which key, and for how long the older one is computed beside it."""

    purpose = fields.String(required=True, validate=validate.OneOf([each.value for each in ROTATING]))
    bridge_days = fields.Integer(
        strict=True,
        validate=validate.Range(0, MOST_BRIDGE_DAYS),
        metadata={"description": f"For pseudonym keys; {DEFAULT_BRIDGE_DAYS} when left out, 0 for no bridge."},
    )


class KeySchema(Schema):
    """One version of one key, without the key."""

    purpose = fields.String(required=True)
    version = fields.Integer(required=True)
    state = fields.String(required=True, metadata={"description": "primary, bridge or retired"})
    created = fields.String(required=True)
    bridge_until = fields.String(allow_none=True, required=True)
    form = fields.Integer(required=True, metadata={"description": "The canonical form that pseudonyms are made of."})


class KeyListSchema(Schema):
    """Every version of every key, by purpose and version."""

    keys = fields.List(fields.Nested(KeySchema), required=True)


class RevealSchema(Schema):
    """Which tokens, made for which purpose, and why somebody has to see what they stand for."""

    purpose = fields.String(
        required=True,
        validate=validate.Length(1, 200),
        metadata={"description": "The purpose that the rule names, or its category when it names none."},
    )
    tokens = fields.List(
        fields.String(validate=validate.Length(1, _MOST_CHARACTERS)),
        required=True,
        validate=validate.Length(1, _MOST_TOKENS),
    )
    # A closed list and a case number: what stands in the audit log for good must not be able to hold a value.
    reason = fields.String(required=True, validate=validate.OneOf(_REASONS))
    reference = fields.String(
        validate=validate.Regexp(r"[A-Za-z]{1,10}-[0-9]{1,8}\Z"),
        metadata={"description": "The number of a case, such as CASE-4711."},
    )


class RevealedSchema(Schema):
    """What one token stands for."""

    known = fields.Boolean(required=True, metadata={"description": "false: not a token of this project and purpose, or altered"})
    value = fields.Raw(allow_none=True, metadata={"description": "A JSON scalar."})


class RevealedListSchema(Schema):
    """One answer a token, in order."""

    results = fields.List(fields.Nested(RevealedSchema), required=True)


def key_view(found: KeyVersion) -> dict[str, Any]:
    """One version as `KeySchema` has it."""
    return {
        "purpose": found.purpose.value,
        "version": found.version,
        "state": found.state.value,
        "created": iso(found.created_ms),
        "bridge_until": None if found.bridge_until_ms is None else iso(found.bridge_until_ms),
        "form": found.form,
    }
