"""Shapes of the identity mode."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from app.access.modes import IdentityMode


class IdentitySchema(Schema):
    """How a project tells which ids are one person."""

    mode = fields.String(
        required=True,
        validate=validate.OneOf([each.value for each in IdentityMode]),
        metadata={"description": "For events from now on. What is linked stays linked, whatever the mode becomes."},
    )
