"""Groups have profiles of their own, beside those of people and under the same protection (wire section 9)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.access.roles import Role
from app.events.tables import profile
from tests.installation import KEEP_EVERYTHING, Installation, Tenant, count


def change(tenant: Tenant, operation: str, operand: Any, group: str = "acme", key: str = "company") -> None:
    record = {"$token": tenant.token, "$group_key": key, "$group_id": group, operation: operand}
    answer = tenant.client.post("/groups", json=[record], query_string={"verbose": 1})
    assert answer.json == {"error": None, "status": 1}


def groups(tenant: Tenant, key: str = "company", **query: str) -> dict[str, Any]:
    answer = tenant.client.get("/api/2.0/engage", query_string={"data_group_id": key, **query}, headers=tenant.auth(Role.ADMIN))
    assert answer.json is not None
    found = answer.json["results"]
    assert answer.json["total"] == len(found)
    return {each["$distinct_id"]: {k: v for k, v in each["$properties"].items() if k != "$last_seen"} for each in found}


def test_every_operation_works_on_a_group(home: Installation) -> None:
    tenant = home.tenant()
    change(tenant, "$set", {"plan": "pro", "tags": ["a", "b"], "gone": 1})
    change(tenant, "$set_once", {"plan": "free", "first": "yes"})
    change(tenant, "$add", {"seats": 3})
    change(tenant, "$append", {"tags": "c"})
    change(tenant, "$union", {"tags": ["c", "d"]})
    change(tenant, "$remove", {"tags": "a"})
    change(tenant, "$unset", ["gone"])
    assert groups(tenant) == {"acme": {"plan": "pro", "first": "yes", "seats": 3, "tags": ["b", "c", "d"]}}
    change(tenant, "$delete", "")
    assert groups(tenant) == {}


def test_groups_and_people_do_not_meet(home: Installation) -> None:
    tenant = home.tenant()
    tenant.engage([{"$token": tenant.token, "$distinct_id": "acme", "$set": {"who": "person"}}])
    change(tenant, "$set", {"who": "company"})
    change(tenant, "$set", {"who": "team"}, key="team:x%")
    assert groups(tenant) == {"acme": {"who": "company"}}
    assert groups(tenant, "team:x%", distinct_ids='["acme","other"]') == {"acme": {"who": "team"}}
    people = tenant.client.get("/api/2.0/engage", headers=tenant.auth(Role.ADMIN)).json
    assert people is not None
    assert (people["total"], people["results"][0]["$properties"]["who"]) == (1, "person")
    refused = tenant.engage([{"$token": tenant.token, "$distinct_id": "$group:company:acme", "$set": {"a": 1}}], verbose=1)
    assert "/groups" in (refused.json or {})["error"]


def test_a_group_can_be_erased_and_stays_gone(home: Installation) -> None:
    tenant = home.tenant()
    change(tenant, "$set", {"plan": "pro"})
    asked = {"kind": "erasure", "distinct_ids": ["$group:company:acme"]}
    assert tenant.client.post("/v1/requests", json=asked, headers=tenant.auth(Role.OFFICER)).status_code == 201
    assert groups(tenant) == {}, "hidden at once"
    while home.work():
        pass
    change(tenant, "$set", {"plan": "again"})  # answered as taken, and refused
    assert tenant.refusals() == {"erased": 1}
    assert count(home, profile, profile.c.project_id == tenant.id) == 0


def test_policy_applies_to_groups_and_their_ids_stand_nowhere(home: Installation) -> None:
    tenant = home.default_tenant()
    change(tenant, "$set", {"email": "ada@firm.example", "plan": "pro"}, group="ada@firm.example")
    assert "email" not in next(iter(groups(tenant).values())), "it is classified"
    with home.services.database.write() as tx:
        home.services.grants.give(tx, tenant.id, tenant.ids["admin"], "classified:read", actor="test")
    (found,) = groups(tenant).values()
    assert found["plan"] == "pro"
    assert found["email"].startswith("p1.")
    with home.services.database.read() as tx:
        rows = tx.execute(sa.select(profile).where(profile.c.project_id == tenant.id)).all()
    assert "firm.example" not in repr(rows)


HOLDS_NOTES = KEEP_EVERYTHING.replace(
    "rules: []",
    "rules:\n  - id: notes\n    properties: [note]\n    category: user.content\n    sensitivity: internal\n    scope: group\n    action: quarantine\n",
)


def test_what_policy_holds_of_a_group_is_released_into_its_group(home: Installation) -> None:
    tenant = home.tenant(HOLDS_NOTES)
    change(tenant, "$set", {"note": "call back"})
    assert groups(tenant) == {}
    listed = tenant.client.get("/v1/quarantine?scope=group", headers=tenant.auth(Role.OFFICER)).json
    assert listed is not None
    (held,) = listed["held"]
    tenant.put_in_force(KEEP_EVERYTHING)
    asked = {"ids": [held["id"]]}
    assert tenant.client.post("/v1/quarantine/release", json=asked, headers=tenant.auth(Role.OFFICER)).status_code == 200
    assert groups(tenant) == {"acme": {"note": "[content]"}}, "it was held in its cleaned form"


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"$group_id": "a", "$set": {}}, "$group_key"),
        ({"$group_key": "company", "$set": {}}, "$group_id"),
        ({"$group_key": "company", "$group_id": "a"}, "operation"),
    ],
)
def test_a_bad_update_names_the_field(home: Installation, record: dict[str, Any], field: str) -> None:
    tenant = home.tenant()
    answer = tenant.client.post("/groups/", json=[{"$token": tenant.token, **record}], query_string={"strict": 1})
    assert answer.json is not None
    assert (answer.json["status"], answer.json["num_good_events"]) == (0, 0)
    assert field in answer.json["failed_records"][0]["message"]
