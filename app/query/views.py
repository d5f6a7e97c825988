"""HTTP for readers: `/api/2.0/export` and the profile query in Mixpanel's dialect (wire sections 13 and 14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from flask import Blueprint, Response, request

from app.access.roles import Permission
from app.errors import NotAllowed
from app.http import Problem, app_dialect, caller, json_response, needs, services, speak
from app.query.export import gzipped
from app.query.params import engage_params, export_params
from app.query.sessions import PAGE_SIZE

_EXPORT = "/api/2.0/export"


def blueprint() -> Blueprint:
    """The routes of readers, each with and without a trailing slash and never a redirect."""
    routes = Blueprint("query", __name__)
    for path, view, methods in (
        (_EXPORT, export, ["GET"]),
        ("/api/2.0/engage", engage, ["GET", "POST"]),
        ("/api/query/engage", engage, ["GET", "POST"]),
    ):
        for rule in (path, path + "/"):
            routes.add_url_rule(rule, view.__name__, view, methods=methods, strict_slashes=False)
    speak(routes, _dialect)
    return routes


@needs(Permission.EVENTS_READ)
def export() -> Response:
    """Events of a range of days, one JSON object a line, streamed; zero bytes when there is none."""
    _own_project(request.args)
    params = export_params(request.args)
    if request.method == "HEAD":
        return _text(())
    stream = services().query.export(caller(), params)
    # What fails before the first line can still be told with a status; later only a broken connection tells it.
    first = next(stream, b"")
    if not first:
        return _text(())
    lines = chain((first,), stream)
    packed = request.accept_encodings["gzip"] > 0
    response = _text(gzipped(lines) if packed else lines)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.call_on_close(stream.close)
    return response


@needs(Permission.EVENTS_READ)
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


def _own_project(sent: Mapping[str, str]) -> None:
    # A service account that names its project in a form (wire section 2) is not checked before the body is read.
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
