"""Legal holds, clocks, reports and uploads, over SQLite and PostgreSQL."""

from __future__ import annotations

from tests.integration.test_requests import act, ask, engage, states

DAY_MS = 86_400_000


def hold(gate, *people, status=200, **more):
    body = {"distinct_ids": list(people), "basis": "art17_3_b_legal_obligation", "reference": "case-7", **more}
    answer = gate.client.post("/v1/holds", json=body, headers=gate.bearer("officer"))
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json()


def lift(gate, hold_id, status=200):
    answer = gate.client.post(f"/v1/holds/{hold_id}/lift", headers=gate.bearer("officer"))
    assert answer.status_code == status, answer.get_data(as_text=True)


def _ada_and_bob(gate):
    bought = {**gate.event("ada", "buy"), "event": "Purchase"}
    gate.track(bought, gate.event("ada", "look"), gate.event("bob", "b"))
    engage(gate, "ada", plan="pro")
    engage(gate, "bob", plan="pro")


def test_a_held_person_is_erased_but_for_what_is_held_and_wholly_once_it_is_lifted(gate):
    _ada_and_bob(gate)
    held = hold(gate, "ada", events=["Purchase"])
    request_id = gate.delete("ada", "bob")
    gate.work()
    found = gate.status(request_id)
    assert (found["state"], found["outcome"], found["certified"]) == ("done", "partial", False)
    assert found["places"]["event"] == {"before": 3, "deleted": 2, "after": 0, "kept": 1, "outcome": "partial"}
    assert found["places"]["profile"]["outcome"] == "complete"
    assert gate.rows("SELECT name FROM event") == [("Purchase",)]
    assert gate.people() == []
    assert states(gate, "ada", "bob") == ["erasing", "erased"]
    gate.track(gate.event("ada", "late"))
    assert gate.rows("SELECT count(*) FROM event") == [(1,)]
    told = gate.client.get(f"/api/app/data-deletions/v3.0/{request_id}", headers=gate.bearer("officer")).get_json()
    assert told["results"]["status"] == "FAILURE"

    lift(gate, held["id"])
    gate.work()
    found = gate.status(request_id)
    assert (found["state"], found["outcome"], found["certified"]) == ("done", "complete", True)
    assert found["places"]["event"]["before"] == found["places"]["event"]["deleted"] == 3
    assert gate.rows("SELECT count(*) FROM event") == [(0,)]
    assert states(gate, "ada") == ["erased"]
    lift(gate, held["id"], status=409)
    assert {"hold.placed", "hold.lifted", "request.reopened"} <= set(gate.actions())


def test_everything_that_is_held_is_kept_and_the_erasure_says_so(gate):
    _ada_and_bob(gate)
    hold(gate, "ada", all_events=True, profile=True)
    request_id = gate.delete("ada")
    gate.work()
    found = gate.status(request_id)
    assert not found["certified"]
    assert found["places"]["event"]["kept"] == 2
    assert found["places"]["profile"]["kept"] == 1
    assert gate.rows("SELECT count(*) FROM event") == [(3,)]


def test_a_hold_needs_somebody_and_something_and_waits_for_an_erasure_that_runs(gate):
    _ada_and_bob(gate)
    assert hold(gate, "ada", status=400)["error"]["field"] == "events"
    assert hold(gate, "nobody", status=404, profile=True)["error"]["field"] == "distinct_ids"
    hold(gate, "ada", status=422, profile=True, reference="Ada Lovelace")
    request_id = gate.delete("ada")
    with gate.services.database.write() as tx:
        tx.exec_driver_sql("UPDATE subject_request SET state = 'running', started_ms = 1")
    assert "pause" in hold(gate, "ada", status=409, profile=True)["error"]["remedy"]
    act(gate, request_id, "pause")
    hold(gate, "ada", profile=True)
    act(gate, request_id, "resume")
    gate.work()
    assert gate.status(request_id)["outcome"] == "partial"
    assert gate.rows("SELECT count(*) FROM profile") == [(2,)]


def test_a_hold_of_a_person_covers_ids_that_are_linked_later(gate):
    gate.track(gate.event("ada", "i1"))
    hold(gate, "ada", all_events=True)
    gate.track(gate.event("ada", "i2", **{"$device_id": "d1", "$user_id": "ada"}))
    gate.track(gate.event("", "i3", **{"$device_id": "d1"}))
    gate.delete("ada")
    gate.work()
    assert gate.rows("SELECT count(*) FROM event") == [(3,)]


# --- clocks ----------------------------------------------------------------------------------------------------------


def alarms(gate):
    return [each["facts"]["level"] for each in gate.log_after_sequencing() if each["action"] == "request.alarm"]


def test_alarms_ring_once_at_each_level_and_an_extension_moves_them(gate):
    gate.track(gate.event("ada", "i1"))
    made = ask(gate, "access", "ada")
    act(gate, made["id"], "pause")
    clocks = gate.services.cases.clocks
    for day in (10, 16, 16.5, 24):
        gate.clock[0] = 1_795_000_000_000 + int(day * DAY_MS)
        clocks.round()
    assert alarms(gate) == ["50%", "75%"]
    extended = act(gate, made["id"], "extend", reason="complexity", channel="email")
    assert (extended["alarm_level"], extended["extension_reason"]) == (0, "complexity")
    act(gate, made["id"], "extend", status=409, reason="complexity", channel="email")
    gate.clock[0] = 1_795_000_000_000 + 200 * DAY_MS
    clocks.round()
    clocks.round()
    assert alarms(gate) == ["50%", "75%", "100%"]
    text = gate.client.get("/metrics", headers=gate.bearer("admin")).get_data(as_text=True)
    assert 'portcullis_requests_waiting{regime="GDPR",used="100"} 1.0' in text


def test_an_extension_comes_in_time_or_not_at_all(gate):
    gate.track(gate.event("ada", "i1"))
    late = ask(gate, "access", "ada")
    objection = ask(gate, "objection", "ada", compliance_type="CCPA")
    act(gate, late["id"], "pause")
    act(gate, objection["id"], "extend", status=409, reason="complexity", channel="email")
    gate.clock[0] += 40 * DAY_MS
    act(gate, late["id"], "extend", status=409, reason="complexity", channel="email")


def test_the_report_counts_what_was_done_and_how_long_it_took(gate):
    gate.track(gate.event("ada", "i1"))
    first = ask(gate, "access", "ada", compliance_type="CCPA")
    act(gate, first["id"], "acknowledge", channel="email")
    act(gate, first["id"], "acknowledge", status=409, channel="email")
    gate.work()
    second, third = (ask(gate, "access", "ada", compliance_type="CCPA") for _ in range(2))
    for each in (second, third):
        act(gate, each["id"], "pause")
    act(gate, second["id"], "reject", reason="duplicate")
    gate.clock[0] += 60 * DAY_MS
    path = "/v1/requests/report?from_date=2026-01-01&to_date=2026-12-31"
    answer = gate.client.get(path, headers=gate.bearer("auditor")).get_json()
    (figures,) = answer["kinds"]
    assert {name: figures[name] for name in ("kind", "received", "complied", "denied", "open", "late", "acknowledged_late")} == {
        "kind": "access",
        "received": 3,
        "complied": 1,
        "denied": 1,
        "open": 1,
        "late": 1,
        "acknowledged_late": 1,
    }
    assert figures["denials"] == {"duplicate": 1}
    wrong = gate.client.get("/v1/requests/report?from_date=2026-02-01&to_date=2026-01-01", headers=gate.bearer("auditor"))
    assert (wrong.status_code, wrong.get_json()["error"]["field"]) == (400, "to_date")


# --- uploads ---------------------------------------------------------------------------------------------------------


def send(gate, body, key="k1", status=200, kind="erasure"):
    headers = {**gate.bearer("officer"), "Content-Type": "text/csv", "Idempotency-Key": key}
    answer = gate.client.post(f"/v1/requests/upload?kind={kind}", data=body, headers=headers)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json()


def test_every_line_of_a_file_is_accounted_for(gate):
    gate.track(gate.event("ada", "i1"))
    body = b'\xef\xbb\xbfdistinct_id\r\nada\r\n\r\n"smith, john",x\r\nada\r\n\xff\xfe\r\n"open\r\n' + b"x" * 2000 + b"\r\n"
    done = send(gate, body)
    assert [done[name] for name in ("lines", "taken", "repeated", "blank", "refused", "unknown_ids")] == [8, 2, 1, 2, 3, 1]
    assert [each["line"] for each in done["errors"]] == [6, 7, 8]
    assert gate.people() == []
    gate.track(gate.event("smith, john", "i2"))
    assert gate.people() == []
    listed = gate.client.get(f"/v1/requests?batch={done['batch']}", headers=gate.bearer("officer")).get_json()["requests"]
    assert [each["id"] for each in listed] == done["requests"]


def test_an_upload_that_broke_off_goes_on_and_does_nothing_twice(gate, monkeypatch):
    from app.errors import Unavailable

    body = b"".join(b"person-%d\n" % n for n in range(2_500))
    subjects, real, calls = gate.services.subjects, type(gate.services.subjects).create, []

    def failing(self, by, wanted):
        calls.append(1)
        if len(calls) == 2:
            raise Unavailable("the database does not answer")
        return real(self, by, wanted)

    with monkeypatch.context() as patched:
        patched.setattr(type(subjects), "create", failing)
        send(gate, body, status=503, kind="objection")
    done = send(gate, body, kind="objection")
    again = send(gate, body, kind="objection")
    assert (done["taken"], len(done["requests"])) == (2_500, 3)
    assert (again["requests"], again["batch"]) == (done["requests"], done["batch"])
    assert gate.rows("SELECT count(*), sum(id_count) FROM subject_request") == [(3, 2_500)]
    send(gate, body + b"one more\n", kind="objection", status=409)
    send(gate, b"", status=400)
