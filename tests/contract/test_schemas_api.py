"""Mixpanel's Lexicon Schemas API on both engines: answers as published, merges, limits and refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.access.roles import Role
from tests.installation import Installation, Tenant, basic

CART = {
    "$schema": "http://json-schema.org/draft-07/schema",
    "description": "An item goes into the cart.",
    "required": ["item_id"],
    "additionalProperties": True,
    "properties": {
        "item_id": {"type": "string", "description": "Which.", "metadata": {"com.mixpanel": {"displayName": "Item"}}},
        "price": {"type": "number"},
    },
    "metadata": {
        "com.mixpanel": {
            "displayName": "Add to cart",
            "tags": ["shop"],
            "contacts": ["ada@example.com"],
            "teamContacts": ["Checkout"],
            "$source": "partner",
        }
    },
}


@pytest.fixture
def tenant(home: Installation) -> Tenant:
    return home.tenant()


def call(tenant: Tenant, method: str, path: str = "", body: Any = None, project: int | None = None) -> TestResponse:
    """One call with the service account, a minute after the one before: the allowance is another test's matter."""
    tenant.home.clock.advance(minutes=1)
    return tenant.client.open(
        f"/api/app/projects/{project or tenant.id}/schemas{path}", method=method, json=body, headers=basic(*tenant.account)
    )


def entry(name: str, schema: Any = CART, kind: str = "event") -> dict[str, Any]:
    return {"entityType": kind, "name": name, "schemaJson": schema}


def test_what_goes_up_comes_down(tenant: Tenant) -> None:
    user = {"properties": {"tier": {"type": "string"}}}
    answer = call(tenant, "POST", body={"entries": [entry("Added To Cart"), entry("$user", user, "profile")]})
    assert answer.json == {"results": {"added": 2, "deleted": 0}, "status": "ok"}
    listed = call(tenant, "GET")
    assert listed.content_type == "application/json"
    assert listed.json == {"results": [entry("Added To Cart"), entry("$user", user, "profile")], "status": "ok"}
    assert call(tenant, "GET", "/event/Added%20To%20Cart").json == CART
    assert call(tenant, "GET", "/profile?entity_name=$user").json["results"][0]["schemaJson"] == user  # type: ignore[index]
    assert call(tenant, "GET", "/event/?entity_name=Nothing").json == {"results": [], "status": "ok"}


def test_a_name_may_hold_a_slash(tenant: Tenant) -> None:
    assert call(tenant, "POST", "/event/Sign%20up%2FEmail", CART).json == {"status": "ok"}
    assert call(tenant, "GET", "/event/Sign%20up%2FEmail").json == CART


def test_a_schema_is_replaced_and_its_metadata_is_merged(tenant: Tenant) -> None:
    call(tenant, "POST", "/event/Cart", CART)
    second = {"properties": {"price": {"type": "integer"}}, "metadata": {"com.mixpanel": {"tags": None, "displayName": "Basket"}}}
    call(tenant, "POST", "/event/Cart", second)
    assert call(tenant, "GET", "/event/Cart").json == {
        "properties": {"price": {"type": "integer"}},
        "metadata": {
            "com.mixpanel": {
                "displayName": "Basket",
                "contacts": ["ada@example.com"],
                "teamContacts": ["Checkout"],
                "$source": "partner",
            }
        },
    }


def test_truncate_and_delete_say_how_many_and_leave_what_was_seen(tenant: Tenant) -> None:
    tenant.send([tenant.event("Viewed")])
    call(tenant, "POST", body={"entries": [entry(name) for name in ("A", "B", "Viewed")]})
    answer = call(tenant, "POST", body={"entries": [entry("C"), entry("D")], "truncate": True})
    assert answer.json == {"results": {"added": 2, "deleted": 3}, "status": "ok"}
    assert call(tenant, "DELETE", "/event/C").json == {"results": {"delete_count": 1}, "status": "ok"}
    assert call(tenant, "DELETE", "/event?entity_name=None").json == {"results": {"delete_count": 0}, "status": "ok"}
    assert call(tenant, "DELETE").json == {"results": {"delete_count": 1}, "status": "ok"}
    assert call(tenant, "GET").json == {"results": [], "status": "ok"}


def test_dropped_and_hidden_are_enforced(tenant: Tenant) -> None:
    words = {"metadata": {"com.mixpanel": {"dropped": True}}}
    call(tenant, "POST", "/event/Bought", {"properties": {}, **words})
    call(tenant, "POST", "/event/Viewed", {"properties": {"secret": {"type": "string", **words}}})
    tenant.send([tenant.event("Bought"), tenant.event("Viewed", secret="x", plan="y")])
    [row] = tenant.stored()
    assert row.name == "Viewed"
    assert "plan" in row.properties
    assert "secret" not in row.properties
    call(tenant, "POST", "/event/Bought", {"properties": {}, "metadata": {"com.mixpanel": {"dropped": False}}})
    tenant.send([tenant.event("Bought")])
    assert tenant.names() == ["Bought", "Viewed"]


def test_examples_are_values_and_are_not_kept(tenant: Tenant) -> None:
    schema = {"properties": {"mail": {"type": "string", "examples": ["ada@example.com"], "format": "email"}}}
    answer = call(tenant, "POST", "/event/Signed", schema)
    assert answer.json == {"status": "ok"}
    assert answer.headers["Portcullis-Left-Out"] == "examples"
    assert call(tenant, "GET", "/event/Signed").json == {"properties": {"mail": {"type": "string", "format": "email"}}}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"entries": [], "extra-canary": 1}, ""),
        ({"entries": [{"entityType": "canary", "name": "A", "schemaJson": {}}]}, "entries[0].entityType"),
        ({"entries": [entry("A", {"properties": {"p": {"type": "canary"}}})]}, "type"),
        ({"entries": [entry("A", {"description": "write to canary@example.com"})]}, "description"),
        ({"entries": [entry("canary@example.com")]}, "name"),
        ({"entries": [entry("other", kind="profile")]}, "$user"),
        ([], ""),
    ],
)
def test_a_mistake_is_told_by_its_place_and_nothing_is_stored(tenant: Tenant, body: Any, place: str) -> None:
    if isinstance(body, dict) and body["entries"]:
        body = {**body, "entries": [entry("Fine"), *body["entries"]]}
        place = place.replace("[0]", "[1]")
    answer = call(tenant, "POST", body=body)
    assert answer.status_code == 400
    assert (answer.json or {})["status"] == "error"
    assert place in (answer.json or {})["error"]
    assert "canary" not in answer.text
    assert call(tenant, "GET").json == {"results": [], "status": "ok"}


def test_the_allowance_is_five_requests_a_minute(tenant: Tenant) -> None:
    url = f"/api/app/projects/{tenant.id}/schemas"
    statuses = [tenant.client.get(url, headers=basic(*tenant.account)).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    refused = tenant.client.get(url, headers=basic(*tenant.account))
    assert (refused.json or {})["status"] == "error"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert call(tenant, "GET").status_code == 200


def test_who_may_not_is_told_in_the_same_dialect(tenant: Tenant) -> None:
    url = f"/api/app/projects/{tenant.id}/schemas"
    for headers, status in (({}, 401), (tenant.auth(Role.INGEST), 403)):
        answer = tenant.client.get(url, headers=headers)
        assert (answer.status_code, set(answer.json or {}), (answer.json or {})["status"]) == (
            status,
            {"error", "status"},
            "error",
        )
    assert call(tenant, "GET", project=1).status_code == 404
    dropped = {"properties": {}, "metadata": {"com.mixpanel": {"dropped": True}}}
    answer = tenant.client.post(f"{url}/event/A", json=dropped, headers=tenant.auth(Role.OFFICER))
    assert answer.status_code == 403, "an officer describes and does not block"


def test_every_entity_is_an_audit_entry(tenant: Tenant) -> None:
    call(tenant, "POST", body={"entries": [entry("A"), entry("B")]})
    found = [json.loads(each.body) for each in tenant.home.services.audit.entries(tenant.id, 0, 1_000)]
    changed = {(each["facts"]["kind"], each["facts"]["name"]) for each in found if each["action"] == "lexicon.changed"}
    assert changed == {("event", "A"), ("event", "B"), ("event_property", "item_id"), ("event_property", "price")}
    assert "ada@example.com" not in json.dumps(found)


def test_only_what_is_dropped_holds_ingest_up(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    fenced: list[int] = []
    monkeypatch.setattr(tenant.home.services.lexicon, "_fence", lambda _, project_id: fenced.append(project_id))
    call(tenant, "POST", "/event/A", CART)
    call(tenant, "DELETE", "/event/A")
    assert fenced == []
    words = {"metadata": {"com.mixpanel": {"dropped": True}}}
    call(tenant, "POST", "/event/A", {"properties": {"p": {"type": "string", **words}}})
    assert set(fenced) == {tenant.id}


def test_a_body_that_nests_without_end_is_refused(tenant: Tenant) -> None:
    tenant.home.clock.advance(minutes=1)
    body = b'{"entries":[{"entityType":"event","name":"A","schemaJson":{"x":' + b"[" * 900 + b"]" * 900 + b"}}]}"
    url = f"/api/app/projects/{tenant.id}/schemas"
    assert tenant.client.post(url, data=body, headers=basic(*tenant.account)).status_code in (200, 400)
