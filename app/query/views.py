"""HTTP for readers: `/api/2.0/export` and the profile query in Mixpanel's dialect (wire sections 13 and 14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request
from flask_smorest import Blueprint as SmorestBlueprint

from app.access.roles import Permission
from app.errors import NotAllowed, Unsupported
from app.http import Problem, api_blueprint, app_dialect, caller, json_response, needs, services, speak
from app.query.export import gzipped
from app.query.feed import feed_params
from app.query.params import engage_params, export_params
from app.query.schemas import CohortListSchema, CohortSchema, NewCohortSchema, cohort_view
from app.query.sessions import PAGE_SIZE

_EXPORT = "/api/2.0/export"
_WORTH_PACKING = 1_400


def blueprint() -> Blueprint:
    """The routes of readers, each with and without a trailing slash and never a redirect."""
    routes = Blueprint("query", __name__)
    for path, view, methods in (
        (_EXPORT, export, ["GET"]),
        ("/api/2.0/engage", engage, ["GET", "POST"]),
        ("/api/query/engage", engage, ["GET", "POST"]),
        ("/api/2.0/stream/query", activity, ["GET", "POST"]),
        ("/api/query/stream/query", activity, ["GET", "POST"]),
        ("/api/2.0/cohorts/list", cohort_list, ["GET", "POST"]),
        ("/api/query/cohorts/list", cohort_list, ["GET", "POST"]),
        ("/api/2.0/jql", jql, ["GET", "POST"]),
        ("/api/query/jql", jql, ["GET", "POST"]),
    ):
        for rule in (path, path + "/"):
            routes.add_url_rule(rule, view.__name__, view, methods=methods, strict_slashes=False)
    speak(routes, _dialect)
    return routes


def cohort_blueprint() -> SmorestBlueprint:
    """The routes of saved filters."""
    routes = api_blueprint("cohorts", "Filters of profiles that are saved under a name.")
    routes.route("/v1/cohorts", methods=["GET"])(routes.response(200, CohortListSchema)(cohorts))
    saved = routes.arguments(NewCohortSchema)(routes.response(201, CohortSchema)(save_cohort))
    routes.route("/v1/cohorts", methods=["POST"])(saved)
    routes.route("/v1/cohorts/<int:cohort_id>", methods=["DELETE"])(routes.response(204)(delete_cohort))
    return routes


@needs(Permission.EVENTS_READ)
def export() -> Response:
    """Events of a range of days, one JSON object a line, streamed; zero bytes when there is none."""
    _own_project(request.args)
    params = export_params(request.args, _zone())
    if request.method == "HEAD":
        return _text(())
    stream = services().query.export(caller(), params)
    # What fails before the first line can still be told with a status; later only a broken connection tells it.
    first = next(stream, b"")
    if not first:
        return _text(())
    lines = chain((first,), stream)
    # As the vendor does: what fits a packet or so is not worth packing.
    second = next(stream, b"") if len(first) <= _WORTH_PACKING else b""
    lines = chain((first, second), stream) if second else lines
    packed = request.accept_encodings["gzip"] > 0 and (len(first) > _WORTH_PACKING or bool(second))
    response = _text(gzipped(lines) if packed else lines)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.call_on_close(stream.close)
    return response


@needs(Permission.EVENTS_READ, project_in_form=True)
def engage() -> Response:
    """A page of profiles; parameters stand in the query or in a form."""
    _own_project(request.values)
    found = services().query.profiles(caller(), engage_params(request.values))
    return json_response(
        {
            "page": found.page,
            "page_size": PAGE_SIZE,
            "results": found.results,
            "session_id": found.session_id,
            "status": "ok",
            "total": found.total,
        }
    )


@needs(Permission.EVENTS_READ, project_in_form=True)
def activity() -> Response:
    """What some people did in a range of days, oldest first; the newest ten thousand at most."""
    _own_project(request.values)
    events = services().feed.events(caller(), feed_params(request.values, _zone()))
    return json_response({"status": "ok", "results": {"events": events}})


@needs(Permission.EVENTS_READ, project_in_form=True)
def cohort_list() -> Response:
    """Every cohort with its count, in Mixpanel's shape."""
    _own_project(request.values)
    return json_response(
        [
            {
                "count": each.count,
                "is_visible": 1,
                "description": each.cohort.description,
                "created": f"{datetime.fromtimestamp(each.cohort.created_ms // 1000, UTC):%Y-%m-%d %H:%M:%S}",
                "project_id": caller().project.id,
                "id": each.cohort.id,
                "name": each.cohort.name,
            }
            for each in services().cohorts.listing(caller())
        ]
    )


@needs(Permission.EVENTS_READ)
def jql() -> Response:
    """Scripts are refused by name: a client that is told 404 looks for its mistake."""
    remedy = "choose by `where` in /api/2.0/export and /api/2.0/engage, and count what comes"
    raise Unsupported("JQL, a script that runs over the events, is not supported by this installation", remedy=remedy)


@needs(Permission.EVENTS_READ)
def cohorts() -> dict[str, Any]:
    """Every cohort with its filter and how many profiles it holds now."""
    return {"cohorts": [cohort_view(each) for each in services().cohorts.listing(caller())]}


@needs(Permission.COHORTS_WRITE)
def save_cohort(body: dict[str, Any]) -> dict[str, Any]:
    """Save a filter. Refused with 409 when it matches nothing or everything, unless you want it anyway."""
    made = services().cohorts.save(caller(), body["name"], body["description"], body["where"], anyway=body["anyway"])
    return cohort_view(made)


@needs(Permission.COHORTS_WRITE)
def delete_cohort(cohort_id: int) -> None:
    """Forget a filter; the profiles it matched stay."""
    services().cohorts.delete(caller(), cohort_id)


def _zone() -> tzinfo:
    name = caller().project.time_zone
    return UTC if name == "UTC" else ZoneInfo(name)


def _own_project(sent: Mapping[str, str]) -> None:
    # A project secret or a bearer has one project, and a service account its own (wire section 2).
    if sent.get("project_id") not in (None, "", str(caller().project.id)):
        raise NotAllowed(
            "this credential is not of that project",
            field="project_id",
            remedy="use a credential of the project",
        )


def _text(body: Iterator[bytes] | tuple[()]) -> Response:
    response = Response(body, content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def _dialect(problem: Problem) -> Response:
    if not request.path.startswith(_EXPORT):
        return app_dialect(problem)
    return Response(problem.sentence + "\n", status=problem.status, content_type="text/plain; charset=utf-8")
