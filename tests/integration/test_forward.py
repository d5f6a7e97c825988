"""Proxy mode: what passes the gate reaches the collector, once, whatever the collector does; and nothing else does."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from app.audit.entry import AuditAction
from app.errors import Conflict, InvalidInput
from app.turns import LostTurn
from app.upstream import outbox
from app.upstream.collector import Account
from app.upstream.speaking import Speaker
from jobs import forward
from tests.integration.gate import build


@pytest.fixture
def deliver(gate):
    speaker = Speaker()

    def run(*, later=0):
        gate.clock[0] += later * 1_000
        return forward.run_due(gate.services, lambda: False, speaker)

    return run


def _project(gate):
    return int(gate.rows("SELECT id FROM project")[0][0])


def _choose(gate, collector, account=None, region="eu"):
    account = account or Account("there-token")
    return gate.services.upstreams.choose(_project(gate), collector.url, account, region, actor="test")


def _standing(gate):
    return gate.services.upstreams.standing(_project(gate))


def test_what_passed_arrives_as_it_was_stored_and_in_order(gate, collector, deliver):
    _choose(gate, collector)
    gate.track(gate.event("ada", "one", note="write to jane@example.com"), gate.event("bob", "two", plan="pro"))
    assert deliver() == 2
    first, second = collector.events()
    assert first["properties"]["distinct_id"] == "ada"
    assert first["properties"]["$insert_id"] == "one"
    assert first["properties"]["note"] == "write to [email]"
    assert second["properties"]["plan"] == "pro"
    assert second["properties"]["time"] == gate.clock[0] // 1000 * 1000
    assert "jane" not in json.dumps(collector.sent)
    path, _, authorization = collector.sent[0]
    assert path == "/import?strict=1&ip=0"
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"there-token:"
    assert deliver() == 0
    assert (_standing(gate).waiting, _standing(gate).delivered) == (0, 2)
    told = [each for each in gate.log_after_sequencing() if each["action"] == AuditAction.UPSTREAM_DELIVERED]
    assert [each["n"] for each in told] == [{"events": 2, "parked": 0}]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((503, {}, {}), "busy"),
        ((429, {}, {"Retry-After": "120"}), "busy"),
        ((0, {}, {}), "unreachable"),
        ((401, {"error": "secret words"}, {}), "credentials_refused"),
        ((302, {}, {"Location": "http://127.0.0.1:1/elsewhere"}), "moved"),
        ((400, b"<html>", {}), "unintelligible"),
    ],
)
def test_what_is_not_taken_waits_and_is_sent_again_with_the_same_insert_id(gate, collector, deliver, answer, code):
    _choose(gate, collector)
    without = gate.event("ada", "x")
    del without["properties"]["$insert_id"]
    gate.track(without)
    collector.answers = [answer]
    assert deliver() == 0
    stuck = _standing(gate)
    assert (stuck.waiting, stuck.failures, stuck.last_error) == (1, 1, code)
    assert deliver() == 0, "it is not due yet"
    assert deliver(later=130) == 1
    first, again = collector.events()
    assert first["properties"]["$insert_id"] == again["properties"]["$insert_id"]
    assert (_standing(gate).waiting, _standing(gate).failures) == (0, 0)


def test_the_wish_of_a_busy_collector_is_respected(gate, collector, deliver):
    _choose(gate, collector)
    gate.track(gate.event("ada", "one"))
    collector.answers = [(429, {}, {"Retry-After": "600"})]
    deliver()
    assert _standing(gate).due_ms == gate.clock[0] + 600_000
    gate.track(gate.event("ada", "two"))
    assert deliver(later=599) == 0, "new events do not wake it earlier"
    assert deliver(later=1) == 2


def test_a_record_that_is_refused_is_parked_and_the_others_go_on(gate, collector, deliver):
    _choose(gate, collector)
    gate.track(gate.event("ada", "one"), gate.event("ada", "two"), gate.event("ada", "three"))
    failed = [{"index": 1, "insert_id": "two", "field": "properties.x", "message": "is jane@example.com"}]
    collector.answers = [(400, {"code": 400, "failed_records": failed, "num_records_imported": 2}, {})]
    assert deliver() == 2
    assert _standing(gate).parked == {"invalid_record": 1}
    assert deliver() == 0
    assert gate.services.upstreams.retry(_project(gate), actor="test") == 1
    assert deliver() == 1
    assert collector.events()[-1]["properties"]["$insert_id"] == "two"
    assert _standing(gate).parked == {}


def test_nobody_is_told_of_a_person_who_is_hidden_meanwhile(gate, collector, deliver):
    _choose(gate, collector)
    gate.track(gate.event("ada", "one"), gate.event("bob", "two"), gate.event("eve", "three"))
    gate.client.post("/v1/opt-outs", json={"distinct_ids": ["eve"]}, headers=gate.bearer("officer"))
    request = gate.delete("bob")
    assert deliver() == 1
    assert [each["properties"]["distinct_id"] for each in collector.events()] == ["ada"]
    gate.work()
    assert gate.status(request)["state"] == "done"
    assert gate.rows("SELECT count(*) FROM outgoing") == [(0,)]


def test_an_erasure_takes_what_was_not_delivered(gate, collector):
    _choose(gate, collector)
    gate.track(gate.event("bob", "two"))
    request = gate.delete("bob")
    gate.work()
    certificate = gate.client.get(f"/v1/requests/{request}/certificate", headers=gate.bearer("officer")).get_data(as_text=True)
    assert '"place":"outgoing"' in certificate
    assert gate.rows("SELECT count(*) FROM outgoing") == [(0,)]


def test_the_second_of_two_runs_has_nothing_to_do(gate, collector, deliver):
    _choose(gate, collector)
    gate.track(gate.event("ada", "one"))
    with gate.services.database.write() as tx:
        turn = outbox.TURNS.claim(tx, _project(gate), gate.clock[0], 60_000)
    assert turn is not None
    assert deliver() == 0, "somebody else has the turn"
    assert deliver(later=61) == 1, "who died holding it loses it with the lease"
    with gate.services.database.write() as tx:
        with pytest.raises(LostTurn):
            outbox.TURNS.renew(tx, turn, gate.clock[0], 60_000)


def test_a_queue_that_is_full_refuses_before_it_accepts(gate, collector, monkeypatch):
    _choose(gate, collector)
    gate.track(gate.event("ada", "one"), gate.event("ada", "two"))
    monkeypatch.setattr(outbox, "MOST_WAITING", 1)
    answer = gate.client.post("/track?verbose=1", json=[gate.event("ada", "three")])
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert len(gate.exported()) == 2


def test_a_project_never_changes_its_region(gate, collector):
    _choose(gate, collector, region="eu")
    with pytest.raises(Conflict, match="eu"):
        _choose(gate, collector, region="us")
    with pytest.raises(InvalidInput, match="service account"):
        _choose(gate, collector, Account("t", "user"))


def test_stopping_says_what_would_be_lost(gate, collector):
    _choose(gate, collector)
    gate.track(gate.event("ada", "one"))
    upstreams = gate.services.upstreams
    with pytest.raises(Conflict, match="1 parcels"):
        upstreams.stop(_project(gate), actor="test")
    upstreams.stop(_project(gate), actor="test", discard=True)
    gate.track(gate.event("ada", "two"))
    assert gate.rows("SELECT count(*) FROM outgoing") == [(0,)]


def test_the_account_is_sealed_and_told_to_nobody(gate, collector):
    _choose(gate, collector, Account("tok-canary", "user-canary", "secret-canary", "77"))
    kept = repr(gate.rows("SELECT * FROM upstream")) + repr(gate.log_after_sequencing()) + repr(_standing(gate))
    assert "canary" not in kept
    gate.track(gate.event("ada", "one"))
    forward.run_due(gate.services, lambda: False, Speaker())
    path, _, authorization = collector.sent[0]
    assert path == "/import?strict=1&ip=0&project_id=77"
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"user-canary:secret-canary"


def test_another_portcullis_is_a_collector(gate, tmp_path: Path, deliver):
    there = build(tmp_path / "there", None)
    server = make_server("127.0.0.1", 0, there.client.application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        account = Account(there.token)
        gate.services.upstreams.choose(_project(gate), f"http://127.0.0.1:{server.server_port}", account, "eu", actor="test")
        gate.track(gate.event("ada", "one", plan="pro"), gate.event("bob", "two"))
        assert deliver() == 2
        assert there.people() == ["ada", "bob"]
    finally:
        server.shutdown()
        server.server_close()
        there.services.close()
