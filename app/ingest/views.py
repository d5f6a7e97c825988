"""HTTP for senders: `/track`, `/import`, `/engage`, `/groups` in Mixpanel's dialect (wire sections 3 to 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from app.access.roles import Permission
from app.errors import NotAllowed, TooBusy
from app.http import Problem, app_dialect, caller, json_response, needs, public, services, speak
from app.ingest.answers import Answer, ingest_answer, ingest_error
from app.ingest.circumstances import Circumstances, heard
from app.ingest.errors import WireError
from app.ingest.tally import Tally
from app.ingest.wire import Batch, Controls, Endpoint, WireRequest, decode, dialect, query_pairs
from app.lexicon.reading import REASONS


def blueprint() -> Blueprint:
    """The routes of senders, each with and without a trailing slash and never a redirect."""
    routes = Blueprint("ingest", __name__)
    for name, view in (("track", track), ("import", import_events), ("engage", engage), ("groups", groups)):
        for path in (f"/{name}", f"/{name}/"):
            routes.add_url_rule(path, name, view, methods=["GET", "POST"], strict_slashes=True)
    for name, answer in (("flags", flags), ("flags/definitions", flag_definitions), ("settings", sdk_settings)):
        for path in (f"/{name}", f"/{name}/"):
            routes.add_url_rule(path, answer.__name__, answer, methods=["GET", "POST"], strict_slashes=True)
    for path in ("/record", "/record/"):
        routes.add_url_rule(path, "record", record, methods=["POST"], strict_slashes=True)
    routes.after_request(_allow_browsers)
    speak(routes, _refusal)
    return routes


@public
def track() -> Response:
    """Events; each carries its project token."""
    return _receive("track", services().ingest.track)


@public
def engage() -> Response:
    """Profile updates; each carries its project token."""
    return _receive("engage", services().ingest.engage)


@public
def groups() -> Response:
    """Updates of group profiles; each carries its project token."""
    return _receive("groups", services().ingest.groups)


@needs(Permission.EVENTS_IMPORT, token_suffices=True)
def import_events() -> Response:
    """Events of any age, by an authenticated sender."""
    who = caller()
    # The body waits with the sender: it is read once there is a place.
    with _place():
        return _receive("import", lambda batch, _: services().ingest.import_events(batch, who.project, who.id))


@contextmanager
def _place() -> Iterator[None]:
    waits = services().metrics.waits
    try:
        with services().ingest.lane.place() as seconds:
            if seconds:
                waits.labels("waited").inc()
            yield
    except TooBusy:
        waits.labels("refused").inc()
        raise


@public
def flags() -> Response:
    """No feature flags are served here; an SDK that asks goes on with its defaults."""
    return json_response({"code": 200, "flags": {}, "status": "OK"})


@public
def flag_definitions() -> Response:
    """The same for SDKs that evaluate flags themselves."""
    return json_response({"code": 200, "flags": [], "status": "OK"})


@public
def sdk_settings() -> Response:
    """Remote settings of the browser SDK: sessions are not recorded, because a recording cannot be checked."""
    return json_response({"code": 200, "sdk_config": {"config": {"record_sessions_percent": 0}}, "status": "OK"})


@public
def record() -> Response:
    """Session replay is refused: what a page looked like cannot be checked by a policy."""
    raise NotAllowed("session replay is not accepted here", remedy="set record_sessions_percent to 0 in the SDK")


def _receive(endpoint: Endpoint, work: Callable[[Batch, Circumstances], Tally]) -> Response:
    try:
        batch = decode(_wire(endpoint), services().ingest.limits)
    except WireError as fault:
        services().metrics.records.labels(endpoint, "unreadable").inc()
        return _refusal(Problem(fault.status, fault.code, fault.message, fault.field, fault.remedy))
    tally = work(batch, circumstances(batch.controls))
    _count(endpoint, tally)
    response = _response(ingest_answer(batch.controls, endpoint, batch.bare, tally.valid, tally.failures))
    if told := {reason: n for reason, n in tally.refused.items() if reason in REASONS}:
        # The body is what SDKs compare with. Only what goes by names is told: a person's state is nobody's to ask for.
        response.headers["Portcullis-Refused"] = ", ".join(f"{reason}={n}" for reason, n in sorted(told.items()))
    return response


def circumstances(controls: Controls) -> Circumstances:
    """What the request at hand says about its sender. The address counts only where the sender asked for a look-up."""
    return Circumstances(request.remote_addr if controls.ip else None, heard(request.headers.get))


def _response(answer: Answer) -> Response:
    response = Response(answer.body, status=answer.status, content_type=answer.content_type)
    for name, value in answer.headers:
        response.headers[name] = value
    return response


def _wire(endpoint: Endpoint) -> WireRequest:
    return WireRequest(
        method=request.method,
        endpoint=endpoint,
        query=query_pairs(request.query_string, services().ingest.limits),
        content_type=request.content_type,
        content_encoding=request.headers.get("Content-Encoding"),
        # Kept by the request until it is answered: if it is refused, its form says how the sender reads a refusal.
        body=request.get_data(),
    )


def _refusal(problem: Problem) -> Response:
    if problem.status == 403 and request.endpoint == "ingest.record":
        return app_dialect(problem)
    endpoint = cast(Endpoint, request.path.strip("/"))
    controls, bare = _manner(endpoint)
    return _response(ingest_error(controls, endpoint, bare, problem.status, problem.code, problem.sentence, problem.retry_after))


def _manner(endpoint: Endpoint) -> tuple[Controls, bool]:
    """How the sender wants to be answered. A body that is too long or was cut short is not read: it is answered plainly."""
    try:
        return dialect(_wire(endpoint), services().ingest.limits)
    except (WireError, HTTPException):
        return Controls(), "json" in (request.content_type or "")


def _count(endpoint: Endpoint, tally: Tally) -> None:
    metrics = services().metrics
    outcomes = {
        "stored": tally.stored,
        "refused": tally.refused.total(),
        "quarantined": tally.quarantined,
        "invalid": len(tally.failures),
    }
    for outcome, n in outcomes.items():
        if n:
            metrics.records.labels(endpoint, outcome).inc(n)
    for outcome, n in tally.links.items():
        metrics.links.labels(outcome).inc(n)
    for reason, n in tally.refused.items():
        metrics.refusals.labels(reason).inc(n)


_SDK_HEADERS = "Authorization, Content-Type, Content-Encoding, traceparent"


def _allow_browsers(response: Response) -> Response:
    # Browsers send these requests with credentials: a wildcard is refused, and the SDK then loses the batch in silence.
    origin = request.headers.get("Origin")
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        # An SDK may be told to send headers of its own (`xhr_headers`). Nothing here trusts a cookie, so none is a danger.
        asked = request.headers.get("Access-Control-Request-Headers")
        response.headers["Access-Control-Allow-Headers"] = asked or _SDK_HEADERS
        response.headers["Access-Control-Expose-Headers"] = "Retry-After, Portcullis-Error"
        response.headers["Access-Control-Max-Age"] = "86400"
    response.headers.add("Vary", "Origin")
    return response
