"""HTTP for the identity mode of the caller's project."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint

from app.access.modes import IdentityMode
from app.access.roles import Permission
from app.http import api_blueprint, caller, needs, services
from app.identity.schemas import IdentitySchema


def blueprint() -> Blueprint:
    """The routes of identity."""
    routes = api_blueprint("identity", "Which ids are one person.")
    routes.route("/v1/identity", methods=["GET"])(routes.response(200, IdentitySchema)(show))
    routes.route("/v1/identity", methods=["PUT"])(routes.arguments(IdentitySchema)(routes.response(200, IdentitySchema)(change)))
    return routes


@needs(Permission.POLICY_READ)
def show() -> dict[str, Any]:
    """The mode in force."""
    return {"mode": services().identity.mode(caller().project.id).value}


@needs(Permission.IDENTITY_WRITE)
def change(body: dict[str, Any]) -> dict[str, Any]:
    """Put another mode in force, for events from now on."""
    services().identity.set_mode(caller().project.id, IdentityMode(body["mode"]), actor=caller().id)
    return {"mode": body["mode"]}
