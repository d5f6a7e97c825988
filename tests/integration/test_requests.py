"""Kinds of subject requests beside erasure and access, from request to outcome, over SQLite and PostgreSQL."""

from __future__ import annotations

import io
import json
import zipfile

from tests.integration.gate import build


def ask(gate, kind, *people, status=201, headers=None, **more):
    body = {"kind": kind, "distinct_ids": list(people), **more}
    answer = gate.client.post("/v1/requests", json=body, headers={**gate.bearer("officer"), **(headers or {})})
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json()


def act(gate, request_id, name, *, status=200, role="officer", **body):
    answer = gate.client.post(f"/v1/requests/{request_id}/{name}", json=body, headers=gate.bearer(role))
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json()


def states(gate, *people):
    answer = gate.client.post("/v1/subjects/states", json={"distinct_ids": list(people)}, headers=gate.bearer("officer"))
    return answer.get_json()["states"]


def engage(gate, person, **properties):
    answer = gate.client.post("/engage", json=[{"$token": gate.token, "$distinct_id": person, "$set": properties}])
    assert answer.data == b"1"


def profile(gate, person):
    found = gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()["results"]
    return next((each["$properties"] for each in found if each["$distinct_id"] == person), None)


# --- restriction -----------------------------------------------------------------------------------------------------


def test_a_restricted_person_is_kept_and_neither_read_nor_processed_until_it_is_lifted(gate):
    gate.track(gate.event("ada", "i1"), gate.event("bob", "i2"))
    engage(gate, "ada", plan="pro")
    made = ask(gate, "restriction", "ada")
    assert gate.people() == ["bob"]
    assert gate.profiles() == []
    gate.track(gate.event("ada", "i3"))
    assert gate.rows("SELECT count(*) FROM event") == [(2,)]
    gate.work()
    found = gate.status(made["id"])
    assert (found["state"], found["outcome"]) == ("done", "complete")
    assert "lift" in found["possible"]
    act(gate, made["id"], "lift")
    assert gate.people() == ["ada", "bob"]
    assert gate.profiles() == ["ada"]
    act(gate, made["id"], "lift", status=409)
    assert {"restriction.set", "restriction.lifted", "request.done"} <= set(gate.actions())


def test_whoever_opts_out_while_restricted_is_opted_out_afterwards(gate):
    gate.track(gate.event("ada", "i1"))
    made = ask(gate, "restriction", "ada")
    gate.work()
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["ada"]}, headers=gate.bearer("officer"))
    assert states(gate, "ada") == ["restricted"]
    act(gate, made["id"], "lift")
    assert states(gate, "ada") == ["opted_out"]


def test_an_opt_out_before_a_restriction_holds_after_it(gate):
    gate.track(gate.event("ada", "i1"))
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["ada"]}, headers=gate.bearer("officer"))
    made = ask(gate, "restriction", "ada")
    gate.work()
    act(gate, made["id"], "lift")
    assert states(gate, "ada") == ["opted_out"]


def test_of_two_restrictions_the_last_one_to_be_lifted_frees(gate):
    gate.track(gate.event("ada", "i1"), gate.event("bob", "i2"))
    first, second = ask(gate, "restriction", "ada", "bob"), ask(gate, "restriction", "ada")
    gate.work()
    act(gate, first["id"], "lift")
    assert states(gate, "ada", "bob") == ["restricted", "active"]
    act(gate, second["id"], "lift")
    assert states(gate, "ada") == ["active"]


def test_a_cancelled_erasure_of_a_restricted_person_leaves_the_restriction(tmp_path):
    gate = build(tmp_path, None, PORTCULLIS_ERASURE_GRACE="3600")
    gate.track(gate.event("ada", "i1"))
    restriction = ask(gate, "restriction", "ada")
    gate.work()
    erasure = ask(gate, "erasure", "ada")
    assert states(gate, "ada") == ["erasing"]
    act(gate, erasure["id"], "cancel")
    assert states(gate, "ada") == ["restricted"]
    again = ask(gate, "erasure", "ada")
    act(gate, restriction["id"], "lift")
    act(gate, again["id"], "cancel")
    assert states(gate, "ada") == ["active"]
    gate.services.close()


# --- objection -------------------------------------------------------------------------------------------------------


def test_an_objection_is_in_force_when_it_is_answered_and_is_not_cancelled(gate):
    gate.track(gate.event("ada", "i1"))
    made = ask(gate, "objection", "ada", "stranger")
    assert states(gate, "ada", "stranger") == ["opted_out", "opted_out"]
    act(gate, made["id"], "cancel", status=409)
    gate.work()
    found = gate.status(made["id"])
    assert (found["state"], found["outcome"], found["counts"]["confirmed.register"]) == ("done", "complete", 2)


def test_an_objection_to_a_purpose_that_nobody_has_is_refused_by_name(gate):
    answer = ask(gate, "objection", "ada", status=400, purposes=["selling"])
    assert answer["error"]["field"] == "purposes"
    assert gate.rows("SELECT count(*) FROM subject_request") == [(0,)]


def test_an_objection_that_does_not_hold_fails_where_an_officer_sees_it(gate):
    gate.track(gate.event("ada", "i1"))
    made = ask(gate, "objection", "ada")
    with gate.services.database.write() as tx:
        tx.exec_driver_sql("UPDATE register SET state = 'active'")
    for _ in range(14):
        gate.work()
        gate.clock[0] += 3_600_000
    found = gate.status(made["id"])
    assert (found["state"], found["error_code"], found["outcome"]) == ("failed", "not_in_force", "failed")


# --- rectification ---------------------------------------------------------------------------------------------------


def test_a_correction_is_previewed_done_and_told_without_values(gate):
    gate.track(*(gate.event("ada", f"i{n}", city="Berln", plan="pro") for n in range(3)), gate.event("bob", "b", city="Berln"))
    gate.track(gate.event("ada", "none"))
    engage(gate, "ada", plan="pro", old="x")
    engage(gate, "bob", plan="pro")
    changes = {
        "profile_set": {"plan": "canary-gold"},
        "profile_unset": ["old"],
        "event_set": {"plan": "canary-gold"},
        "event_unset": ["city"],
    }
    body = {"distinct_ids": ["ada"], "changes": changes}
    shown = gate.client.post("/v1/corrections/preview", json=body, headers=gate.bearer("officer")).get_json()
    made = ask(gate, "rectification", "ada", changes=changes)
    assert b"canary" not in b"".join(bytes(row[0]) for row in gate.rows("SELECT sealed FROM correction"))
    gate.work()
    found = gate.status(made["id"])
    assert (found["state"], found["outcome"]) == ("done", "complete")
    assert found["counts"]["changed.event"] == shown["events_changed"] == 3
    assert found["counts"]["changed.profile"] == shown["profile_changed"] == 2
    mine = [each["properties"] for each in gate.exported() if each["properties"]["distinct_id"] == "ada"]
    assert [each.get("plan") for each in mine].count("canary-gold") == 3
    assert not any("city" in each for each in mine)
    assert [each["properties"]["city"] for each in gate.exported() if each["properties"]["distinct_id"] == "bob"] == ["Berln"]
    assert profile(gate, "ada") == {"plan": "canary-gold"} | {k: v for k, v in profile(gate, "ada").items() if k != "plan"}
    assert "old" not in profile(gate, "ada")
    assert profile(gate, "bob")["plan"] == "pro"
    assert gate.rows("SELECT count(*) FROM correction") == [(0,)]
    assert "canary" not in json.dumps(gate.log_after_sequencing())
    assert {"correction.previewed", "correction.applied"} <= set(gate.actions())


def test_a_corrected_value_passes_the_policy_like_any_other(gate):
    gate.track(gate.event("ada", "i1", email="old@example.com"))
    made = ask(gate, "rectification", "ada", changes={"event_set": {"email": "new@example.com"}})
    gate.work()
    assert gate.status(made["id"])["outcome"] == "complete"
    (event,) = gate.exported()
    assert event["properties"]["email"].startswith("p1.")
    assert "new@example.com" not in json.dumps(gate.rows("SELECT properties FROM event"))


def test_a_correction_of_nobody_of_two_or_of_an_id_is_refused(gate):
    gate.track(gate.event("ada", "i1"), gate.event("bob", "i2"))
    changes = {"profile_set": {"plan": "x"}}
    assert ask(gate, "rectification", "nobody", status=400, changes=changes)["error"]["field"] == "distinct_ids"
    assert ask(gate, "rectification", "ada", "bob", status=400, changes=changes)["error"]["field"] == "distinct_ids"
    assert ask(gate, "rectification", "ada", status=400)["error"]["field"] == "changes"
    wrong = ask(gate, "rectification", "ada", status=400, changes={"event_set": {"$user_id": "mallory"}})
    assert "mallory" not in json.dumps(wrong)
    assert gate.rows("SELECT count(*) FROM subject_request") == [(0,)]


def test_an_erasure_that_comes_first_leaves_nothing_to_correct(gate):
    gate.track(gate.event("ada", "i1", plan="pro"))
    made = ask(gate, "rectification", "ada", changes={"event_set": {"plan": "gold"}})
    act(gate, made["id"], "pause")
    gate.delete("ada")
    gate.work()
    assert gate.rows("SELECT count(*) FROM correction") == [(0,)]
    act(gate, made["id"], "resume")
    gate.work()
    found = gate.status(made["id"])
    assert (found["outcome"], found["reason"]) == ("refused", "person_erased")


# --- portability -----------------------------------------------------------------------------------------------------


def test_a_portable_copy_holds_what_the_person_gave_and_nothing_of_the_house(gate):
    gate.track(gate.event("ada", "i1"))
    made = ask(gate, "portability", "ada")
    gate.work()
    answer = gate.client.get(f"/v1/requests/{made['id']}/archive", headers=gate.bearer("officer"))
    names = set(zipfile.ZipFile(io.BytesIO(answer.data)).namelist())
    assert names == {"events.ndjson", "profiles.ndjson", "identifiers.ndjson", "manifest.json"}


# --- the way ---------------------------------------------------------------------------------------------------------


def test_nobody_is_hidden_for_the_word_of_a_stranger(tmp_path):
    gate = build(tmp_path, None, PORTCULLIS_REQUEST_STEPS="identity,second_person,answer")
    gate.track(gate.event("ada", "i1"))
    made = ask(gate, "erasure", "ada")
    gate.work()
    assert gate.people() == ["ada"]
    status = gate.client.get(f"/api/app/data-deletions/v3.0/{made['id']}", headers=gate.bearer("officer")).get_json()
    assert status["results"]["status"] == "STAGING"
    act(gate, made["id"], "approve", status=409)
    act(gate, made["id"], "identity", method="document")
    act(gate, made["id"], "approve", status=409)
    assert gate.people() == ["ada"]
    act(gate, made["id"], "approve", role="admin")
    assert gate.people() == []
    gate.work()
    found = gate.status(made["id"])
    assert (found["state"], found["outcome"], found["certified"]) == ("done", "complete", True)
    assert found["identity"]["method"] == "document"
    assert act(gate, made["id"], "answer", channel="email")["state"] == "answered"
    assert {"request.identity_verified", "request.approved", "request.answered"} <= set(gate.actions())
    gate.services.close()


def test_a_rejected_request_says_why_and_changes_nobody(tmp_path):
    gate = build(tmp_path, None, PORTCULLIS_ERASURE_GRACE="3600")
    gate.track(gate.event("ada", "i1"))
    made = ask(gate, "erasure", "ada")
    act(gate, made["id"], "reject", status=422, reason="because")
    found = act(gate, made["id"], "reject", reason="excessive")
    assert (found["state"], found["outcome"], found["reason"]) == ("rejected", "refused", "excessive")
    assert gate.people() == ["ada"]
    gate.services.close()


def test_a_paused_erasure_hides_and_goes_on_where_it_was(gate):
    gate.track(gate.event("ada", "i1"))
    made = ask(gate, "erasure", "ada")
    act(gate, made["id"], "pause")
    gate.work()
    assert gate.people() == []
    assert gate.rows("SELECT count(*) FROM event") == [(1,)]
    act(gate, made["id"], "resume")
    gate.work()
    assert gate.status(made["id"])["certified"]


# --- once ------------------------------------------------------------------------------------------------------------


def test_a_request_that_is_sent_again_is_made_once(gate):
    gate.track(gate.event("ada", "i1"))
    key = {"Idempotency-Key": "ada@example.com wants out"}
    first = ask(gate, "erasure", "ada", "nobody", headers=key)
    again = gate.client.post(
        "/v1/requests", json={"kind": "erasure", "distinct_ids": ["ada", "nobody"]}, headers={**gate.bearer("officer"), **key}
    )
    assert (again.status_code, again.get_json()["id"]) == (201, first["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json()["warnings"] == first["warnings"] != []
    assert ask(gate, "erasure", "bob", status=409, headers=key)["error"]["code"] == "conflict"
    assert gate.rows("SELECT count(*) FROM subject_request") == [(1,)]
    kept = b"".join(bytes(part) for row in gate.rows("SELECT key_digest, fingerprint FROM idempotency") for part in row)
    assert b"ada" not in kept
    assert ask(gate, "erasure", "bob", status=400, headers={"Idempotency-Key": "x" * 300})["error"]["field"] == "Idempotency-Key"
