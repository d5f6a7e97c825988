"""Data views over HTTP on both engines: what each member sees, and that two views never show what neither does."""

# ruff: noqa: PLC0414 - fixtures are found by their names in this module

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from werkzeug.test import TestResponse

from app import cli_views
from app.access.roles import Role
from app.lexicon.model import Key, Kind
from tests.installation import Tenant, basic
from tests.integration.test_classified import change
from tests.integration.test_query import (
    DAYS,
    NOON,
    Stock,
    events_of,
    ids_of,
    postgres_home as postgres_home,
    sqlite_home as sqlite_home,
    stock as stock,
    tenant as tenant,
)


@pytest.fixture
def shop(stock: Stock) -> Stock:
    """Two people in different places, each with an order and a visit, and one event of nobody."""
    uids = {name: stock.people([name])[name].uid or 0 for name in ("eva", "uma", "nil")}
    stock.profiles([uids["eva"]], {"place": "EU", "plan": "pro"})
    stock.profiles([uids["uma"]], {"place": "US", "plan": "free"})
    rows: list[tuple[int, int, str, dict[str, Any]]] = [
        (NOON + n, uid, name, {"who": who, "price": n, "secret": f"s{n}"})
        for n, (who, uid, name) in enumerate(
            [(who, uids[who], name) for who in ("eva", "uma") for name in ("Order", "Visit")] + [("nobody", 0, "Order")]
        )
    ]
    stock.events(rows)
    return stock


def call(tenant: Tenant, method: str, path: str, who: Role = Role.ADMIN, **body: Any) -> TestResponse:
    sent = {"json": body} if body or method in ("POST", "PUT") else {}
    return tenant.client.open(f"/v1/{path}", method=method, headers=tenant.auth(who), **sent)


def save(tenant: Tenant, name: str = "View", members: tuple[str, ...] = ("pipeline",), **view: Any) -> dict[str, Any]:
    listed = [{"kind": "principal", "id": tenant.ids[each]} for each in members]
    made = call(tenant, "POST", "data-views", name=name, **{"members": listed, **view})
    assert made.status_code == 201, made.text
    return dict(made.json or {})


def seen(tenant: Tenant, who: Role = Role.PIPELINE, headers: dict[str, str] | None = None, **query: Any) -> list[str]:
    asked = {**DAYS, **query}
    answer = tenant.client.get("/api/2.0/export", query_string=asked, headers=headers or tenant.auth(who))
    assert answer.status_code == 200, answer.text
    return [
        f"{each['event']} of {each['properties']['who']}"
        + (f" {each['properties']['secret']}" if "secret" in each["properties"] else "")
        for each in events_of(answer)
    ]


def people(tenant: Tenant, who: Role = Role.PIPELINE, **query: Any) -> TestResponse:
    return tenant.client.get("/api/2.0/engage", query_string=query, headers=tenant.auth(who))


EVERYTHING = ["Order of eva s0", "Visit of eva s1", "Order of uma s2", "Visit of uma s3", "Order of nobody s4"]


def test_a_view_narrows_every_kind_of_credential_and_nobody_else(shop: Stock) -> None:
    tenant = shop.tenant
    save(tenant, members=("pipeline", "secret", "account"), events='event["name"] == "Order"')
    orders = [each for each in EVERYTHING if each.startswith("Order")]
    for headers in (tenant.auth(Role.PIPELINE), basic(tenant.api_secret), basic(*tenant.account)):
        assert seen(tenant, headers=headers) == orders
    assert seen(tenant, Role.ADMIN) == EVERYTHING
    answer = tenant.client.get("/api/2.0/export", query_string=DAYS, headers=tenant.auth(Role.PIPELINE))
    assert answer.headers["Portcullis-Withheld"] == "view"
    feed = tenant.client.get(
        "/api/2.0/stream/query", query_string={**DAYS, "distinct_ids": '["eva"]'}, headers=tenant.auth(Role.PIPELINE)
    )
    assert [each["event"] for each in (feed.json or {})["results"]["events"]] == ["Order"]


def test_a_view_of_people_leaves_out_their_events_and_groups(shop: Stock) -> None:
    tenant = shop.tenant
    group = {"$token": tenant.token, "$group_key": "company", "$group_id": "acme", "$set": {"place": "EU"}}
    assert tenant.client.post("/groups", json=[group]).status_code == 200
    save(tenant, profiles='user["place"] == "EU"')
    assert seen(tenant) == ["Order of eva s0", "Visit of eva s1"]
    found = people(tenant).json or {}
    assert (ids_of(found), found["total"]) == (["eva"], 1)
    assert (people(tenant, data_group_id="company").json or {})["total"] == 0
    assert (people(tenant, Role.ADMIN, data_group_id="company").json or {})["total"] == 1


def test_who_is_in_several_views_sees_what_each_shows_and_nothing_that_none_does(shop: Stock) -> None:
    tenant = shop.tenant
    save(tenant, "EU orders", events='event["name"] == "Order"', profiles='user["place"] == "EU"')
    save(tenant, "US visits", events='event["name"] == "Visit"', profiles='user["place"] == "US"', withheld_of_events=["secret"])
    assert seen(tenant) == ["Order of eva s0", "Visit of uma"], "no order of the US, and no visit of the EU"
    assert ids_of(people(tenant).json or {}) == ["eva", "uma"]
    feed = tenant.client.get(
        "/api/2.0/stream/query", query_string={**DAYS, "distinct_ids": '["eva","uma"]'}, headers=tenant.auth(Role.PIPELINE)
    )
    assert [each["event"] for each in (feed.json or {})["results"]["events"]] == ["Order", "Visit"]
    assert seen(tenant, where='properties["secret"] in ["s0", "s3"]') == ["Order of eva s0"], "of the other it may not be asked"


def test_a_property_is_withheld_by_row_where_views_disagree(shop: Stock) -> None:
    tenant = shop.tenant
    save(tenant, "All without secrets", withheld_of_events=["secret"], withheld_of_profiles=["plan"])
    assert seen(tenant) == [each.rsplit(" ", 1)[0] for each in EVERYTHING]
    assert not [each for each in (people(tenant).json or {})["results"] if "plan" in each["$properties"]]
    for asked in ('properties["secret"] == "s0"', 'defined(properties["secret"])'):
        refused = tenant.client.get("/api/2.0/export", query_string={**DAYS, "where": asked}, headers=tenant.auth(Role.PIPELINE))
        assert (refused.status_code, "data view" in refused.text) == (403, True)
    assert people(tenant, where='user["plan"] == "pro"').status_code == 403
    save(tenant, "Orders whole", events='event["name"] == "Order"', profiles='user["plan"] == "pro"')
    assert seen(tenant) == ["Order of eva s0", "Visit of eva", "Order of uma", "Visit of uma", "Order of nobody"]
    plans = {each["$distinct_id"]: each["$properties"].get("plan") for each in (people(tenant).json or {})["results"]}
    assert plans == {"eva": "pro", "uma": None}
    assert seen(tenant, where='properties["secret"] in ["s0", "s1", "s2"]') == ["Order of eva s0"]


def test_a_team_is_a_member_and_a_change_of_either_is_in_force_at_once(shop: Stock) -> None:
    tenant = shop.tenant
    team = call(tenant, "POST", "teams", name="Readers", members=[tenant.ids["pipeline"]]).json or {}
    member = {"kind": "team", "id": str(team["id"])}
    view = save(tenant, events='event["name"] == "Visit"', members=())
    assert seen(tenant) == EVERYTHING
    body = {"name": "View", "events": 'event["name"] == "Visit"', "members": [member]}
    assert call(tenant, "PUT", f"data-views/{view['id']}", **body).status_code == 200
    assert seen(tenant) == ["Visit of eva s1", "Visit of uma s3"]
    assert call(tenant, "DELETE", f"teams/{team['id']}").status_code == 409, "its members would see more"
    assert call(tenant, "PUT", f"teams/{team['id']}", members=[]).status_code == 200
    assert seen(tenant) == EVERYTHING
    refused = call(tenant, "DELETE", f"data-views/{view['id']}")
    assert (refused.status_code, "confirm" in refused.text) == (409, True)
    assert call(tenant, "DELETE", f"data-views/{view['id']}?confirm=true").status_code == 204
    assert call(tenant, "DELETE", f"teams/{team['id']}").status_code == 204
    assert (call(tenant, "GET", "teams").json, call(tenant, "GET", "data-views").json) == ({"teams": []}, {"data_views": []})
    kinds = ("team.created", "data_view.created", "data_view.changed", "team.changed", "data_view.deleted", "team.deleted")
    log = {kind: shop.log(kind) for kind in kinds}
    assert {kind: len(found) for kind, found in log.items()} == dict.fromkeys(kinds, 1)
    assert log["data_view.changed"][0]["facts"] == {"members.after": f"team/{team['id']}"}
    assert log["team.changed"][0]["facts"]["members.before"] == tenant.ids["pipeline"]


def test_the_view_by_default_is_for_whoever_is_in_none(shop: Stock) -> None:
    tenant = shop.tenant
    save(tenant, "Everybody", events='event["name"] == "Visit"', by_default=True, members=())
    assert seen(tenant, Role.ADMIN) == seen(tenant) == ["Visit of eva s1", "Visit of uma s3"]
    save(tenant, "All project data", members=("admin",), confirm=True)
    assert (seen(tenant, Role.ADMIN), len(seen(tenant))) == (EVERYTHING, 2)
    second = call(tenant, "POST", "data-views", name="Second", events='event["name"] == "Order"', by_default=True)
    assert (second.status_code, "by_default" in second.text) == (409, True)


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ({"events": 'event["name"] == "None"'}, "the filter of events matches nothing of the 5"),
        ({"events": 'defined(properties["price"])'}, "the filter of events matches everything of the 5"),
        ({"profiles": 'user["place"] == "XX"'}, "the filter of profiles matches nothing of the 2"),
        ({}, "narrows nothing"),
    ],
)
def test_a_view_of_nothing_or_everything_is_said_so_before_it_is_saved(shop: Stock, view: dict[str, str], said: str) -> None:
    tenant = shop.tenant
    previewed = call(tenant, "POST", "data-views/preview", **view)
    assert (previewed.status_code, said in (previewed.json or {})["warning"]) == (200, True)
    refused = call(tenant, "POST", "data-views", name="Odd", **view)
    assert (refused.status_code, said in refused.text) == (409, True)
    assert shop.log("data_view.created") == []
    assert call(tenant, "POST", "data-views", name="Odd", confirm=True, **view).status_code == 201
    assert shop.log("data_view.created")[0]["facts"]["confirmed"] == "yes"
    sound = call(tenant, "POST", "data-views/preview", events='event["name"] == "Order"').json or {}
    assert sound == {"events": {"of": 5, "matched": 3}, "profiles": {"of": 2, "matched": None}, "warning": None}


@pytest.mark.parametrize(
    ("view", "field"),
    [
        ({"events": 'properties["distinct_id"] == "canary"'}, "events"),
        ({"profiles": 'user["mail"] == "canary@mail.example"'}, "profiles"),
        ({"events": 'properties["x'}, "events"),
        ({"withheld_of_events": ["distinct_id"]}, "withheld_of_events"),
        ({"members": [{"kind": "principal", "id": "canary"}], "confirm": True}, "members"),
        ({"members": [{"kind": "team", "id": "7777"}], "confirm": True}, "members"),
    ],
)
def test_what_is_wrong_with_a_view_is_named_and_never_quoted(shop: Stock, view: dict[str, Any], field: str) -> None:
    refused = call(shop.tenant, "POST", "data-views", name="Wrong", **view)
    assert (refused.status_code, (refused.json or {})["error"]["field"], "canary" in refused.text) == (400, field, False)


def test_a_view_goes_by_the_names_that_are_read(shop: Stock) -> None:
    tenant = shop.tenant
    change(tenant, Key(Kind.EVENT, "Visit"), description="The one that stays.")
    change(tenant, Key(Kind.EVENT_PROPERTY, "hidden"), description="Not sent.")
    change(tenant, Key(Kind.EVENT, "Order"), merged_into="Visit")
    change(tenant, Key(Kind.EVENT_PROPERTY, "secret"), merged_into="hidden")
    save(tenant, events='event["name"] == "Visit" and properties["hidden"] in ["s0", "s3"]', withheld_of_events=["hidden"])
    assert seen(tenant) == ["Visit of eva", "Visit of uma"]
    assert "s0" not in json.dumps(seen(tenant))


def test_two_projects_know_nothing_of_each_others_views(shop: Stock) -> None:
    mine, other = shop.tenant, shop.tenant.home.tenant()
    view = save(mine, events='event["name"] == "Visit"')
    for method in ("GET", "DELETE"):
        assert call(other, method, f"data-views/{view['id']}").status_code == 404
    assert call(other, "PUT", f"data-views/{view['id']}", name="x", confirm=True).status_code == 404
    foreign = [{"kind": "principal", "id": mine.ids["pipeline"]}]
    assert call(other, "POST", "data-views", name="x", members=foreign, confirm=True).status_code == 400
    assert call(mine, "GET", f"data-views/{2**70}").status_code == 404


def test_the_command_line_does_the_same_and_its_acts_stand_in_the_log(shop: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, services = shop.tenant, shop.services
    monkeypatch.setattr(cli_views, "bootstrap", lambda _: services)

    def run(group: Any, *words: str) -> str:
        outcome = CliRunner().invoke(group, list(words), obj=services.settings)
        assert outcome.exit_code == 0, outcome.output + repr(outcome.exception)
        return outcome.output

    project, reader = str(tenant.id), tenant.ids["pipeline"]
    team = run(cli_views.team, "save", project, "Readers", "--member", reader).strip().removeprefix("id=")
    assert reader in run(cli_views.team, "list", project)
    assert "2 match" in run(cli_views.view, "preview", project, "--events", 'event["name"] == "Visit"')
    assert "warning" in run(cli_views.view, "preview", project, "--events", "1 == 1")
    narrowing = ("--events", 'event["name"] == "Visit"', "--withhold-event-property", "secret")
    made = run(cli_views.view, "save", project, "Visits", *narrowing, "--member", f"team/{team}")
    assert seen(tenant) == ["Visit of eva", "Visit of uma"]
    assert run(cli_views.view, "save", project, "Visits", *narrowing[:2], "--member", f"team/{team}") == made
    assert seen(tenant) == ["Visit of eva s1", "Visit of uma s3"]
    assert "Visits" in run(cli_views.view, "list", project)
    run(cli_views.view, "delete", project, made.strip().removeprefix("id="), "--confirm")
    run(cli_views.team, "delete", project, team)
    assert run(cli_views.grant, project, reader, "classified:read") == "granted=classified:read\n"
    assert run(cli_views.withdraw, project, reader, "classified:read") == "granted=nothing\n"
    assert {each["actor"] for each in (*shop.log("data_view.changed"), *shop.log("permission.granted"))} == {"cli"}
    wrong = CliRunner().invoke(cli_views.view, ["save", project, "X", "--member", "nobody"], obj=services.settings)
    assert (wrong.exit_code, "team/ID" in wrong.output) == (2, True)
