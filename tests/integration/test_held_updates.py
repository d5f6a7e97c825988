"""Changes to profiles that policy holds: sealed, listed, put back in the order of their arrival; on SQLite and PostgreSQL."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from tests.integration.gate import Gate, build
from tests.integration.test_quarantine import CANARY, DAY_MS, HOLDING, activate, decide, listing, opened


@pytest.fixture(params=["sqlite", "postgres"])
def gate(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    built = build(tmp_path, url)
    activate(built, HOLDING)
    yield built
    built.services.close()


def engage(gate: Gate, *updates: dict[str, Any]) -> None:
    sent = [{"$token": gate.token, "$distinct_id": "ada", **each} for each in updates]
    assert gate.client.post("/engage?verbose=1", json=sent).get_json()["status"] == 1


def profile(gate: Gate, person: str = "ada") -> dict[str, Any] | None:
    answer = gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()
    found = [each["$properties"] for each in answer["results"] if each["$distinct_id"] == person]
    return {name: value for name, value in found[0].items() if name != "$last_seen"} if found else None


HELD = "[health_and_medical]"


def test_an_update_is_held_sealed_and_listed_and_the_rest_of_its_record_takes_effect(gate: Gate) -> None:
    engage(gate, {"$set": {"diagnosis": CANARY, "note": "thanks"}, "$add": {"visits": 1}})
    assert profile(gate) == {"visits": 1}
    found = listing(gate)
    assert [(each["scope"], each["event"], each["reason"]) for each in found["held"]] == [("profile", "$set", "classified")]
    assert listing(gate, scope="event")["total"] == 0
    assert found["groups"][0]["scope"] == "profile"
    view = opened(gate, found["held"][0]["id"]).get_json()
    assert (view["distinct_id"], view["properties"]) == ("ada", {"diagnosis": HELD, "note": "thanks"})
    assert view["held_by"] == [{"rule": "health", "path": "properties.diagnosis", "action": "quarantine", "reason": "classified"}]
    assert not [row for row in gate.rows("SELECT sealed FROM quarantined") if b"thanks" in bytes(row[0])]
    [entry] = [each for each in gate.log_after_sequencing() if each["action"] == "profiles.changed"]
    assert entry["n"] == {"stored": 1, "quarantined": 1}


def test_one_that_is_held_whole_leaves_its_profile_as_it_was(gate: Gate) -> None:
    engage(gate, {"$set": {"plan": "pro"}})
    before = gate.rows("SELECT properties, changed_ms, last_seen_ms FROM profile")
    gate.clock[0] += DAY_MS
    engage(gate, {"$set": {"diagnosis": CANARY}})
    assert gate.rows("SELECT properties, changed_ms, last_seen_ms FROM profile") == before


def test_released_updates_apply_in_the_order_of_their_arrival(gate: Gate) -> None:
    engage(gate, *({"$set": {"diagnosis": CANARY, "step": n}} for n in range(20)))
    gate.clock[0] += DAY_MS
    engage(gate, {"$append": {"diagnosis": CANARY}, "$union": {"tags": ["x"]}}, {"$set": {"diagnosis": CANARY, "step": 20}})
    assert decide(gate, "release", filter={})["released"] == 22
    assert profile(gate) == {"diagnosis": HELD, "step": 20, "tags": ["x"]}
    assert listing(gate)["total"] == 0


def test_what_was_set_since_is_not_overwritten(gate: Gate) -> None:
    engage(gate, {"$set": {"diagnosis": CANARY, "plan": "old", "city": "x"}}, {"$remove": {"list": "a", "diagnosis": CANARY}})
    engage(gate, {"$add": {"diagnosis": 1, "n": 2}})
    gate.clock[0] += DAY_MS
    engage(gate, {"$set": {"plan": "new", "list": ["a"], "n": 1}})
    changed = gate.rows("SELECT changed_ms FROM profile")
    assert decide(gate, "release", filter={})["released"] == 3
    found = profile(gate)
    assert found is not None
    assert (found["plan"], found["city"], found["list"], found["n"]) == ("new", "x", ["a"], 3)
    assert gate.rows("SELECT changed_ms FROM profile") == changed


def test_a_later_release_of_an_earlier_update_gives_way_to_the_later_one(gate: Gate) -> None:
    engage(gate, {"$set": {"diagnosis": CANARY, "step": 1}})
    [first] = [each["id"] for each in listing(gate)["held"]]
    gate.clock[0] += DAY_MS
    engage(gate, {"$set": {"diagnosis": CANARY, "step": 2, "more": 1}})
    assert decide(gate, "release", filter={"after_ms": gate.clock[0]})["released"] == 1
    assert decide(gate, "release", ids=[first])["released"] == 1
    found = profile(gate)
    assert found is not None
    assert (found["step"], found["more"]) == (2, 1)


def test_the_same_update_is_held_once_and_what_adds_up_as_often_as_it_was_sent(gate: Gate) -> None:
    for _ in range(3):
        engage(gate, {"$set": {"diagnosis": CANARY}}, {"$append": {"diagnosis": CANARY}})
        gate.clock[0] += 1
    assert sorted(each["event"] for each in listing(gate)["held"]) == ["$append"] * 3 + ["$set"]


def test_a_delete_takes_along_what_is_held_of_the_profile(gate: Gate) -> None:
    engage(gate, {"$set": {"diagnosis": CANARY}}, {"$distinct_id": "bob", "$set": {"diagnosis": CANARY}})
    engage(gate, {"$append": {"diagnosis": CANARY}}, {"$delete": ""}, {"$set": {"diagnosis": CANARY, "after": 1}})
    gate.track(gate.event("ada", "i1", diagnosis=CANARY))
    assert sorted((each["scope"], each["event"]) for each in listing(gate)["held"]) == [
        ("event", "View"), ("profile", "$set"), ("profile", "$set"),
    ]  # fmt: skip
    entry = [each for each in gate.log_after_sequencing() if each["action"] == "profiles.changed"][-1]
    assert entry["n"]["withdrawn"] == 1
    decide(gate, "release", filter={"scope": "profile"})
    assert profile(gate) == {"diagnosis": HELD, "after": 1}


def test_a_release_passes_the_policy_in_force_and_the_person_s_present_state(gate: Gate) -> None:
    engage(gate, {"$set": {"diagnosis": CANARY, "note": "x"}}, {"$distinct_id": "bob", "$set": {"diagnosis": CANARY}})
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["bob"]}, headers=gate.bearer("officer"))
    activate(gate, HOLDING + "  - {id: note, properties: [note], category: user.content, sensitivity: internal, action: drop}\n")
    found = decide(gate, "release", filter={})
    assert (found["released"], found["refused"]) == (1, {"opted_out": 1})
    assert profile(gate) == {"diagnosis": HELD}


def test_an_update_of_a_device_goes_to_the_person_it_became(gate: Gate) -> None:
    engage(gate, {"$distinct_id": "$device:d1", "$set": {"diagnosis": CANARY, "seen": 1}})
    gate.track(gate.event("ada", "i1", **{"$device_id": "d1", "$user_id": "ada"}))
    engage(gate, {"$set": {"plan": "pro"}})
    assert decide(gate, "release", filter={})["released"] == 1
    assert profile(gate) == {"plan": "pro", "diagnosis": HELD, "seen": 1}


def test_a_value_under_the_person_s_key_is_held_and_released_under_it(gate: Gate) -> None:
    activate(
        gate,
        HOLDING + "  - {id: mood, properties: [mood], category: user.content, sensitivity: confidential, action: encrypt}\n",
    )
    engage(gate, {"$set": {"diagnosis": CANARY, "mood": "calm"}}, {"$append": {"mood": "glad"}})
    assert decide(gate, "release", filter={})["released"] == 1
    assert profile(gate) == {"diagnosis": HELD, "mood": "calm"}
    assert not [text for (text,) in gate.rows("SELECT properties FROM profile") if "calm" in text or "glad" in text]


def test_a_full_profile_keeps_the_update_held_and_says_why(gate: Gate) -> None:
    engage(gate, {"$set": {f"p{n}": n for n in range(2_000)}})
    engage(gate, {"$set": {"diagnosis": CANARY}})
    assert decide(gate, "release", filter={})["refused"] == {"profile_full": 1}
    assert listing(gate)["total"] == 1


def test_erasure_and_retrieval_cover_held_updates(gate: Gate) -> None:
    engage(gate, {"$set": {"diagnosis": CANARY, "note": "mine"}}, {"$distinct_id": "bob", "$set": {"diagnosis": CANARY}})
    request_id = gate.retrieve("ada")
    gate.work()
    answer = gate.client.get(f"/v1/requests/{request_id}/archive", headers=gate.bearer("officer"))
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        [line] = archive.read("quarantined.ndjson").splitlines()
    held = json.loads(line)
    assert (held["operation"], held["properties"]["note"]) == ("$set", "mine")
    gate.delete("ada")
    gate.work()
    assert listing(gate)["total"] == 1
    gate.clock[0] += 31 * DAY_MS
    assert gate.services.quarantine.expire() == 1
