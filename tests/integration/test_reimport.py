"""Known people become nobody in particular and what is counted stays, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from app.audit.note import open_note
from app.reimport.tables import reimport_chunk, reimport_mark, reimport_subject, reimport_total
from jobs import dispatcher
from tests.integration.gate import Gate, build

CANARY = "canary-7f3a@example.com"
DAY_S = 86_400
LENIENT = """\
policy: lenient
unknown_properties: allow
unknown_events: allow
detectors: {email: keep}
rules: []
"""
CLEAN = """\
policy: clean
unknown_properties: allow
unknown_events: allow
rules:
  - {id: who, properties: [email, name], category: user.contact.email, sensitivity: confidential, action: drop}
  - {id: age, properties: [age], category: user.demographic, sensitivity: internal, action: {generalise: {bucket: 10}}}
"""
TABLES = (reimport_chunk, reimport_mark, reimport_subject, reimport_total)


@pytest.fixture(params=["sqlite", "postgres"])
def gate(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    built = build(tmp_path, url)
    _in_force(built, LENIENT)
    yield built
    built.services.close()


def _in_force(gate: Gate, text: str) -> int:
    answer = gate.client.post("/v1/policies", json={"text": text, "activate": True}, headers=gate.bearer("admin"))
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return int(answer.get_json()["version"])


def _version(gate: Gate, text: str) -> int:
    answer = gate.client.post("/v1/policies", json={"text": text}, headers=gate.bearer("admin"))
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return int(answer.get_json()["version"])


def _fill(gate: Gate, people: int = 6, events: int = 4) -> None:
    """As many people of two cities; the first is known by a user id, a device and an address."""
    sent = []
    for person in range(people):
        who = {"$user_id": f"user-{person}", "$device_id": f"phone-{person}"}
        for n in range(events):
            more = {"city": ["Bonn", "Kiel"][person % 2], "amount": n + 0.5, "email": f"{person}-{CANARY}", "age": 31 + person}
            sent.append(gate.event("", f"e{person}-{n}", **who, **more))
            sent[-1]["properties"]["time"] -= n * DAY_S
        sent.append(gate.event("", f"d{person}", **{"$device_id": f"phone-{person}"}, city="Bonn"))
    gate.track(*sent)
    profiles = [
        {"$token": gate.token, "$distinct_id": f"user-{person}", "$set": {"city": "Bonn", "name": CANARY}}
        for person in range(people)
    ]
    assert gate.client.post("/engage?verbose=1", json=profiles).get_json()["status"] == 1


def _post(gate: Gate, path: str, status: int = 200, role: str = "officer", **body: Any) -> dict[str, Any]:
    answer = gate.client.post(path, json=body, headers=gate.bearer(role))
    assert answer.status_code == status, answer.get_data(as_text=True)
    return dict(answer.get_json())


def _get(gate: Gate, path: str, status: int = 200) -> dict[str, Any]:
    answer = gate.client.get(path, headers=gate.bearer("officer"))
    assert answer.status_code == status, answer.get_data(as_text=True)
    return dict(answer.get_json())


def _order(gate: Gate, policy: int | str, *people: str, **more: Any) -> str:
    body = {
        "scope": "people",
        "policy": policy,
        "distinct_ids": list(people),
        "quasi_identifiers": ["city"],
        "k": 2,
        "tolerance": 0.1,
        **more,
    }
    made = _post(gate, "/v1/reimports", 202, **body)
    _work(gate)
    return str(made["id"])


def _work(gate: Gate) -> None:
    """Until nothing is due; what pauses or waits is given its time."""
    for _ in range(200):
        while dispatcher.tick(gate.services):
            pass
        open_ = gate.rows("SELECT count(*) FROM reimport WHERE next_due_ms IS NOT NULL")[0][0]
        if not open_:
            return
        gate.clock[0] += 1_000
    raise AssertionError(f"it does not come to an end: {gate.rows('SELECT state, error_code FROM reimport')}")


def _state(gate: Gate, reimport_id: str) -> dict[str, Any]:
    return _get(gate, f"/v1/reimports/{reimport_id}")


def _figures(gate: Gate) -> tuple[Counter[tuple[str, int]], float, int]:
    """Events by name and day, the sum of amounts, different people."""
    events = gate.exported()
    days = Counter((each["event"], each["properties"]["time"] // DAY_S) for each in events)
    total = sum(each["properties"].get("amount", 0) for each in events)
    return days, total, len({each["properties"]["distinct_id"] for each in events})


def _nothing_left(gate: Gate) -> None:
    with gate.services.database.read() as tx:
        left = {table.name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in TABLES}
    assert left == dict.fromkeys(left, 0)
    assert gate.rows("SELECT count(*) FROM reimport WHERE wrapped_key IS NOT NULL OR standing IS NOT NULL") == [(0,)]


def test_a_known_person_becomes_nobody_and_the_figures_stay(gate: Gate) -> None:
    _fill(gate)
    before, version = _figures(gate), _version(gate, CLEAN)
    chosen = _order(gate, version, "user-0")
    review = _get(gate, f"/v1/reimports/{chosen}/review")
    assert review["blocked"] == [], json.dumps(review, indent=1)
    assert _state(gate, chosen)["state"] == "review"
    assert _figures(gate) == before, "nothing changes before somebody approves"

    _post(gate, f"/v1/reimports/{chosen}/approve")
    assert "user-0" in gate.people(), "hidden by the worker, under the fence"
    _work(gate)

    found = _state(gate, chosen)
    assert (found["state"], found["error_code"]) == ("done", None)
    assert _figures(gate) == before
    people = gate.people()
    assert "user-0" not in people
    [fresh] = [each for each in people if each.startswith("anon-")]
    theirs = [each["properties"] for each in gate.exported() if each["properties"]["distinct_id"] == fresh]
    assert len(theirs) == 5
    assert not [each for each in theirs if {"email", "name", "$device_id"} & each.keys()]
    assert {each["$user_id"] for each in theirs if "$user_id" in each} == {fresh}
    assert not {each["$insert_id"] for each in theirs} & {f"e0-{n}" for n in range(4)}
    assert {each["age"] for each in theirs if "age" in each} == {30}
    profiles = gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()["results"]
    assert [each["$properties"]["city"] for each in profiles if each["$distinct_id"] == fresh] == ["Bonn"]
    _nothing_left(gate)

    # The tombstone stays: late events are refused, in every spelling of the person.
    gate.track(gate.event("user-0", "late"), gate.event("", "late2", **{"$device_id": "phone-0"}))
    assert _figures(gate) == before
    assert gate.status(found["erasure"])["certified"]


def test_the_statement_is_signed_and_says_that_no_link_is_left(gate: Gate) -> None:
    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0")
    early = gate.client.get(f"/v1/reimports/{chosen}/statement", headers=gate.bearer("officer"))
    assert early.status_code == 409
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    note = gate.client.get(f"/v1/reimports/{chosen}/statement", headers=gate.bearer("officer")).get_data(as_text=True)
    key = gate.client.get("/v1/certificate-key", headers=gate.bearer("officer")).get_data(as_text=True).strip()
    header, _, body = open_note(note, [key]).partition("\n")
    assert header == "portcullis reimport statement v1"
    said = json.loads(body)
    assert (said["people"], said["reconciled"]) == (1, True)
    assert "no table leads" in said["links"]
    # Neither the old ids nor the new one stand in it, in the log, or in the row.
    [fresh] = [each for each in gate.people() if each.startswith("anon-")]
    kept = note + json.dumps(gate.log_after_sequencing()) + repr(gate.rows("SELECT * FROM reimport"))
    for secret in (fresh, "user-0", "phone-0", CANARY):
        assert secret not in kept
    # And nothing in the register tells when, or for whom, the fresh id was made.
    rows = gate.rows("SELECT created_ms, request_id FROM register WHERE created_ms = 0")
    assert rows == [(0, None)]
    told = [each for each in gate.actions() if each.startswith("reimport.")]
    assert told == [f"reimport.{each}" for each in ("created", "reviewable", "approved", "frozen", "ordered", "done")]
