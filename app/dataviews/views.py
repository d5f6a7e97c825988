"""HTTP for whoever says who sees what: data views, teams, and permissions given by name."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint

from app.access.roles import Permission
from app.dataviews import schemas
from app.http import api_blueprint, caller, needs, services


def blueprint() -> Blueprint:
    """The routes of data views."""
    routes = api_blueprint("data views", "Who sees which part of a project.")

    def add(path: str, method: str, view: Any, answer: Any, body: Any = None, code: int = 200) -> None:
        made = routes.response(code, answer)(view)
        routes.route(f"/v1/{path}", methods=[method])(made if body is None else routes.arguments(body)(made))

    add("sight", "GET", sight, schemas.SightSchema)
    add("data-views", "GET", listing, schemas.ViewListSchema)
    add("data-views", "POST", create, schemas.ViewSchema, schemas.SaveViewSchema, 201)
    add("data-views/preview", "POST", preview, schemas.PreviewedViewSchema, schemas.PreviewViewSchema)
    add("data-views/<int:view_id>", "GET", one, schemas.ViewSchema)
    add("data-views/<int:view_id>", "PUT", change, schemas.ViewSchema, schemas.SaveViewSchema)
    gone = routes.arguments(schemas.ConfirmQuery, location="query")(routes.response(204)(delete))
    routes.route("/v1/data-views/<int:view_id>", methods=["DELETE"])(gone)
    add("teams", "GET", teams, schemas.TeamListSchema)
    add("teams", "POST", create_team, schemas.TeamSchema, schemas.NewTeamSchema, 201)
    add("teams/<int:team_id>", "PUT", change_team, schemas.TeamSchema, schemas.TeamMembersSchema)
    routes.route("/v1/teams/<int:team_id>", methods=["DELETE"])(routes.response(204)(delete_team))
    add("grants", "GET", grants, schemas.GrantListSchema)
    add("grants", "POST", give, schemas.GrantSchema, schemas.ChangeGrantSchema)
    add("grants/withdraw", "POST", withdraw, schemas.GrantSchema, schemas.ChangeGrantSchema)
    return routes


@needs(Permission.EVENTS_READ)
def sight() -> dict[str, Any]:
    """What you see: your credential's id, why answers may show less than there is, and the names that are withheld."""
    with services().database.read() as tx:
        return schemas.sight_shown(caller(), services().standings.of(tx, caller()))


@needs(Permission.VIEWS_READ)
def listing() -> dict[str, Any]:
    """Every data view with its filters and members."""
    return {"data_views": [schemas.view_shown(each) for each in services().data_views.of(caller().project.id)]}


@needs(Permission.VIEWS_READ)
def one(view_id: int) -> dict[str, Any]:
    """One data view."""
    return schemas.view_shown(services().data_views.one(caller().project.id, view_id))


@needs(Permission.VIEWS_WRITE)
def preview(body: dict[str, Any]) -> dict[str, Any]:
    """What a view would match of what you see, before it is saved. The look stands in the audit log."""
    view = schemas.read_view(body)
    return schemas.preview_shown(services().data_views.preview(caller(), view), view)


@needs(Permission.VIEWS_WRITE)
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Save a view. Refused with 409 when a filter of it matches nothing or everything, unless you confirm."""
    return _saved(body, 0)


@needs(Permission.VIEWS_WRITE)
def change(body: dict[str, Any], view_id: int) -> dict[str, Any]:
    """Put another view in its place, members included; in force for every read that begins after this answers."""
    services().data_views.one(caller().project.id, view_id)
    return _saved(body, view_id)


@needs(Permission.VIEWS_WRITE)
def delete(query: dict[str, Any], view_id: int) -> None:
    """Forget a view. Refused with 409 while somebody sees the project through it, unless you confirm."""
    services().data_views.delete(caller(), view_id, confirm=query["confirm"])


@needs(Permission.VIEWS_READ)
def teams() -> dict[str, Any]:
    """Every team with its members."""
    return {"teams": [schemas.team_shown(each) for each in services().teams.of(caller().project.id)]}


@needs(Permission.VIEWS_WRITE)
def create_team(body: dict[str, Any]) -> dict[str, Any]:
    """Make a team of credentials."""
    return schemas.team_shown(services().teams.create(caller(), body["name"], body["members"]))


@needs(Permission.VIEWS_WRITE)
def change_team(body: dict[str, Any], team_id: int) -> dict[str, Any]:
    """Give a team other members."""
    return schemas.team_shown(services().teams.change(caller(), team_id, body["members"]))


@needs(Permission.VIEWS_WRITE)
def delete_team(team_id: int) -> None:
    """Forget a team that is in no view."""
    services().teams.delete(caller(), team_id)


@needs(Permission.VIEWS_READ)
def grants() -> dict[str, Any]:
    """Every credential that holds a permission beyond its role."""
    with services().database.read() as tx:
        return {"grants": [schemas.grant_shown(each) for each in services().grants.of(tx, caller().project.id)]}


@needs(Permission.GRANTS_WRITE)
def give(body: dict[str, Any]) -> dict[str, Any]:
    """Give a credential a permission that no role holds. The act stands in the audit log."""
    who = caller()
    with services().database.write() as tx:
        made = services().grants.give(tx, who.project.id, body["principal"], body["permission"], actor=who.id)
    return schemas.grant_shown(made)


@needs(Permission.GRANTS_WRITE)
def withdraw(body: dict[str, Any]) -> dict[str, Any]:
    """Take it away again, at once."""
    who = caller()
    with services().database.write() as tx:
        left = services().grants.withdraw(tx, who.project.id, body["principal"], body["permission"], actor=who.id)
    return schemas.grant_shown(left)


def _saved(body: dict[str, Any], view_id: int) -> dict[str, Any]:
    made = services().data_views.save(caller(), schemas.read_view(body, view_id), confirm=body["confirm"])
    return schemas.view_shown(made)
