"""Deletion of past events and of one property: counted first, hidden at once, undone for a week, then gone and certified."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.gate import Gate, build

DAY = 86_400_000
POLICY = """\
policy: kept
detectors: keep
rules:
  - {id: odd, properties: [odd], category: user.content, sensitivity: internal, action: quarantine}
"""


@pytest.fixture(params=["sqlite", "postgres"])
def gate(request, tmp_path):
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    built = build(tmp_path, url)
    answer = built.client.post("/v1/policies", json={"text": POLICY, "activate": True}, headers=built.bearer("admin"))
    assert answer.status_code == 201, answer.get_data(as_text=True)
    yield built
    built.services.close()


def event(gate: Gate, name: str, insert_id: str, person: str = "ada", days_ago: int = 0, **properties: Any) -> dict[str, Any]:
    made = gate.event(person, insert_id, **properties)
    made["properties"]["time"] = (gate.clock[0] - days_ago * DAY) // 1000
    return {**made, "event": name}


def send(gate: Gate, *events: dict[str, Any]) -> None:
    answer = gate.client.post("/import?strict=1", json=list(events), headers=gate.bearer("admin"))
    assert answer.status_code == 200, answer.get_data(as_text=True)


def ask(gate: Gate, path: str = "", role: str = "officer", **body: Any) -> Any:
    return gate.client.post(f"/v1/data-deletions{path}", json=body, headers=gate.bearer(role))


def look(gate: Gate, deletion_id: str) -> dict[str, Any]:
    return dict(gate.client.get(f"/v1/data-deletions/{deletion_id}", headers=gate.bearer("auditor")).get_json())


def delete(gate: Gate, **body: Any) -> str:
    answer = ask(gate, reason="collected_by_mistake", **{name.rstrip("_"): value for name, value in body.items()})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return str(answer.get_json()["id"])


def exported(gate: Gate) -> list[dict[str, Any]]:
    answer = gate.client.get("/api/2.0/export?from_date=2020-01-01&to_date=2027-12-31", headers=gate.bearer("admin"))
    return [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]


def shown(gate: Gate) -> list[str]:
    return sorted(each["properties"]["$insert_id"] for each in exported(gate))


def kept(gate: Gate) -> list[str]:
    return sorted(json.loads(row[0])["$insert_id"] for row in gate.rows("SELECT properties FROM event"))


def some(gate: Gate) -> None:
    send(
        gate,
        event(gate, "View", "v1", plan="free"),
        event(gate, "View", "v2", "bob", days_ago=1, plan="pro"),
        event(gate, "View", "v400", days_ago=400, plan="pro"),
        event(gate, "Buy", "b1", "bob", plan="pro"),
    )


# --- what it would cover -------------------------------------------------------------------------------------------


def test_a_preview_counts_by_event_and_day_and_the_people_touched(gate):
    some(gate)
    found = ask(gate, "/preview", where='properties["plan"] == "pro"').get_json()
    assert (found["matches"], found["matched"], found["people"]) == ("some", 3, 2)
    assert (found["complete"], found["people_exact"]) == (True, True)
    assert found["events"] == [{"event": "View", "count": 2}, {"event": "Buy", "count": 1}]
    assert [(each["event"], each["count"]) for each in found["days"]] == [("View", 1), ("View", 1), ("Buy", 1)]
    assert shown(gate) == ["b1", "v1", "v2", "v400"], "a preview changes nothing"
    previewed = next(each for each in gate.log_after_sequencing() if each["action"] == "deletion.previewed")
    assert previewed["n"] == {"matched": 3, "people": 2}
    assert previewed["facts"] == {"target": "events", "filtered": "where"}


def test_two_ids_of_one_person_are_one_person(gate):
    send(gate, event(gate, "View", "d1", "$device:d"), event(gate, "View", "x", "ada", **{"$device_id": "d", "$user_id": "ada"}))
    assert ask(gate, "/preview", events=["View"]).get_json()["people"] == 1


def test_nothing_and_everything_are_said_before_they_are_accepted(gate):
    some(gate)
    for body, said in (
        ({"events": ["Nothing"]}, "covers no event"),
        ({}, "covers all 4 events"),
        ({"where": 'defined(properties["plan"])'}, "covers all 4 events"),
        ({"target": "event_property", "property": "absent"}, "covers no event"),
        ({"target": "profile_property", "property": "absent"}, "covers no profile"),
    ):
        answer = ask(gate, reason="test_data", **body)
        error = answer.get_json()["error"]
        assert (answer.status_code, error["field"]) == (409, "confirm"), body
        assert said in error["message"]
        assert '"confirm": true' in error["remedy"]
    assert shown(gate) == ["b1", "v1", "v2", "v400"]
    delete(gate, confirm=True)
    assert shown(gate) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "to"),
        ({"where": 'properties["plan"] =='}, "where"),
        ({"where": 'properties["distinct_id"] == "ada"'}, "where"),
        ({"where": 'properties["mail"] == "ada@example.com"'}, "where"),
        ({"events": ["ada@example.com"]}, "events"),
        ({"target": "event_property"}, "property"),
        ({"target": "event_property", "property": "distinct_id"}, "property"),
        ({"target": "event_property", "property": "plan", "where": "true"}, "where"),
        ({"property": "plan"}, "property"),
    ],
)
def test_a_mistake_is_told_by_its_field_and_never_quoted(gate, body, field):
    answer = ask(gate, "/preview", **body)
    assert answer.status_code == 400, answer.get_data(as_text=True)
    error = answer.get_json()["error"]
    assert error["field"] == field
    assert "column" in error["message"] or error["remedy"]
    assert "ada" not in answer.get_data(as_text=True)


def test_only_who_may_delete_deletes(gate):
    some(gate)
    for role in ("auditor", "ingest"):
        assert ask(gate, role=role, reason="test_data", events=["View"]).status_code == 403
    assert ask(gate, reason="because of ada", events=["View"]).status_code == 422
    assert ask(gate, events=["View"]).status_code == 422


# --- hidden at once, and undone --------------------------------------------------------------------------------------


def test_what_is_deleted_is_hidden_everywhere_at_once_and_comes_back_when_undone(gate):
    some(gate)
    day = "2026-11-01"
    made = delete(gate, events=["View"], from_=day, where='properties["plan"] != "none"')
    assert shown(gate) == ["b1", "v400"]
    feed = gate.client.get(
        "/api/2.0/stream/query",
        query_string={"distinct_ids": '["ada", "bob"]', "from_date": "2025-01-01", "to_date": "2027-12-31"},
        headers=gate.bearer("admin"),
    ).get_json()
    assert [each["event"] for each in feed["results"]["events"]] == ["View", "Buy"]
    assert ask(gate, "/preview", events=["View"]).get_json()["matched"] == 1, "counts leave out what is hidden"
    assert len(kept(gate)) == 4
    gate.clock[0] += 7 * DAY - 1
    answer = ask(gate, f"/{made}/undo")
    assert (answer.status_code, answer.get_json()["state"]) == (200, "undone")
    assert shown(gate) == ["b1", "v1", "v2", "v400"]
    assert ask(gate, f"/{made}/undo").status_code == 409
    acts = [each for each in gate.log_after_sequencing() if each.get("obj") == f"data-deletion/{made}"]
    assert [each["action"] for each in acts] == ["deletion.created", "deletion.undone"]
    assert acts[0]["facts"]["reason"] == "collected_by_mistake"


def test_what_arrives_later_is_new_and_what_is_sent_again_is_not_lost(gate):
    # The clock stands still: nothing but the horizon tells before from after.
    sent = event(gate, "View", "same", plan="pro")
    send(gate, sent, event(gate, "View", "old"))
    delete(gate, events=["View"], confirm=True)
    assert shown(gate) == []
    send(gate, sent, event(gate, "View", "new"))
    assert shown(gate) == ["new", "same"]
    second = delete(gate, events=["View"], confirm=True)
    assert shown(gate) == []
    send(gate, event(gate, "View", "newest"))
    assert ask(gate, f"/{second}/undo").status_code == 200
    assert shown(gate) == ["new", "newest", "same"]


def test_a_property_is_withheld_at_once(gate):
    some(gate)
    assert gate.client.post("/engage", json=[{"$token": gate.token, "$distinct_id": "ada", "$set": {"plan": "x"}}]).data == b"1"
    delete(gate, target="event_property", property="plan")
    assert all("plan" not in each["properties"] for each in exported(gate))
    answer = gate.client.get(
        "/api/2.0/export?from_date=2026-01-01&to_date=2027-12-31&where=properties[%22plan%22]==%22pro%22",
        headers=gate.bearer("admin"),
    )
    assert answer.status_code == 403
    found = gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()
    assert found["results"][0]["$properties"]["plan"] == "x", "of events, not of profiles"
    error = ask(gate, "/preview", where='properties["plan"] == "pro"').get_json()["error"]
    assert (error["code"], error["field"]) == ("conflict", "where")


def test_a_condition_that_would_leave_no_room_for_reading_is_refused(gate):
    some(gate)
    deep = "number(string(" * 30 + 'properties["plan"]' + "))" * 30 + " == 1"
    answer = ask(gate, reason="test_data", where=deep, confirm=True)
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (400, "where")
    assert shown(gate) == ["b1", "v1", "v2", "v400"]
