"""Known people become nobody in particular and what is counted stays, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from app.audit.note import open_note
from app.reimport.tables import reimport_chunk, reimport_mark, reimport_subject, reimport_total
from jobs import dispatcher, reimport
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


# --- the review --------------------------------------------------------------------------------------------------------


def test_a_blocked_review_takes_two_people_and_their_reasons(gate: Gate) -> None:
    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0", quasi_identifiers=["city", "age"], sensitive=["amount"], k=5)
    review = _get(gate, f"/v1/reimports/{chosen}/review")
    assert review["blocked"] == ["k_anonymity", "l_diversity"] or review["blocked"] == ["k_anonymity"]
    anonymity = review["report"]["anonymity"]
    assert anonymity["k"] < 5
    assert {each["property"] for each in anonymity["rarity"]} == {"city", "age"}
    refused = _post(gate, f"/v1/reimports/{chosen}/approve", 409)
    assert "smallest cell" in refused["error"]["message"]
    path = f"/v1/reimports/{chosen}/override"
    _post(gate, path, 400, reason=f"write to {CANARY}")
    _post(gate, path, reason="the person asked for it, ticket 17")
    _post(gate, path, 409, reason="the person asked for it, ticket 17")
    _post(gate, f"/v1/reimports/{chosen}/approve", 409)
    _post(gate, path, role="admin", reason="agreed, ticket 17")
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    assert _state(gate, chosen)["state"] == "done"
    assert gate.actions().count("reimport.overridden") == 2


def test_what_the_policy_leaves_is_found_and_told_without_its_value(gate: Gate) -> None:
    _fill(gate)
    gate.track(gate.event("", "m", **{"$user_id": "user-0"}, note="written by user-0", ref="user-0", **{f"x.{CANARY}": 1}))
    chosen = _order(gate, "passthrough", "user-0")
    answer = gate.client.get(f"/v1/reimports/{chosen}/review", headers=gate.bearer("officer"))
    review = answer.get_json()
    assert "findings" in review["blocked"]
    found = {(each["property"], kind) for each in review["report"]["properties"] for kind in each["findings"]}
    assert {("email", "email"), ("ref", "own_id"), ("name", "email")} <= found
    assert b"canary" not in answer.data
    assert "canary" not in repr(gate.rows("SELECT report, terms, standing FROM reimport"))
    assert "canary" not in json.dumps(gate.log_after_sequencing())


def test_without_quasi_identifiers_nobody_knows_and_it_is_blocked(gate: Gate) -> None:
    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0", quasi_identifiers=[])
    assert _get(gate, f"/v1/reimports/{chosen}/review")["blocked"] == ["not_measured"]


def test_figures_that_do_not_agree_are_told_and_nobody_overrides_them(gate: Gate) -> None:
    _fill(gate)
    before = gate.exported()
    chosen = _order(gate, _version(gate, CLEAN), "user-0", tolerance=0.0)
    review = _get(gate, f"/v1/reimports/{chosen}/review")
    assert review["blocked"] == ["reconciliation"]
    [wrong] = review["report"]["reconciliation"]["differences"]
    assert wrong == {"what": "sum", "event": "View", "key": "age", "before": 124.0, "after": 120.0}
    for path in ("approve", "override"):
        refused = _post(gate, f"/v1/reimports/{chosen}/{path}", 409, **({"reason": "because"} if path == "override" else {}))
        assert refused["error"]["field"] == "tolerance"
    _post(gate, f"/v1/reimports/{chosen}/cancel")
    _work(gate)
    assert _state(gate, chosen)["state"] == "cancelled"
    assert gate.exported() == before
    _nothing_left(gate)


def test_pseudonyms_tokens_and_ciphertexts_never_come_along(gate: Gate) -> None:
    _in_force(
        gate,
        """\
policy: linking
unknown_properties: allow
rules:
  - {id: h, properties: [hashed], category: user.contact.email, sensitivity: confidential, action: hash}
  - {id: t, properties: [tokened], category: user.contact.email, sensitivity: confidential, action: tokenise}
  - {id: e, properties: [locked], category: user.contact.email, sensitivity: confidential, action: encrypt}
""",
    )
    gate.track(*(gate.event(p, p, hashed=p, tokened=p, locked=p, city="Bonn") for p in ("ada", "bob", "eve")))
    stored = [json.loads(row[0]) for row in gate.rows("SELECT properties FROM event")]
    assert all(each["hashed"].startswith("p1.") and each["locked"].startswith("e1.") for each in stored)
    chosen = _order(gate, "passthrough", "ada")
    assert _get(gate, f"/v1/reimports/{chosen}/review")["blocked"] == []
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    [theirs] = [e["properties"] for e in gate.exported() if e["properties"]["distinct_id"].startswith("anon-")]
    assert [theirs[name] for name in ("hashed", "tokened", "locked")] == ["[pseudonym]", "[token]", "[encrypted]"]


def test_times_are_as_precise_as_they_may_be(gate: Gate) -> None:
    gate.clock[0] += 1_234_567
    _fill(gate)
    before = _figures(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0", times="day")
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    theirs = [e["properties"]["time"] for e in gate.exported() if e["properties"]["distinct_id"].startswith("anon-")]
    assert len(theirs) == 5
    assert not [each for each in theirs if each % DAY_S]
    assert _figures(gate)[0] == before[0]


# --- who is meant ------------------------------------------------------------------------------------------------------


def test_a_preview_says_what_would_be_reached_and_changes_nothing(gate: Gate) -> None:
    _fill(gate)
    body = {"scope": "people", "policy": "gdpr-strict", "distinct_ids": ["user-0", "who"]}
    found = _post(gate, "/v1/reimports/preview", **body)
    assert found == {"people": 1, "ids": 2, "events": 5, "profiles": 1, "unknown_positions": [1], "withheld": 0}
    assert gate.rows("SELECT count(*) FROM reimport") == [(0,)]
    assert "reimport.previewed" in gate.actions()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"policy": "no-such"}, 404),
        ({"policy": 99}, 404),
        ({"policy": True}, 400),
        ({"distinct_ids": ["nobody-knows"]}, 409),
        ({"distinct_ids": []}, 422),
        ({"cohort": 1}, 422),
        ({"scope": "cohort"}, 422),
        ({"scope": "property"}, 422),
        ({"k": 1}, 422),
        ({"tolerance": 2}, 422),
        ({"times": "week"}, 422),
    ],
)
def test_terms_that_make_no_sense_are_refused_with_the_field(gate: Gate, change: dict[str, Any], status: int) -> None:
    _fill(gate, 1, 1)
    body = {"scope": "people", "policy": "gdpr-strict", "distinct_ids": ["user-0"], **change}
    _post(gate, "/v1/reimports", status, **body)
    assert gate.rows("SELECT count(*) FROM reimport") == [(0,)]


def test_a_cohort_is_made_anonymous_person_by_person(gate: Gate) -> None:
    _fill(gate, people=25)
    before = _figures(gate)
    saved = _post(gate, "/v1/cohorts", 201, role="admin", name="Bonn", where='properties["city"] == "Bonn"', anyway=True)
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["user-3"]}, headers=gate.bearer("officer"))
    order = {"scope": "cohort", "cohort": saved["id"], "policy": _version(gate, CLEAN), "quasi_identifiers": ["city"], "k": 5}
    assert _post(gate, "/v1/reimports/preview", **order)["people"] == 25
    chosen = _post(gate, "/v1/reimports", 202, **order, tolerance=0.5)["id"]
    _work(gate)
    review = _get(gate, f"/v1/reimports/{chosen}/review")
    assert (review["blocked"], review["report"]["people"]) == ([], 25)
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    assert _state(gate, chosen)["state"] == "done"
    assert _figures(gate) == before
    people = gate.people()
    assert len(people) == 25
    assert all(each.startswith("anon-") for each in people)
    _nothing_left(gate)


def test_a_restricted_person_is_not_processed(gate: Gate) -> None:
    _fill(gate)
    _restrict(gate, "user-0")
    body = {"scope": "people", "policy": "gdpr-strict", "distinct_ids": ["user-0", "user-1"]}
    assert _post(gate, "/v1/reimports", 409, **body)["error"]["field"] == "distinct_ids"


def _restrict(gate: Gate, identifier: str, state: str = "restricted") -> None:
    from app.identity import closure, register
    from policies.model import SubjectState

    with gate.services.database.write() as tx:
        project_id = int(tx.execute(sa.text("SELECT id FROM project")).scalar_one())
        found = closure.closure(tx, gate.services.keyring.of(tx, project_id), [identifier])
        register.set_state(tx, project_id, found.uids, SubjectState(state))


def test_whoever_is_restricted_meanwhile_stops_it(gate: Gate) -> None:
    _fill(gate)
    before = gate.exported()
    chosen = _order(gate, _version(gate, CLEAN), "user-0", "user-1")
    _restrict(gate, "user-0")
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    found = _state(gate, chosen)
    assert (found["state"], found["error_code"]) == ("rolled_back", "subject_restricted")
    _restrict(gate, "user-0", "active")
    assert gate.exported() == before
    _nothing_left(gate)


def test_whoever_is_erased_meanwhile_is_erased_and_not_re_imported(gate: Gate) -> None:
    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0", "user-1")
    gate.delete("user-0")
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    assert _state(gate, chosen)["state"] == "done"
    assert len([each for each in gate.people() if each.startswith("anon-")]) == 1
    _nothing_left(gate)


def test_an_erasure_that_is_cancelled_in_its_grace_period_brings_the_people_back(gate: Gate, tmp_path: Any) -> None:
    if not gate.services.database.sqlite:
        pytest.skip("one engine suffices: no statement of this differs")
    slow = build(tmp_path / "slow", None, PORTCULLIS_ERASURE_GRACE="3600")
    _in_force(slow, LENIENT)
    _fill(slow)
    before = slow.exported()
    chosen = _order(slow, _version(slow, CLEAN), "user-0")
    _post(slow, f"/v1/reimports/{chosen}/approve")
    for _ in range(20):
        dispatcher.tick(slow.services)
    found = _state(slow, chosen)
    assert found["state"] == "erasing"
    _post(slow, f"/v1/reimports/{chosen}/cancel", 409)
    _post(slow, f"/v1/requests/{found['erasure']}/cancel")
    _work(slow)
    assert _state(slow, chosen)["state"] == "cancelled"
    assert slow.exported() == before
    assert slow.rows("SELECT count(*) FROM register WHERE created_ms = 0") == [(0,)]
    _nothing_left(slow)
    slow.services.close()


# --- one property ------------------------------------------------------------------------------------------------------


def _leak(gate: Gate, **change: Any) -> str:
    policy = """\
policy: mended
unknown_properties: allow
rules:
  - {id: note, properties: [note], category: user.content, sensitivity: internal, action: drop}
  - {id: mail, properties: [email], category: user.contact.email, sensitivity: internal, action: hash}
"""
    from datetime import UTC, datetime

    day = datetime.fromtimestamp(gate.clock[0] / 1000, UTC).date().isoformat()
    body = {"scope": "property", "policy": _version(gate, policy), "from_date": day, "to_date": day, **change}
    chosen = str(_post(gate, "/v1/reimports", 202, **body)["id"])
    _work(gate)
    return chosen


@pytest.mark.parametrize("leaked", ["note", "email"])
def test_a_property_that_leaked_is_rewritten_in_the_events_of_those_days(gate: Gate, leaked: str) -> None:
    sent = [gate.event(f"p{n % 7}", f"i{n}", plan="pro", **({leaked: f"{n}-{CANARY}"} if n % 2 else {})) for n in range(1_200)]
    old = gate.event("p1", "old", **{leaked: CANARY})
    old["properties"]["time"] -= 2 * DAY_S
    gate.track(*sent[:600])
    gate.track(*sent[600:], old)
    before = {each["properties"]["$insert_id"]: each for each in gate.exported()}
    chosen = _leak(gate, property=leaked)
    assert {each["properties"]["$insert_id"]: each for each in gate.exported()} == before
    review = _get(gate, f"/v1/reimports/{chosen}/review")
    assert review["blocked"] == []
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    assert _state(gate, chosen)["state"] == "done"
    after = {each["properties"]["$insert_id"]: each for each in gate.exported()}
    assert after.keys() == before.keys()
    for name, each in after.items():
        expected = {key: value for key, value in before[name]["properties"].items() if key != leaked}
        assert {key: value for key, value in each["properties"].items() if key != leaked} == expected
    left = {name: each["properties"][leaked] for name, each in after.items() if leaked in each["properties"]}
    assert left.pop("old") == CANARY
    assert left == {} if leaked == "note" else (len(left) == 600 and all(each.startswith("p1.") for each in left.values()))
    assert [each["properties"]["distinct_id"] for each in after.values()].count("p1") > 100


# --- crashes and races -------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """Not an Exception: like a kill, nothing may catch it and tidy up."""


@pytest.mark.parametrize("state", list(reimport.STEPS), ids=str)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_around_any_step_changes_nothing_but_the_time(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, state: Any, when: str
) -> None:
    if not gate.services.database.sqlite:
        pytest.skip("the order of transactions is the same on both engines")
    _fill(gate)
    before = _figures(gate)
    real, crashed = reimport.STEPS[state], []

    def crashing(work: Any) -> None:
        if crashed:
            return real(work)
        crashed.append(state)
        if when == "after":
            real(work)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(reimport, "STEPS", {**reimport.STEPS, state: crashing})
        chosen = _tried(gate, lambda: _order(gate, _version(gate, CLEAN), "user-0"))
        if crashed:
            chosen = gate.rows("SELECT id FROM reimport")[0][0]
            gate.clock[0] += 60_000
            _work(gate)
        _post(gate, f"/v1/reimports/{chosen}/approve")
        _tried(gate, lambda: _work(gate))
        gate.clock[0] += 60_000
        _work(gate)
    assert _state(gate, chosen)["state"] == "done"
    assert _figures(gate) == before
    for action in ("created", "reviewable", "approved", "frozen", "ordered", "done"):
        assert gate.actions().count(f"reimport.{action}") == 1, action
    _nothing_left(gate)


def _tried(gate: Gate, act: Any) -> Any:
    try:
        return act()
    except Crash:
        return None


def test_a_worker_that_lost_its_claim_changes_nothing(gate: Gate) -> None:
    from app.subjects.queue import LostClaim

    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0")
    _post(gate, f"/v1/reimports/{chosen}/approve")
    queue = gate.services.reimports.queue
    stale = queue.claim(chosen)
    assert stale is not None
    assert queue.claim(chosen) is None
    gate.clock[0] += 60_000
    fresh = queue.claim(chosen)
    assert fresh is not None
    with pytest.raises(LostClaim), gate.services.database.write() as tx:
        queue.hold(tx, stale)
    with gate.services.database.write() as tx:
        queue.hold(tx, fresh)


def test_data_that_arrives_between_review_and_approval_comes_along(gate: Gate) -> None:
    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0")
    gate.track(gate.event("", "more", **{"$user_id": "user-0", "$device_id": "tablet-0"}, city="Bonn", amount=7))
    before = _figures(gate)
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    assert _state(gate, chosen)["state"] == "done"
    assert _figures(gate) == before
    gate.track(gate.event("", "late", **{"$device_id": "tablet-0"}))
    assert _figures(gate) == before


def test_data_that_makes_it_worse_after_the_review_takes_everything_back(gate: Gate) -> None:
    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0")
    gate.track(gate.event("", "more", **{"$user_id": "user-0"}, city="Nowhere else"))
    before = gate.exported()
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    found = _state(gate, chosen)
    assert (found["state"], found["error_code"]) == ("rolled_back", "review_changed")
    assert gate.exported() == before
    assert _get(gate, f"/v1/reimports/{chosen}/review")["blocked"] == ["k_anonymity"]
    _nothing_left(gate)


def test_a_person_who_was_let_go_by_an_officer_is_held_and_staged_anew(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.reimport.model import State

    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0")
    real, seen = reimport.STEPS[State.ORDERING], []

    def meddling(work: Any) -> None:
        if not seen:
            _restrict(gate, "user-0", "active")
            gate.track(gate.event("", "between", **{"$user_id": "user-0"}, city="Bonn", amount=9))
        seen.append(1)
        real(work)

    monkeypatch.setattr(reimport, "STEPS", {**reimport.STEPS, State.ORDERING: meddling})
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    assert len(seen) == 2
    theirs = [each["properties"] for each in gate.exported() if each["properties"]["distinct_id"].startswith("anon-")]
    assert (len(theirs), max(each.get("amount", 0) for each in theirs)) == (6, 9)


def test_what_is_stored_is_read_back_and_stored_again_if_it_is_not_what_was_staged(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(gate)
    before = _figures(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0")
    store = type(gate.services.stores.of(None))
    real, spoiled = store.append, []

    def losing(self: Any, tx: Any, project_id: int, rows: Any) -> None:
        real(self, tx, project_id, rows if spoiled else rows[1:])
        spoiled.append(1)

    monkeypatch.setattr(store, "append", losing)
    _post(gate, f"/v1/reimports/{chosen}/approve")
    _work(gate)
    assert len(spoiled) == 2
    assert _state(gate, chosen)["state"] == "done"
    assert _figures(gate) == before


def test_what_cannot_be_stored_is_kept_staged_and_told(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(gate)
    chosen = _order(gate, _version(gate, CLEAN), "user-0")
    with monkeypatch.context() as patched:
        patched.setattr(type(gate.services.stores.of(None)), "append", lambda *_: None)
        _post(gate, f"/v1/reimports/{chosen}/approve")
        with pytest.raises(AssertionError, match="not_reconciled"):
            _work(gate)
    assert gate.rows("SELECT count(*) FROM reimport_chunk")[0][0] > 0
