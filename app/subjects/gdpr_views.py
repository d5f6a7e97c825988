"""Mixpanel's GDPR API v3 (wire section 15), in the superset of its published answers that every known client reads."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from app.access.roles import Permission
from app.audit.entry import iso
from app.errors import Conflict, InvalidInput, NotAllowed
from app.http import Problem, app_dialect, caller, json_body, json_response, needs, services, speak
from app.subjects.model import Outcome, RequestKind, RequestState, SubjectRequest
from app.subjects.schemas import NewRequestSchema
from app.subjects.service import Accepted, RequestStatus
from app.subjects.views import archive_response, warnings

_STATUS = {
    RequestState.RECEIVED: "STAGING",
    RequestState.IDENTIFIED: "STAGING",
    RequestState.PENDING: "PENDING",
    RequestState.RUNNING: "STARTED",
    RequestState.PAUSED: "PENDING",
    RequestState.DONE: "SUCCESS",
    RequestState.ANSWERED: "SUCCESS",
    RequestState.REJECTED: "REVOKED",
    RequestState.FAILED: "FAILURE",
    RequestState.CANCELLED: "REVOKED",
}
_DISCLOSURES = {"data": "Data", "categories": "Categories", "sources": "Sources"}


def blueprint() -> Blueprint:
    """The routes of GDPR clients, each with and without a trailing slash."""
    routes = Blueprint("gdpr", __name__)
    deletions, retrievals = "/api/app/data-deletions/v3.0", "/api/app/data-retrievals/v3.0"
    for path, method, view in (
        (deletions, "POST", create_deletion),
        (f"{deletions}/<tracking_id>", "GET", deletion_status),
        (f"{deletions}/<tracking_id>", "DELETE", cancel_deletion),
        (deletions, "DELETE", cancel_deletion),
        (retrievals, "POST", create_retrieval),
        (f"{retrievals}/<tracking_id>", "GET", retrieval_status),
        (f"{retrievals}/<tracking_id>/archive", "GET", retrieval_archive),
    ):
        for slash in ("", "/"):
            routes.add_url_rule(path + slash, view.__name__, view, methods=[method], strict_slashes=True)
    speak(routes, app_dialect)
    return routes


@needs(Permission.SUBJECTS_WRITE)
def create_deletion() -> Response:
    """Erase people. They are hidden and refused when this answers."""
    body = _body()
    accepted = services().subjects.create_erasure(caller(), body["distinct_ids"], body["compliance_type"])
    return _created(accepted)


@needs(Permission.SUBJECTS_WRITE)
def create_retrieval() -> Response:
    """Copy out everything held about people."""
    body = _body()
    accepted = services().subjects.create_access(caller(), body["distinct_ids"], body["compliance_type"], body["disclosure_type"])
    return _created(accepted)


@needs(Permission.SUBJECTS_READ)
def deletion_status(tracking_id: str) -> Response:
    """How far a deletion is. `distinct_ids` is empty once they are erased: they are not kept to be shown."""
    _check_token()
    found = services().subjects.status(caller(), tracking_id, RequestKind.ERASURE)
    return json_response({"status": "ok", "results": _job(found.request) | {"distinct_ids": list(found.identifiers)}})


@needs(Permission.SUBJECTS_READ)
def retrieval_status(tracking_id: str) -> Response:
    """How far a retrieval is; `result` is where to download it, with the same credential."""
    _check_token()
    found = services().subjects.status(caller(), tracking_id, RequestKind.ACCESS)
    url = _archive_url(found)
    more = {"result": url, "results": url, "destination_url": url, "distinct_ids": list(found.identifiers)}
    return json_response({"status": "ok", "results": _job(found.request) | more})


@needs(Permission.ARCHIVES_DOWNLOAD)
def retrieval_archive(tracking_id: str) -> Response:
    """The archive itself."""
    return archive_response(tracking_id)


@needs(Permission.SUBJECTS_WRITE)
def cancel_deletion(tracking_id: str | None = None) -> Response:
    """Take back a deletion that has not started: 204, or 405 once it has."""
    _check_token()
    try:
        services().cases.acts.cancel(caller(), tracking_id or _tracking_id())
    except Conflict as refused:
        return app_dialect(Problem(405, refused.code, refused.message, remedy=refused.remedy, allow="GET"))
    return Response(status=204)


def _tracking_id() -> str:
    sent = json_body() if request.content_length else None
    found = sent.get("tracking_id") or sent.get("task_id") if isinstance(sent, dict) else None
    if not isinstance(found, str):
        raise InvalidInput("no tracking_id was sent", field="tracking_id", remedy="put it in the path or the JSON body")
    return found


def _check_token() -> None:
    token = request.args.get("token")
    if token is not None and token != caller().project.token:
        raise NotAllowed("the token is of another project", field="token", remedy="use the token of the credential's project")


def _body() -> dict[str, Any]:
    _check_token()
    sent = json_body()
    if not isinstance(sent, dict):
        raise InvalidInput("the body is not a JSON object", field="body", remedy='send {"distinct_ids": ["…"]}')
    wanted = {
        "kind": "erasure",
        "distinct_ids": _texts(sent.get("distinct_ids")),
        "compliance_type": _upper(sent.get("compliance_type", "GDPR")),
        "disclosure_type": _disclosure(sent.get("disclosure_type", "Data")),
    }
    mistakes = NewRequestSchema().validate(wanted)
    if mistakes:
        field, found = sorted(mistakes.items())[0]
        raise InvalidInput(f"{field} is not valid: {_first(found)}", field=field, remedy="see the GDPR section of the README")
    return wanted


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        # The officer's API reads a text as CSV. Here it would be a list of its letters, each somebody's id.
        raise InvalidInput("distinct_ids is a text", field="distinct_ids", remedy='send a list: {"distinct_ids": ["…"]}')
    if not isinstance(value, list):
        return value
    return [str(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in value]


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _disclosure(value: Any) -> Any:
    return _DISCLOSURES.get(value.lower(), value) if isinstance(value, str) else value


def _first(found: Any) -> str:
    if isinstance(found, dict):
        place, inner = next(iter(found.items()))
        return f"element {place}: {_first(inner)}"
    return str(found[0])


def _created(accepted: Accepted) -> Response:
    job = _job(accepted.request) | {"task_id": accepted.request.id}
    if accepted.unknown:
        job["warnings"] = warnings(accepted)
    return json_response({"status": "ok", "results": job}, 201)


def _job(found: SubjectRequest) -> dict[str, Any]:
    return {
        "tracking_id": found.id,
        "status": _status(found),
        "requesting_user": found.requested_by,
        "compliance_type": found.compliance_type,
        "disclosure_type": found.disclosure_type,
        "project_id": found.project_id,
        "date_requested": iso(found.created_ms),
        "distinct_id_count": found.id_count,
    }


def _status(found: SubjectRequest) -> str:
    # What was kept under a legal hold was not deleted: a client that reads SUCCESS would tell its user so.
    if found.outcome in (Outcome.PARTIAL, Outcome.REFUSED, Outcome.FAILED) and found.state is not RequestState.REJECTED:
        return "FAILURE"
    waiting = found.state is RequestState.PENDING and (found.next_due_ms or 0) > services().clock()
    return "STAGING" if waiting else _STATUS[found.state]


def _archive_url(found: RequestStatus) -> str:
    if not found.archive_ready:
        return ""
    return f"{services().settings.base_url}/api/app/data-retrievals/v3.0/{found.request.id}/archive"
