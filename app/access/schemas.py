"""Shapes of service accounts and of the settings of a project."""

from __future__ import annotations

from datetime import UTC

from marshmallow import RAISE, Schema, fields, validate

from app.access.accounts import MOST_OVERLAP_HOURS
from app.access.roles import Role

_MOST = 1_000
_ROLE = validate.OneOf([role.value for role in Role])
# JSON numbers that every engine keeps exactly.
_WHOLE = validate.Range(min=0, max=2**53 - 1)


class _Strict(Schema):
    class Meta:
        """A field that nobody knows is a mistake and not passed over."""

        unknown = RAISE


class GrantSchema(_Strict):
    """A project, and what an account is in it."""

    id = fields.Integer(required=True, strict=True, validate=_WHOLE)
    role = fields.String(validate=_ROLE)


class RequiredGrantSchema(GrantSchema):
    """The same where the role has to be said."""

    role = fields.String(required=True, validate=_ROLE)


class NewAccountSchema(_Strict):
    """What makes a service account (wire section 20)."""

    username = fields.String(required=True)
    role = fields.String(validate=_ROLE, load_default=Role.CONSUMER.value)
    expires = fields.AwareDateTime(format="iso", default_timezone=UTC, allow_none=True, load_default=None)
    projects = fields.List(fields.Nested(GrantSchema), load_default=list, validate=validate.Length(max=_MOST))


class AddSchema(_Strict):
    """Which accounts become members of which projects."""

    projects = fields.List(fields.Nested(RequiredGrantSchema), required=True, validate=validate.Length(max=_MOST))
    service_account_ids = fields.List(
        fields.Integer(strict=True, validate=_WHOLE), required=True, validate=validate.Length(max=_MOST)
    )


class LeaverSchema(_Strict):
    """A project, and the accounts that leave it."""

    id = fields.Integer(required=True, strict=True, validate=_WHOLE)
    service_account_ids = fields.List(
        fields.Integer(strict=True, validate=_WHOLE), required=True, validate=validate.Length(max=_MOST)
    )


class RemoveSchema(_Strict):
    """Which accounts leave which projects."""

    projects = fields.List(fields.Nested(LeaverSchema), required=True, validate=validate.Length(max=_MOST))


class RotationSchema(Schema):
    """How long two secrets are good."""

    overlap_hours = fields.Integer(
        strict=True,
        load_default=24,
        validate=validate.Range(min=0, max=MOST_OVERLAP_HOURS),
        metadata={"description": "For so long the secret before is good too; 0 ends it at once."},
    )


class RotatedSchema(Schema):
    """A new secret."""

    id = fields.Integer(required=True)
    username = fields.String(required=True)
    token = fields.String(required=True, metadata={"description": "Shown this once."})
    previous_until = fields.String(required=True, metadata={"description": "Until when the secret before is good (UTC)."})


class ProjectSchema(Schema):
    """A project and how it is set."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    region = fields.String(required=True)
    identity = fields.String(required=True)
    time_zone = fields.String(required=True, metadata={"description": "IANA name; whose days a range of dates means."})


class TimeZoneSchema(Schema):
    """Whose days a range of dates means."""

    time_zone = fields.String(required=True, metadata={"description": "A name of the IANA database: UTC, Europe/Berlin."})
