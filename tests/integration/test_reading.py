"""Expressions, cohorts and the activity feed over HTTP on both engines, and that one Sight narrows every way to read."""

# ruff: noqa: PLC0414 - fixtures are found by their names in this module

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from app.access.roles import Role
from app.events.port import ProfileRow
from app.identity import tables
from app.query.params import export_params
from app.sight.service import Narrowing, Viewer
from app.where.parse import parse
from app.where.tree import About
from policies.model import SubjectState
from tests.installation import Tenant, in_threads
from tests.integration.test_query import (
    DAYS,
    NOON,
    Stock,
    engage,
    events_of,
    export,
    ids_of,
    postgres_home as postgres_home,
    sqlite_home as sqlite_home,
    stock as stock,
    tenant as tenant,
    utils as utils,
)


def names(answer: TestResponse) -> list[str]:
    return [each["event"] for each in events_of(answer)]


def uid(stock: Stock, name: str) -> int:
    return stock.people([name])[name].uid or 0


def feed(tenant: Tenant, *ids: str, **params: Any) -> TestResponse:
    query = {**DAYS, "distinct_ids": json.dumps(ids), **params}
    return tenant.client.get("/api/2.0/stream/query", query_string=query, headers=tenant.auth(Role.ADMIN))


def feed_names(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["event"] for each in (answer.json or {})["results"]["events"]]


# --- where -----------------------------------------------------------------------------------------------------------


def test_an_export_is_filtered_by_an_expression_and_the_log_says_so(stock: Stock) -> None:
    ann = uid(stock, "ann")
    stock.events([(NOON + n, ann, f"E{n}", {"n": n, "plan": "pro" if n % 2 else "free"}) for n in range(6)])
    assert names(export(stock.tenant, where='properties["n"] > 2 and properties["plan"] == "pro"')) == ["E3", "E5"]
    assert names(export(stock.tenant, where='properties["n"] > 2', limit=1, event='["E1","E4","E5"]')) == ["E4"]
    assert export(stock.tenant, where="1 == 2").data == b""
    assert [each["facts"].get("filtered") for each in stock.log("events.exported") if each["facts"]["phase"] == "begun"] == [
        "where"
    ] * 3


def test_a_wrong_expression_points_at_its_column_in_the_text_of_an_export(stock: Stock) -> None:
    answer = export(stock.tenant, where='properties["plan"] == canary')
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert answer.text.startswith("where, column 23: this word is not of the language (")
    assert "canary" not in answer.text
    wrong = engage(stock.tenant, where="user[")
    assert (wrong.status_code, "column 6" in wrong.text) == (400, True)


def test_an_expression_finds_ids_as_readers_see_them_and_never_by_uid(stock: Stock) -> None:
    people = stock.people(["ann", "ben", "$device:phone"])
    ann, ben, phone = (people[each].uid or 0 for each in ("ann", "ben", "$device:phone"))
    with stock.services.database.write() as tx:
        tx.execute(sa.update(tables.register).where(tables.register.c.uid == phone).values(person=ann))
    stock.events(
        [(NOON, phone, "Before", {"$device_id": phone}), (NOON + 1, ann, "After", {"$user_id": ann}), (NOON + 2, ben, "Ben", {})]
    )
    assert names(export(stock.tenant, where='properties["distinct_id"] == "ann"')) == ["Before", "After"]
    assert names(export(stock.tenant, where='properties["distinct_id"] != "ann"')) == ["Ben"]
    assert names(export(stock.tenant, where='properties["$device_id"] == "phone"')) == ["Before"]
    assert names(export(stock.tenant, where='properties["$user_id"] in ["ann", "nobody"]')) == ["After"]
    assert names(export(stock.tenant, where='properties["distinct_id"] == "$device:phone"')) == []
    refused = export(stock.tenant, where=f'number(properties["$user_id"]) == {ann}')
    assert (refused.status_code, "an id is compared" in refused.text) == (400, True)
    stock.set_state([ann, phone], SubjectState.RESTRICTED)
    assert names(export(stock.tenant, where='properties["distinct_id"] == "ann"')) == []
    assert names(export(stock.tenant, where='properties["distinct_id"] != "ann"')) == ["Ben"]


def test_profiles_are_filtered_in_pages_that_hold_in_parallel(stock: Stock) -> None:
    crowd = stock.people([f"p{n}" for n in range(2_300)])
    uids = [row.uid or 0 for row in crowd.values()]
    free = [crowd[f"p{n}"].uid or 0 for n in range(100)]
    stock.profiles(free, {"plan": "free"})
    stock.profiles(sorted(set(uids) - set(free)), {"plan": "pro"})
    where = 'user["plan"] == "pro" and not defined(properties["left"])'
    first = engage(stock.tenant, where=where).json or {}
    assert (first["total"], len(first["results"])) == (2_200, 1_000)
    pages: dict[int, list[str]] = {0: ids_of(first)}

    def read(page: int) -> None:
        pages[page] = ids_of(engage(stock.tenant, where=where, page=page, session_id=first["session_id"]).json or {})

    stock.profiles([uid(stock, "late")], {"plan": "pro"})
    in_threads([lambda page=page: read(page) for page in (2, 1)])  # type: ignore[misc]
    assert [len(pages[each]) for each in (0, 1, 2)] == [1_000, 1_000, 200]
    assert len({each for page in pages.values() for each in page}) == 2_200
    other = engage(stock.tenant, where='user["plan"] == "free"', page=1, session_id=first["session_id"])
    assert other.status_code == 400
    pipeline = stock.tenant.auth(Role.PIPELINE)
    asked = {"where": where, "page": 1, "session_id": first["session_id"]}
    stranger = stock.tenant.client.get("/api/2.0/engage", query_string=asked, headers=pipeline)
    assert stranger.status_code == 400, "a total counts what its reader may see"
    assert ids_of(engage(stock.tenant, selector='user["plan"] == "pro"', distinct_ids='["p1","p200"]').json or {}) == ["p200"]


def test_last_seen_is_found_by_date(stock: Stock) -> None:
    for name, at in (("ann", NOON), ("ben", NOON + 86_400_000), ("cyd", None)):
        person = uid(stock, name)
        with stock.services.database.write() as tx:
            stock.services.stores.of(None).put_profiles(tx, stock.tenant.id, [ProfileRow(0, person, "{}", at, 1)])
    assert ids_of(engage(stock.tenant, where='properties["$last_seen"] > "2026-03-02"').json or {}) == ["ben"]
    assert ids_of(engage(stock.tenant, where='user["$last_seen"] == "2026-03-01T12:00:00"').json or {}) == ["ann"]
    assert ids_of(engage(stock.tenant, where='not defined(user["$last_seen"])').json or {}) == ["cyd"]


def test_mixpanel_utils_asks_by_expression(utils: Any, stock: Stock) -> None:
    for n, name in enumerate(("ann", "ben")):
        stock.profiles([uid(stock, name)], {"plan": "pro" if n else "free"})
        stock.events([(NOON + n, uid(stock, name), "E", {"n": n})])
    assert [each["$distinct_id"] for each in utils.query_engage({"where": 'properties["plan"] == "pro"'})] == ["ben"]
    assert [each["$distinct_id"] for each in utils.query_engage({"selector": 'user["plan"] == "free"'})] == ["ann"]
    [line] = utils.query_export({**DAYS, "where": 'properties["n"] > 0'})
    assert line["properties"]["distinct_id"] == "ben"


def test_an_export_by_expression_costs_the_same_memory_for_four_times_the_events(stock: Stock) -> None:
    ann = uid(stock, "ann")

    def peak(events: int, name: str) -> int:
        stock.events([(NOON + n, ann, name, {"n": n, "note": "x" * 300}) for n in range(events)])
        by, asked = stock.reader(), export_params({**DAYS, "event": name, "where": 'properties["n"] >= 0'})
        tracemalloc.start()
        try:
            sent = sum(chunk.count(b"\n") for chunk in stock.services.query.export(by, asked))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert sent == events

    peak(100, "warm")
    small, large = peak(8_000, "few"), peak(32_000, "many")
    assert large < small * 1.5


# --- cohorts ---------------------------------------------------------------------------------------------------------


def save(tenant: Tenant, where: str, name: str = "Pros", **more: Any) -> TestResponse:
    return tenant.client.post("/v1/cohorts", json={"name": name, "where": where, **more}, headers=tenant.auth(Role.ADMIN))


@pytest.fixture
def customers(stock: Stock) -> Stock:
    for name, plan in (("ann", "pro"), ("ben", "pro"), ("cyd", "free")):
        stock.profiles([uid(stock, name)], {"plan": plan})
    return stock


def test_a_cohort_is_saved_listed_used_and_deleted(customers: Stock) -> None:
    tenant = customers.tenant
    made = save(tenant, 'user["plan"] == "pro"', description="who pays")
    assert made.status_code == 201, made.text
    cohort = made.json or {}
    assert (cohort["name"], cohort["count"], cohort["where"]) == ("Pros", 2, 'user["plan"] == "pro"')
    for path in ("/api/2.0/cohorts/list", "/api/query/cohorts/list/"):
        [listed] = tenant.client.post(path, headers=tenant.auth(Role.PIPELINE)).json or []
        assert {**listed, "created": ""} == {
            "count": 2,
            "is_visible": 1,
            "description": "who pays",
            "created": "",
            "project_id": tenant.id,
            "id": cohort["id"],
            "name": "Pros",
        }
    chosen = {"filter_by_cohort": json.dumps({"id": cohort["id"]})}
    assert ids_of(engage(tenant, **chosen).json or {}) == ["ann", "ben"]
    assert ids_of(engage(tenant, where='user["plan"] != "pro"', **chosen).json or {}) == []
    customers.set_state([uid(customers, "ann")], SubjectState.RESTRICTED)
    assert ids_of(engage(tenant, **chosen).json or {}) == ["ben"]
    assert (tenant.client.get("/v1/cohorts", headers=tenant.auth(Role.ADMIN)).json or {})["cohorts"][0]["count"] == 1
    foreign = tenant.home.tenant()
    assert engage(foreign, **chosen).status_code == 404
    assert tenant.client.delete(f"/v1/cohorts/{cohort['id']}", headers=foreign.auth(Role.ADMIN)).status_code == 404
    assert tenant.client.delete(f"/v1/cohorts/{cohort['id']}", headers=tenant.auth(Role.ADMIN)).status_code == 204
    assert engage(tenant, **chosen).status_code == 404
    assert [each["obj"] for each in (*customers.log("cohort.created"), *customers.log("cohort.deleted"))] == [
        str(cohort["id"])
    ] * 2


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ('user["plan"] == "gold"', "no profile of the 3"),
        ('defined(user["plan"])', "every profile of the 3"),
        ("1 == 1", "every profile of the 3"),
    ],
)
def test_a_filter_of_nothing_or_everything_is_said_so_before_it_is_saved(customers: Stock, where: str, said: str) -> None:
    refused = save(customers.tenant, where)
    assert (refused.status_code, said in refused.text) == (409, True)
    assert customers.log("cohort.created") == []
    assert save(customers.tenant, where, anyway=True).status_code == 201
    assert save(customers.tenant, where, anyway=True).status_code == 409, "the name is taken"


@pytest.mark.parametrize("where", ['user["distinct_id"] == "canary"', 'user["mail"] == "canary@mail.example"', 'user["plan'])
def test_a_saved_filter_names_no_person(customers: Stock, where: str) -> None:
    refused = save(customers.tenant, where)
    assert (refused.status_code, "canary" in refused.text) == (400, False)


def test_filter_by_cohort_is_an_id(stock: Stock) -> None:
    for sent in ("x", '{"id":"x"}', '{"id":true}', "[]", '{"id":-1}'):
        answer = engage(stock.tenant, filter_by_cohort=sent)
        assert (answer.status_code, "filter_by_cohort" in answer.text) == (400, True)


# --- the feed --------------------------------------------------------------------------------------------------------


def test_the_feed_is_of_people_in_order_of_time_and_the_log_names_one_by_reference(stock: Stock) -> None:
    ann, ben = uid(stock, "ann"), uid(stock, "ben")
    stock.events(
        [
            (NOON, ann, "A", {"n": 1}),
            (NOON + 2_000, ben, "B", {}),
            (NOON + 3_000, ann, "C", {}),
            (NOON + 90_000_000, ann, "Tomorrow", {}),
        ]
    )
    answer = feed(stock.tenant, "ann")
    assert (answer.json or {})["status"] == "ok"
    assert (answer.json or {})["results"]["events"][0] == {
        "event": "A",
        "properties": {"time": NOON // 1000, "distinct_id": "ann", "n": 1},
    }
    assert feed_names(answer) == ["A", "C"]
    assert feed_names(feed(stock.tenant, "ann", "ben", "nobody")) == ["A", "B", "C"]
    assert feed_names(feed(stock.tenant, "ann", "ben", limit=2)) == ["B", "C"]
    assert feed_names(feed(stock.tenant, "ann", where='properties["n"] == 1')) == ["A"]
    assert feed_names(feed(stock.tenant, "nobody")) == []
    one, two = stock.log("activity.read")[:2]
    assert ("ref" in one, "ref" in two, one["n"]) == (True, False, {"events": 2, "people": 1})
    stock.set_state([ann], SubjectState.ERASING)
    assert feed_names(feed(stock.tenant, "ann", "ben")) == ["B"]


def test_the_feed_shows_sessions_to_those_who_ask(stock: Stock) -> None:
    ann = uid(stock, "ann")
    stock.events([(NOON, ann, "A", {"$os": "Linux"}), (NOON + 60_000, ann, "B", {}), (NOON + 7_200_000, ann, "C", {})])
    assert feed_names(feed(stock.tenant, "ann")) == ["A", "B", "C"]
    answer = feed(stock.tenant, "ann", sessions="true")
    assert feed_names(answer) == ["Session Start", "A", "B", "Session End", "Session Start", "C", "Session End"]
    end = (answer.json or {})["results"]["events"][3]["properties"]
    assert (end["$duration_s"], end["$event_count"], end["$origin_end"], end["$os"]) == (60, 2, "B", "Linux")
    longer = feed(stock.tenant, "ann", sessions="true", session_timeout="180")
    assert feed_names(longer).count("Session Start") == 1
    assert feed(stock.tenant, "ann", sessions="true", session_timeout="1441").status_code == 400


def test_a_feed_of_nobody_is_refused(stock: Stock) -> None:
    answer = stock.tenant.client.get("/api/query/stream/query", query_string=DAYS, headers=stock.tenant.auth(Role.ADMIN))
    assert (answer.status_code, "distinct_ids" in answer.text) == (400, True)


# --- one sight -------------------------------------------------------------------------------------------------------


@pytest.fixture
def rule(stock: Stock) -> Iterator[Callable[[Narrowing], None]]:
    """Put one rule in force, for every principal of this project."""
    sights = stock.services.sights
    before = sights._rules

    def put(narrowing: Narrowing) -> None:
        def narrow(_: Any, viewer: Viewer) -> Narrowing:
            return narrowing if viewer.project.id == stock.tenant.id else Narrowing()

        sights._rules = (narrow,)

    yield put
    sights._rules = before


def test_a_view_of_events_narrows_export_feed_and_simulations_alike(stock: Stock, rule: Callable[[Narrowing], None]) -> None:
    ann = uid(stock, "ann")
    stock.events([(NOON, ann, "Public", {"n": 1}), (NOON + 1, ann, "Secret", {"n": 1})])
    rule(Narrowing(events=parse('event["name"] != "Secret"', About.EVENT)))
    assert names(export(stock.tenant)) == ["Public"]
    assert names(export(stock.tenant, event='["Secret"]')) == []
    assert feed_names(feed(stock.tenant, "ann")) == ["Public"]


def test_a_view_of_profiles_hides_their_events_too(customers: Stock, rule: Callable[[Narrowing], None]) -> None:
    for n, name in enumerate(("ann", "cyd")):
        customers.events([(NOON + n, uid(customers, name), f"of {name}", {})])
    customers.events([(NOON + 9, 0, "of nobody", {})])
    rule(Narrowing(profiles=parse('user["plan"] == "pro"', About.PROFILE)))
    assert names(export(customers.tenant)) == ["of ann"]
    assert ids_of(engage(customers.tenant).json or {}) == ["ann", "ben"]
    assert (engage(customers.tenant).json or {})["total"] == 2
    assert ids_of(engage(customers.tenant, distinct_ids='["ann","cyd"]').json or {}) == ["ann"]
    assert feed_names(feed(customers.tenant, "ann", "cyd")) == ["of ann"]


def test_a_view_may_name_people(stock: Stock, rule: Callable[[Narrowing], None]) -> None:
    for n, name in enumerate(("ann", "ben")):
        stock.events([(NOON + n, uid(stock, name), f"of {name}", {})])
    rule(Narrowing(events=parse('properties["distinct_id"] == "ann"', About.EVENT)))
    assert names(export(stock.tenant)) == ["of ann"]


def test_what_is_withheld_is_neither_shown_nor_asked_for(customers: Stock, rule: Callable[[Narrowing], None]) -> None:
    ann = uid(customers, "ann")
    customers.events([(NOON, ann, "A", {"salary": 7, "n": 1})])
    cohort = (save(customers.tenant, 'user["plan"] == "pro"').json or {})["id"]
    rule(Narrowing(withheld_of_events=frozenset({"salary"}), withheld_of_profiles=frozenset({"plan"})))
    [line] = events_of(export(customers.tenant))
    assert line["properties"].keys() == {"time", "distinct_id", "n"}
    [shown] = (feed(customers.tenant, "ann").json or {})["results"]["events"]
    assert "salary" not in shown["properties"]
    assert all(each["$properties"] == {} for each in (engage(customers.tenant).json or {})["results"])
    refused = export(customers.tenant, where='properties["n"] == 1 and defined(properties["salary"])')
    assert (refused.status_code, refused.text.startswith("where, column 34: this property is withheld")) == (403, True)
    assert feed(customers.tenant, "ann", where='properties["salary"] == 7').status_code == 403
    assert engage(customers.tenant, where='user["plan"] == "pro"').status_code == 403
    assert engage(customers.tenant, filter_by_cohort=json.dumps({"id": cohort})).status_code == 403
    assert (customers.tenant.client.get("/v1/cohorts", headers=customers.tenant.auth(Role.ADMIN)).json or {})["cohorts"][0][
        "count"
    ] is None
