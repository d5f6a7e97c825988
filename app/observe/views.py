"""HTTP for whoever lives with a policy: simulate a draft on history, decide findings, ask for suggestions."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint

from app.access.roles import Permission
from app.http import api_blueprint, caller, needs, services
from app.observe.findings import FindingState
from app.observe.schemas import (
    DropFilterSchema,
    DropFiltersSchema,
    FilterInForceSchema,
    FindingListSchema,
    FindingSchema,
    FindingsQuery,
    PreviewedSchema,
    PreviewSchema,
    ResolveSchema,
    SimulateSchema,
    SimulationListSchema,
    SimulationSchema,
    SuggestionsQuery,
    SuggestionsSchema,
    filter_view,
    finding_view,
    simulation_view,
    suggestions_view,
)


def blueprint() -> Blueprint:
    """The routes of observation."""
    routes = api_blueprint("observe", "Simulations, findings, suggestions.")
    gives, takes, route = routes.response, routes.arguments, routes.route
    route("/v1/policies/<int:version>/simulate", methods=["POST"])(takes(SimulateSchema)(gives(202, SimulationSchema)(simulate)))
    route("/v1/simulations", methods=["GET"])(gives(200, SimulationListSchema)(simulations))
    route("/v1/simulations/<uuid:simulation_id>", methods=["GET"])(gives(200, SimulationSchema)(simulation))
    route("/v1/simulations/<uuid:simulation_id>/cancel", methods=["POST"])(gives(200, SimulationSchema)(cancel))
    listed = takes(FindingsQuery, location="query")(gives(200, FindingListSchema)(findings))
    route("/v1/findings", methods=["GET"])(listed)
    route("/v1/findings/<string:finding_id>/acknowledge", methods=["POST"])(gives(200, FindingSchema)(acknowledge))
    route("/v1/findings/<string:finding_id>/resolve", methods=["POST"])(takes(ResolveSchema)(gives(200, FindingSchema)(resolve)))
    suggested = takes(SuggestionsQuery, location="query")(gives(200, SuggestionsSchema)(suggestions))
    route("/v1/policies/suggestions", methods=["GET"])(suggested)
    route("/v1/drop-filters", methods=["GET"])(gives(200, DropFiltersSchema)(drop_filters))
    route("/v1/drop-filters", methods=["POST"])(takes(DropFilterSchema)(gives(201, FilterInForceSchema)(add_filter)))
    route("/v1/drop-filters/preview", methods=["POST"])(takes(PreviewSchema)(gives(200, PreviewedSchema)(preview_filter)))
    route("/v1/drop-filters/<string:filter_id>", methods=["DELETE"])(gives(200, FilterInForceSchema)(remove_filter))
    return routes


@needs(Permission.POLICY_OBSERVE)
def simulate(body: dict[str, Any], version: int) -> dict[str, Any]:
    """Try a version on the events of the last days, beside the policy in force. A worker does it; ask again for progress."""
    who = caller()
    services().drop_filters.admit(who, version)
    return simulation_view(services().simulations.create(who.project.id, version, body["days"], actor=who.id))


@needs(Permission.POLICY_READ)
def simulations() -> dict[str, Any]:
    """Simulations of the project, newest first, without their reports."""
    found = services().simulations.of(caller().project.id)
    return {"simulations": [simulation_view(each, report=False) for each in found]}


@needs(Permission.POLICY_READ)
def simulation(simulation_id: Any) -> dict[str, Any]:
    """How far a simulation is, and its report once it is done."""
    return simulation_view(services().simulations.status(caller().project.id, str(simulation_id)))


@needs(Permission.POLICY_OBSERVE)
def cancel(simulation_id: Any) -> dict[str, Any]:
    """Stop a simulation that is not over."""
    who = caller()
    return simulation_view(services().simulations.cancel(who.project.id, str(simulation_id), actor=who.id))


@needs(Permission.POLICY_READ)
def findings(query: dict[str, Any]) -> dict[str, Any]:
    """Properties that started to carry personal data, newest first, each with a proposed rule."""
    state = FindingState(query["state"]) if "state" in query else None
    return {"findings": [finding_view(each) for each in services().findings.of(caller(), state)]}


@needs(Permission.POLICY_OBSERVE)
def acknowledge(finding_id: str) -> dict[str, Any]:
    """Say that somebody looks after it."""
    return finding_view(services().findings.acknowledge(caller(), finding_id))


@needs(Permission.POLICY_OBSERVE)
def resolve(body: dict[str, Any], finding_id: str) -> dict[str, Any]:
    """End a finding: mended, or expected."""
    return finding_view(services().findings.resolve(caller(), finding_id, FindingState(body["outcome"])))


@needs(Permission.POLICY_OBSERVE)
def suggestions(query: dict[str, Any]) -> dict[str, Any]:
    """A classification for every property that no rule of the policy in force names. The look stands in the audit log."""
    who = caller()
    return suggestions_view(services().suggestions.of(who.project, query["events"], actor=who.id))


@needs(Permission.POLICY_READ)
def drop_filters() -> dict[str, Any]:
    """The drop filters of the policy in force."""
    version, found = services().drop_filters.of(caller().project.id)
    return {"version": version, "filters": [filter_view(each) for each in found]}


@needs(Permission.POLICY_OBSERVE)
def preview_filter(body: dict[str, Any]) -> dict[str, Any]:
    """What a filter would have refused of the events of the last days, before it is added. The look stands in the audit log."""
    who, days = caller(), body.pop("days")
    found = services().drop_filters.preview(who, body, days)
    return {"records": found.records, "caught": found.caught, "events": dict(found.events), "complete": found.complete}


@needs(Permission.POLICY_WRITE)
def add_filter(body: dict[str, Any]) -> dict[str, Any]:
    """Refuse such events in every batch that is acknowledged after this answers: a new policy version, put in force."""
    who = caller()
    made = services().drop_filters.add(who.project.id, body, actor=who.id)
    return {"version": made.version, "digest": made.digest}


@needs(Permission.POLICY_WRITE)
def remove_filter(filter_id: str) -> dict[str, Any]:
    """Take such events again: a new policy version without the filter, put in force."""
    who = caller()
    made = services().drop_filters.remove(who.project.id, filter_id, actor=who.id)
    return {"version": made.version, "digest": made.digest}
