"""The web application: one line a capability."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, g, request
from flask_smorest import Api
from flask_swagger_ui import get_swaggerui_blueprint
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app import compatible_api
from app.access import views as access
from app.access.roles import Permission
from app.audit import views as audit
from app.bootstrap import Services, bootstrap
from app.custody import views as custody
from app.dataviews import views as dataviews
from app.deletions import views as deletions
from app.errors import PortcullisError
from app.http import api_blueprint, api_dialect, authorise, json_response, let_go, needs, public, services, speak
from app.identity import views as identity
from app.ingest import check_views as check, views as ingest
from app.lexicon import views as lexicon, wire_views as schemas
from app.observe import views as observe
from app.proxies import behind
from app.quarantine import views as quarantine
from app.query import views as query
from app.reimport import views as reimport
from app.rulebook import views as rulebook
from app.rulebook.promises import Promise
from app.settings import Settings
from app.subjects import gdpr_views as gdpr, views as subjects, workflow_views as workflow
from app.upstream import views as upstream

_VERSION = "0.1.0"


def create_app(settings: Settings | None = None, built: Services | None = None) -> Flask:
    """The WSGI application. Raises `StartupRefused` for a setting that is unsafe or unusable."""
    built = built or bootstrap(settings or Settings.from_env())
    built.places.refuse_unusable()
    app = Flask("portcullis", static_folder=None)
    app.extensions["portcullis"] = built
    # With a slash at the end or without, and never a redirect: a client that follows one loses the body.
    app.url_map.strict_slashes = False
    app.config.update(_configuration(built))
    app.before_request(_start_clock)
    app.before_request(authorise)
    app.after_request(_finish)
    app.teardown_request(let_go)
    app.wsgi_app = _one_slash(app.wsgi_app)  # type: ignore[method-assign]
    if built.settings.trusted_proxies:
        app.wsgi_app = behind(app.wsgi_app, built.settings.trusted_proxies)  # type: ignore[method-assign, assignment]
    api = Api(app)
    app.register_blueprint(ingest.blueprint())
    app.register_blueprint(query.blueprint())
    app.register_blueprint(gdpr.blueprint())
    app.register_blueprint(schemas.blueprint())
    app.register_blueprint(access.blueprint())
    governed = (quarantine, observe, lexicon, dataviews, deletions, upstream)
    for capability in (check, rulebook, subjects, workflow, reimport, identity, custody, audit, *governed):
        api.register_blueprint(capability.blueprint())
    api.register_blueprint(query.cohort_blueprint())
    api.register_blueprint(access.settings_blueprint())
    api.register_blueprint(_operations())
    # The library would describe its own errors here, which are never sent.
    api.spec.components.schemas["Error"] = compatible_api.ERROR
    app.register_blueprint(
        get_swaggerui_blueprint("/docs", "/openapi.json", config={"app_name": "Portcullis"}), url_prefix="/docs"
    )
    speak(app, api_dialect)
    return app


def _one_slash(wsgi: Any) -> Any:
    """`//track` is `/track`: SDKs join an address that ends with a slash so, and no sender follows a redirect."""

    def collapse(environ: dict[str, Any], start_response: Any) -> Any:
        if "//" in environ["PATH_INFO"]:
            environ["PATH_INFO"] = _SLASHES.sub("/", environ["PATH_INFO"])
        return wsgi(environ, start_response)

    return collapse


_SLASHES = re.compile("/{2,}")


def _configuration(built: Services) -> dict[str, Any]:
    return {
        "MAX_CONTENT_LENGTH": built.ingest.limits.body_bytes,
        "API_TITLE": "Portcullis",
        "API_VERSION": _VERSION,
        "OPENAPI_VERSION": "3.1.0",
        "OPENAPI_URL_PREFIX": "/",
        "OPENAPI_JSON_PATH": "openapi.json",
        "API_SPEC_OPTIONS": {
            "components": {"securitySchemes": {scheme: {"type": "http", "scheme": scheme} for scheme in ("bearer", "basic")}},
            "security": [{"bearer": []}],
            # Joined with the paths of the documented API when the file is made.
            "paths": dict([*compatible_api.paths(), *compatible_api.answers_without_schema()]),
        },
    }


def _operations() -> Any:
    routes = api_blueprint("operations", "Is it alive, is it ready, what does it count.")
    routes.route("/healthz", methods=["GET"])(healthz)
    routes.route("/readyz", methods=["GET"])(readyz)
    routes.route("/.well-known/gpc.json", methods=["GET"])(gpc)
    routes.route("/metrics", methods=["GET"])(metrics)
    return routes


@public
def healthz() -> Response:
    """Alive: the process answers."""
    return json_response({"status": "alive", "version": _VERSION})


@public
def readyz() -> Response:
    """Ready: the database takes writes and has the right schema. Without Redis requests still complete, later.

    `geolocation` says how things stand with GEOIP_DB: `missing` where an active policy allows places and none is set.
    """
    geolocation = services().places.state().value
    try:
        services().database.ping()
        if not services().places.configured and any(each.locates for each in _promises()):
            geolocation = "missing"
        database = "ok"
    except PortcullisError as fault:
        database = fault.code
    doorbell = "ok" if services().doorbell.ping() else "silent"
    ready = database == "ok"
    body = {
        "status": "ready" if ready else "not_ready",
        "database": database,
        "doorbell": doorbell,
        "geolocation": geolocation,
    }
    return json_response(body, 200 if ready else 503)


@public
def gpc() -> Response:
    """Whether Global Privacy Control is honoured here (W3C Global Privacy Control, `/.well-known/gpc.json`)."""
    promises = _promises()
    honoured = bool(promises) and all(each.honours_gpc for each in promises)
    since = max((each.since_ms for each in promises), default=services().clock())
    day = datetime.fromtimestamp(since / 1000, UTC).date().isoformat()
    return json_response({"gpc": honoured, "lastUpdate": day})


def _promises() -> list[Promise]:
    with services().database.read() as tx:
        return services().promises.active(tx)


@needs(Permission.METRICS_READ)
def metrics() -> Response:
    """Prometheus text format. 503 while the database is away: it holds the credential that a scrape shows."""
    return Response(generate_latest(services().metrics.registry), content_type=CONTENT_TYPE_LATEST)


def _start_clock() -> None:
    g.started = time.perf_counter()


def _finish(response: Response) -> Response:
    # The route's template, never the path: a path may hold what a person typed.
    route = request.url_rule.rule if request.url_rule else "unmatched"
    if "started" in g:
        services().metrics.seconds.labels(route).observe(time.perf_counter() - g.started)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response
