"""Shapes of the cohorts API."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from app.audit.entry import iso
from app.query.cohorts import Counted


class NewCohortSchema(Schema):
    """A filter of profiles under a name."""

    name = fields.String(required=True, validate=validate.Length(1, 255))
    description = fields.String(load_default="", validate=validate.Length(0, 1_000))
    where = fields.String(required=True, metadata={"description": "An expression over properties of profiles."})
    anyway = fields.Boolean(load_default=False, metadata={"description": "Save it although it matches nothing, or everything."})


class CohortSchema(Schema):
    """A saved filter; `count` is how many profiles it holds now, null where it asks for what is withheld from you."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    where = fields.String(required=True)
    created = fields.String(required=True)
    created_by = fields.String(required=True)
    count = fields.Integer(required=True, allow_none=True)


class CohortListSchema(Schema):
    """Every cohort of the project."""

    cohorts = fields.List(fields.Nested(CohortSchema), required=True)


def cohort_view(found: Counted) -> dict[str, Any]:
    """A cohort as `/v1` shows it."""
    each = found.cohort
    return {
        "id": each.id,
        "name": each.name,
        "description": each.description,
        "where": each.where,
        "created": iso(each.created_ms),
        "created_by": each.created_by,
        "count": found.count,
    }
