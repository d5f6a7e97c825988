"""HTTP for sanitised re-imports. Ids of people stand in bodies that come in, and nowhere else."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from app.access.roles import Permission
from app.errors import Conflict
from app.http import api_blueprint, caller, needs, services
from app.reimport.schemas import (
    NewReimportSchema,
    ReimportAheadSchema,
    ReimportListSchema,
    ReimportOverrideSchema,
    ReimportReviewSchema,
    ReimportSchema,
    ahead_view,
    order_of,
    reimport_view,
    review_view,
)

_MOST_WARNINGS = 100
_ONE = "/v1/reimports/<uuid:reimport_id>"


def blueprint() -> Blueprint:
    """The routes of re-imports."""
    routes = api_blueprint("reimport", "Sanitised re-imports: anonymise known users, keep the analytics.")
    gives, takes, route = routes.response, routes.arguments, routes.route
    route("/v1/reimports/preview", methods=["POST"])(takes(NewReimportSchema)(gives(200, ReimportAheadSchema)(preview)))
    route("/v1/reimports", methods=["POST"])(takes(NewReimportSchema)(gives(202, ReimportSchema)(create)))
    route("/v1/reimports", methods=["GET"])(gives(200, ReimportListSchema)(listing))
    route(_ONE, methods=["GET"])(gives(200, ReimportSchema)(status))
    route(f"{_ONE}/review", methods=["GET"])(gives(200, ReimportReviewSchema)(review))
    route(f"{_ONE}/approve", methods=["POST"])(gives(200, ReimportSchema)(approve))
    route(f"{_ONE}/override", methods=["POST"])(takes(ReimportOverrideSchema)(gives(200, ReimportSchema)(override)))
    route(f"{_ONE}/cancel", methods=["POST"])(gives(200, ReimportSchema)(cancel))
    route(f"{_ONE}/statement", methods=["GET"])(statement)
    return routes


@needs(Permission.SUBJECTS_WRITE)
def preview(body: dict[str, Any]) -> dict[str, Any]:
    """What a re-import would reach, in figures. Changes nothing; the look stands in the audit log."""
    return ahead_view(services().reimports.preview(caller(), order_of(body)))


@needs(Permission.SUBJECTS_WRITE)
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Begin one: a worker looks through everything and reports. Nothing changes before somebody approves it."""
    made, unknown = services().reimports.create(caller(), order_of(body))
    warnings = [
        {
            "field": f"distinct_ids[{position}]",
            "message": "this id is not known here: nothing is held under it",
            "remedy": "check its spelling; a device is written $device:<id>",
        }
        for position in unknown[:_MOST_WARNINGS]
    ]
    return {**reimport_view(made), "warnings": warnings}


@needs(Permission.SUBJECTS_READ)
def listing() -> dict[str, Any]:
    """Re-imports of the project, newest first."""
    return {"reimports": [reimport_view(each) for each in services().reimports.of(caller().project.id)]}


@needs(Permission.SUBJECTS_READ)
def status(reimport_id: Any) -> dict[str, Any]:
    """How far it is."""
    return reimport_view(services().reimports.status(caller().project.id, str(reimport_id)))


@needs(Permission.SUBJECTS_READ)
def review(reimport_id: Any) -> dict[str, Any]:
    """The report: what is kept, changed and dropped, what is still found, who hides among whom, and whether figures agree."""
    found = services().reimports.status(caller().project.id, str(reimport_id))
    if found.report is None:
        raise Conflict(f"the re-import is {found.state.value} and has no report yet", remedy="ask again once it is in review")
    return review_view(found)


@needs(Permission.SUBJECTS_WRITE)
def approve(reimport_id: Any) -> dict[str, Any]:
    """Let it go on: the people are hidden, staged, erased, and stored again under fresh ids."""
    return reimport_view(services().reimports.approve(caller(), str(reimport_id)))


@needs(Permission.SUBJECTS_WRITE)
def override(body: dict[str, Any], reimport_id: Any) -> dict[str, Any]:
    """Put your word for a blocked re-import, with a reason. Two different people have to, before it can be approved."""
    return reimport_view(services().reimports.override(caller(), str(reimport_id), body["reason"]))


@needs(Permission.SUBJECTS_WRITE)
def cancel(reimport_id: Any) -> dict[str, Any]:
    """Take everything back, as long as no erasure is ordered."""
    return reimport_view(services().reimports.cancel(caller(), str(reimport_id)))


@needs(Permission.SUBJECTS_READ)
def statement(reimport_id: Any) -> Response:
    """The signed statement of a finished re-import: a C2SP note under the key of GET /v1/certificate-key."""
    found = services().reimports.status(caller().project.id, str(reimport_id))
    if found.statement is None:
        raise Conflict(f"the re-import is {found.state.value} and has no statement", remedy="ask again once it is done")
    return Response(found.statement, mimetype="text/plain", headers={"Cache-Control": "no-store"})
