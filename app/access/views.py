"""HTTP for service accounts as Mixpanel publishes it (wire section 20), for who is calling, and for a project's settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import Schema, ValidationError

from app.access import schemas
from app.access.accounts import ServiceAccount
from app.access.roles import PERMISSIONS, Permission, Role
from app.access.service import project_by_id
from app.audit.entry import iso
from app.errors import InvalidInput, NotFound
from app.http import api_blueprint, app_dialect, caller, json_body, json_response, needs, services, speak

ORGANISATION = 1
"""The number of the one organisation that an installation is."""
_ACCOUNTS = "/api/app/organizations/<int:organization_id>/service-accounts"
# As the vendor orders them; the other roles are not the vendor's and come last.
_ORDER = (Role.OWNER, Role.ADMIN, Role.ANALYST, Role.CONSUMER)


def blueprint() -> Blueprint:
    """The routes of account clients, each with and without a trailing slash."""
    routes = Blueprint("accounts", __name__)
    for path, method, view in (
        ("/api/app/me", "GET", me),
        (_ACCOUNTS, "GET", listing),
        (_ACCOUNTS, "POST", create),
        (f"{_ACCOUNTS}/<int:account_id>", "GET", one),
        (f"{_ACCOUNTS}/<int:account_id>", "DELETE", delete),
        (f"{_ACCOUNTS}/add-to-project", "POST", add),
        (f"{_ACCOUNTS}/remove-from-project", "POST", remove),
        ("/api/app/projects/<int:project_id>/service-accounts", "GET", members),
    ):
        for slash in ("", "/"):
            routes.add_url_rule(path + slash, view.__name__, view, methods=[method], strict_slashes=True)
    speak(routes, app_dialect)
    return routes


def settings_blueprint() -> SmorestBlueprint:
    """The routes of a project's settings and of rotation, which the vendor does not have."""
    routes = api_blueprint("project", "How the caller's project is set, and secrets that are renewed.")
    routes.route("/v1/project", methods=["GET"])(routes.response(200, schemas.ProjectSchema)(project))
    zone = routes.arguments(schemas.TimeZoneSchema)(routes.response(200, schemas.TimeZoneSchema)(set_time_zone))
    routes.route("/v1/project/time-zone", methods=["PUT"])(zone)
    turn = routes.arguments(schemas.RotationSchema)(routes.response(200, schemas.RotatedSchema)(rotate))
    routes.route("/v1/service-accounts/<int:account_id>/rotate", methods=["POST"])(turn)
    return routes


# --- who is calling --------------------------------------------------------------------------------------------------


@needs(Permission.PROJECT_READ)
def me() -> Response:
    """Who is calling, and what it is in which projects: what clients ask to try a credential."""
    by = caller()
    with services().database.read() as tx:
        account = services().accounts.of(tx, by)
        roles = dict(account.roles) if account else {by.project.id: by.role}
        mine = [project_by_id(tx, each) for each in sorted(roles)]
    projects = {
        str(each.id): {
            "id": each.id,
            "name": each.name,
            "organization_id": ORGANISATION,
            "role": {"name": roles[each.id].value},
            "timezone": each.time_zone,
        }
        for each in mine
    }
    return _done(
        {
            "user_id": account.number if account else None,
            "user_name": account.username if account else by.id,
            "user_email": "",
            "organizations": {str(ORGANISATION): {"id": ORGANISATION, "name": "portcullis", "role": by.role.value}},
            "projects": projects,
            "workspaces": {},
        }
    )


# --- service accounts ------------------------------------------------------------------------------------------------


@needs(Permission.ACCOUNTS_READ)
def listing(organization_id: int) -> Response:
    """Every account that the caller sees."""
    _enter(organization_id)
    with services().database.read() as tx:
        found = services().accounts.listed(tx, _manager(tx, Permission.ACCOUNTS_READ))
    return _done([_account(each) for each in found])


@needs(Permission.ACCOUNTS_READ)
def one(organization_id: int, account_id: int) -> Response:
    """One account."""
    _enter(organization_id)
    with services().database.read() as tx:
        return _done(_account(services().accounts.one(tx, _manager(tx, Permission.ACCOUNTS_READ), account_id)))


@needs(Permission.ACCOUNTS_READ)
def members(project_id: int) -> Response:
    """The accounts that act in a project, and as what."""
    with services().database.read() as tx:
        found = services().accounts.listed(tx, _manager(tx, Permission.ACCOUNTS_READ), project_id)
    return _done([_account(each) | _membership(each.roles[project_id]) for each in found])


@needs(Permission.ACCOUNTS_WRITE)
def create(organization_id: int) -> Response:
    """Make an account, a member of the projects that are named. Its secret is in this answer and nowhere else."""
    _enter(organization_id)
    sent = _body(schemas.NewAccountSchema())
    role = Role(sent["role"])
    projects = {each["id"]: Role(each.get("role", role.value)) for each in sent["projects"]}
    with services().database.write() as tx:
        manager = _manager(tx, Permission.ACCOUNTS_WRITE)
        made, secret = services().accounts.create(
            tx, manager, caller().project.id, sent["username"], role, projects, _milliseconds(sent["expires"])
        )
    return json_response({"results": _account(made) | {"token": secret}, "status": "ok"}, 201)


@needs(Permission.ACCOUNTS_WRITE)
def delete(organization_id: int, account_id: int) -> Response:
    """End an account everywhere, at once."""
    _enter(organization_id)
    with services().database.write() as tx:
        services().accounts.delete(tx, _manager(tx, Permission.ACCOUNTS_WRITE), account_id)
    return json_response({"status": "ok"})


@needs(Permission.ACCOUNTS_WRITE)
def add(organization_id: int) -> Response:
    """Make accounts members of projects. All of it happens, or nothing."""
    _enter(organization_id)
    sent = _body(schemas.AddSchema())
    projects = {each["id"]: Role(each["role"]) for each in sent["projects"]}
    with services().database.write() as tx:
        services().accounts.add(tx, _manager(tx, Permission.ACCOUNTS_WRITE), projects, sent["service_account_ids"])
    return json_response({"status": "ok"})


@needs(Permission.ACCOUNTS_WRITE)
def remove(organization_id: int) -> Response:
    """Take accounts out of projects. All of it happens, or nothing."""
    _enter(organization_id)
    sent = _body(schemas.RemoveSchema())
    projects: dict[int, set[int]] = {}
    for each in sent["projects"]:
        projects.setdefault(each["id"], set()).update(each["service_account_ids"])
    with services().database.write() as tx:
        services().accounts.remove(tx, _manager(tx, Permission.ACCOUNTS_WRITE), projects)
    return json_response({"status": "ok"})


@needs(Permission.ACCOUNTS_WRITE)
def rotate(body: dict[str, Any], account_id: int) -> dict[str, Any]:
    """Give a service account another secret; the one before is good for some hours more."""
    hours = body["overlap_hours"]
    with services().database.write() as tx:
        manager = _manager(tx, Permission.ACCOUNTS_WRITE)
        account, secret = services().accounts.rotate(tx, manager, account_id, hours)
    until = iso(services().clock() + hours * 3_600_000)
    return {"id": account.number, "username": account.username, "token": secret, "previous_until": until}


# --- settings --------------------------------------------------------------------------------------------------------


@needs(Permission.PROJECT_READ)
def project() -> dict[str, Any]:
    """The caller's project."""
    found = caller().project
    return {
        "id": found.id,
        "name": found.name,
        "region": found.region,
        "identity": found.identity.value,
        "time_zone": found.time_zone,
    }


@needs(Permission.PROJECT_WRITE)
def set_time_zone(body: dict[str, Any]) -> dict[str, Any]:
    """Let `from_date` and `to_date` mean the days of another time zone from now on. No event changes."""
    with services().database.write() as tx:
        services().access.set_time_zone(tx, caller().project.id, body["time_zone"], actor=caller().id)
    return body


# --- shapes ----------------------------------------------------------------------------------------------------------


def _enter(organization_id: int) -> None:
    if organization_id != ORGANISATION:
        remedy = f"this installation is organization {ORGANISATION}"
        raise NotFound("no such organization", field="organizationId", remedy=remedy)


def _manager(tx: Any, permission: Permission) -> Any:
    return services().accounts.manager(tx, caller(), permission)


def _done(results: Any) -> Response:
    return json_response({"results": results, "status": "ok"})


def _account(found: ServiceAccount) -> dict[str, Any]:
    return {
        "id": found.number,
        "username": found.username,
        "last_used": _moment(found.last_used_ms),
        "expires": _moment(found.expires_ms),
        "creator": found.creator,
        "created": iso(found.created_ms),
        "user": found.number,
    }


def _membership(role: Role) -> dict[str, Any]:
    return {
        "hasSensitiveAccess": Permission.VALUES_DECRYPT in PERMISSIONS[role],
        "role": role.value,
        "role_order": _ORDER.index(role) if role in _ORDER else len(_ORDER),
        "target_type": "individual",
        "email": "",
    }


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


def _body(schema: Schema) -> Any:
    sent = json_body() if request.get_data() else {}
    try:
        return schema.load(sent)
    except ValidationError as refused:
        place, fault = _first(refused.messages)
        raise InvalidInput(
            f"{place} is not valid: {fault}", field=place, remedy="send what /openapi.json says of this endpoint"
        ) from None


def _first(found: Any, place: str = "") -> tuple[str, str]:
    """The first mistake and where it is. A field that nobody declared is not named: its name was sent."""
    if isinstance(found, dict) and found:
        known = {name: each for name, each in found.items() if each != ["Unknown field."]}
        if not known:
            return place or "body", "a field that is not known here"
        name, inner = next(iter(known.items()))
        if name == "_schema":
            return _first(inner, place)
        return _first(inner, f"{place}[{name}]" if isinstance(name, int) else f"{place}.{name}".removeprefix("."))
    return place or "body", str(found[0]) if found else "not readable"
