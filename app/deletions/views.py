"""HTTP for whoever deletes past data: preview, create, list, look, undo, and fetch the certificate."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from app.access.roles import Permission
from app.deletions.schemas import (
    CreateSchema,
    DeletionListSchema,
    DeletionSchema,
    ExtentSchema,
    SurveySchema,
    asked,
    deletion_view,
    survey_view,
)
from app.errors import Conflict
from app.http import api_blueprint, caller, needs, services


def blueprint() -> Blueprint:
    """The routes of data deletion."""
    routes = api_blueprint("data-deletions", "Delete past events, or one property from history.")
    gives, takes, route = routes.response, routes.arguments, routes.route
    route("/v1/data-deletions/preview", methods=["POST"])(takes(ExtentSchema)(gives(200, SurveySchema)(preview)))
    route("/v1/data-deletions", methods=["POST"])(takes(CreateSchema)(gives(201, DeletionSchema)(create)))
    route("/v1/data-deletions", methods=["GET"])(gives(200, DeletionListSchema)(listing))
    one = "/v1/data-deletions/<uuid:deletion_id>"
    route(one, methods=["GET"])(gives(200, DeletionSchema)(status))
    route(f"{one}/undo", methods=["POST"])(gives(200, DeletionSchema)(undo))
    signed = gives(200, content_type="text/plain", description="The signed certificate")(certificate)
    route(f"{one}/certificate", methods=["GET"])(signed)
    return routes


@needs(Permission.DELETIONS_WRITE)
def preview(body: dict[str, Any]) -> dict[str, Any]:
    """What a deletion would cover now, by event and day, and how many people it touches. Changes nothing; the look is logged."""
    who = caller()
    return survey_view(services().deletions.preview(who.project, asked(body), actor=who.id, reader=who))


@needs(Permission.DELETIONS_WRITE)
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Hide what is covered and was received until now, everywhere and at once; it is erased when the time to undo is over."""
    who = caller()
    made = services().deletions.create(
        who.project, asked(body), body["reason"], body.get("reference"), actor=who.id, reader=who, confirm=body["confirm"]
    )
    return deletion_view(made)


@needs(Permission.DELETIONS_READ)
def listing() -> dict[str, Any]:
    """The newest hundred deletions of the project."""
    return {"deletions": [deletion_view(each) for each in services().deletions.of(caller().project.id)]}


@needs(Permission.DELETIONS_READ)
def status(deletion_id: Any) -> dict[str, Any]:
    """Where a deletion stands, and what was counted."""
    return deletion_view(services().deletions.status(caller().project.id, str(deletion_id)))


@needs(Permission.DELETIONS_WRITE)
def undo(deletion_id: Any) -> dict[str, Any]:
    """Show again what a deletion hides, while that can be undone."""
    who = caller()
    return deletion_view(services().deletions.undo(who.project.id, str(deletion_id), actor=who.id))


@needs(Permission.DELETIONS_READ)
def certificate(deletion_id: Any) -> Response:
    """The signed certificate of a deletion that is carried out: a C2SP note that verifies offline."""
    found = services().deletions.status(caller().project.id, str(deletion_id))
    if found.certificate is None:
        raise Conflict(f"the deletion is {found.state.value} and has no certificate", remedy="ask again once it is done")
    return Response(found.certificate, mimetype="text/plain", headers={"Cache-Control": "no-store"})
