"""The officer's API of held events. Values stand in the answer of one route only, and reading it is an audit entry."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint

from app.access.roles import Permission
from app.http import api_blueprint, caller, needs, services
from app.quarantine.schemas import (
    DecideSchema,
    HeldSchema,
    OutcomeSchema,
    QuarantineQuery,
    QuarantineSchema,
    opened_view,
    outcome_view,
    overview_view,
    selection_of,
)


def blueprint() -> Blueprint:
    """The routes of whoever decides about held events."""
    routes = api_blueprint("quarantine", "Events that policy holds.")
    listed = routes.arguments(QuarantineQuery, location="query")(routes.response(200, QuarantineSchema)(listing))
    routes.route("/v1/quarantine", methods=["GET"])(listed)
    routes.route("/v1/quarantine/<string:held_id>", methods=["GET"])(routes.response(200, HeldSchema)(opened))
    for name, view in (("release", release), ("discard", discard)):
        shaped = routes.arguments(DecideSchema)(routes.response(200, OutcomeSchema)(view))
        routes.route(f"/v1/quarantine/{name}", methods=["POST"])(shaped)
    return routes


@needs(Permission.QUARANTINE_READ)
def listing(query: dict[str, Any]) -> dict[str, Any]:
    """What is held, by reason, event and age, without values."""
    found = services().quarantine.overview(caller(), selection_of(query), query["limit"], query.get("cursor"))
    return overview_view(found)


@needs(Permission.QUARANTINE_DECIDE)
def opened(held_id: str) -> dict[str, Any]:
    """One held event with its cleaned values and its person's id. The read stands in the audit log."""
    return opened_view(services().quarantine.open(caller(), held_id))


@needs(Permission.QUARANTINE_DECIDE)
def release(body: dict[str, Any]) -> dict[str, Any]:
    """Store held events that the policy in force lets through, with what held them accepted."""
    return outcome_view(services().quarantine.release(caller(), selection_of(body)))


@needs(Permission.QUARANTINE_DECIDE)
def discard(body: dict[str, Any]) -> dict[str, Any]:
    """Delete held events for good."""
    return outcome_view(services().quarantine.discard(caller(), selection_of(body)))
