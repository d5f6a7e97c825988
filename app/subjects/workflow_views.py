"""What officers do with requests on their way. Ids of people stand in bodies, never in URLs or logs."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_smorest import Blueprint

from app.access.roles import Permission
from app.errors import InvalidInput
from app.http import api_blueprint, caller, needs, services
from app.subjects.corrections import Change
from app.subjects.holds import Basis, Scope
from app.subjects.idempotency import Once
from app.subjects.model import Channel, ExtensionReason, IdentityMethod, Rejection, RequestKind
from app.subjects.schemas import IdempotencySchema, RequestSchema, request_view
from app.subjects.workflow_schemas import (
    CSV_BODY,
    ChannelSchema,
    CorrectionPreviewSchema,
    ExtensionSchema,
    ForeseenSchema,
    HoldListSchema,
    HoldSchema,
    IdentityActSchema,
    NewHoldSchema,
    RegimesSchema,
    RejectionSchema,
    ReportQuery,
    ReportSchema,
    UploadedSchema,
    UploadQuery,
    figures_view,
    hold_view,
    regime_view,
)
from policies.regimes import REGIMES


def blueprint() -> Blueprint:
    """The routes of the workflow."""
    routes = api_blueprint("workflow", "The way of a data-subject request: identity, approval, clocks, answers, holds.")
    for path, method, takes, gives, view in _ROUTES:
        shown = routes.response(200, gives)(view)
        if takes is not None:
            shown = routes.arguments(takes[0], location=takes[1])(shown)
        routes.route(path, methods=[method])(shown)
    taken = routes.doc(**CSV_BODY)(routes.response(200, UploadedSchema)(upload))
    taken = routes.arguments(UploadQuery, location="query")(routes.arguments(IdempotencySchema, location="headers")(taken))
    routes.route("/v1/requests/upload", methods=["POST"])(taken)
    return routes


@needs(Permission.SUBJECTS_WRITE)
def identify(body: dict[str, Any], request_id: Any) -> dict[str, Any]:
    """Record that the request comes from its person. It then goes on, unless somebody has to approve it."""
    return request_view(services().cases.acts.identify(caller(), str(request_id), IdentityMethod(body["method"])))


@needs(Permission.SUBJECTS_WRITE)
def approve(request_id: Any) -> dict[str, Any]:
    """Let the request take effect. Where the installation asks for a second person, not by who submitted or verified it."""
    return request_view(services().cases.acts.approve(caller(), str(request_id)))


@needs(Permission.SUBJECTS_WRITE)
def reject(body: dict[str, Any], request_id: Any) -> dict[str, Any]:
    """Refuse a request that has not started, for a reason of GDPR articles 12 and 17(3). What it hid is shown again."""
    return request_view(services().cases.acts.reject(caller(), str(request_id), Rejection(body["reason"])))


@needs(Permission.SUBJECTS_WRITE)
def pause(request_id: Any) -> dict[str, Any]:
    """Stop the work where it is. What the request hides stays hidden; a worker at it changes nothing from now on."""
    return request_view(services().cases.acts.pause(caller(), str(request_id)))


@needs(Permission.SUBJECTS_WRITE)
def resume(request_id: Any) -> dict[str, Any]:
    """Go on with a paused request."""
    return request_view(services().cases.acts.resume(caller(), str(request_id)))


@needs(Permission.SUBJECTS_WRITE)
def acknowledge(body: dict[str, Any], request_id: Any) -> dict[str, Any]:
    """Record that receipt was confirmed to the person (11 CCR section 7021(a))."""
    return request_view(services().cases.acts.acknowledge(caller(), str(request_id), Channel(body["channel"])))


@needs(Permission.SUBJECTS_WRITE)
def extend(body: dict[str, Any], request_id: Any) -> dict[str, Any]:
    """Record the notice of an extension: the deadline moves as far as the regime allows. Once, before the first is over."""
    reason, channel = ExtensionReason(body["reason"]), Channel(body["channel"])
    return request_view(services().cases.acts.extend(caller(), str(request_id), reason, channel))


@needs(Permission.SUBJECTS_WRITE)
def answer(body: dict[str, Any], request_id: Any) -> dict[str, Any]:
    """Record that the person was told what became of the request."""
    return request_view(services().cases.acts.answer(caller(), str(request_id), Channel(body["channel"])))


@needs(Permission.SUBJECTS_WRITE)
def lift(request_id: Any) -> dict[str, Any]:
    """End a restriction, after its person was told (GDPR article 18(3)). Whom another one holds stays restricted."""
    return request_view(services().cases.acts.lift(caller(), str(request_id)))


@needs(Permission.SUBJECTS_READ)
def preview_correction(body: dict[str, Any]) -> dict[str, int]:
    """What a rectification would change, in numbers, and how many values the policy refuses. Changes nothing."""
    who = caller()
    with services().database.read() as tx:
        sight = services().sights.own_copy(tx, who.project)
    found = services().cases.corrections.preview(who, body["distinct_ids"], Change(**body["changes"]), sight)
    return {name: getattr(found, name) for name in ForeseenSchema().fields}


# --- clocks ----------------------------------------------------------------------------------------------------------


@needs(Permission.SUBJECTS_READ)
def regimes() -> dict[str, Any]:
    """The legal clocks that are known here, and what this installation asks persons to do with a request."""
    return {"regimes": [regime_view(each) for each in REGIMES.values()], "required": sorted(services().settings.request_steps)}


@needs(Permission.SUBJECTS_READ)
def report(query: dict[str, Any]) -> dict[str, Any]:
    """What became of the requests received in a period, and how long answers took (11 CCR section 7102)."""
    found = services().cases.clocks.report(caller(), query["from_date"], query["to_date"], query["compliance_type"])
    return {"kinds": [figures_view(kind.value, figures) for kind, figures in found.items()]}


# --- legal holds -----------------------------------------------------------------------------------------------------


@needs(Permission.SUBJECTS_WRITE)
def place_hold(body: dict[str, Any]) -> dict[str, Any]:
    """Keep data of these people from erasure and retention (GDPR article 17(3)): all events or some names, and the profile."""
    scope = Scope(None if body["all_events"] else frozenset(body["events"]), body["profile"])
    if scope == Scope(frozenset(), False):
        raise InvalidInput("the hold keeps nothing", field="events", remedy="name events, or set all_events or profile")
    review_ms = services().clock() + body["review_days"] * 86_400_000
    basis = Basis(body["basis"])
    return hold_view(services().cases.holds.place(caller(), body["distinct_ids"], basis, body["reference"], scope, review_ms))


@needs(Permission.SUBJECTS_READ)
def holds() -> dict[str, Any]:
    """The legal holds of the project, newest first, lifted ones too."""
    return {"holds": [hold_view(each) for each in services().cases.holds.all(caller())]}


@needs(Permission.SUBJECTS_WRITE)
def lift_hold(hold_id: Any) -> dict[str, Any]:
    """End a hold. Erasures that it kept from being complete go on by themselves."""
    return hold_view(services().cases.holds.lift(caller(), str(hold_id)))


# --- uploads ---------------------------------------------------------------------------------------------------------


@needs(Permission.SUBJECTS_WRITE)
def upload(query: dict[str, Any], headers: dict[str, Any]) -> dict[str, Any]:
    """Requests for up to 100,000 ids at once: CSV, an id a line, a thousand ids a request.

    Lines that cannot be taken are told by number and do not keep the others back. Send the same file with the same
    Idempotency-Key again after a failure: what was taken stays taken, once, and the rest follows.
    """
    once, kind = Once(headers.get("idempotency_key") or "", b""), RequestKind(query["kind"])
    done = services().cases.uploads.take(caller(), request.stream, kind, once, compliance=query["compliance_type"])
    told = {name: getattr(done, name) for name in UploadedSchema().fields if name != "errors"}
    return {**told, "errors": [{"line": line, "message": message} for line, message in done.errors]}


_ONE = "/v1/requests/<uuid:request_id>"
_ROUTES: tuple[tuple[str, str, Any, Any, Any], ...] = (
    (f"{_ONE}/identity", "POST", (IdentityActSchema, "json"), RequestSchema, identify),
    (f"{_ONE}/approve", "POST", None, RequestSchema, approve),
    (f"{_ONE}/reject", "POST", (RejectionSchema, "json"), RequestSchema, reject),
    (f"{_ONE}/pause", "POST", None, RequestSchema, pause),
    (f"{_ONE}/resume", "POST", None, RequestSchema, resume),
    (f"{_ONE}/acknowledge", "POST", (ChannelSchema, "json"), RequestSchema, acknowledge),
    (f"{_ONE}/extend", "POST", (ExtensionSchema, "json"), RequestSchema, extend),
    (f"{_ONE}/answer", "POST", (ChannelSchema, "json"), RequestSchema, answer),
    (f"{_ONE}/lift", "POST", None, RequestSchema, lift),
    ("/v1/regimes", "GET", None, RegimesSchema, regimes),
    ("/v1/requests/report", "GET", (ReportQuery, "query"), ReportSchema, report),
    ("/v1/holds", "POST", (NewHoldSchema, "json"), HoldSchema, place_hold),
    ("/v1/holds", "GET", None, HoldListSchema, holds),
    ("/v1/holds/<uuid:hold_id>/lift", "POST", None, HoldSchema, lift_hold),
    ("/v1/corrections/preview", "POST", (CorrectionPreviewSchema, "json"), ForeseenSchema, preview_correction),
)
