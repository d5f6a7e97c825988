"""Held events: listed without values, opened under audit, released, discarded, expired; on SQLite and PostgreSQL."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from app.access.roles import Role
from app.access.service import Principal
from app.errors import NotFound
from app.quarantine.service import Selection
from tests.integration.gate import Gate, build

HOLDING = """\
policy: holding
unknown_events: allow
rules:
  - {id: health, properties: [diagnosis], category: user.health_and_medical, sensitivity: restricted, action: quarantine}
  - {id: plan, properties: [plan], category: user.behavior, sensitivity: internal, action: keep}
"""
CANARY = "hypertension"
DAY_MS = 86_400_000


@pytest.fixture(params=["sqlite", "postgres"])
def gate(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    built = build(tmp_path, url)
    activate(built, HOLDING)
    yield built
    built.services.close()


def activate(gate: Gate, text: str) -> None:
    answer = gate.client.post("/v1/policies", json={"text": text, "activate": True}, headers=gate.bearer("admin"))
    assert answer.status_code == 201, answer.get_data(as_text=True)


def listing(gate: Gate, **query: Any) -> dict[str, Any]:
    answer = gate.client.get("/v1/quarantine", query_string=query, headers=gate.bearer("officer"))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return dict(answer.get_json())


def decide(gate: Gate, act: str, **body: Any) -> dict[str, Any]:
    answer = gate.client.post(f"/v1/quarantine/{act}", json=body, headers=gate.bearer("officer"))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return dict(answer.get_json())


def opened(gate: Gate, held_id: str) -> Any:
    return gate.client.get(f"/v1/quarantine/{held_id}", headers=gate.bearer("officer"))


def test_what_is_held_is_listed_without_values_and_opened_under_audit(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY, note="thanks"), gate.event("bob", "i2", plan="pro"))
    assert gate.people() == ["bob"]
    found = listing(gate)
    assert found["total"] == 1
    assert found["ages"] == {"under_a_day": 1, "under_a_week": 0, "older": 0}
    assert [(each["event"], each["reason"], each["held"]) for each in found["groups"]] == [("View", "classified", 1)]
    [held] = found["held"]
    assert set(held) == {"id", "scope", "event", "reason", "policy_version", "received", "expires"}
    assert "ada" not in json.dumps(found)
    assert "thanks" not in json.dumps(found)

    view = opened(gate, held["id"]).get_json()
    assert view["distinct_id"] == "ada"
    assert view["properties"]["note"] == "thanks"
    assert view["properties"]["diagnosis"] == "[health_and_medical]"
    assert view["held_by"] == [{"rule": "health", "path": "properties.diagnosis", "action": "quarantine", "reason": "classified"}]
    [read] = [each for each in gate.log() if each["action"] == "quarantine.read"]
    assert read["ref"]
    assert read["obj"] == f"quarantine/{held['id']}"
    assert CANARY not in json.dumps(gate.log())
    assert not [row for row in gate.rows("SELECT sealed FROM quarantined") if b"thanks" in bytes(row[0])]


def test_a_released_event_is_exported_with_its_own_time_and_is_never_doubled(gate: Gate) -> None:
    sent = gate.event("ada", "i1", diagnosis=CANARY)
    gate.track(sent)
    gate.track(sent)
    assert listing(gate)["total"] == 1
    gate.clock[0] += DAY_MS
    assert decide(gate, "release", ids=[listing(gate)["held"][0]["id"]])["released"] == 1
    [line] = gate.exported()
    assert line["properties"]["time"] == sent["properties"]["time"]
    assert line["properties"]["distinct_id"] == "ada"
    assert line["properties"]["diagnosis"] == "[health_and_medical]"
    assert listing(gate)["total"] == 0
    gate.track(sent)
    assert decide(gate, "release", filter={})["released"] == 1
    activate(gate, HOLDING.replace("quarantine}", "keep, why: explicit consent}"))
    gate.track(sent)
    assert len(gate.exported()) == 1
    [entry, _] = [each for each in gate.log() if each["action"] == "quarantine.released"]
    assert entry["n"] == {"released": 1}
    assert entry["facts"] == {"policy_version": "2"}


def test_devices_and_users_of_a_released_event_get_their_ids_back(gate: Gate) -> None:
    ids = {"$device_id": "d1", "$user_id": "ada"}
    gate.track(gate.event("ada", "i1", diagnosis=CANARY, **ids))
    held = listing(gate)["held"][0]["id"]
    shown = opened(gate, held).get_json()["properties"]
    assert {name: shown[name] for name in ids} == ids
    decide(gate, "release", ids=[held])
    [line] = gate.exported()
    assert {name: line["properties"][name] for name in ids} == ids


def test_a_release_passes_the_policy_in_force(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY, note="thanks"))
    stricter = "  - {id: note, properties: [note], category: user.content, sensitivity: internal, action: drop}\n"
    activate(gate, HOLDING + stricter)
    assert decide(gate, "release", filter={"reason": "classified"})["released"] == 1
    [line] = gate.exported()
    assert "note" not in line["properties"]
    assert gate.rows("SELECT policy_version FROM event") == [(3,)]


def test_what_the_officer_did_not_see_holds_the_event_again(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY, note="thanks"))
    held = listing(gate)["held"][0]["id"]
    more = "  - {id: note, properties: [note], category: user.content, sensitivity: internal, action: quarantine}\n"
    activate(gate, HOLDING + more)
    assert decide(gate, "release", ids=[held])["held_again"] == 1
    assert gate.exported() == []
    assert {each["rule"] for each in opened(gate, held).get_json()["held_by"]} == {"health", "note"}
    assert decide(gate, "release", ids=[held])["released"] == 1
    [line] = gate.exported()
    assert line["properties"]["note"] == "[content]"


def test_an_event_that_today_s_policy_refuses_stays_held_and_says_why(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY))
    activate(gate, HOLDING + "events: {block: [View]}\n")
    assert decide(gate, "release", filter={})["refused"] == {"blocked_event": 1}
    assert listing(gate)["total"] == 1


def test_a_person_who_opted_out_meanwhile_is_not_released(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY), gate.event("bob", "i2", diagnosis=CANARY))
    answer = gate.client.post("/v1/opt-outs", json={"distinct_ids": ["ada"]}, headers=gate.bearer("officer"))
    assert answer.status_code == 200
    found = decide(gate, "release", filter={})
    assert (found["released"], found["refused"]) == (1, {"opted_out": 1})
    assert gate.people() == ["bob"]


def test_what_is_dropped_enrols_nobody_and_is_not_held(gate: Gate) -> None:
    activate(gate, HOLDING + "events: {block: [View]}\n")
    gate.track(gate.event("ada", "i1", diagnosis=CANARY))
    assert gate.rows("SELECT count(*) FROM register") == [(0,)]
    assert listing(gate)["total"] == 0


def test_a_refused_purpose_meanwhile_keeps_the_event_held(gate: Gate) -> None:
    purposes = "consent: {purposes: [{id: marketing, events: [View]}]}\n"
    activate(gate, HOLDING + purposes)
    gate.track(gate.event("ada", "i1", diagnosis=CANARY), gate.event("bob", "i2", diagnosis=CANARY))
    body = {"distinct_ids": ["ada"], "purposes": ["marketing"]}
    assert gate.client.post("/v1/opt-outs", json=body, headers=gate.bearer("officer")).status_code == 200
    found = decide(gate, "release", filter={})
    assert (found["released"], found["refused"]) == (1, {"purpose_refused": 1})
    assert gate.people() == ["bob"]


def test_what_a_device_encrypted_alone_is_not_encrypted_again_once_it_has_a_person(gate: Gate) -> None:
    encrypting = (
        HOLDING + "  - {id: mood, properties: [mood], category: user.content, sensitivity: confidential, action: encrypt}\n"
    )
    activate(gate, encrypting)
    gate.track(gate.event("$device:d1", "i1", diagnosis=CANARY, mood="calm", more=json.dumps({"mood": "glad"})))
    gate.track(gate.event("ada", "i2", mood="calm", **{"$device_id": "d1", "$user_id": "ada"}))
    assert decide(gate, "release", filter={})["released"] == 1
    lines = gate.exported()
    assert [line["properties"]["mood"] for line in lines] == ["calm", "calm"]
    assert [json.loads(line["properties"]["more"]) for line in lines if "more" in line["properties"]] == [{"mood": "glad"}]
    codes = {json.loads(text)["mood"] for (text,) in gate.rows("SELECT properties FROM event")}
    assert len(codes) == 1, "both stand under the person's key"


def test_a_release_notes_old_events_for_retention_and_bridges_for_joins(gate: Gate) -> None:
    hashing = "  - {id: note, properties: [note], category: user.content, sensitivity: internal, action: hash}\n"
    keeping = "retention: [{id: views, events: [View], days: 400}]\n"
    sent = gate.event("ada", "i1", diagnosis=CANARY, note="thanks")
    gate.track(sent)
    rotated = {"purpose": "pseudonym", "bridge_days": 30}
    assert gate.client.post("/v1/keys/rotate", json=rotated, headers=gate.bearer("admin")).status_code == 200
    activate(gate, HOLDING + hashing + keeping)
    gate.clock[0] += 3 * DAY_MS
    assert decide(gate, "release", filter={})["released"] == 1
    assert gate.rows("SELECT from_ms FROM retention_late") == [(sent["properties"]["time"] * 1000 // DAY_MS * DAY_MS,)]
    assert len(gate.rows("SELECT older FROM pseudonym_bridge")) == 1


def test_an_id_that_the_event_names_and_does_not_keep_can_refuse_its_release(gate: Gate) -> None:
    gate.track(gate.event("eve", "i0"), gate.event("eve", "i1", diagnosis=CANARY, **{"$user_id": "ada"}))
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["eve"]}, headers=gate.bearer("officer"))
    assert decide(gate, "release", filter={})["refused"] == {"opted_out": 1}
    gate.client.post("/v1/opt-ins", json={"distinct_ids": ["eve"]}, headers=gate.bearer("officer"))
    assert decide(gate, "release", filter={})["released"] == 1


def test_erasure_and_retrieval_cover_what_is_held(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY, note="mine"), gate.event("bob", "i2", diagnosis=CANARY))
    request_id = gate.retrieve("ada")
    gate.work()
    answer = gate.client.get(f"/v1/requests/{request_id}/archive", headers=gate.bearer("officer"))
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        [line] = archive.read("quarantined.ndjson").splitlines()
    assert json.loads(line)["properties"]["note"] == "mine"

    held = {each["id"]: opened(gate, each["id"]).get_json()["distinct_id"] for each in listing(gate)["held"]}
    [of_ada] = [held_id for held_id, person in held.items() if person == "ada"]
    gate.delete("ada")
    assert opened(gate, of_ada).status_code == 404
    assert decide(gate, "release", ids=[of_ada]) == {
        "released": 0, "discarded": 0, "held_again": 0, "refused": {"erased": 1}, "more": False,
    }  # fmt: skip
    gate.work()
    assert [each["id"] for each in listing(gate)["held"]] == [held_id for held_id in held if held_id != of_ada]
    assert gate.exported() == []


def test_discarding_by_filter_leaves_the_rest(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY))
    gate.clock[0] += 2 * DAY_MS
    gate.track(gate.event("bob", "i2", diagnosis=CANARY), {**gate.event("eve", "i3", diagnosis=CANARY), "event": "Other"})
    assert listing(gate)["ages"] == {"under_a_day": 2, "under_a_week": 1, "older": 0}
    assert listing(gate, event="Other")["total"] == 1
    assert decide(gate, "discard", filter={"before_ms": gate.clock[0]})["discarded"] == 1
    assert decide(gate, "discard", filter={"event": "Other"})["discarded"] == 1
    assert listing(gate)["total"] == 1
    assert gate.actions().count("quarantine.discarded") == 2
    assert gate.exported() == []


def test_pages_follow_each_other_and_a_made_up_cursor_is_refused(gate: Gate) -> None:
    gate.track(*(gate.event(f"p{n}", f"i{n}", diagnosis=CANARY) for n in range(5)))
    seen, cursor = [], None
    while True:
        page = listing(gate, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [each["id"] for each in page["held"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5
    made_up = gate.client.get("/v1/quarantine?cursor=nonsense", headers=gate.bearer("officer"))
    assert made_up.status_code == 404
    both = gate.client.post("/v1/quarantine/discard", json={}, headers=gate.bearer("officer"))
    assert both.status_code == 422


def test_nobody_s_decision_is_an_end_too(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY), gate.event("bob", "i2", diagnosis=CANARY))
    assert gate.services.quarantine.expire() == 0
    gate.clock[0] += 30 * DAY_MS
    assert gate.services.quarantine.expire() == 2
    assert gate.rows("SELECT count(*) FROM quarantined") == [(0,)]
    [entry] = [each for each in gate.log() if each["action"] == "quarantine.expired"]
    assert (entry["actor"], entry["n"]) == ("system", {"events": 2})


def test_other_projects_and_other_roles_see_and_decide_nothing_of_it(gate: Gate) -> None:
    gate.track(gate.event("ada", "i1", diagnosis=CANARY))
    held = listing(gate)["held"][0]["id"]
    for role in ("ingest", "auditor"):
        assert gate.client.get(f"/v1/quarantine/{held}", headers=gate.bearer(role)).status_code == 403
    services = gate.services
    with services.database.write() as tx:
        stranger = Principal("x", services.access.create_project(tx, "other", actor="test"), Role.OFFICER)
    assert services.quarantine.overview(stranger, Selection(), 10).total == 0
    assert services.quarantine.discard(stranger, Selection([held])).counts() == {}
    with pytest.raises(NotFound):
        services.quarantine.open(stranger, held)
    assert listing(gate)["total"] == 1
