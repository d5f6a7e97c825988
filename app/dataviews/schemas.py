"""Shapes of the API of data views, teams and grants."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from app.access.grants import Grant
from app.access.roles import GRANTED_ONLY
from app.access.service import Principal
from app.audit.entry import iso
from app.dataviews.model import DataView, Member, MemberKind
from app.dataviews.service import Preview
from app.dataviews.teams import Team
from app.sight.standing import Standing

_NAME = validate.Length(1, 255)
# A name with NUL cannot be kept by PostgreSQL.
_PLAIN = validate.Regexp(r"[^\x00]*\Z", error="holds a NUL")
_MOST_NAMES = 500
_MOST_MEMBERS = 1_000


def _names(described: str) -> Any:
    each = fields.String(validate=[validate.Length(1, 1_024), _PLAIN])
    return fields.List(each, load_default=list, validate=validate.Length(0, _MOST_NAMES), metadata={"description": described})


class ViewMemberSchema(Schema):
    """A member of a view: a credential or a team, by id."""

    kind = fields.String(required=True, validate=validate.OneOf([each.value for each in MemberKind]))
    id = fields.String(required=True, validate=[_NAME, _PLAIN])


class PreviewViewSchema(Schema):
    """What a view would narrow. An expression that is empty asks for nothing."""

    events = fields.String(
        load_default="",
        validate=_PLAIN,
        metadata={"description": "An expression over name, time and properties of events."},
    )
    profiles = fields.String(
        load_default="",
        validate=_PLAIN,
        metadata={"description": "An expression over properties of profiles; events of other people are left out too."},
    )
    withheld_of_events = _names("Names of properties that are taken out of events.")
    withheld_of_profiles = _names("Names of properties that are taken out of profiles.")


class SaveViewSchema(PreviewViewSchema):
    """A data view to save."""

    name = fields.String(required=True, validate=[_NAME, _PLAIN])
    description = fields.String(load_default="", validate=[validate.Length(0, 1_000), _PLAIN])
    by_default = fields.Boolean(load_default=False, metadata={"description": "It is what whoever is in no view sees."})
    members = fields.List(fields.Nested(ViewMemberSchema), load_default=list, validate=validate.Length(0, _MOST_MEMBERS))
    confirm = fields.Boolean(load_default=False, metadata={"description": "Save it although it matches nothing, or everything."})


class ViewSchema(Schema):
    """A data view."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    by_default = fields.Boolean(required=True)
    events = fields.String(required=True)
    profiles = fields.String(required=True)
    withheld_of_events = fields.List(fields.String(), required=True)
    withheld_of_profiles = fields.List(fields.String(), required=True)
    members = fields.List(fields.Nested(ViewMemberSchema), required=True)
    changed = fields.String(required=True)
    changed_by = fields.String(required=True)


class ViewListSchema(Schema):
    """Every view of the project."""

    data_views = fields.List(fields.Nested(ViewSchema), required=True)


class MatchedSchema(Schema):
    """How many of those looked at match; null where nothing is filtered."""

    of = fields.Integer(required=True)
    matched = fields.Integer(required=True, allow_none=True)


class PreviewedViewSchema(Schema):
    """What a view would match; `warning` is what saving it wants confirmed."""

    events = fields.Nested(MatchedSchema, required=True)
    profiles = fields.Nested(MatchedSchema, required=True)
    warning = fields.String(required=True, allow_none=True)


class ConfirmQuery(Schema):
    """Whether to do it although somebody sees the project through the view."""

    confirm = fields.Boolean(load_default=False)


class TeamMembersSchema(Schema):
    """Who is in a team, by ids of credentials."""

    members = fields.List(fields.String(validate=[_NAME, _PLAIN]), required=True, validate=validate.Length(0, _MOST_MEMBERS))


class NewTeamSchema(TeamMembersSchema):
    """A team to make."""

    name = fields.String(required=True, validate=[_NAME, _PLAIN])


class TeamSchema(Schema):
    """A team."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    members = fields.List(fields.String(), required=True)


class TeamListSchema(Schema):
    """Every team of the project."""

    teams = fields.List(fields.Nested(TeamSchema), required=True)


class ChangeGrantSchema(Schema):
    """One permission of one credential."""

    principal = fields.String(required=True, validate=[_NAME, _PLAIN])
    permission = fields.String(required=True, validate=validate.OneOf(sorted(each.value for each in GRANTED_ONLY)))


class GrantSchema(Schema):
    """What a credential holds beyond its role."""

    principal = fields.String(required=True)
    kind = fields.String(required=True)
    role = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)


class GrantListSchema(Schema):
    """Every credential that holds more than its role."""

    grants = fields.List(fields.Nested(GrantSchema), required=True)


class SightSchema(Schema):
    """What the caller sees. `withheld` are the reasons why an answer may show less than there is, as in the header
    `Portcullis-Withheld`; `classified` the names withheld for that, by kind of record."""

    principal = fields.String(required=True)
    role = fields.String(required=True)
    granted = fields.List(fields.String(), required=True)
    withheld = fields.List(fields.String(), required=True)
    sees_classified = fields.Boolean(required=True)
    classified = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), required=True)
    data_views = fields.Integer(required=True)


def read_view(body: dict[str, Any], view_id: int = 0) -> DataView:
    """The view that was sent."""
    given = {name: value for name, value in body.items() if name not in ("confirm", "members")}
    given |= {name: tuple(dict.fromkeys(given[name])) for name in ("withheld_of_events", "withheld_of_profiles")}
    members = tuple(Member(MemberKind(each["kind"]), each["id"]) for each in body.get("members", ()))
    return DataView(**{"id": view_id, "name": "", **given, "members": members})


def view_shown(view: DataView) -> dict[str, Any]:
    """A view as `/v1` shows it."""
    names = ("id", "name", "description", "by_default", "events", "profiles", "changed_by")
    return {
        **{name: getattr(view, name) for name in names},
        "withheld_of_events": list(view.withheld_of_events),
        "withheld_of_profiles": list(view.withheld_of_profiles),
        "members": [{"kind": each.kind.value, "id": each.id} for each in view.members],
        "changed": iso(view.changed_ms),
    }


def preview_shown(found: Preview, view: DataView) -> dict[str, Any]:
    """A preview as `/v1` shows it."""
    parts = (("events", found.events), ("profiles", found.profiles))
    counts = {name: {"of": each.of, "matched": each.matched} for name, each in parts}
    return {**counts, "warning": found.objection(view)}


def team_shown(team: Team) -> dict[str, Any]:
    """A team as `/v1` shows it."""
    return {"id": team.id, "name": team.name, "members": list(team.members)}


def grant_shown(grant: Grant) -> dict[str, Any]:
    """A grant as `/v1` shows it."""
    permissions = [each.value for each in grant.permissions]
    return {"principal": grant.principal, "kind": grant.kind, "role": grant.role, "permissions": permissions}


def sight_shown(by: Principal, found: Standing) -> dict[str, Any]:
    """What a caller sees as `/v1` shows it."""
    return {
        "principal": by.id,
        "role": by.role.value,
        "granted": sorted(each.value for each in by.granted),
        "withheld": list(found.causes),
        "sees_classified": found.sees_classified,
        "classified": {scope.value: list(names) for scope, names in found.classified.items() if names},
        "data_views": found.views,
    }
