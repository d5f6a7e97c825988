"""Findings, simulations and suggestions over stored events, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest
from click.testing import CliRunner

from app import cli_observe
from app.access.sight import Purpose, Sight
from app.database import Database
from app.events.port import EventQuery, EventRow
from jobs import cleanup, simulate
from policies.load import load
from tests.integration.gate import Gate

MINUTE_MS = 60_000
CANARY = "canary-7f3a@example.com"
DRAFT = """\
policy: draft
rules:
  - {id: secret-note, properties: [note], category: user.content, sensitivity: internal, action: drop}
  - {id: plan, properties: [plan], category: user.behavior, sensitivity: internal, action: hash}
"""


def get(gate: Gate, path: str, role: str = "officer") -> dict[str, Any]:
    answer = gate.client.get(path, headers=gate.bearer(role))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return dict(answer.get_json())


def post(gate: Gate, path: str, status: int = 200, role: str = "officer", **body: Any) -> dict[str, Any]:
    answer = gate.client.post(path, json=body, headers=gate.bearer(role))
    assert answer.status_code == status, answer.get_data(as_text=True)
    return dict(answer.get_json())


def send(gate: Gate, n: int, prefix: str, **properties: Any) -> None:
    for start in range(0, n, 500):
        gate.track(*(gate.event(f"p{i % 97}", f"{prefix}{i}", **properties) for i in range(start, min(start + 500, n))))


# --- drift -----------------------------------------------------------------------------------------------------------


def test_a_property_that_starts_to_carry_addresses_is_found_within_five_minutes(gate: Gate) -> None:
    findings = gate.services.findings
    for minute in range(30):
        send(gate, 20, f"clean{minute}-", comment="thanks", plan="pro")
        gate.clock[0] += MINUTE_MS
        assert findings.round(long=minute % 10 == 0) == 0
    for minute in range(5):
        send(gate, 18, f"more{minute}-", comment="thanks", plan="pro")
        send(gate, 2, f"dirty{minute}-", comment=f"write to {CANARY}", plan="pro")
        gate.clock[0] += MINUTE_MS
        if findings.round(long=False):
            break
    else:
        pytest.fail("no finding within five minutes")
    [found] = get(gate, "/v1/findings?state=open")["findings"]
    assert (found["event"], found["property"], found["detector"]) == ("View", "comment", "email")
    assert 0.01 <= found["share"] <= 0.1
    assert found["hits"] >= 5
    assert found["carrying"] is True
    assert found["first_seen"] < found["opened"]
    [rule] = load("policy: pasted\nrules:\n" + found["proposed_rule"]).rules
    assert (rule.properties, rule.events) == (("comment",), ("View",))
    assert "canary" not in json.dumps(found)
    assert gate.actions().count("finding.opened") == 1
    assert "portcullis_findings_open 1.0" in gate.client.get("/metrics", headers=gate.bearer("admin")).get_data(as_text=True)
    assert not [row for row in gate.rows("SELECT * FROM observation") if "canary" in repr(row)]
    assert findings.round() == 0


def test_an_officer_decides_and_what_comes_back_opens_again(gate: Gate) -> None:
    findings = gate.services.findings
    send(gate, 10, "a", comment=CANARY)
    assert findings.round() == 1
    [found] = get(gate, "/v1/findings")["findings"]
    assert "action: hash" in found["proposed_rule"]
    path = f"/v1/findings/{found['id']}"
    assert post(gate, f"{path}/acknowledge")["state"] == "acknowledged"
    assert post(gate, f"{path}/resolve", outcome="mended")["state"] == "mended"
    assert post(gate, f"{path}/resolve", status=409, outcome="mended")["error"]["code"] == "conflict"
    assert findings.round() == 0
    gate.clock[0] += 20 * MINUTE_MS
    send(gate, 10, "b", comment="clean")
    assert findings.round() == 0
    gate.clock[0] += 20 * MINUTE_MS
    send(gate, 10, "c", comment=CANARY)
    assert findings.round(long=False) == 1
    [again] = get(gate, "/v1/findings?state=open")["findings"]
    assert again["id"] == found["id"]
    post(gate, f"{path}/resolve", outcome="expected")
    gate.clock[0] += 20 * MINUTE_MS
    send(gate, 10, "d", comment=CANARY)
    assert findings.round() == 0
    acts = [each for each in gate.actions() if each.startswith("finding.")]
    assert acts == [
        "finding.opened", "finding.acknowledged", "finding.resolved", "finding.opened", "finding.resolved",
    ]  # fmt: skip


def test_what_was_expected_is_looked_at_again_after_a_quarter(gate: Gate) -> None:
    findings = gate.services.findings
    send(gate, 10, "a", comment=CANARY)
    findings.round()
    [found] = get(gate, "/v1/findings")["findings"]
    post(gate, f"/v1/findings/{found['id']}/resolve", outcome="expected")
    gate.clock[0] += 90 * 24 * 60 * MINUTE_MS - 1
    send(gate, 10, "b", comment=CANARY)
    assert (findings.expire(), findings.round()) == (0, 0)
    gate.clock[0] += 1
    assert (findings.expire(), findings.round()) == (1, 1)
    [again] = get(gate, "/v1/findings?state=open")["findings"]
    assert again["id"] != found["id"]
    [entry] = [each for each in gate.log_after_sequencing() if each["action"] == "finding.expired"]
    assert (entry["obj"], entry["facts"]) == (f"finding/{found['id']}", {"detector": "email", "outcome": "expected"})


def test_few_hits_and_small_shares_are_no_finding(gate: Gate) -> None:
    send(gate, 4, "few", comment=CANARY)
    assert gate.services.findings.round() == 0
    send(gate, 1_000, "clean", comment="thanks")
    send(gate, 5, "more", comment=CANARY)
    assert gate.services.findings.round() == 0


def test_what_is_rare_is_found_over_a_day_and_what_stops_is_said_to_have_stopped(gate: Gate) -> None:
    findings = gate.services.findings
    for _ in range(6):
        send(gate, 1, f"rare{gate.clock[0]}", comment=CANARY)
        assert findings.round(long=False) == 0
        gate.clock[0] += 60 * MINUTE_MS
    assert findings.round() == 1
    gate.clock[0] += 25 * 60 * MINUTE_MS
    send(gate, 10, "after", comment="thanks")
    assert findings.round() == 0
    [found] = get(gate, "/v1/findings")["findings"]
    assert (found["state"], found["carrying"]) == ("open", False)
    gate.clock[0] += 8 * 24 * 60 * MINUTE_MS
    findings.round()
    assert gate.rows("SELECT count(*) FROM observation") == [(0,)]


def test_profiles_are_watched_too(gate: Gate) -> None:
    updates = [{"$token": gate.token, "$distinct_id": f"p{n}", "$set": {"bio": f"p{n}@example.com"}} for n in range(10)]
    assert gate.client.post("/engage", json=updates).data == b"1"
    assert gate.services.findings.round() == 1
    [found] = get(gate, "/v1/findings")["findings"]
    assert (found["scope"], found["event"], found["property"]) == ("profile", None, "bio")


# --- simulations -----------------------------------------------------------------------------------------------------


def draft(gate: Gate, text: str = DRAFT) -> int:
    return int(post(gate, "/v1/policies", 201, "admin", text=text)["version"])


def fill(gate: Gate, n: int) -> None:
    send(gate, n, "e", note="hello", plan="pro", page="/home")
    updates = [{"$token": gate.token, "$distinct_id": f"p{i}", "$set": {"plan": "pro", "x": i}} for i in range(50)]
    assert gate.client.post("/engage", json=updates).data == b"1"


def work(gate: Gate, simulation_id: str, slice_s: float = 3.0) -> dict[str, Any]:
    for _ in range(1_000):
        simulate.run(gate.services, simulation_id, slice_s)
        found = get(gate, f"/v1/simulations/{simulation_id}")
        if found["state"] not in ("pending", "running"):
            return found
        gate.clock[0] += MINUTE_MS
    pytest.fail("the simulation does not end")


def six_sigma(people: int, registers: int = 2**11) -> float:
    """How far off linear counting may be once in 500 million runs (Whang et al., 1990, section 3); the rest is rounding."""
    load = people / registers
    return 6 * math.sqrt(registers * (math.exp(load) - load - 1)) + 1


def test_a_draft_is_tried_on_history(gate: Gate) -> None:
    fill(gate, 1_500)
    asked = post(gate, f"/v1/policies/{draft(gate)}/simulate", 202, days=7)
    assert (asked["state"], asked["report"]) == ("pending", None)
    gate.work()
    found = get(gate, f"/v1/simulations/{asked['id']}")
    assert (found["state"], found["done"], found["total"]) == ("done", 1_550, 1_550)
    report = found["report"]
    assert (report["total"]["records"], report["total"]["changed"]) == (1_550, 1_550)
    assert abs(report["total"]["people"] - 97) <= six_sigma(97)
    [event, profile] = report["events"]
    assert (event["event"], event["scope"], event["records"]) == ("View", "event", 1_500)
    assert (profile["scope"], profile["records"]) == ("profile", 50)
    by_path = {(each["scope"], each["path"]): each for each in report["properties"]}
    assert by_path["event", "note"]["dropped"] == 1_500
    assert by_path["profile", "plan"]["changed"] == 50
    [sample] = by_path["event", "plan"]["samples"]
    assert (sample["before"], sample["after"]) == ("string(3)", "pseudonym")
    assert "hello" not in json.dumps(found)
    assert gate.rows("SELECT checkpoint FROM simulation") == [(None,)]
    assert [each for each in gate.actions() if each.startswith("simulation")] == ["simulation.created", "simulation.done"]
    assert len(gate.exported()) == 1_500


def test_a_simulation_that_is_killed_tells_the_same_as_one_that_is_not(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """Not an Exception: like a kill, nothing may catch it and tidy up."""

    fill(gate, 5_500)
    version = draft(gate)
    undisturbed = post(gate, f"/v1/policies/{version}/simulate", 202, days=7)
    disturbed = post(gate, f"/v1/policies/{version}/simulate", 202, days=7)
    expected = work(gate, undisturbed["id"])["report"]

    simulate.run(gate.services, disturbed["id"], 0.0)  # One page, then its checkpoint.
    assert get(gate, f"/v1/simulations/{disturbed['id']}")["done"] == 1_000
    pages = simulate._Slice.page
    calls = []

    def dying(part: Any) -> bool:
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return pages(part)

    monkeypatch.setattr(simulate._Slice, "page", dying)
    gate.clock[0] += MINUTE_MS
    with pytest.raises(Killed):
        simulate.run(gate.services, disturbed["id"], 60.0)
    monkeypatch.undo()
    assert get(gate, f"/v1/simulations/{disturbed['id']}")["done"] == 1_000
    assert gate.services.simulations.claim(disturbed["id"]) is None, "the lease of the dead one still holds"
    gate.clock[0] += MINUTE_MS
    found = work(gate, disturbed["id"], 0.0)
    assert found["state"] == "done"
    assert found["report"] == expected


def test_a_worker_that_was_replaced_keeps_nothing(gate: Gate) -> None:
    fill(gate, 10)
    simulations = gate.services.simulations
    asked = post(gate, f"/v1/policies/{draft(gate)}/simulate", 202, days=1)
    first = simulations.claim(asked["id"])
    gate.clock[0] += MINUTE_MS
    second = simulations.claim(asked["id"])
    assert first is not None
    assert second is not None
    assert not simulations.keep(first, b"x", done=5, total=9, worked_ms=1, pause_ms=1)
    assert not simulations.finish(first, {"stale": True}, done=5, worked_ms=1)
    assert simulations.keep(second, b"x", done=6, total=9, worked_ms=1_000, pause_ms=1_000)
    found = get(gate, f"/v1/simulations/{asked['id']}")
    assert (found["done"], found["total"], found["rate"], found["eta_seconds"]) == (6, 9, 3.0, 1)


def test_a_simulation_can_be_cancelled_and_a_failing_one_fails_visibly(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(gate, 1_200)
    version = draft(gate)
    asked = post(gate, f"/v1/policies/{version}/simulate", 202, days=7)
    simulate.run(gate.services, asked["id"], 0.0)
    assert post(gate, f"/v1/simulations/{asked['id']}/cancel")["state"] == "cancelled"
    gate.clock[0] += MINUTE_MS
    assert gate.services.simulations.claim(asked["id"]) is None
    post(gate, f"/v1/simulations/{asked['id']}/cancel", 409)

    def broken(_part: Any) -> bool:
        raise ValueError(CANARY)

    monkeypatch.setattr(simulate._Slice, "page", broken)
    failing = work(gate, post(gate, f"/v1/policies/{version}/simulate", 202, days=7)["id"])
    assert (failing["state"], failing["error_code"]) == ("failed", "ValueError")
    assert gate.actions()[-1] == "simulation.failed"


def test_a_simulation_of_nothing_there_and_one_too_many_are_refused(gate: Gate) -> None:
    assert post(gate, "/v1/policies/99/simulate", 404)["error"]["code"] == "not_found"
    version = draft(gate)
    for _ in range(3):
        post(gate, f"/v1/policies/{version}/simulate", 202, days=1)
    assert "remedy" in post(gate, f"/v1/policies/{version}/simulate", 409, days=1)["error"]
    post(gate, f"/v1/policies/{version}/simulate", 403, "ingest")
    assert len(get(gate, "/v1/simulations", "auditor")["simulations"]) == 3


def test_hidden_people_are_left_out_and_those_who_agreed_are_known(gate: Gate) -> None:
    fill(gate, 97)
    people = {"distinct_ids": ["p1", "p2"]}
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["p3"]}, headers=gate.bearer("officer"))
    gate.delete(*people["distinct_ids"])
    asked = post(gate, f"/v1/policies/{draft(gate)}/simulate", 202, days=7)
    report = work(gate, asked["id"])["report"]
    assert report["left_out"] == 4
    assert report["total"]["records"] == 97 + 50 - 4


def test_memory_does_not_grow_with_history(gate: Gate) -> None:
    def peak(events: int) -> int:
        stored = '{"note":"hello","plan":"pro","page":"/home"}'
        rows = [EventRow(start - n, n, 0, "View", stored, 1, start) for n in range(events)]
        with gate.services.database.write() as tx:
            gate.services.stores.of(None).append(tx, project_id, rows)
        asked = post(gate, f"/v1/policies/{version}/simulate", 202, days=7)
        tracemalloc.start()
        try:
            assert work(gate, asked["id"])["report"]["total"]["records"] == events
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    [(project_id,)] = gate.rows("SELECT id FROM project")
    start, version = gate.clock[0] - 1, draft(gate)
    peak(2_000)
    small = peak(2_000)
    assert peak(20_000) < small * 1.3


# --- the store -------------------------------------------------------------------------------------------------------


def test_pages_of_the_store_follow_each_other_in_both_directions(gate: Gate) -> None:
    send(gate, 25, "e")
    store = gate.services.stores.of(None)
    with gate.services.database.read() as tx:
        [(project_id,)] = gate.rows("SELECT id FROM project")
        whole = list(store.scan(tx, Sight(project_id, Purpose.INTERNAL), EventQuery()))
        assert store.count(tx, Sight(project_id, Purpose.INTERNAL), EventQuery()) == len(whole) == 25
        for newest_first in (False, True):
            found: list[Any] = []
            while True:
                after = (found[-1].time_ms, found[-1].dedup) if found else None
                page = list(
                    store.scan(
                        tx, Sight(project_id, Purpose.INTERNAL), EventQuery(after=after, limit=10, newest_first=newest_first)
                    )
                )
                if not page:
                    break
                found += page
            assert found == (whole[::-1] if newest_first else whole)


# --- suggestions -----------------------------------------------------------------------------------------------------


def test_suggestions_load_and_leave_nothing_unnamed(gate: Gate) -> None:
    mail = "{id: mail, properties: [email], category: user.contact.email, sensitivity: confidential, action: hash}"
    post(gate, "/v1/policies", 201, "admin", text=f"policy: bare\nrules:\n  - {mail}\n", activate=True)
    send(gate, 50, "e", note="hello", plan="pro", contact="write to ada@example.com", religion="none", email="x@example.com")
    found = get(gate, "/v1/policies/suggestions?events=1000")
    assert found["records"] == 50
    by_property = {each["property"]: each for each in found["suggestions"]}
    assert set(by_property) == {"note", "plan", "contact", "religion"}
    assert by_property["contact"]["evidence"]["hits"] == {"email": 50}
    assert by_property["religion"]["sensitivity"] == "restricted"
    assert by_property["plan"]["evidence"]["types"] == {"string": 1.0}
    assert len(load(found["policy"]).rules) == 4
    assert "hello" not in json.dumps(found)
    assert gate.actions()[-1] == "suggestions.made"
    assert get(gate, "/v1/policies/suggestions?events=10")["records"] == 10


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line_simulates_and_suggests(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(gate, 30)
    version = draft(gate)
    monkeypatch.setattr(cli_observe, "bootstrap", lambda _settings: gate.services)
    monkeypatch.setattr(cli_observe.time, "sleep", lambda _s: gate.work())
    [(project_id,)] = gate.rows("SELECT id FROM project")
    ran = CliRunner().invoke(cli_observe.simulate, [str(project_id), str(version), "--days", "7", "--watch"])
    assert ran.exit_code == 0, ran.output
    assert "80 records: 0 dropped, 80 changed" in ran.output
    assert "string(3) → pseudonym" in ran.output
    ran = CliRunner().invoke(cli_observe.suggest, [str(project_id)])
    assert ran.exit_code == 0, ran.output
    load(ran.output)
    assert "incomplete" not in ran.output
    send(gate, 600, "many", company="ACME")
    gate.services.suggestions._budget_s = 0
    ran = CliRunner().invoke(cli_observe.suggest, [str(project_id)])
    assert "# incomplete: the time for one look was up" in ran.output
    load(ran.output)


def test_a_database_that_is_away_is_said_to_be_away(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.errors import Unavailable

    def away(_self: Database) -> Any:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(Database, "read", away)
    answer = gate.client.get("/v1/findings", headers=gate.bearer("officer"))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_simulations_and_mended_findings_end_by_themselves(gate: Gate) -> None:
    send(gate, 10, "canary", comment=CANARY)
    assert gate.services.findings.round() == 1
    [found] = get(gate, "/v1/findings")["findings"]
    post(gate, f"/v1/findings/{found['id']}/resolve", outcome="mended")
    asked = post(gate, f"/v1/policies/{draft(gate)}/simulate", 202, days=7)
    gate.work()
    gate.clock[0] += 29 * 24 * 60 * MINUTE_MS
    cleanup.clean(gate.services)
    assert [each["id"] for each in get(gate, "/v1/simulations")["simulations"]] == [asked["id"]]
    gate.clock[0] += 2 * 24 * 60 * MINUTE_MS
    cleanup.clean(gate.services)
    assert get(gate, "/v1/simulations")["simulations"] == []
    assert len(get(gate, "/v1/findings")["findings"]) == 1
    gate.clock[0] += 60 * 24 * 60 * MINUTE_MS
    cleanup.clean(gate.services)
    assert get(gate, "/v1/findings")["findings"] == []


def test_a_look_that_takes_too_long_says_how_far_it_came(gate: Gate) -> None:
    send(gate, 600, "many", company="ACME")
    assert get(gate, "/v1/policies/suggestions")["complete"] is True
    gate.services.suggestions._budget_s = 0
    found = get(gate, "/v1/policies/suggestions")
    assert (found["complete"], found["records"]) == (False, 500)
