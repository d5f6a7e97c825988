"""Nobody reads classified values without the permission, whatever their role; and names that are merged are read as one."""

# ruff: noqa: PLC0414 - fixtures are found by their names in this module

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.access.roles import Permission, Role
from app.access.service import project_by_id
from app.lexicon.model import Change, Editor, Key, Kind, State
from tests.installation import Tenant, basic
from tests.integration.test_query import (
    DAYS,
    NOON,
    Stock,
    engage,
    events_of,
    ids_of,
    postgres_home as postgres_home,
    sqlite_home as sqlite_home,
    stock as stock,
    tenant as tenant,
)

POLICY = """\
policy: with-secrets
description: Keeps everything, and says what is classified.
geolocation: off
unknown_properties: allow
unknown_events: allow
detectors: {email: keep, phone: keep, card: keep, ip: keep}
rules:
  - {id: pay, properties: [salary], category: user.financial, sensitivity: restricted, action: keep, classified: true}
  - {id: note, scope: event, events: [Visit], properties: [note], category: user.content, sensitivity: restricted,
     action: keep, classified: true}
"""
ALL = Editor("test", frozenset(Permission))
CANARY = "canaryvalue"
WIDE = {"from_date": "2020-01-01", "to_date": "2035-01-01"}


@pytest.fixture
def secretive(tenant: Tenant) -> Tenant:
    """A project with a policy that classifies, and data of each kind."""
    tenant.put_in_force(POLICY)
    tenant.send(
        [
            tenant.event("Visit", distinct_id="ann", plan="pro", salary=CANARY, note=CANARY),
            tenant.event("Order", distinct_id="ann", plan="free", note="plain", deep={"salary": CANARY, "n": 1}),
            tenant.event(
                "Text", distinct_id="ann", raw=json.dumps({"salary": CANARY}), other='{"n": 1}', list=[{"salary": CANARY}]
            ),
        ]
    )
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", "$set": {"plan": "pro", "salary": CANARY}}])
    tenant.home.services.lexicon.sightings.flush()
    return tenant


def ask(tenant: Tenant, path: str, headers: dict[str, str] | None = None, **query: Any) -> TestResponse:
    return tenant.client.get(path, query_string=query, headers=headers or tenant.auth(Role.ADMIN))


def export(tenant: Tenant, headers: dict[str, str] | None = None, **query: Any) -> TestResponse:
    return ask(tenant, "/api/2.0/export", headers, **WIDE, **query)


def change(tenant: Tenant, key: Key, **fields: Any) -> None:
    services = tenant.home.services
    with services.database.write() as tx:
        services.lexicon.change(tx, tenant.id, ALL, {key: Change(**fields)})


def grant(tenant: Tenant, who: str, path: str = "grants") -> TestResponse:
    body = {"principal": tenant.ids[who], "permission": "classified:read"}
    return tenant.client.post(f"/v1/{path}", json=body, headers=tenant.auth(Role.ADMIN))


def readers(tenant: Tenant) -> dict[str, dict[str, str]]:
    return {
        "admin": tenant.auth(Role.ADMIN),
        "pipeline": tenant.auth(Role.PIPELINE),
        "account": basic(*tenant.account),
        "secret": basic(tenant.api_secret),
    }


def test_a_raw_export_of_a_project_with_classified_data_is_refused_whatever_the_role(secretive: Tenant) -> None:
    for headers in readers(secretive).values():
        refused = export(secretive, headers)
        assert (refused.status_code, CANARY in refused.text) == (403, False)
        assert "classified=withhold" in refused.text
    rows = {each["event"]: each["properties"] for each in events_of(export(secretive, classified="withhold"))}
    assert CANARY not in json.dumps(rows)
    assert rows["Visit"].keys() & {"plan", "note", "salary"} == {"plan"}
    assert rows["Order"]["note"] == "plain", "the rule is for another event"
    assert rows["Order"]["deep"] == {"n": 1}
    assert (rows["Text"].get("raw"), rows["Text"]["other"], rows["Text"]["list"]) == (None, '{"n": 1}', [{}])
    assert export(secretive, classified="please").status_code == 400
    counted = secretive.home.services.metrics.registry.get_sample_value(
        "portcullis_reads_withheld_total", {"cause": "export_refused"}
    )
    assert counted


def test_every_read_says_that_it_withholds_and_shows_none_of_it(secretive: Tenant) -> None:
    for path, query in (
        ("/api/2.0/engage", {}),
        ("/api/query/stream/query", {**WIDE, "distinct_ids": '["ann"]'}),
        ("/api/2.0/export", {**WIDE, "classified": "withhold"}),
    ):
        answer = ask(secretive, path, **query)
        assert (answer.status_code, answer.headers["Portcullis-Withheld"]) == (200, "classified")
        assert CANARY not in answer.text
    sight = ask(secretive, "/v1/sight").json or {}
    assert sight["classified"] == {"event": ["note", "salary"], "profile": ["salary"]}
    assert (sight["sees_classified"], sight["principal"]) == (False, secretive.ids["admin"])


@pytest.mark.parametrize("name", ["salary", "note"])
def test_nothing_is_asked_of_a_classified_property(secretive: Tenant, name: str) -> None:
    asked = f'properties["{name}"] == "{CANARY}"'
    for answer in (
        export(secretive, where=asked, classified="withhold"),
        ask(
            secretive,
            "/api/2.0/stream/query",
            **WIDE,
            distinct_ids='["ann"]',
            where=f"defined(properties['{name}'])".replace("'", '"'),
        ),
    ):
        assert (answer.status_code, "column" in answer.text) == (403, True)


def test_nothing_is_asked_of_a_classified_property_of_profiles_or_saved_about_it(secretive: Tenant) -> None:
    asked = f'user["salary"] == "{CANARY}"'
    assert engage(secretive, where=asked).status_code == 403
    body = {"name": "Rich", "where": asked, "anyway": True}
    assert secretive.client.post("/v1/cohorts", json=body, headers=secretive.auth(Role.ADMIN)).status_code == 403
    view = {"name": "Rich", "profiles": asked, "confirm": True}
    assert secretive.client.post("/v1/data-views", json=view, headers=secretive.auth(Role.ADMIN)).status_code == 403
    assert grant(secretive, "admin").status_code == 200
    made = secretive.client.post("/v1/cohorts", json=body, headers=secretive.auth(Role.ADMIN))
    assert (made.status_code, (made.json or {})["count"]) == (201, 1)
    assert ids_of(engage(secretive, where=asked).json or {}) == ["ann"]
    assert grant(secretive, "admin", "grants/withdraw").status_code == 200
    chosen = engage(secretive, filter_by_cohort=json.dumps({"id": (made.json or {})["id"]}))
    assert chosen.status_code == 403
    listed = ask(secretive, "/api/2.0/cohorts/list").json or []
    assert [each["count"] for each in listed] == [None]


def test_the_permission_is_given_to_one_credential_and_taken_away_and_both_stand_in_the_log(secretive: Tenant) -> None:
    assert grant(secretive, "account").json == {
        "principal": secretive.ids["account"],
        "kind": "service_account",
        "role": "admin",
        "permissions": ["classified:read"],
    }
    shown = export(secretive, basic(*secretive.account))
    assert (shown.status_code, shown.text.count(CANARY), "Portcullis-Withheld" in shown.headers) == (200, 5, False)
    assert export(secretive).status_code == 403, "nobody else of the role"
    [listed] = (ask(secretive, "/v1/grants").json or {})["grants"]
    assert listed["principal"] == secretive.ids["account"]
    assert grant(secretive, "account", "grants/withdraw").status_code == 200
    assert export(secretive, basic(*secretive.account)).status_code == 403
    log = Stock(secretive).log("permission.granted") + Stock(secretive).log("permission.withdrawn")
    assert [(each["obj"], each["facts"]["before"], each["facts"]["after"]) for each in log] == [
        (secretive.ids["account"], "none", "classified:read"),
        (secretive.ids["account"], "classified:read", "none"),
    ]
    stranger = secretive.home.tenant()
    assert grant(stranger, "account").status_code == 200
    body = {"principal": stranger.ids["account"], "permission": "classified:read"}
    assert secretive.client.post("/v1/grants", json=body, headers=secretive.auth(Role.ADMIN)).status_code == 404
    for refused in ({**body, "permission": "audit:read"}, {**body, "permission": "x"}):
        assert secretive.client.post("/v1/grants", json=refused, headers=secretive.auth(Role.ADMIN)).status_code == 422


def test_a_mark_withholds_what_the_policy_keeps_and_a_group_is_told_from_a_person(stock: Stock) -> None:
    tenant = stock.tenant
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", "$set": {"size": 1, "seats": 2}}])
    group = {"$token": tenant.token, "$group_key": "company", "$group_id": "acme", "$set": {"size": 3, "seats": 4}}
    assert tenant.client.post("/groups", json=[group]).status_code == 200
    change(tenant, Key(Kind.GROUP_PROPERTY, "size"), classified=True)
    change(tenant, Key(Kind.PROFILE_PROPERTY, "seats"), state=State.HIDDEN)
    [person] = (engage(tenant).json or {})["results"]
    [company] = (engage(tenant, data_group_id="company").json or {})["results"]
    assert (person["$properties"].get("size"), person["$properties"].get("seats")) == (1, None)
    assert (company["$properties"].get("size"), company["$properties"].get("seats")) == (None, 4)


def test_counts_of_filters_and_held_records_tell_nothing_of_it_either(secretive: Tenant) -> None:
    officer = secretive.auth(Role.OFFICER)
    compared = {"property": "salary", "is": CANARY}
    body = {"id": "f", "events": ["Visit"], "where": [compared], "days": 7}
    assert secretive.client.post("/v1/drop-filters/preview", json=body, headers=officer).status_code == 403
    body["where"] = [{"property": "deep.salary", "is": CANARY}]
    assert secretive.client.post("/v1/drop-filters/preview", json=body, headers=officer).status_code == 403
    body["where"] = [{"property": "plan", "is": "pro"}]
    assert (secretive.client.post("/v1/drop-filters/preview", json=body, headers=officer).json or {})["caught"] == 1
    held = POLICY + "  - {id: hold, properties: [odd], category: user.content, sensitivity: restricted, action: quarantine}\n"
    secretive.put_in_force(held)
    assert secretive.send([secretive.event("Visit", odd="x", salary=CANARY, note=CANARY, plan="pro")]).status_code == 200
    [listed] = (secretive.client.get("/v1/quarantine", headers=officer).json or {})["held"]
    opened = secretive.client.get(f"/v1/quarantine/{listed['id']}", headers=officer)
    assert (opened.status_code, CANARY in opened.text, '"pro"' in opened.text) == (200, False, True)
    assert grant(secretive, "officer").status_code == 200
    assert secretive.client.get(f"/v1/quarantine/{listed['id']}", headers=officer).text.count(CANARY) == 2


def test_a_version_that_filters_by_it_is_not_simulated_for_who_may_not_see_it(secretive: Tenant) -> None:
    text = f"{POLICY}events:\n  drop:\n    - {{id: f, events: [Visit], where: [{{property: salary, is: {CANARY}}}]}}\n"
    made = secretive.client.post("/v1/policies", json={"text": text}, headers=secretive.auth(Role.ADMIN))
    assert made.status_code == 201, made.text
    path = f"/v1/policies/{(made.json or {})['version']}/simulate"
    assert secretive.client.post(path, json={"days": 7}, headers=secretive.auth(Role.OFFICER)).status_code == 403
    assert grant(secretive, "officer").status_code == 200
    assert secretive.client.post(path, json={"days": 7}, headers=secretive.auth(Role.OFFICER)).status_code == 202


def test_people_get_their_own_copy_whole(secretive: Tenant) -> None:
    services = secretive.home.services
    with services.database.read() as tx:
        own = services.sights.own_copy(tx, project_by_id(tx, secretive.id))
        inner = services.sights.internal(tx, project_by_id(tx, secretive.id))
    assert not own.screens
    assert not inner.screens


# --- merged names ----------------------------------------------------------------------------------------------------


@pytest.fixture
def merged(stock: Stock) -> Stock:
    ann = stock.people(["ann"])["ann"].uid or 0
    stock.events(
        [
            (NOON, ann, "Sign up", {"plan": "pro", "n": 1}),
            (NOON + 1, ann, "Signed Up", {"tier": "free", "n": 2}),
            (NOON + 2, ann, "Signed Up", {"tier": "old", "plan": "new", "n": 3}),
            (NOON + 3, ann, "Signed Up", {"tier": "kept", "plan": None, "n": 4}),
            (NOON + 4, ann, "Other", {"n": 5}),
        ]
    )
    for key in (Key(Kind.EVENT, "Sign up"), Key(Kind.EVENT_PROPERTY, "plan")):
        change(stock.tenant, key, description="The one that stays.")
    change(stock.tenant, Key(Kind.EVENT, "Signed Up"), merged_into="Sign up")
    change(stock.tenant, Key(Kind.EVENT_PROPERTY, "tier"), merged_into="plan")
    return stock


def told(answer: TestResponse) -> list[tuple[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [(each["event"], each["properties"].get("plan")) for each in events_of(answer)]


def test_merged_names_are_read_and_asked_for_as_one(merged: Stock) -> None:
    tenant, up = merged.tenant, "Sign up"
    signed = [(up, "pro"), (up, "free"), (up, "new"), (up, "kept")]

    def asked(**query: Any) -> TestResponse:
        return ask(tenant, "/api/2.0/export", **DAYS, **query)

    assert told(asked()) == [*signed, ("Other", None)]
    assert "tier" not in asked().text
    for name in ("Sign up", "Signed Up"):
        assert told(asked(event=json.dumps([name]))) == signed
    assert told(asked(where='event["name"] == "Sign up"')) == signed
    assert told(asked(where='event["name"] == "Signed Up"')) == [], "nothing is read under this name"
    for name in ("plan", "tier"):
        assert told(asked(where=f'properties["{name}"] in ["free", "kept"]')) == [(up, "free"), (up, "kept")]
        assert told(asked(where=f'not defined(properties["{name}"])')) == [("Other", None)]
        assert told(asked(where=f'"e" in properties["{name}"] and properties["n"] > 2')) == [(up, "new"), (up, "kept")]
    feed = ask(tenant, "/api/2.0/stream/query", **DAYS, distinct_ids='["ann"]').json or {}
    assert [each["event"] for each in feed["results"]["events"]] == [up] * 4 + ["Other"]
    change(tenant, Key(Kind.EVENT, "Signed Up"), merged_into=None)
    assert told(asked(event='["Signed Up"]'))[0][0] == "Signed Up", "taking it back undoes it"


def test_what_is_merged_is_as_hidden_and_as_classified_as_what_it_is_read_as(merged: Stock) -> None:
    tenant = merged.tenant
    change(tenant, Key(Kind.EVENT_PROPERTY, "tier"), state=State.HIDDEN)
    values = [plan for _, plan in told(ask(tenant, "/api/2.0/export", **DAYS))]
    assert values == ["pro", None, "new", None, None]
    assert told(ask(tenant, "/api/2.0/export", **DAYS, where='properties["plan"] in ["free", "kept", "old"]')) == []
    change(tenant, Key(Kind.EVENT_PROPERTY, "tier"), state=State.VISIBLE, classified=True)
    refused = ask(tenant, "/api/2.0/export", **DAYS, where='properties["plan"] == "free"')
    assert refused.status_code == 403, "its group holds what is marked"
    assert [plan for _, plan in told(ask(tenant, "/api/2.0/export", **DAYS))] == [None] * 5
    change(tenant, Key(Kind.EVENT, "Sign up"), state=State.HIDDEN)
    assert [name for name, _ in told(ask(tenant, "/api/2.0/export", **DAYS))] == ["Other"]
