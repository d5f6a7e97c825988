"""Retention: what has had its time goes, once, in batches, from where the last run stopped."""

from __future__ import annotations

import json
import threading

import pytest

from app.audit.entry import AuditAction
from app.events import retention as turns
from jobs import dispatcher, retention
from tests.integration.gate import build

DAY = 86_400_000
POLICY = """\
policy: kept
detectors: keep
rules:
  - {id: mail, properties: [email], category: user.contact.email, sensitivity: confidential, action: keep, scan: false}
  - {id: home, properties: ["address.street"], category: user.contact.address, sensitivity: confidential, action: keep, scan: false}
  - {id: plan, properties: [plan], category: user.account, sensitivity: internal, action: keep}
  - {id: ads, scope: event, properties: [only], events: ["Ad *"], category: user.contact, sensitivity: internal, action: keep}
retention:
  - {id: views, events: ["View*"], days: 30}
  - {id: contact, category: user.contact, days: 10}
"""


@pytest.fixture(params=["sqlite", "postgres"])
def gate(request, tmp_path):
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    built = build(tmp_path, url)
    _put_in_force(built, POLICY)
    yield built
    built.services.close()


def _put_in_force(gate, text):
    answer = gate.client.post("/v1/policies", json={"text": text, "activate": True}, headers=gate.bearer("admin"))
    assert answer.status_code == 201, answer.get_data(as_text=True)


def _import(gate, *events):
    answer = gate.client.post("/import?strict=1", json=list(events), headers=gate.bearer("admin"))
    assert answer.status_code == 200, answer.get_data(as_text=True)


def _event(gate, name, insert_id, days_ago=0, **properties):
    made = gate.event("ada", insert_id, **properties)
    made["properties"]["time"] = (gate.clock[0] - days_ago * DAY) // 1000
    return {**made, "event": name}


def _kept(gate):
    rows = gate.rows("SELECT properties FROM event")
    return sorted(json.loads(row[0])["$insert_id"] for row in rows)


def _told(gate):
    found = [each for each in gate.log_after_sequencing() if each["action"] == AuditAction.RETENTION_APPLIED]
    return [(each["facts"]["rule"], each["n"]) for each in found]


def _next_run(gate, days=0):
    gate.clock[0] += days * DAY + 3_600_000
    return retention.run_due(gate.services)


def test_events_go_when_their_days_are_over(gate):
    _import(gate, _event(gate, "View", "old", 31), _event(gate, "View page", "older", 400))
    _import(gate, _event(gate, "View", "young", 29), _event(gate, "Buy", "other", 400))
    assert retention.run_due(gate.services) == 1
    assert _kept(gate) == ["other", "young"]
    assert _told(gate) == [("views", {"events": 2})]
    assert _next_run(gate, days=2) == 1
    assert _kept(gate) == ["other"]
    assert _told(gate) == [("views", {"events": 2}), ("views", {"events": 1})]


def test_a_category_goes_at_every_depth_and_nothing_else_changes(gate):
    inside = json.dumps({"email": "x@example.com", "n": 1})
    sent = {
        "email": "a@example.com",
        "plan": "pro",
        "owner": {"email": "b@example.com", "age": 7, "list": [{"email": "c@example.com"}, 2.5, None, True]},
        "address": {"street": "Main", "zip": "10115"},
        "text": inside,
        "Email": "upper@example.com",
        "only": "stays",
    }
    _import(gate, _event(gate, "Buy", "old", 11, **sent), _event(gate, "Buy", "young", 9, **sent))
    _import(gate, _event(gate, "Ad seen", "ad", 11, only="goes", plan="pro"))
    before = dict(gate.rows("SELECT dedup, properties FROM event"))
    retention.run_due(gate.services)
    after = {
        json.loads(text)["$insert_id"]: json.loads(text)
        for text in dict(gate.rows("SELECT dedup, properties FROM event")).values()
    }
    assert sorted(after) == ["ad", "old", "young"]
    assert after["young"] in [json.loads(text) for text in before.values()]
    for name in ("email", "Email"):
        assert name not in after["old"]
    assert after["old"]["owner"] == {"age": 7, "list": [{}, 2.5, None, True]}
    assert after["old"]["address"] == {"zip": "10115"}
    assert json.loads(after["old"]["text"]) == {"n": 1}
    assert (after["old"]["plan"], after["old"]["only"]) == ("pro", "stays")
    assert "only" not in after["ad"]
    assert _told(gate) == [("contact", {"events_changed": 2, "properties": 7})]
    assert gate.people() == ["ada"], "what identifies the person is no property of a category"


def test_a_profile_that_nobody_changed_loses_the_category(gate):
    for person, ignore in (("idle", True), ("seen", False), ("busy", False)):
        update = {
            "$token": gate.token,
            "$distinct_id": person,
            "$ignore_time": ignore,
            "$set": {"email": "a@example.com", "plan": "pro"},
        }
        gate.client.post("/engage", json=[update])
    retention.run_due(gate.services)
    gate.clock[0] += 8 * DAY
    gate.client.post("/engage", json=[{"$token": gate.token, "$distinct_id": "busy", "$set": {"n": 1}}])
    _next_run(gate, days=3)
    answer = gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()
    kept = {each["$distinct_id"]: "email" in each["$properties"] for each in answer["results"]}
    assert kept == {"idle": False, "seen": False, "busy": True}
    assert all(each["$properties"]["plan"] == "pro" for each in answer["results"])
    assert _told(gate) == [("contact", {"profiles_changed": 2, "properties": 2})]
    _next_run(gate, days=10)
    answer = gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()
    assert not any("email" in each["$properties"] for each in answer["results"])


def test_the_next_run_reads_nothing_twice_but_goes_back_for_what_arrived_late(gate, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 10)
    _import(gate, *(_event(gate, "Buy", f"i{n}", 40 + n) for n in range(95)))
    read = _counting(gate, monkeypatch)
    retention.run_due(gate.services)
    assert sum(read) == 2 * 95, "once for each rule"
    assert max(read) <= 10
    read.clear()
    _next_run(gate)
    assert sum(read) == 0
    _import(
        gate, _event(gate, "View", "late", 60, email="late@example.com"), _event(gate, "Buy", "late2", 100, email="l@example.com")
    )
    _next_run(gate)
    assert "late" not in _kept(gate)
    stored = [json.loads(row[0]) for row in gate.rows("SELECT properties FROM event")]
    assert not any("email" in each for each in stored)
    assert 0 < sum(read) < 2 * 95, "it went back to the day of the latecomer and not to the beginning"
    read.clear()
    _next_run(gate)
    assert sum(read) == 0


def _counting(gate, monkeypatch):
    read = []
    store = type(gate.services.stores.of(None))
    real = store.old_events

    def counted(self, *args):
        rows = real(self, *args)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(store, "old_events", counted)
    return read


def test_a_rule_that_changes_begins_anew(gate):
    _import(gate, _event(gate, "Buy", "old", 50, email="a@example.com", plan="pro"))
    retention.run_due(gate.services)
    _put_in_force(
        gate, POLICY.replace("category: user.contact, days: 10", "category: user, days: 10").replace('"View*"', '"B?y"')
    )
    _next_run(gate)
    assert _kept(gate) == []
    assert [rule for rule, _ in _told(gate)] == ["contact", "views"]


def test_two_dispatchers_do_it_once(gate):
    _import(gate, *(_event(gate, "View", f"i{n}", 40) for n in range(300)))
    barrier, ended = threading.Barrier(4), []

    def run():
        barrier.wait(10)
        ended.append(retention.run_due(gate.services))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert sum(ended) == 1
    assert _told(gate) == [("views", {"events": 300})]
    assert retention.run_due(gate.services) == 0, "it is not due again yet"


def test_a_run_that_dies_is_taken_over_from_its_mark_and_tells_everything_once(gate, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 10)
    _import(gate, *(_event(gate, "View", f"i{n}", 40 + n) for n in range(55)))

    class Killed(BaseException):
        pass

    batches = []

    def killed(run):
        batches.append(1)
        if len(batches) == 3:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(retention, "_unless_stopping", killed)
        with pytest.raises(Killed):
            retention.run_due(gate.services)
    assert len(_kept(gate)) == 25
    assert retention.run_due(gate.services) == 0, "the lease of the dead run still holds"
    gate.clock[0] += 61_000
    assert retention.run_due(gate.services) == 1
    assert _kept(gate) == []
    assert _told(gate) == [("views", {"events": 55})]


def test_a_run_whose_turn_was_taken_over_changes_nothing_more(gate, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 10)
    _import(gate, *(_event(gate, "View", f"i{n}", 40 + n) for n in range(55)))

    def overtaken(run):
        gate.clock[0] += 61_000
        with gate.services.database.write() as tx:
            assert turns.TURNS.claim(tx, run.turn.project_id, gate.clock[0], 60_000) is not None

    monkeypatch.setattr(retention, "_unless_stopping", overtaken)
    assert retention.run_due(gate.services) == 0
    assert len(_kept(gate)) == 45


def test_one_project_that_fails_keeps_no_other_waiting(gate, monkeypatch):
    with gate.services.database.write() as tx:
        second = gate.services.access.create_project(tx, "second", actor="test")
    real, seen = retention._apply, []

    def failing(services, turn, stopping):
        seen.append(turn.project_id)
        if turn.project_id != second.id and len(seen) < 3:
            raise ValueError("u1@example.com")
        return real(services, turn, stopping)

    monkeypatch.setattr(retention, "_apply", failing)
    _import(gate, _event(gate, "View", "i1", 40))
    assert retention.run_due(gate.services) == 1
    assert len(seen) == 2
    assert _kept(gate) == ["i1"]
    gate.clock[0] += 61_000
    assert retention.run_due(gate.services) == 1
    assert _kept(gate) == []


def test_a_process_that_is_asked_to_end_gives_the_turn_back(gate, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 10)
    _import(gate, *(_event(gate, "View", f"i{n}", 40 + n) for n in range(55)))
    asked = iter([False, True])
    assert retention.run_due(gate.services, lambda: next(asked, True)) == 0
    assert len(_kept(gate)) == 45
    assert retention.run_due(gate.services) == 1
    assert _kept(gate) == []


def test_a_run_never_brings_back_what_an_erasure_deletes(gate):
    _import(gate, _event(gate, "Buy", "i1", 50, email="a@example.com"))
    store = gate.services.stores.of(None)
    with gate.services.database.read() as tx:
        project_id = gate.rows("SELECT id FROM project")[0][0]
        rows = store.old_events(tx, project_id, (-1, -1), gate.clock[0], 10)
    gate.delete("ada")
    gate.work()
    with gate.services.database.write() as tx:
        assert store.rewrite_events(tx, project_id, rows) == 0
        assert store.rewrite_profiles(tx, project_id, []) == 0
    assert gate.rows("SELECT count(*) FROM event") == [(0,)]


def test_a_policy_without_retention_keeps_everything_and_says_nothing(gate):
    _put_in_force(gate, "policy: keeps\ndetectors: keep\n")
    _import(gate, _event(gate, "View", "i1", 4_000))
    assert retention.run_due(gate.services) == 1
    assert _kept(gate) == ["i1"]
    assert _told(gate) == []
    assert gate.rows("SELECT count(*) FROM retention_late") == [(0,)]


def test_the_metric_counts_and_the_bytes_are_gone(gate, tmp_path):
    _import(
        gate,
        _event(gate, "View", "i1", 40, canary="c4n4ry-in-an-event"),
        _event(gate, "Buy", "i2", 40, email="c4n4ry@example.com"),
    )
    retention.run_due(gate.services)
    metrics = gate.client.get("/metrics", headers=gate.bearer("admin")).get_data(as_text=True)
    assert 'portcullis_retention_removed_total{what="events"} 1.0' in metrics
    assert 'portcullis_retention_removed_total{what="properties"} 1.0' in metrics
    if gate.services.database.sqlite:
        stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
        assert b"c4n4ry" not in stored


def test_the_dispatcher_runs_it_and_ends_when_asked(gate):
    _import(gate, _event(gate, "View", "i1", 40))
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(gate.services, stop, 0.01))
    thread.start()
    for _ in range(500):
        if _kept(gate) == []:
            break
        stop.wait(0.02)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert _kept(gate) == []


HOLDING = POLICY.replace("detectors: keep", "detectors: keep\nunknown_events: quarantine\nevents: {allow: [Known]}").replace(
    "retention:",
    "  - {id: odd, properties: [odd], category: user.content, sensitivity: internal, action: quarantine}\nretention:",
)


def _release(gate):
    return gate.client.post("/v1/quarantine/release", json={"filter": {}}, headers=gate.bearer("officer")).get_json()


def test_what_is_held_goes_when_its_days_are_over_and_is_not_released_before(gate, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    _put_in_force(gate, HOLDING)
    _import(gate, _event(gate, "View", "v1", 31), _event(gate, "View", "v2", 29), _event(gate, "Other", "o1", 31))
    _import(gate, _event(gate, "Other", "o2", 11, email="a@b.example"), _event(gate, "Other", "o3", 9, email="a@b.example"))
    update = {"$token": gate.token, "$distinct_id": "ada"}
    for values in ({"odd": 1, "email": "a@b.example"}, {"odd": 2}):
        assert gate.client.post("/engage", json=[{**update, "$set": values}]).data == b"1"
    assert gate.rows("SELECT count(*) FROM quarantined") == [(7,)]
    gate.clock[0] += 11 * DAY
    # Over by now: v1 and v2 by name, o2, o3 and one update by what they hold.
    outcome = _release(gate)
    assert (outcome["released"], outcome["refused"]) == (2, {"retention_over": 5})
    assert _kept(gate) == ["o1"]
    assert retention.run_due(gate.services) == 1
    assert gate.rows("SELECT count(*) FROM quarantined") == [(0,)]
    assert {rule: counts["held"] for rule, counts in _told(gate)} == {"contact": 3, "views": 2}
    assert "a@b.example" not in repr(gate.rows("SELECT properties FROM profile"))


def test_a_released_update_is_never_behind_the_mark(gate):
    _put_in_force(gate, HOLDING)
    update = {"$token": gate.token, "$distinct_id": "ada"}
    assert gate.client.post("/engage", json=[{**update, "$set": {"odd": 1, "email": "a@b.example"}}]).data == b"1"
    assert gate.client.post("/engage", json=[{**update, "$distinct_id": "bob", "$set": {"email": "b@b.example"}}]).data == b"1"
    gate.clock[0] += 5 * DAY
    assert gate.client.post("/engage", json=[{**update, "$distinct_id": "bob", "$set": {"email": "b@b.example"}}]).data == b"1"
    gate.clock[0] += 6 * DAY
    # Longer days come into force after the shorter ones moved the mark beyond the update's arrival.
    _put_in_force(gate, HOLDING.replace("days: 10", "days: 20"))
    _next_run(gate)
    with gate.services.database.write() as tx:
        tx.exec_driver_sql(f"UPDATE retention_mark SET profile_ms = {gate.clock[0] - DAY}")
    assert _release(gate)["released"] == 1
    assert "a@b.example" in repr(gate.rows("SELECT properties FROM profile"))
    gate.clock[0] += 21 * DAY
    _next_run(gate)
    assert "a@b.example" not in repr(gate.rows("SELECT properties FROM profile"))


def test_who_is_restricted_and_what_is_held_stays_and_goes_when_that_ends(gate):
    old = [{**_event(gate, "View", f"{who}", 31)} for who in ("ada", "bob", "carol")]
    for who, event in zip(("ada", "bob", "carol"), old, strict=True):
        event["properties"]["distinct_id"] = who
    _import(gate, *old)
    officer = gate.bearer("officer")
    body = {"kind": "restriction", "distinct_ids": ["ada"]}
    restriction = gate.client.post("/v1/requests", json=body, headers=officer).get_json()["id"]
    body = {"distinct_ids": ["bob"], "basis": "art17_3_e_legal_claims", "events": ["View"]}
    hold = gate.client.post("/v1/holds", json=body, headers=officer).get_json()["id"]
    gate.work()
    retention.run_due(gate.services)
    assert _kept(gate) == ["ada", "bob"]
    assert gate.client.post(f"/v1/requests/{restriction}/lift", headers=officer).status_code == 200
    _next_run(gate)
    assert _kept(gate) == ["bob"]
    assert gate.client.post(f"/v1/holds/{hold}/lift", headers=officer).status_code == 200
    _next_run(gate)
    assert _kept(gate) == []
