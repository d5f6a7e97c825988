"""Proxy mode over HTTP: choose the collector, see how it goes, try again, and follow the requests that were passed on."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint

from app.access.roles import Permission
from app.http import api_blueprint, caller, needs, services
from app.upstream.collector import Account
from app.upstream.errands import ErrandState
from app.upstream.outbox import Keeps
from app.upstream.schemas import (
    AnswersSchema,
    AskedAgainSchema,
    ChooseSchema,
    CountSchema,
    ErrandListSchema,
    ErrandsQuery,
    ParkedQuery,
    ParkedSchema,
    ReasonsSchema,
    StandingSchema,
    StoppedSchema,
    StopQuery,
    TestedSchema,
    errand_view,
    parked_view,
    standing_view,
)
from app.upstream.speaking import Speaker

# Somebody waits for the answer, and a thread with them.
_PATIENCE_S = 5.0


def blueprint() -> Blueprint:
    """The routes of proxy mode."""
    routes = api_blueprint("upstream", "The collector behind this one.")
    for path, method, view in (
        ("/v1/upstream", "GET", status),
        ("/v1/upstream", "PUT", choose),
        ("/v1/upstream", "DELETE", stop),
        ("/v1/upstream/test", "POST", test),
        ("/v1/upstream/parked", "GET", parked),
        ("/v1/upstream/retry", "POST", retry),
        ("/v1/upstream/discard", "POST", discard),
        ("/v1/upstream/requests", "GET", requests),
        ("/v1/upstream/requests/<uuid:request_id>/retry", "POST", ask_again),
        ("/v1/upstream/requests/<uuid:request_id>/answers", "GET", answers),
    ):
        routes.route(path, methods=[method])(_documented(routes, view))
    return routes


def _documented(routes: Blueprint, view: Any) -> Any:
    for decorate in reversed(_SHAPES[view.__name__]):
        view = decorate(routes)(view)
    return view


def _takes(schema: Any, location: str = "json") -> Any:
    return lambda routes: routes.arguments(schema, location=location)


def _gives(schema: Any) -> Any:
    return lambda routes: routes.response(200, schema)


_SHAPES: dict[str, tuple[Any, ...]] = {
    "status": (_gives(StandingSchema),),
    "choose": (_takes(ChooseSchema), _gives(StandingSchema)),
    "stop": (_takes(StopQuery, "query"), _gives(StoppedSchema)),
    "test": (_gives(TestedSchema),),
    "parked": (_takes(ParkedQuery, "query"), _gives(ParkedSchema)),
    "retry": (_takes(ReasonsSchema), _gives(CountSchema)),
    "discard": (_takes(ReasonsSchema), _gives(CountSchema)),
    "requests": (_takes(ErrandsQuery, "query"), _gives(ErrandListSchema)),
    "ask_again": (_gives(AskedAgainSchema),),
    "answers": (_gives(AnswersSchema),),
}


@needs(Permission.UPSTREAM_READ)
def status() -> dict[str, Any]:
    """What waits, since when, what was refused, and what went wrong last. 404 for a project that forwards nothing."""
    return standing_view(services().upstreams.standing(caller().project.id))


@needs(Permission.UPSTREAM_WRITE)
def choose(body: dict[str, Any]) -> dict[str, Any]:
    """Forward what the project accepts from now on. The credentials are sealed, and nothing shows them again."""
    account = Account(**{name: body[name] for name in Account.__dataclass_fields__})
    who, keeps = caller(), Keeps(body["keeps"])
    found = services().upstreams.choose(who.project.id, body["url"], account, body["region"], actor=who.id, keeps=keeps)
    return standing_view(found)


@needs(Permission.UPSTREAM_WRITE)
def stop(query: dict[str, Any]) -> dict[str, Any]:
    """Forward nothing more."""
    who = caller()
    services().upstreams.stop(who.project.id, actor=who.id, discard=query["discard"])
    return {"stopped": True}


@needs(Permission.UPSTREAM_WRITE)
def test() -> dict[str, str]:
    """Knock at the collector: with an import of nothing, and with a question about nobody. It takes a few seconds at most."""
    who = caller()
    return services().upstreams.test(who.project.id, Speaker(_PATIENCE_S), actor=who.id)


@needs(Permission.UPSTREAM_READ)
def parked(query: dict[str, Any]) -> dict[str, Any]:
    """What the collector refused, the oldest first; `after` is the last id of the page before. None of it says whose it is."""
    found = services().upstreams.parked(caller().project.id, query["limit"], query["after"])
    return {"parcels": [parked_view(each) for each in found]}


@needs(Permission.UPSTREAM_WRITE)
def retry(body: dict[str, Any]) -> dict[str, int]:
    """Try again, now. What is `uncertain` may have been taken, and would then count twice."""
    who = caller()
    return {"parcels": services().upstreams.retry(who.project.id, actor=who.id, reasons=body["reasons"])}


@needs(Permission.UPSTREAM_WRITE)
def discard(body: dict[str, Any]) -> dict[str, int]:
    """Delete what the collector refused."""
    who = caller()
    return {"parcels": services().upstreams.discard(who.project.id, actor=who.id, reasons=body["reasons"])}


@needs(Permission.UPSTREAM_READ)
def requests(query: dict[str, Any]) -> dict[str, Any]:
    """Requests of people that were passed on, and how they stand; the newest first."""
    state = None if query["state"] is None else ErrandState(query["state"])
    found = services().upstreams.errands(caller().project.id, state, query["limit"])
    return {"requests": [errand_view(each) for each in found]}


@needs(Permission.SUBJECTS_WRITE)
def ask_again(request_id: Any) -> dict[str, int]:
    """Ask once more for what failed of a request."""
    who = caller()
    return {"parts": services().upstreams.ask_again(who.project.id, str(request_id), actor=who.id)}


@needs(Permission.ARCHIVES_DOWNLOAD)
def answers(request_id: Any) -> dict[str, list[str]]:
    """Where the collector's answers to a retrieval lie. The look stands in the audit log."""
    who = caller()
    return {"addresses": services().upstreams.answers(who.project.id, str(request_id), actor=who.id)}
