"""One function decides what a principal may see, and there is no way to read around it."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.access.roles import Permission, Role
from app.events.port import EventStore
from app.http import declared
from app.identity import register
from app.sight.ids import bind_ids
from app.sight.service import Narrowing
from app.where.parse import parse
from app.where.tree import About, Among, IdField
from policies.model import SubjectState
from tests.contract.test_routes import APP, ROUTES, Route
from tests.installation import Installation, Tenant

ROOT = Path(__file__).parents[2]
SOURCES = {path.relative_to(ROOT).as_posix(): path for room in ("app", "jobs") for path in (ROOT / room).rglob("*.py")}
# What takes no sight is no read: it changes rows, or counts them for a certificate, and shows them to nobody.
CHANGES = {
    "append",
    "profiles_of",
    "put_profiles",
    "lock_profiles",
    "delete_profiles",
    "newest_profile",
    "old_events",
    "event_bounds",
    "count_events",
    "event_keys",
    "locked_events",
    "count_stored_profiles",
    "profile_keys",
    "delete_events",
    "rewrite_events",
    "old_profiles",
    "rewrite_profiles",
    "places",
    "count_subjects",
    "delete_subjects",
}
CALLED_BY = {
    "profiles_of": {"app/ingest/drafts.py", "app/quarantine/updates.py", "jobs/deletion_places.py", "jobs/rectify.py"},
    "profile_keys": {"app/deletions/survey.py", "jobs/deletion_places.py"},
    "old_events": {"jobs/retention.py", "jobs/reimport_property.py"},
    "locked_events": {"jobs/deletion_places.py"},
    "event_keys": {"jobs/deletion_places.py"},
    "old_profiles": {"jobs/retention.py"},
}
# Who turns uids into ids, and for whom.
REVEALS = {
    "app/sight/people.py",
    "app/quarantine/service.py",  # an officer opens what policy holds
    "app/subjects/service.py",  # an officer sees whom a request is about
    "app/subjects/preview.py",  # an officer sees whom a request would be about
    "jobs/holdings.py",  # people are told their own ids
    "jobs/letters.py",  # the collector that the project chose is told whose event it is
    "jobs/erasure.py",  # the same collector is asked to erase these ids
    "jobs/export.py",  # and to hand out what it has of them
    "jobs/reimport_swap.py",  # the erasure that a re-import orders names its people
    "jobs/reimport_work.py",  # what is staged is searched for the person's own ids
    "app/identity/closure.py",  # every spelling of an id is sought under every key
    "app/identity/service.py",  # forms are filled in for rows older than the column
}


def calls(path: Path, name: str) -> bool:
    nodes = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any((isinstance(f, ast.Attribute) and f.attr == name) or (isinstance(f, ast.Name) and f.id == name) for f in nodes)


def test_a_sight_is_made_in_one_place() -> None:
    assert {name for name, path in SOURCES.items() if calls(path, "Sight")} == {"app/sight/service.py"}


def test_every_read_of_the_store_demands_a_sight() -> None:
    methods = {name: each for name, each in vars(EventStore).items() if inspect.isfunction(each) and not name.startswith("_")}
    reads = {name for name, each in methods.items() if "sight" in inspect.signature(each).parameters}
    assert reads == {"scan", "count", "scan_profiles", "count_profiles", "read_profiles", "tally", "subjects"}
    assert methods.keys() - reads == CHANGES


@pytest.mark.parametrize("method", CALLED_BY)
def test_rows_that_are_got_without_a_sight_go_to_what_changes_them(method: str) -> None:
    assert {name for name, path in SOURCES.items() if calls(path, method)} == CALLED_BY[method]


def test_ids_are_put_back_by_those_who_may() -> None:
    assert {name for name, path in SOURCES.items() if re.search(r"\b(register|people)\.reveal\(", _code(path))} == REVEALS


def test_the_tables_of_events_and_profiles_are_read_by_the_store_alone() -> None:
    for name, path in SOURCES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "app.events.tables" and name != "app/events/sql.py":
                assert not {each.name for each in node.names} & {"event", "profile"}, name


def _code(path: Path) -> str:
    return "\n".join(ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


# --- every route that reads ------------------------------------------------------------------------------------------

# JQL is refused by name, so there is nothing that it could show.
READING = [each for each in ROUTES if declared(APP, each.endpoint) == Permission.EVENTS_READ and "jql" not in each.rule]
CANARY = "canaryvalue"


@pytest.fixture
def blinded(sqlite_home: Installation) -> Iterator[Tenant]:
    """A project whose data nobody may see, by a rule that matches no event and no profile."""
    tenant = sqlite_home.tenant()
    tenant.send([tenant.event("Seen", distinct_id="ann", plan=CANARY)])
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", "$set": {"plan": CANARY}}])
    sights = sqlite_home.services.sights
    nothing = Narrowing(events=parse("1 == 2", About.EVENT), profiles=parse("1 == 2", About.PROFILE))
    before, sights._rules = sights._rules, (lambda *_: nothing,)
    yield tenant
    sights._rules = before


def _answer(tenant: Tenant, route: Route) -> Any:
    days = {"from_date": "2000-01-01", "to_date": "2100-01-01"}
    asked = {**days, "distinct_ids": json.dumps(["ann"])} if "engage" not in route.rule else {}
    return tenant.client.open(route.url, method=route.method, query_string=asked, headers=tenant.auth(Role.ADMIN))


@pytest.mark.parametrize("route", READING, ids=lambda route: f"{route.method} {route.rule}")
def test_no_route_shows_what_is_out_of_sight(blinded: Tenant, route: Route) -> None:
    answer = _answer(blinded, route)
    assert answer.status_code == 200, "say here how this route is asked, so that the test reaches what it reads"
    assert CANARY not in answer.text
    assert '"ann"' not in answer.text
    sights = blinded.home.services.sights
    rules, sights._rules = sights._rules, ()
    shows = _answer(blinded, route).text
    sights._rules = rules
    names_no_rows = "cohorts" in route.rule or route.rule == "/v1/sight"
    assert CANARY in shows or names_no_rows, "without the rule the route shows it, so the test would notice"


def test_an_id_of_somebody_hidden_is_bound_to_nobody(home: Installation) -> None:
    services, project_id = home.services, home.tenant().id
    node = parse('properties["distinct_id"] in ["ann", "ben", "nobody"]', About.EVENT)
    with services.database.write() as tx:
        keys = services.keyring.of(tx, project_id)
        rows = register.enrol(tx, keys, ["ann", "ben"], 1)
        ann, ben = (rows[name].uid or 0 for name in ("ann", "ben"))
        assert bind_ids(tx, keys, node, About.EVENT) == Among(IdField.SUBJECT, frozenset({ann, ben}))
        register.set_state(tx, project_id, [ann], SubjectState.RESTRICTED)
        for about in About:
            assert bind_ids(tx, keys, node, about) == Among(IdField.SUBJECT, frozenset({ben}))
