"""Proxy mode: changes of profiles and groups reach the collector in order, and none of them counts twice or is lost unseen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from app.audit.entry import AuditAction
from app.upstream import outbox
from app.upstream.collector import Account
from app.upstream.outbox import Keeps
from app.upstream.speaking import Speaker
from jobs import forward
from tests.integration.collectors import CUT, Served
from tests.integration.gate import build


def _project(gate):
    return int(gate.rows("SELECT id FROM project")[0][0])


def _choose(gate, url, keeps=Keeps.BOTH):
    account = Account("there-token")
    return gate.services.upstreams.choose(_project(gate), url, account, "eu", actor="test", keeps=keeps)


def _standing(gate):
    return gate.services.upstreams.standing(_project(gate))


def _engage(gate, person, path="/engage", **operations):
    record = {"$token": gate.token, **({"$distinct_id": person} if isinstance(person, str) else person)}
    record |= {f"${name}": operand for name, operand in operations.items()}
    assert gate.client.post(path, json=[record]).data == b"1"


def _deliver(gate, *, later=0, speaker=None):
    gate.clock[0] += later * 1_000
    return forward.run_due(gate.services, lambda: False, speaker or Speaker(2.0))


def _said(record):
    return {name: value for name, value in record.items() if name not in ("$token", "$time", "$ip")}


def test_what_takes_effect_is_told_in_order_and_as_policy_left_it(gate, collector):
    _choose(gate, collector.url)
    _engage(gate, "ada", set={"plan": "free", "note": "write to jane@example.com"}, add={"visits": 2})
    _engage(gate, "ada", set={"plan": "pro"})
    _engage(gate, "ada", union={"tags": ["a"]}, ignore_time=True)
    _engage(gate, "ada", unset=["note"])
    assert _deliver(gate) == 5
    assert [_said(each) for each in collector.updates()] == [
        {"$distinct_id": "ada", "$set": {"plan": "free", "note": "write to [email]"}},
        {"$distinct_id": "ada", "$add": {"visits": 2}},
        {"$distinct_id": "ada", "$set": {"plan": "pro"}},
        {"$distinct_id": "ada", "$union": {"tags": ["a"]}, "$ignore_time": True},
        {"$distinct_id": "ada", "$unset": ["note"]},
    ]
    assert {(each["$token"], each["$ip"]) for each in collector.updates()} == {("there-token", "0")}
    assert "jane" not in json.dumps(collector.sent)
    assert {path for path, _, _ in collector.sent} == {"/engage?strict=1&verbose=1&ip=0"}
    told = [each["n"] for each in gate.log_after_sequencing() if each["action"] == AuditAction.UPSTREAM_DELIVERED]
    assert sum(each["profiles"] for each in told) == 5


def test_groups_are_told_by_their_own_names(gate, collector):
    _choose(gate, collector.url)
    _engage(gate, {"$group_key": "com:pany", "$group_id": "acme"}, "/groups", set={"tier": 1})
    assert _deliver(gate) == 1
    assert [_said(each) for each in collector.updates("/groups")] == [
        {"$group_key": "com:pany", "$group_id": "acme", "$set": {"tier": 1}}
    ]


def test_what_takes_no_effect_is_told_to_nobody(here, collector):
    _choose(here, collector.url)
    record = {"$token": here.token, "$distinct_id": "ada", "$set": {f"p{n}": n for n in range(2_000)}}
    assert here.client.post("/engage", json=[record, {**record, "$set": {"one_more": 1}}]).data == b"1"
    _deliver(here)
    assert [len(each["$set"]) for each in collector.updates()] == [2_000]


def test_nobody_is_told_of_a_person_who_is_hidden_meanwhile_but_a_deletion_by_who_opted_out(gate, collector):
    _choose(gate, collector.url)
    for person in ("ada", "bob", "eve"):
        _engage(gate, person, set={"plan": "pro"})
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["eve"]}, headers=gate.bearer("officer"))
    _engage(gate, "eve", delete="")
    gate.delete("bob")
    assert _deliver(gate) == 2
    assert [_said(each) for each in collector.updates()] == [
        {"$distinct_id": "ada", "$set": {"plan": "pro"}},
        {"$distinct_id": "eve", "$delete": ""},
    ]
    gate.work()
    assert gate.rows("SELECT count(*) FROM outgoing") == [(0,)]


def test_a_deletion_reaches_the_collector_also_for_a_profile_that_was_there_before(here, collector):
    _choose(here, collector.url)
    _engage(here, "from-before", delete="")
    assert _deliver(here) == 1
    assert [_said(each) for each in collector.updates()] == [{"$distinct_id": "from-before", "$delete": ""}]


@pytest.mark.parametrize(
    ("answer", "code", "surely"),
    [
        ((503, {}, {}), "busy", True),
        ((429, {}, {"Retry-After": "60"}), "busy", True),
        ((500, {}, {}), "busy", False),
        ((CUT, {}, {}), "unreachable", False),
        ((401, {"error": "secret words"}, {}), "credentials_refused", True),
        ((200, b"<html>", {}), "unintelligible", False),
        ((200, b'{"code":200,"sta', {}), "unintelligible", False),
        ((200, b'{"code":', {"Content-Length": "99"}), "unreachable", False),
    ],
)
def test_after_a_failure_what_may_be_done_twice_is_sent_again_and_what_may_not_waits_for_a_person(
    here, collector, answer, code, surely
):
    _choose(here, collector.url)
    _engage(here, "ada", set={"plan": "pro"})
    collector.answers = [answer]
    assert _deliver(here) == 0
    assert (_standing(here).waiting, _standing(here).last_error) == (1, code)
    assert _deliver(here, later=130) == 1
    assert collector.updates()[0] == collector.updates()[1]

    _engage(here, "ada", add={"visits": 1})
    collector.answers = [answer]
    assert _deliver(here) == 0
    assert _standing(here).parked == ({} if surely else {"uncertain": 1})
    assert _deliver(here, later=130) == (1 if surely else 0)
    assert sum("$add" in each for each in collector.updates()) == (2 if surely else 1)
    if not surely:
        assert here.services.upstreams.retry(_project(here), actor="test", reasons=["invalid_record"]) == 0
        assert here.services.upstreams.retry(_project(here), actor="test", reasons=["uncertain"]) == 1
        assert _deliver(here) == 1


def test_a_collector_that_is_silent_is_left_alone_in_time(here, collector):
    _choose(here, collector.url)
    _engage(here, "ada", append={"seen": 1})
    collector.before_answer = lambda _path: time.sleep(1.0)
    assert _deliver(here, speaker=Speaker(0.3)) == 0
    assert _standing(here).parked == {"uncertain": 1}


def test_a_long_outage_leaves_few_uncertain(here, collector):
    _choose(here, collector.url)
    for _ in range(10):
        _engage(here, "ada", add={"visits": 1})
    collector.answers = [(500, {}, {}), (500, {}, {})]
    for _ in range(2):
        _deliver(here, later=130)
    _engage(here, "bob", append={"seen": 1})
    _engage(here, "bob", append={"seen": 2})
    collector.answers = [(500, {}, {})]
    _deliver(here, later=300)
    assert _standing(here).parked == {"uncertain": 11}, "ten at once, then one a try"
    assert _deliver(here, later=600) == 1


def test_a_record_that_is_refused_is_parked_and_comes_late_after_a_later_one(here, collector):
    _choose(here, collector.url)
    _engage(here, "ada", set={"plan": "free", "size": 1})
    _engage(here, "ada", set={"plan": "pro"})
    failed = [{"index": 0, "field": "$set", "message": "is jane@example.com"}]
    collector.answers = [(200, {"code": 200, "status": 1, "error": "some", "num_good_events": 1, "failed_records": failed}, {})]
    assert _deliver(here) == 1
    assert _standing(here).parked == {"invalid_record": 1}
    here.services.upstreams.retry(_project(here), actor="test")
    assert _deliver(here) == 1
    assert _said(collector.updates()[-1]) == {"$distinct_id": "ada", "$set_once": {"plan": "free", "size": 1}}


def test_a_request_that_is_refused_as_a_whole_is_halved_until_the_cause_is_alone(here, collector):
    _choose(here, collector.url)
    for n in range(4):
        _engage(here, f"p{n}", set={"n": n})
    nothing = (200, {"status": 0, "error": "something"}, {})
    good = (200, {"status": 1, "error": None}, {})
    collector.answers = [nothing, good, nothing, (413, {}, {})]
    assert _deliver(here) == 3
    assert _standing(here).parked == {"too_large": 1}


def test_the_collector_is_another_portcullis_and_ends_with_the_same_profiles(gate, tmp_path):
    there = build(tmp_path / "there", None)
    served = Served(there.client.application)
    try:
        account = Account(there.token)
        gate.services.upstreams.choose(_project(gate), served.url, account, "eu", actor="test")
        _engage(gate, "ada", set={"plan": "free"}, add={"visits": 2}, append={"seen": "a"})
        _engage(gate, "ada", add={"visits": 3}, append={"seen": "b"})
        _engage(gate, "bob", set={"plan": "pro"})
        _engage(gate, "bob", delete="")
        _engage(gate, {"$group_key": "company", "$group_id": "acme"}, "/groups", set={"tier": 1})
        assert _deliver(gate) == 8
        kept = {each["$distinct_id"]: each["$properties"] for each in _profiles(there)}
        assert kept.pop("ada").items() >= {"plan": "free", "visits": 5, "seen": ["a", "b"]}.items()
        assert kept == {}
        assert there.rows("SELECT count(*) FROM profile WHERE group_key = 'company'") == [(1,)]
    finally:
        served.close()
        there.services.close()


def _profiles(gate):
    return gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()["results"]


def test_forward_only_keeps_nothing_here_and_loses_nothing(gate, collector):
    _choose(gate, collector.url, Keeps.NOTHING)
    gate.track(gate.event("ada", "one"), gate.event("bob", "two"))
    _engage(gate, "ada", set={"plan": "pro"})
    assert gate.rows("SELECT count(*) FROM event") == [(0,)]
    assert gate.rows("SELECT count(*) FROM profile") == [(0,)]
    assert _deliver(gate) == 3
    assert [each["properties"]["distinct_id"] for each in collector.events()] == ["ada", "bob"]
    assert len(collector.updates()) == 1
    assert gate.rows("SELECT count(*) FROM outgoing") == [(0,)]


CHILD = """
import sys
from app.bootstrap import bootstrap
from app.settings import Settings
from app.upstream.speaking import Speaker
from jobs import forward
data, url, now = sys.argv[1], sys.argv[2], int(sys.argv[3])
settings = Settings.from_env({"PORTCULLIS_DATA": data, "PORTCULLIS_EMBEDDED": "1", **({"DATABASE_URL": url} if url else {})})
forward.run_due(bootstrap(settings, clock=lambda: now), lambda: False, Speaker())
"""


def test_kill_9_between_delivery_and_acknowledgement_doubles_nothing_and_loses_nothing(gate, collector, tmp_path, request):
    _choose(gate, collector.url)
    _engage(gate, "ada", set={"plan": "pro"}, add={"visits": 1})
    engine = request.node.callspec.params["gate"]
    url = request.getfixturevalue("postgres_url") if engine == "postgres" else ""
    children = []

    def kill(path):
        os.kill(children[-1].pid, signal.SIGKILL)
        children[-1].wait()

    # The collector has taken it; its answer finds nobody.
    collector.before_answer = kill
    for _ in range(2):
        # The first child dies over $set; the second sends it again, and ends over $add.
        children.append(_child(tmp_path, url, gate.clock[0]))
        children[-1].wait(timeout=60)
        assert children[-1].returncode == -signal.SIGKILL
        gate.clock[0] += 121_000
        collector.before_answer = lambda path: kill(path) if "$add" in json.dumps(collector.sent[-1][1]) else None
    collector.before_answer = lambda _path: None
    assert _deliver(gate) == 0
    assert _standing(gate).parked == {"uncertain": 1}
    counted = [next(name for name in ("$set", "$add") if name in each) for each in collector.updates()]
    assert counted == ["$set", "$set", "$add"]


def _child(tmp_path, url, now_ms):
    return subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "data"), url, str(now_ms)])


def test_a_page_is_bounded_by_its_bytes(here, collector, monkeypatch):
    _choose(here, collector.url)
    monkeypatch.setattr(outbox, "MOST_BYTES", 400)
    for n in range(5):
        _engage(here, f"p{n}", set={"text": "x" * 600})
    assert _deliver(here) == 5
    assert [len(body) for _, body, _ in collector.sent] == [2, 2, 1]


def test_a_profile_that_a_batch_makes_and_deletes_is_not_there(here):
    record = {"$token": here.token, "$distinct_id": "new"}
    here.client.post("/engage", json=[{**record, "$set": {"plan": "pro"}}, {**record, "$delete": ""}])
    assert here.profiles() == []
