"""Every route says what it needs, and every role gets exactly that: the table is made from the URL map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask, Response
from werkzeug.routing import Rule

from app.access.roles import PERMISSIONS, Permission, Role
from app.http import PUBLIC, declared, needs, public
from app.web import create_app
from tests.installation import Installation, Tenant, basic

_NOBODY = "nobody"
# What needs no credential, and why. A route is not made public by adding a decorator alone.
PUBLIC_PATHS = {
    "/track",  # its records carry the project token
    "/track/",
    "/engage",
    "/engage/",
    "/groups",
    "/groups/",
    "/flags",  # what SDKs ask for and what is the same for everyone
    "/flags/",
    "/flags/definitions",
    "/flags/definitions/",
    "/settings",
    "/settings/",
    "/record",  # refused
    "/record/",
    "/healthz",
    "/.well-known/gpc.json",  # browsers and regulators look there
    "/readyz",
    "/openapi.json",
    "/policy.schema.json",
    "/docs/",
    "/docs/<path:path>",
}


# What no route asks for, and where it makes a difference instead.
WITHIN_A_READ = {
    Permission.VALUES_DECRYPT,  # export and engage show encrypted values in clear to who holds it
    Permission.IDS_REVEAL,  # the preview of a request shows ids to who holds it
    Permission.ACCOUNTS_OWN,  # nobody grants a role that holds more than his own
}


@dataclass(frozen=True)
class Route:
    """One method of one rule."""

    rule: str
    method: str
    endpoint: str

    @property
    def url(self) -> str:
        """A path that matches; what its parts name does not exist."""
        filled = re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", self.rule)
        filled = re.sub(r"<int:\w+>", "999999", filled)
        return re.sub(r"<(?:\w+:)?\w+>", "absent", filled)


def application() -> Flask:
    """An application over a database that nobody opens: only its map of URLs is read."""
    from pathlib import Path

    from app.bootstrap import bootstrap
    from tests.installation import Bell, settings_for

    settings = settings_for("sqlite:////nonexistent/never.db", Path("/nonexistent"))
    return create_app(built=bootstrap(settings, doorbell=Bell()))


def routes_of(app: Flask) -> list[Route]:
    rules: list[Rule] = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
    return [
        Route(rule.rule, method, rule.endpoint)
        for rule in rules
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


APP = application()
ROUTES = routes_of(APP)
GUARDED = [each for each in ROUTES if isinstance(declared(APP, each.endpoint), Permission)]
MATRIX = [(route, who) for route in GUARDED for who in (_NOBODY, *Role)]


def test_there_are_routes() -> None:
    assert len(GUARDED) > 20
    guarding = {declared(APP, each.endpoint) for each in GUARDED}
    assert guarding == set(Permission) - WITHIN_A_READ, "each permission guards something"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.rule}")
def test_every_route_declares_what_it_needs(route: Route) -> None:
    need = declared(APP, route.endpoint)
    assert isinstance(need, Permission) or need == PUBLIC, "declare it with app.http.needs or app.http.public"
    if need == PUBLIC:
        assert route.rule in PUBLIC_PATHS


def test_every_public_path_exists() -> None:
    assert {route.rule for route in ROUTES} >= PUBLIC_PATHS


@pytest.fixture(scope="module")
def tenant(sqlite_home: Installation) -> Tenant:
    """One project; the matrix only reads and sends nonsense."""
    return sqlite_home.tenant()


def _ask(tenant: Tenant, route: Route, headers: dict[str, str]) -> Any:
    body = {"json": {}} if route.method in ("POST", "PUT", "PATCH", "DELETE") else {}
    return tenant.client.open(route.url, method=route.method, headers=headers, **body)


@pytest.mark.parametrize(("route", "who"), MATRIX, ids=lambda part: getattr(part, "url", str(part)))
def test_each_role_gets_what_its_permissions_say(tenant: Tenant, route: Route, who: Role | str) -> None:
    need = declared(APP, route.endpoint)
    answer = _ask(tenant, route, {} if who == _NOBODY else tenant.auth(who))
    if who == _NOBODY:
        assert answer.status_code == 401
    elif need in PERMISSIONS[Role(who)]:
        # Allowed: the view ran and found fault with what was asked, or answered.
        assert answer.status_code not in (401, 403, 405, 500, 503)
    else:
        assert answer.status_code == 403


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.rule}")
def test_the_project_token_opens_import_and_nothing_else(tenant: Tenant, route: Route) -> None:
    answer = _ask(tenant, route, basic(tenant.token))
    if route.rule.startswith("/import"):
        assert answer.status_code in (200, 400)
    else:
        assert answer.status_code == 401


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.rule}")
def test_a_secret_nobody_holds_opens_nothing(tenant: Tenant, route: Route) -> None:
    assert _ask(tenant, route, {"Authorization": "Bearer pc_nobody"}).status_code == 401


def test_the_roles_differ_and_the_admin_has_everything() -> None:
    assert PERMISSIONS.keys() == set(Role)
    assert PERMISSIONS[Role.OWNER] == set(Permission)
    assert PERMISSIONS[Role.ADMIN] == set(Permission) - {Permission.ACCOUNTS_OWN}
    assert len(set(PERMISSIONS.values())) == len(Role)
    # Who may read the log of acts may not do them, and who sends events may read none.
    assert not PERMISSIONS[Role.AUDITOR] & {Permission.SUBJECTS_WRITE, Permission.POLICY_WRITE, Permission.EVENTS_READ}
    assert not PERMISSIONS[Role.INGEST] & {Permission.EVENTS_READ, Permission.SUBJECTS_READ, Permission.AUDIT_READ}


# --- at run time -----------------------------------------------------------------------------------------------------


@pytest.fixture
def careless(sqlite_home: Installation) -> Flask:
    """An application to which somebody added routes."""
    built = create_app(built=sqlite_home.services)
    built.add_url_rule("/forgotten", "forgotten", lambda: Response("secret"), methods=["GET", "POST"])
    built.add_url_rule("/open", "open", public(lambda: Response("hello")))
    built.add_url_rule("/read", "read", needs(Permission.AUDIT_READ)(lambda: Response("log")))
    return built


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_route_that_declares_nothing_is_closed_to_everyone(careless: Flask, tenant: Tenant, method: str) -> None:
    for headers in ({}, tenant.auth(Role.ADMIN), basic(tenant.api_secret)):
        answer = careless.test_client().open("/forgotten", method=method, headers=headers)
        assert answer.status_code == 403
        assert b"secret" not in answer.data


def test_a_route_that_declares_nothing_is_found_by_the_test_above(careless: Flask) -> None:
    assert declared(careless, "forgotten") is None
    assert Route("/forgotten", "GET", "forgotten") in routes_of(careless)


def test_what_is_declared_is_what_is_enforced(careless: Flask, tenant: Tenant) -> None:
    client = careless.test_client()
    assert client.get("/open").text == "hello"
    assert client.get("/read").status_code == 401
    assert client.get("/read", headers=tenant.auth(Role.INGEST)).status_code == 403
    assert client.get("/read", headers=tenant.auth(Role.AUDITOR)).text == "log"


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.rule}")
def test_a_preflight_runs_no_view(tenant: Tenant, route: Route) -> None:
    answer = tenant.client.options(route.url)
    assert answer.status_code == 200
    assert answer.data == b""
