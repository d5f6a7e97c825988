"""Route by role by view by classification: what each credential is shown by every route that reads.

The routes come from the URL map. One that reads and stands in neither table below fails the first test: whoever adds it says
whether it shows what people did, and then here how it is asked; or why it does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from app.access.roles import PERMISSIONS, Permission, Role
from app.access.tables import principal
from app.http import declared
from tests.contract.test_routes import APP, GUARDED, Route
from tests.installation import Installation, Tenant, basic

POLICY = """\
policy: matrix
description: Keeps everything, and says what is classified.
geolocation: off
unknown_properties: allow
unknown_events: allow
detectors: {email: keep, phone: keep, card: keep, ip: keep}
rules:
  - {id: secret, properties: [secret], category: user.financial, sensitivity: restricted, action: keep, classified: true}
  - {id: hold, properties: [odd], category: user.content, sensitivity: internal, action: quarantine}
"""
# What the data carries. A view withholds WITHHELD, leaves out events that are OUT, and people who are ELSE.
SHOWN, CLASSIFIED, WITHHELD, OUT, ELSE = (f"{word}value" for word in ("shown", "classified", "withheld", "out", "else"))
MARKERS = frozenset({SHOWN, CLASSIFIED, WITHHELD, OUT, ELSE})
DAYS = {"from_date": "2000-01-01", "to_date": "2100-01-01"}
WHO = (*Role, "account", "secret")
# Ends of permissions whose routes read, whatever their method.
READING = ("read", "reveal", "observe", "download", "decide")


@dataclass(frozen=True)
class World:
    """A project with its data, seen through a view or not, by credentials that were given the permission or not."""

    tenant: Tenant
    view: bool
    granted: bool
    held_id: str
    cohorts: tuple[int, int]

    def headers(self, who: Role | str) -> dict[str, str]:
        special = {"account": basic(*self.tenant.account), "secret": basic(self.tenant.api_secret)}
        return special[who] if who in special else self.tenant.auth(who)

    @property
    def expected(self) -> frozenset[str]:
        return frozenset({SHOWN} | ({CLASSIFIED} if self.granted else set()) | (set() if self.view else {WITHHELD, OUT, ELSE}))


Ask = Callable[[World, Route, dict[str, str]], TestResponse]


def _open(world: World, route: Route, headers: dict[str, str], **query: Any) -> TestResponse:
    return world.tenant.client.open(route.url, method=route.method, headers=headers, query_string=query)


def _export(world: World, route: Route, headers: dict[str, str]) -> TestResponse:
    plain = _open(world, route, headers, **DAYS)
    if world.granted or plain.status_code != 403:
        return plain
    return _open(world, route, headers, **DAYS, classified="withhold")


def _feed(world: World, route: Route, headers: dict[str, str]) -> TestResponse:
    return _open(world, route, headers, **DAYS, distinct_ids='["ann","ben"]')


def _held(world: World, route: Route, headers: dict[str, str]) -> TestResponse:
    return world.tenant.client.get(f"/v1/quarantine/{world.held_id}", headers=headers)


def _counted(world: World, route: Route, headers: dict[str, str]) -> TestResponse:
    """Counts are told as markers: SHOWN where there is any, ELSE where the other person counts."""
    answer = _open(world, route, headers)
    if answer.status_code != 200:
        return answer
    listed: Any = answer.json
    counts = {each["id"]: each["count"] for each in (listed["cohorts"] if isinstance(listed, dict) else listed)}
    places, secrets = (counts[each] for each in world.cohorts)
    answer.set_data(" ".join([SHOWN] * (places > 0) + [ELSE] * (places > 1) + [CLASSIFIED] * (secrets is not None)))
    return answer


def _previewed(world: World, route: Route, headers: dict[str, str]) -> TestResponse:
    """The same of what a drop filter would catch."""

    def caught(name: str, events: list[str]) -> TestResponse:
        where = [{"property": name, "exists": True}]
        return world.tenant.client.post(route.url, json={"id": "f", "events": events, "where": where, "days": 7}, headers=headers)

    answer = caught("shown", ["*"])
    if answer.status_code != 200:
        return answer
    n = {
        "shown": (answer.json or {})["caught"],
        **{name: _caught(caught(name, ["*"])) for name in ("secret", "withheld", "else")},
    }
    n["out"] = _caught(caught("out", ["Other"]))
    told = {"shown": SHOWN, "secret": CLASSIFIED, "withheld": WITHHELD, "else": ELSE, "out": OUT}
    answer.set_data(" ".join(told[name] for name, count in n.items() if count))
    return answer


def _caught(answer: TestResponse) -> int:
    assert answer.status_code in (200, 403)
    return int((answer.json or {}).get("caught", 0))


@dataclass(frozen=True)
class Shows:
    """How a route is asked, and which markers its data carries."""

    ask: Ask
    carries: frozenset[str] = field(default=MARKERS)


PROFILES, COUNTS = MARKERS - {OUT}, frozenset({SHOWN, ELSE, CLASSIFIED})
SHOWS = {
    "GET /api/2.0/export": Shows(_export),
    **{
        f"{method} {below}/{path}": shows
        for method in ("GET", "POST")
        for below in ("/api/2.0", "/api/query")
        for path, shows in (
            ("engage", Shows(_open, PROFILES)),
            ("stream/query", Shows(_feed)),
            ("cohorts/list", Shows(_counted, COUNTS)),
        )
    },
    "GET /v1/cohorts": Shows(_counted, COUNTS),
    "GET /v1/quarantine/<string:held_id>": Shows(_held, frozenset({SHOWN, CLASSIFIED, WITHHELD})),
    "POST /v1/drop-filters/preview": Shows(_previewed),
}
SHOWS_NOTHING = {
    "names, kinds and volumes of what is sent, no value": (
        "GET /api/app/projects/<int:project_id>/schemas",
        "GET /api/app/projects/<int:project_id>/schemas/<entity_type>",
        "GET /api/app/projects/<int:project_id>/schemas/<entity_type>/<path:name>",
        "GET /v1/lexicon/anomalies",
        "GET /v1/lexicon/csv",
        "GET /v1/lexicon/entries",
        "GET /v1/lexicon/settings",
        "GET /v1/lexicon/volume",
        "GET /v1/findings",
        "POST /v1/findings/<string:finding_id>/acknowledge",
        "POST /v1/findings/<string:finding_id>/resolve",
        "GET /v1/policies/suggestions",
        "GET /v1/quarantine",
        "GET /v1/sight",
    ),
    "counts by rule and reason; a version that filters by what is withheld is refused": (
        "POST /v1/policies/<int:version>/simulate",
        "GET /v1/simulations",
        "GET /v1/simulations/<uuid:simulation_id>",
        "POST /v1/simulations/<uuid:simulation_id>/cancel",
        "GET /v1/refusals",
        "GET /metrics",
    ),
    "refused by name: there is no JQL here": tuple(
        f"{method} {below}/jql" for method in ("GET", "POST") for below in ("/api/2.0", "/api/query")
    ),
    "settings, texts and members": (
        "GET /api/app/me",
        "GET /v1/project",
        "GET /api/app/organizations/<int:organization_id>/service-accounts",
        "GET /api/app/organizations/<int:organization_id>/service-accounts/<int:account_id>",
        "GET /api/app/projects/<int:project_id>/service-accounts",
        "GET /v1/data-views",
        "GET /v1/data-views/<int:view_id>",
        "GET /v1/teams",
        "GET /v1/grants",
        "GET /v1/drop-filters",
        "GET /v1/identity",
        "GET /v1/keys",
        "GET /v1/certificate-key",
        "GET /v1/policies",
        "GET /v1/policies/<int:version>",
        "GET /v1/policies/<int:before>/diff/<int:after>",
        "GET /v1/policies/activations",
        "GET /v1/policies/library",
        "POST /v1/policies/validate",
    ),
    "what is to be deleted, in the words of whoever asked, and counts": (
        "GET /v1/data-deletions",
        "GET /v1/data-deletions/<uuid:deletion_id>",
        "GET /v1/data-deletions/<uuid:deletion_id>/certificate",
    ),
    "a collector and what waits for it: addresses, numbers, states and reason codes": (
        "GET /v1/upstream",
        "GET /v1/upstream/parked",
        "GET /v1/upstream/requests",
        "GET /v1/upstream/requests/<uuid:request_id>/answers",
    ),
    "states, names of properties, counts and proofs of re-imports": (
        "GET /v1/reimports",
        "GET /v1/reimports/<uuid:reimport_id>",
        "GET /v1/reimports/<uuid:reimport_id>/review",
        "GET /v1/reimports/<uuid:reimport_id>/statement",
    ),
    "clocks, counts and case numbers": (
        "GET /v1/regimes",
        "GET /v1/requests/report",
        "GET /v1/holds",
        "POST /v1/corrections/preview",
    ),
    "what the caller sent itself": ("POST /v1/policies/explain", "GET /import"),
    "states, deadlines and proofs of requests, and ids that the officer named": (
        "GET /api/app/data-deletions/v3.0/<tracking_id>",
        "GET /api/app/data-retrievals/v3.0/<tracking_id>",
        "GET /v1/requests",
        "GET /v1/requests/<uuid:request_id>",
        "GET /v1/requests/<uuid:request_id>/certificate",
        "POST /v1/subjects/closure",
        "POST /v1/subjects/states",
    ),
    "people's own copies, whole by law (GDPR article 15); each download is an audit entry": (
        "GET /api/app/data-retrievals/v3.0/<tracking_id>/archive",
        "GET /v1/requests/<uuid:request_id>/archive",
    ),
    "one token at a time, with a reason that is logged: that is its own permission": ("POST /v1/tokens/reveal",),
    "the log, which holds no value of a person": (
        "GET /v1/audit/bundle",
        "GET /v1/audit/checkpoint",
        "GET /v1/audit/entries",
        "GET /v1/audit/key",
        "GET /v1/audit/proof/consistency",
        "GET /v1/audit/proof/inclusion",
        "GET /v1/audit/tile/<int:tier>/<path:number>",
        "GET /v1/audit/tile/entries/<path:number>",
    ),
    "they decide and answer with counts of what they did": (
        "POST /v1/quarantine/release",
        "POST /v1/quarantine/discard",
    ),
}


def _name(route: Route) -> str:
    return f"{route.method} {route.rule.rstrip('/')}"


def _reads(route: Route) -> bool:
    need = declared(APP, route.endpoint)
    return isinstance(need, Permission) and (route.method == "GET" or need.value.rpartition(":")[2] in READING)


READS = {_name(route): route for route in GUARDED if _reads(route)}
PLACED = {*SHOWS, *(each for some in SHOWS_NOTHING.values() for each in some)}


def test_every_route_that_reads_has_its_place_in_the_matrix() -> None:
    assert READS.keys() - PLACED == set(), "say in SHOWS how it is asked, or in SHOWS_NOTHING why it need not be"
    assert PLACED - READS.keys() == set(), "no such route"


def test_whoever_reads_events_is_in_the_matrix() -> None:
    reading = {name for name, route in READS.items() if declared(APP, route.endpoint) == Permission.EVENTS_READ}
    nothing = {name for name in reading if name == "GET /v1/sight" or name.endswith("/jql")}
    assert reading - nothing <= SHOWS.keys()


# --- the worlds ------------------------------------------------------------------------------------------------------


def _build(home: Installation, *, view: bool, granted: bool) -> World:
    tenant = home.tenant(POLICY)
    own = {"shown": SHOWN, "secret": CLASSIFIED, "withheld": WITHHELD}
    sent = [
        tenant.event("Seen", distinct_id="ann", **own),
        tenant.event("Other", distinct_id="ann", out=OUT),
        tenant.event("Seen", distinct_id="ben", **{"else": ELSE}),
    ]
    assert tenant.send(sent).status_code == 200
    people = {"ann": {"place": "EU", **own}, "ben": {"place": "US", "else": ELSE}}
    tenant.engage([{"$token": tenant.token, "$distinct_id": who, "$set": each} for who, each in people.items()])
    tenant.send([tenant.event("Seen", distinct_id="ann", odd="x", **own)])
    home.services.lexicon.sightings.flush()
    admin = tenant.auth(Role.ADMIN)
    _grant(home, tenant, "classified:read")
    cohorts = tuple(
        tenant.client.post("/v1/cohorts", json={"name": where, "where": where, "anyway": True}, headers=admin).json["id"]
        for where in ('user["place"] in ["EU", "US"]', f'user["secret"] == "{CLASSIFIED}"')
    )
    held = tenant.client.get("/v1/quarantine", headers=admin).json["held"]
    if view:
        members = [{"kind": "principal", "id": each} for each in tenant.ids.values()]
        withheld = {"withheld_of_events": ["withheld"], "withheld_of_profiles": ["withheld"]}
        filters = {"events": 'event["name"] == "Seen"', "profiles": 'user["place"] == "EU"'}
        body = {"name": "EU", "members": members, **withheld, **filters}
        assert tenant.client.post("/v1/data-views", json=body, headers=admin).status_code == 201
    _grant(home, tenant, "classified:read" if granted else "")
    return World(tenant, view, granted, held[0]["id"], cohorts)  # type: ignore[arg-type]


def _grant(home: Installation, tenant: Tenant, permissions: str) -> None:
    with home.services.database.write() as tx:
        tx.execute(sa.update(principal).where(principal.c.project_id == tenant.id).values(granted=permissions))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def worlds(request: pytest.FixtureRequest) -> dict[tuple[bool, bool], World]:
    """Each engine, with a view and without, granted and not."""
    home = request.getfixturevalue("sqlite_home" if request.param == "sqlite" else "postgres_home")
    return {(view, granted): _build(home, view=view, granted=granted) for view in (False, True) for granted in (False, True)}


def _allowed(who: Role | str, need: Permission) -> bool:
    return need in PERMISSIONS[Role(who) if who in set(Role) else Role.ADMIN]


@pytest.mark.parametrize("granted", [False, True], ids=["plain", "granted"])
@pytest.mark.parametrize("view", [False, True], ids=["all", "view"])
@pytest.mark.parametrize("name", sorted(SHOWS))
def test_each_credential_is_shown_what_view_and_classification_leave(
    worlds: dict[tuple[bool, bool], World], name: str, view: bool, granted: bool
) -> None:
    world, route, shows = worlds[view, granted], READS[name], SHOWS[name]
    need = declared(APP, route.endpoint)
    assert isinstance(need, Permission)
    for who in WHO:
        answer = shows.ask(world, route, world.headers(who))
        if not _allowed(who, need):
            assert (answer.status_code, _found(answer)) == (403, frozenset()), who
            continue
        assert (answer.status_code, _found(answer)) == (200, world.expected & shows.carries), who


def _found(answer: TestResponse) -> frozenset[str]:
    return frozenset(each for each in MARKERS if each in answer.text)


@pytest.mark.parametrize("view", [False, True], ids=["all", "view"])
@pytest.mark.parametrize("name", sorted(name for name, shows in SHOWS.items() if shows.ask in (_export, _open, _feed)))
def test_no_credential_learns_by_asking_what_it_is_not_shown(
    worlds: dict[tuple[bool, bool], World], name: str, view: bool
) -> None:
    world, route = worlds[view, False], READS[name]
    for withheld in ("secret", "withheld") if view else ("secret",):
        asked = {**DAYS, "classified": "withhold", "where": f'defined(properties["{withheld}"])'}
        asked |= {"distinct_ids": json.dumps(["ann"])} if "stream" in name else {}
        for who in (Role.ADMIN, Role.PIPELINE, "account", "secret"):
            assert _open(world, route, world.headers(who), **asked).status_code == 403, (withheld, who)
