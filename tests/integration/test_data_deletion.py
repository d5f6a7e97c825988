"""Deletion of past events and of one property: counted first, hidden at once, undone for a week, then gone and certified."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import msgspec
import pytest

from app.access.roles import Role
from app.access.service import Kind
from app.audit import verify
from app.deletions import work
from app.turns import LostTurn
from app.upstream.service import Account
from app.upstream.speaking import Speaker
from jobs import deletion, deletion_places, forward, purge, retention
from tests.integration.collectors import Collector
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


# --- carried out -----------------------------------------------------------------------------------------------------


def carry_out(gate: Gate, deletion_id: str, days: float = 7) -> dict[str, Any]:
    gate.clock[0] += int(days * DAY)
    assert deletion.run_due(gate.services) >= 1
    found = look(gate, deletion_id)
    assert found["state"] == "done", found
    return found


def certificate(gate: Gate, deletion_id: str) -> dict[str, Any]:
    answer = gate.client.get(f"/v1/data-deletions/{deletion_id}/certificate", headers=gate.bearer("auditor"))
    assert answer.status_code == 200
    key = gate.client.get("/v1/certificate-key", headers=gate.bearer("auditor")).get_data(as_text=True)
    statement = verify.verify_certificate(answer.get_data(as_text=True), key)
    assert verify.describe(statement)[0].startswith("HOLDS: data deletion")
    return statement


def test_after_the_time_to_undo_it_is_erased_verified_purged_and_certified(gate):
    some(gate)
    made = delete(gate, events=["View"], from_="2026-01-01", where='properties["plan"] == "pro" or properties["plan"] == "free"')
    gate.clock[0] += 7 * DAY - 1
    assert deletion.run_due(gate.services) == 0
    assert len(kept(gate)) == 4
    found = carry_out(gate, made, days=1)
    assert kept(gate) == ["b1", "v400"]
    assert shown(gate) == ["b1", "v400"]
    assert {name: n for name, n in found["counts"].items() if not name.startswith("purge")} == {
        "before.event": 2,
        "before.quarantined": 0,
        "before.outgoing": 0,
        "deleted.event": 2,
        "after.event": 0,
        "after.quarantined": 0,
        "after.outgoing": 0,
    }
    statement = certificate(gate, made)
    assert statement["covered"]["events"] == ["View"]
    assert "properties[" not in json.dumps(statement), "a condition may quote a value"
    assert {each["place"]: each.get("before") for each in statement["places"]} == {"event": 2, "outgoing": 0, "quarantined": 0}
    assert ask(gate, f"/{made}/undo").status_code == 409
    acts = [each["action"] for each in gate.log_after_sequencing() if each.get("obj") == f"data-deletion/{made}"]
    steps = ("created", "started", "erased", "verified", "purged", "certified")
    assert acts == [f"deletion.{each}" for each in steps]


def test_what_was_sent_again_while_hidden_outlives_the_deletion(gate):
    sent = event(gate, "View", "same", plan="pro")
    send(gate, sent, event(gate, "View", "old"), event(gate, "Buy", "other"))
    made = delete(gate, events=["View"])
    send(gate, sent, event(gate, "View", "late", days_ago=3))
    found = carry_out(gate, made)
    assert kept(gate) == shown(gate) == ["late", "other", "same"]
    assert found["counts"]["deleted.event"] == 1


def test_one_that_is_sent_again_between_finding_and_deleting_stays(gate, monkeypatch):
    send(gate, event(gate, "View", "same"), event(gate, "View", "old"), event(gate, "Buy", "other"))
    made = delete(gate, events=["View"])
    store = type(gate.services.stores.of(None))
    locked = store.locked_events

    def sent_again(self: Any, tx: Any, project_id: int, keys: Any) -> Any:
        found = locked(self, tx, project_id, keys)
        return [msgspec.structs.replace(each, received_ms=2**60) if '"same"' in each.properties else each for each in found]

    monkeypatch.setattr(store, "locked_events", sent_again)
    gate.clock[0] += 7 * DAY
    # As if it had been replaced: the job leaves it, finds it again when it counts, and certifies nothing.
    assert deletion.run_due(gate.services) == 0
    assert kept(gate) == ["other", "same"]
    assert look(gate, made)["error"] == "verification_failed"
    monkeypatch.undo()
    carry_out(gate, made, days=1)
    assert kept(gate) == ["other"]


def test_one_property_goes_from_all_of_history_and_nothing_else_changes(gate):
    some(gate)
    send(gate, event(gate, "Buy", "deep", plan={"name": "pro"}, n=1.50, list=[1, {"plan": "stays"}]))
    before = dict(gate.rows("SELECT dedup, properties FROM event"))
    made = delete(gate, target="event_property", property="plan", confirm=True)
    send(gate, event(gate, "Buy", "after", plan="new"))
    found = carry_out(gate, made)
    assert found["counts"]["deleted.event"] == 5
    after = dict(gate.rows("SELECT dedup, properties FROM event"))
    for dedup, text in before.items():
        wanted = {name: value for name, value in json.loads(text).items() if name != "plan"}
        assert json.loads(after.pop(dedup)) == wanted
    (new,) = after.values()
    assert json.loads(new)["plan"] == "new", "what was received after the deletion was accepted is new"
    assert certificate(gate, made)["covered"]["property"] == "plan"
    assert "plan" in next(each for each in exported(gate) if each["properties"]["$insert_id"] == "after")["properties"]


def test_a_profile_property_goes_from_people_and_groups(gate):
    for person, values in (("ada", {"plan": "pro", "n": 1}), ("bob", {"n": 2})):
        assert gate.client.post("/engage", json=[{"$token": gate.token, "$distinct_id": person, "$set": values}]).data == b"1"
    group = {"$token": gate.token, "$group_key": "company", "$group_id": "acme", "$set": {"plan": "big"}}
    assert gate.client.post("/groups", json=[group]).status_code == 200
    send(gate, event(gate, "View", "v", plan="stays"))
    seen = ask(gate, "/preview", target="profile_property", property="plan").get_json()
    assert (seen["matched"], seen["matches"]) == (2, "some")
    made = delete(gate, target="profile_property", property="plan")
    people = gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()["results"]
    assert all("plan" not in each["$properties"] for each in people)
    found = carry_out(gate, made)
    assert found["counts"]["deleted.profile"] == 2
    texts = [row[0] for row in gate.rows("SELECT properties FROM profile")]
    assert len(texts) == 3
    assert not any("plan" in json.loads(text) for text in texts)
    assert sorted(json.loads(text).get("n", 0) for text in texts) == [0, 1, 2]
    assert exported(gate)[0]["properties"]["plan"] == "stays"


def test_it_works_in_batches_and_goes_on_where_it_stopped(gate, monkeypatch):
    monkeypatch.setattr(deletion_places, "ROWS_AT_ONCE", 3)
    send(gate, *(event(gate, "View", f"v{n:02}", days_ago=n % 5) for n in range(20)), event(gate, "Buy", "b"))
    made = delete(gate, events=["View"])
    gate.clock[0] += 7 * DAY

    def stopping() -> bool:
        return look(gate, made)["counts"].get("deleted.event", 0) >= 6

    assert deletion.run_due(gate.services, stopping) == 0
    part = look(gate, made)
    assert part["state"] == "erasing"
    assert 0 < part["counts"]["deleted.event"] < 20
    assert shown(gate) == ["b"], "what is not erased yet is hidden still"
    assert ask(gate, f"/{made}/undo").status_code == 409
    found = carry_out(gate, made, days=0)
    assert (found["counts"]["before.event"], found["counts"]["deleted.event"]) == (20, 20)
    assert kept(gate) == ["b"]


def test_whoever_lost_the_turn_changes_nothing(gate):
    some(gate)
    made = delete(gate, events=["View"])
    gate.clock[0] += 7 * DAY
    project_id = gate.credentials["project_id"]
    with gate.services.database.write() as tx:
        lost = work.TURNS.claim(tx, project_id, gate.clock[0], 1_000)
    assert lost is not None
    assert deletion.run_due(gate.services) == 0, "somebody has the turn"
    gate.clock[0] += 1_001
    assert deletion.run_due(gate.services) == 1
    run = deletion_places.Run(gate.services, lost, 1_000, gate.services.deletions.status(project_id, made), lambda: False)
    with pytest.raises(LostTurn), run.effect():
        raise AssertionError("no effect begins")


def test_a_purge_that_is_held_back_certifies_nothing_and_is_tried_again(gate, monkeypatch):
    some(gate)
    made = delete(gate, events=["View"])

    def blocked(*_: Any) -> Any:
        raise purge.PurgeBlocked("a reader")

    monkeypatch.setattr(purge, "certain", blocked)
    gate.clock[0] += 7 * DAY
    assert deletion.run_due(gate.services) == 0
    found = look(gate, made)
    assert (found["state"], found["step"], found["error"]) == ("erasing", "purge", "purge_blocked")
    assert found["next_try"] > found["undo_until"]
    assert deletion.run_due(gate.services) == 0, "not before its time"
    monkeypatch.undo()
    carry_out(gate, made, days=0.01)


def test_without_a_time_to_undo_it_is_erased_at_once(tmp_path):
    built = build(tmp_path, None, PORTCULLIS_DELETION_UNDO_DAYS="0")
    send(built, event(built, "View", "v"), event(built, "Buy", "b"))
    made = delete(built, events=["View"])
    assert ask(built, f"/{made}/undo").status_code == 409
    carry_out(built, made, days=0)
    assert kept(built) == ["b"]
    built.services.close()


def test_a_property_waits_for_the_events_that_a_condition_hides_by_it(gate):
    some(gate)
    events = delete(gate, where='properties["plan"] == "pro"')
    prop = delete(gate, target="event_property", property="plan")
    gate.clock[0] += 7 * DAY
    with gate.services.database.write() as tx:
        work.fail(tx, events, "test", gate.clock[0])
    assert deletion.run_due(gate.services) == 0
    assert look(gate, prop)["state"] == "hidden"
    gate.clock[0] += DAY
    assert deletion.run_due(gate.services) == 2
    assert kept(gate) == ["v1"]


# --- what is not in the event store ----------------------------------------------------------------------------------


def held(gate: Gate) -> list[tuple[str, str]]:
    found = gate.client.get("/v1/quarantine", headers=gate.bearer("officer")).get_json()["held"]
    return [(each["id"], each["event"]) for each in found]


def test_a_held_event_that_is_covered_is_neither_opened_nor_released_and_goes_with_the_rest(gate):
    send(gate, event(gate, "View", "v", odd="x", plan="pro"), event(gate, "View", "w", odd="x", plan="free"))
    send(gate, event(gate, "Buy", "b"), event(gate, "View", "stored", plan="pro"))
    assert len(held(gate)) == 2
    made = delete(gate, where='properties["plan"] == "pro"')
    opened = [gate.client.get(f"/v1/quarantine/{each}", headers=gate.bearer("officer")).status_code for each, _ in held(gate)]
    assert sorted(opened) == [200, 404]
    outcome = gate.client.post("/v1/quarantine/release", json={"all": True}, headers=gate.bearer("officer"))
    if outcome.status_code != 200:
        ids = [each for each, _ in held(gate)]
        outcome = gate.client.post("/v1/quarantine/release", json={"ids": ids}, headers=gate.bearer("officer"))
    assert outcome.status_code == 200, outcome.get_data(as_text=True)
    assert outcome.get_json()["released"] == 1
    assert outcome.get_json()["refused"] == {"being_deleted": 1}
    assert shown(gate) == ["b", "w"]
    found = carry_out(gate, made)
    assert held(gate) == []
    assert (found["counts"]["before.quarantined"], found["counts"]["deleted.quarantined"]) == (1, 1)
    assert kept(gate) == ["b", "w"]


def test_a_property_is_taken_out_of_what_is_held(gate):
    send(gate, event(gate, "View", "v", odd="x", plan="pro"), event(gate, "View", "stored", plan="free"))
    update = {"$token": gate.token, "$distinct_id": "ada", "$set": {"odd": "x", "plan": "pro"}}
    assert gate.client.post("/engage", json=[update]).data == b"1"
    assert len(held(gate)) == 2
    made = delete(gate, target="event_property", property="plan", confirm=True)
    (event_id,) = [each for each, name in held(gate) if name == "View"]
    seen = gate.client.get(f"/v1/quarantine/{event_id}", headers=gate.bearer("officer")).get_json()
    assert "plan" not in seen["properties"]
    found = carry_out(gate, made)
    assert found["counts"]["deleted.quarantined"] == 1
    (update_id,) = [each for each, name in held(gate) if name != "View"]
    seen = gate.client.get(f"/v1/quarantine/{update_id}", headers=gate.bearer("officer")).get_json()
    assert seen["properties"]["plan"] == "pro"
    outcome = gate.client.post("/v1/quarantine/release", json={"ids": [event_id]}, headers=gate.bearer("officer"))
    assert outcome.get_json()["released"] == 1
    assert sorted("plan" in json.loads(row[0]) for row in gate.rows("SELECT properties FROM event")) == [False, False]


def test_what_waits_for_a_collector_waits_on_while_hidden_and_goes_with_the_rest(gate):
    collector = Collector()
    project_id = gate.credentials["project_id"]
    gate.services.upstreams.choose(project_id, collector.url, Account(gate.token), "default", actor="test")
    send(gate, event(gate, "View", "v1"), event(gate, "View", "v2", days_ago=3), event(gate, "Buy", "b1", plan="pro"))
    first = delete(gate, events=["View"], from_="2026-11-17")
    prop = delete(gate, target="event_property", property="plan")

    def told() -> list[str]:
        forward.run_due(gate.services, lambda: False, Speaker())
        return sorted(each["properties"]["$insert_id"] for _, batch, _ in collector.sent for each in batch)

    assert told() == ["b1", "v2"]
    assert "plan" not in json.dumps([batch for _, batch, _ in collector.sent])
    send(gate, event(gate, "Buy", "b2", plan="new"))
    assert told() == ["b1", "b2", "v2"]
    assert "new" in json.dumps([batch for _, batch, _ in collector.sent]), "what is received later is told whole"
    assert ask(gate, f"/{first}/undo").status_code == 200
    assert told() == ["b1", "b2", "v1", "v2"]
    assert ask(gate, f"/{prop}/undo").status_code == 200
    collector.answers = [(503, {}, {})]
    send(gate, event(gate, "View", "v3"))
    assert told()[-1] != "v4"
    again = delete(gate, events=["View"], from_="2026-11-17")
    found = carry_out(gate, again)
    assert found["counts"]["before.outgoing"] == found["counts"]["deleted.outgoing"] == 1
    assert gate.rows("SELECT count(*) FROM outgoing") == [(0,)]


def test_people_are_still_told_what_is_held_of_them(gate):
    some(gate)
    delete(gate, events=["View"])
    request_id = gate.retrieve("ada")
    gate.work()
    archive = gate.client.get(f"/v1/requests/{request_id}/archive", headers=gate.bearer("officer")).data
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        text = "".join(packed.read(name).decode() for name in packed.namelist())
    assert "v400" in text


def test_retention_takes_no_property_out_of_what_a_condition_hides_and_goes_back_when_it_is_undone(gate):
    rule = """\
policy: kept
detectors: keep
rules:
  - {id: plan, properties: [plan], category: user.content, sensitivity: internal, action: keep}
retention:
  - {id: content, category: user.content, days: 10}
"""
    answer = gate.client.post("/v1/policies", json={"text": rule, "activate": True}, headers=gate.bearer("admin"))
    assert answer.status_code == 201
    some(gate)
    made = delete(gate, where='properties["plan"] == "pro" and event["time"] < datetime("2026-01-01")')
    assert shown(gate) == ["b1", "v1", "v2"]
    retention.run_due(gate.services)
    assert shown(gate) == ["b1", "v1", "v2"], "without the property it would show again"
    assert ask(gate, f"/{made}/undo").status_code == 200
    gate.clock[0] += 3_600_000
    retention.run_due(gate.services)
    (old,) = [each for each in exported(gate) if each["properties"]["$insert_id"] == "v400"]
    assert "plan" not in old["properties"]


def test_what_a_legal_hold_keeps_waits_for_the_end_of_the_hold(gate: Gate) -> None:
    gate.track(gate.event("ann", "i-1"), gate.event("ben", "i-2"))
    officer, admin = gate.bearer("officer"), gate.bearer("admin")
    placed = gate.client.post(
        "/v1/holds",
        json={"distinct_ids": ["ann"], "basis": "art17_3_e_legal_claims", "all_events": True},
        headers=officer,
    )
    assert placed.status_code == 200, placed.text
    made = gate.client.post(
        "/v1/data-deletions", json={"target": "events", "events": ["View"], "reason": "test_data", "confirm": True}, headers=admin
    )
    assert made.status_code == 201, made.text
    gate.clock[0] += 8 * 86_400_000
    assert deletion.run_due(gate.services) == 0
    status = gate.client.get(f"/v1/data-deletions/{made.json['id']}", headers=admin).json
    assert status["state"] == "erasing"
    kept = gate.rows("SELECT count(*) FROM event e JOIN hold_subject h ON h.uid = e.uid")
    assert kept == [(1,)], "what is held is still there"
    lifted = gate.client.post(f"/v1/holds/{placed.json['id']}/lift", json={}, headers=officer)
    assert lifted.status_code == 200, lifted.text
    gate.clock[0] += 86_400_000
    assert deletion.run_due(gate.services) == 1
    assert gate.rows("SELECT count(*) FROM event") == [(0,)]


def test_no_count_tells_what_a_credential_may_not_see(gate: Gate) -> None:
    rule = "{id: secret, properties: [illness], category: user.health, sensitivity: restricted, action: keep, classified: true}"
    text = f"{POLICY}  - {rule}\n"
    answer = gate.client.post("/v1/policies", json={"text": text, "activate": True}, headers=gate.bearer("admin"))
    assert answer.status_code == 201, answer.text
    gate.track(gate.event("ann", "i-1", illness="measles", plan="pro"))
    with gate.services.database.write() as tx:
        of = int(gate.rows("SELECT id FROM project")[0][0])
        made = gate.services.access.create_principal(tx, of, Kind.BEARER, Role.ADMIN, actor="test")
    stranger = {"Authorization": f"Bearer {made.secret}"}
    by_illness = {"target": "events", "where": 'properties["illness"] == "measles"'}
    by_plan = {"target": "events", "where": 'properties["plan"] == "pro"'}

    def asked(path: str, body: dict[str, Any], headers: dict[str, str]) -> int:
        return gate.client.post(f"/v1/data-deletions{path}", json=body, headers=headers).status_code

    assert asked("/preview", by_illness, stranger) == 403
    assert asked("", {**by_illness, "reason": "test_data", "confirm": True}, stranger) == 403
    assert asked("/preview", by_plan, stranger) == 200
    assert asked("/preview", by_illness, gate.bearer("admin")) == 200, "whoever was given the permission by name may ask"
    assert gate.rows("SELECT count(*) FROM data_deletion") == [(0,)]
