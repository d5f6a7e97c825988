"""Erasure and retrieval from request to proof, over SQLite and PostgreSQL, with crashes at every step."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from app.audit.note import BadNote
from app.audit.verify import DoesNotHold, verify_certificate
from app.subjects.model import RequestKind
from app.subjects.queue import LostClaim
from jobs import steps
from tests.integration.gate import build

ODD_IDS = ("100%", "a_c", "abc", "o'brien", "back\\slash", "u1", "u11", '"quoted"')


def _fill(gate, *people):
    gate.track(*(gate.event(person, f"i{n}", plan="pro") for n, person in enumerate(people)))
    answer = gate.client.post(
        "/engage", json=[{"$token": gate.token, "$distinct_id": person, "$set": {"plan": "pro"}} for person in people]
    )
    assert answer.data == b"1"


def _refused(gate):
    path = "/v1/refusals?from_date=2026-01-01&to_date=2027-01-01"
    return gate.client.get(path, headers=gate.bearer("officer")).get_json()["reasons"]


@pytest.mark.parametrize("how", ["erased", "opted_out"])
@pytest.mark.parametrize("place", ["distinct_id", "$user_id", "$device_id"])
def test_an_event_is_refused_when_any_of_its_ids_is(gate, how, place):
    """Though its other ids are known, active, and another person's."""
    _fill(gate, "ada", "bob", "carol")
    gate.track(gate.event("", "d", **{"$device_id": "phone"}))
    if how == "erased":
        gate.delete("$device:ada" if place == "$device_id" else "ada")
        gate.work()
    else:
        ids = ["$device:ada" if place == "$device_id" else "ada"]
        gate.client.post("/v1/opt-outs", json={"distinct_ids": ids}, headers=gate.bearer("officer"))
    before = gate.rows("SELECT count(*) FROM event")
    ids = {"distinct_id": "bob", "$user_id": "carol", "$device_id": "phone"}
    gate.track(gate.event("bob", "mixed", **(ids | {place: "ada"})))
    assert gate.rows("SELECT count(*) FROM event") == before
    assert _refused(gate) == {how: 1}


def test_an_erasure_hides_at_once_deletes_proves_and_stays(gate):
    _fill(gate, "ada", "bob")
    people = {row[0]: row[1:] for row in gate.rows("SELECT uid, time_ms, dedup, name, properties FROM event")}
    request_id = gate.delete("ada")
    assert gate.people() == ["bob"]
    assert gate.profiles() == ["bob"]
    gate.track(gate.event("ada", "late"))
    assert gate.people() == ["bob"]

    gate.work()

    found = gate.status(request_id)
    assert (found["state"], found["certified"]) == ("done", True)
    assert found["counts"]["deleted.event"] == 1
    assert gate.rows("SELECT count(*) FROM event") == [(1,)]
    assert gate.rows("SELECT uid, person, sealed_id, wrapped_key, audit_ref FROM register WHERE state = 'erased'") == [
        (None, None, None, None, None)
    ]
    gate.track(gate.event("ada", "i0", plan="pro"), gate.event("ada", "later"))
    assert gate.people() == ["bob"]
    assert _refused(gate) == {"erased": 3}
    left = {row[0]: row[1:] for row in gate.rows("SELECT uid, time_ms, dedup, name, properties FROM event")}
    assert len(left) == 1
    assert left.items() <= people.items()


def test_the_certificate_verifies_and_a_changed_one_does_not(gate):
    _fill(gate, "ada")
    request_id = gate.delete("ada")
    early = gate.client.get(f"/v1/requests/{request_id}/certificate", headers=gate.bearer("officer"))
    assert early.status_code == 409
    gate.work()
    note = gate.client.get(f"/v1/requests/{request_id}/certificate", headers=gate.bearer("officer")).get_data(as_text=True)
    key = gate.client.get("/v1/certificate-key", headers=gate.bearer("officer")).get_data(as_text=True).strip()
    statement = verify_certificate(note, key)
    assert statement["request"] == request_id
    assert statement["tombstones"] == 1
    assert "ada" not in note
    with pytest.raises((BadNote, DoesNotHold)):
        verify_certificate(note.replace('"tombstones":1', '"tombstones":2'), key)


@pytest.mark.parametrize("person", ODD_IDS)
def test_only_the_person_named_is_erased(gate, person):
    _fill(gate, *ODD_IDS)
    before = {row[3]: row for row in gate.rows("SELECT * FROM event")}
    gate.delete(person)
    gate.work()
    after = {row[3]: row for row in gate.rows("SELECT * FROM event")}
    assert gate.people() == sorted(set(ODD_IDS) - {person})
    assert len(after) == len(before) - 1
    assert all(before[uid] == row for uid, row in after.items())


def test_a_device_of_the_person_is_erased_with_them(gate):
    gate.track(gate.event("", "i1", **{"$device_id": "d1"}))
    gate.track(gate.event("ada", "i2", **{"$device_id": "d1", "$user_id": "ada"}))
    gate.track(gate.event("bob", "i3"))
    assert gate.people() == ["ada", "bob"]
    gate.delete("ada")
    gate.work()
    assert gate.people() == ["bob"]
    gate.track(gate.event("", "i4", **{"$device_id": "d1"}))
    assert gate.people() == ["bob"]


@pytest.mark.parametrize("step", list(steps.STEPS[RequestKind.ERASURE]))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_around_any_step_changes_nothing_but_the_time(gate, monkeypatch, step, when):
    class Crash(BaseException):
        """Not an Exception: like a kill, nothing may catch it and tidy up."""

    _fill(gate, "ada", "bob")
    request_id = gate.delete("ada")
    real = steps.STEPS[RequestKind.ERASURE][step]

    def crashing(services, claim):
        if when == "after":
            real(services, claim)
        raise Crash

    broken = {**steps.STEPS[RequestKind.ERASURE], step: crashing}
    with monkeypatch.context() as patched:
        patched.setattr(steps, "STEPS", {**steps.STEPS, RequestKind.ERASURE: broken})
        with pytest.raises(Crash):
            gate.work()
    gate.clock[0] += 60_000
    gate.work()
    found = gate.status(request_id)
    assert (found["state"], found["certified"]) == ("done", True)
    for action in ("request.started", "erasure.verified", "erasure.shredded", "erasure.certified"):
        assert gate.actions().count(action) == 1, action
    assert gate.people() == ["bob"]


def test_a_worker_that_lost_its_claim_changes_nothing(gate):
    _fill(gate, "ada")
    request_id = gate.delete("ada")
    stale = gate.services.queue.claim(request_id)
    assert stale is not None
    assert gate.services.queue.claim(request_id) is None
    gate.clock[0] += 60_000
    fresh = gate.services.queue.claim(request_id)
    assert fresh is not None
    with pytest.raises(LostClaim), gate.services.database.write() as tx:
        gate.services.queue.hold(tx, stale)
    with gate.services.database.write() as tx:
        gate.services.queue.hold(tx, fresh)


def test_rows_that_come_back_are_never_certified(gate, monkeypatch):
    _fill(gate, "ada")
    request_id = gate.delete("ada")
    store = gate.services.stores.of(None)
    monkeypatch.setattr(type(store), "delete_subjects", lambda *_args, **_kwargs: 0)
    for _ in range(5):
        gate.work()
        gate.clock[0] += 3_600_000
    found = gate.status(request_id)
    assert not found["certified"]
    assert found["state"] in ("running", "failed")
    assert not {"erasure.verified", "erasure.shredded", "erasure.certified"} & set(gate.actions())
    assert gate.rows("SELECT state FROM register WHERE wrapped_key IS NOT NULL") == [("erasing",)]


def test_an_erasure_can_be_taken_back_until_it_starts(tmp_path):
    gate = build(tmp_path, None, PORTCULLIS_ERASURE_GRACE="3600")
    _fill(gate, "ada")
    request_id = gate.delete("ada")
    gate.work()
    assert gate.people() == []
    status = gate.client.get(f"/api/app/data-deletions/v3.0/{request_id}/", headers=gate.bearer("officer")).get_json()
    assert status["results"]["status"] == "STAGING"
    assert status["results"]["distinct_ids"] == ["ada"]
    path = f"/api/app/data-deletions/v3.0/{request_id}?token={gate.token}"
    assert gate.client.delete(path, headers=gate.bearer("officer")).status_code == 204
    assert gate.people() == ["ada"]
    again = gate.delete("ada")
    gate.clock[0] += 3_600_000
    gate.work()
    assert gate.status(again)["state"] == "done"
    late = gate.client.delete(f"/api/app/data-deletions/v3.0/{again}", headers=gate.bearer("officer"))
    assert late.status_code == 405
    gate.services.close()


def test_a_retrieval_holds_all_of_one_person_and_nobody_else(gate):
    _fill(gate, "ada", "bob")
    gate.track(gate.event("bob", "x", **{"$device_id": "phone", "$user_id": "bob"}))
    request_id = gate.retrieve("bob")
    gate.work()
    results = gate.client.get(f"/api/app/data-retrievals/v3.0/{request_id}", headers=gate.bearer("officer")).get_json()["results"]
    assert results["status"] == "SUCCESS"
    assert results["result"] == results["results"]
    path = results["result"].removeprefix(gate.services.settings.base_url)
    assert gate.client.get(path, headers=gate.bearer("auditor")).status_code == 403
    archive = zipfile.ZipFile(io.BytesIO(gate.client.get(path, headers=gate.bearer("officer")).data))
    events = [json.loads(line) for line in archive.read("events.ndjson").splitlines()]
    assert len(events) == 2
    assert {each["properties"]["distinct_id"] for each in events} == {"bob"}
    assert [json.loads(line)["$distinct_id"] for line in archive.read("profiles.ndjson").splitlines()] == ["bob"]
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["members"]["events.ndjson"]["records"] == 2
    assert "archive.downloaded" in gate.actions()
    stored = b"".join(bytes(row[0]) for row in gate.rows("SELECT ciphertext FROM archive_chunk"))
    assert stored
    assert b"bob" not in stored


def test_an_archive_ends_with_its_time_or_with_the_person(gate):
    from jobs.cleanup import clean

    _fill(gate, "ada", "bob")
    first, second = gate.retrieve("ada"), gate.retrieve("bob")
    gate.work()
    gate.delete("ada")
    assert gate.client.get(f"/v1/requests/{first}/archive", headers=gate.bearer("officer")).status_code == 410
    assert gate.client.get(f"/v1/requests/{second}/archive", headers=gate.bearer("officer")).status_code == 200
    gate.clock[0] += gate.services.settings.archive_ttl * 1000
    assert gate.client.get(f"/v1/requests/{second}/archive", headers=gate.bearer("officer")).status_code == 410
    assert clean(gate.services) == 1
    assert gate.rows("SELECT count(*) FROM archive_chunk") == [(0,)]
    assert {"archive.revoked", "archive.expired"} <= set(gate.actions())


def test_an_unknown_id_is_told_by_position_and_refused_from_then_on(gate):
    answer = gate.client.post(
        "/v1/requests", json={"kind": "erasure", "distinct_ids": ["nobody@example.com"]}, headers=gate.bearer("officer")
    )
    assert answer.status_code == 201
    assert answer.get_json()["warnings"][0]["field"] == "distinct_ids[0]"
    assert b"nobody@example.com" not in answer.data
    gate.work()
    gate.track(gate.event("nobody@example.com", "i1"))
    assert gate.people() == []


def test_an_opt_out_refuses_and_an_opt_in_accepts_again(gate):
    _fill(gate, "ada")
    body = {"distinct_ids": ["ada", "new"]}
    assert gate.client.post("/v1/opt-outs", json=body, headers=gate.bearer("officer")).get_json()["people"] == 2
    gate.track(gate.event("ada", "i5"), gate.event("new", "i6"))
    assert [each["properties"]["$insert_id"] for each in gate.exported()] == ["i0"]
    assert _refused(gate) == {"opted_out": 2}
    states = gate.client.post("/v1/subjects/states", json=body, headers=gate.bearer("officer")).get_json()["states"]
    assert states == ["opted_out", "opted_out"]
    gate.client.post("/v1/opt-ins", json=body, headers=gate.bearer("officer"))
    gate.track(gate.event("ada", "i7"))
    assert sorted(each["properties"]["$insert_id"] for each in gate.exported()) == ["i0", "i7"]


def test_a_lifted_tombstone_accepts_new_data_and_brings_nothing_back(gate):
    _fill(gate, "ada")
    gate.delete("ada")
    gate.work()
    body = {"distinct_ids": ["ada"], "basis": "consent"}
    assert gate.client.post("/v1/tombstones/lift", json=body, headers=gate.bearer("officer")).get_json() == {"lifted": 1}
    assert gate.people() == []
    gate.track(gate.event("ada", "fresh"))
    assert [each["properties"]["$insert_id"] for each in gate.exported()] == ["fresh"]


def test_the_log_has_each_act_and_names_nobody(gate):
    _fill(gate, "zoe@example.com")
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["zoe@example.com"]}, headers=gate.bearer("officer"))
    gate.delete("zoe@example.com")
    gate.work()
    pulled = gate.client.get("/v1/audit/entries", headers=gate.bearer("auditor"))
    lines = [json.loads(line) for line in pulled.get_data(as_text=True).splitlines()]
    assert [each["index"] for each in lines] == list(range(len(lines)))
    acts = {each["entry"]["action"] for each in lines}
    assert {"project.created", "policy.activated", "ingest.accepted", "opt_out.set", "request.created"} <= acts
    assert {"erasure.verified", "erasure.shredded", "erasure.certified"} <= acts
    assert b"zoe" not in pulled.data
    assert gate.client.get("/v1/audit/entries", headers=gate.bearer("officer")).status_code == 403


def test_a_failed_request_is_tried_again_by_an_officer_and_the_log_says_so(gate):
    _fill(gate, "ada")
    request = gate.delete("ada")
    with gate.services.database.write() as tx:
        tx.exec_driver_sql("UPDATE subject_request SET state = 'failed', next_due_ms = NULL")
    gate.work()
    assert gate.status(request)["state"] == "failed"
    path = f"/v1/requests/{request}/retry"
    assert gate.client.post(path, headers=gate.bearer("officer")).status_code == 200
    assert gate.client.post(path, headers=gate.bearer("officer")).status_code == 409
    gate.work()
    assert gate.status(request)["state"] == "done"
    assert gate.actions().count("request.retried") == 1
