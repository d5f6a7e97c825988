"""Proxy mode: what a person asks for is asked of the collector too, followed to the end, and certified as it is."""

from __future__ import annotations

import json

import pytest

from app.audit.entry import AuditAction
from app.audit.verify import describe, verify_certificate
from app.errors import Conflict, NotFound
from app.upstream.collector import Account
from app.upstream.errands import ErrandState
from app.upstream.outbox import Keeps
from app.upstream.speaking import Speaker
from jobs import cleanup, forward
from tests.integration.collectors import CUT, Served
from tests.integration.gate import build

DAY_S = 86_400


def _project(gate):
    return int(gate.rows("SELECT id FROM project")[0][0])


def _choose(gate, url, oauth="oauth-canary", token=None, keeps=Keeps.BOTH):
    account = Account(token or "there-token", oauth=oauth)
    return gate.services.upstreams.choose(_project(gate), url, account, "eu", actor="test", keeps=keeps)


def _turn(gate, *, later=0, times=1):
    for _ in range(times):
        gate.clock[0] += later * 1_000
        forward.run_due(gate.services, lambda: False, Speaker(2.0))


def _errands(gate, state=None):
    return gate.services.upstreams.errands(_project(gate), state, 100)


def _certificate(gate, request):
    text = gate.client.get(f"/v1/requests/{request}/certificate", headers=gate.bearer("officer")).get_data(as_text=True)
    key = gate.client.get("/v1/certificate-key", headers=gate.bearer("officer")).get_data(as_text=True).strip()
    return verify_certificate(text, key)


def _collectors(gate, request):
    return [each for each in _certificate(gate, request)["places"] if each["place"].startswith("collector ")]


def _ids(gate):
    return sorted(id for _, _, body, _ in gate.asked if body for id in body["distinct_ids"])


def test_an_erasure_is_asked_for_under_every_id_and_certified_when_the_collector_is_done(gate, collector):
    _choose(gate, collector.url)
    gate.track(
        gate.event("", "one", **{"$device_id": "phone"}), gate.event("ada", "two", **{"$device_id": "phone", "$user_id": "ada"})
    )
    gate.track(gate.event("bob", "three"))
    _turn(gate)
    request = gate.delete("ada", "never-seen-here")
    gate.work()
    assert gate.status(request)["state"] == "done"
    assert [each["method"] for each in _collectors(gate, request)] == ["pending"]

    collector.jobs = ["PENDING", "STAGING", "STARTED", "SUCCESS"]
    _turn(gate)
    method, path, body, authorization = collector.asked[0]
    assert (method, path) == ("POST", "/api/app/data-deletions/v3.0/?token=there-token")
    assert authorization == "Bearer oauth-canary"
    assert sorted(body["distinct_ids"]) == ["$device:phone", "ada", "never-seen-here"]
    assert body["compliance_type"] == "GDPR"
    _turn(gate, later=60, times=3)
    assert [each["method"] for each in _collectors(gate, request)] == ["pending"]
    assert [each.state for each in _errands(gate)] == [ErrandState.PENDING]

    _turn(gate, later=60, times=2)
    assert [each.state for each in _errands(gate)] == [ErrandState.COMPLETE]
    (place,) = _collectors(gate, request)
    assert (place["method"], place["ids"]) == ("complete", 3)
    assert gate.rows("SELECT sealed, told FROM errand") in ([(None, 1)], [(None, True)])
    told = [each for each in gate.log_after_sequencing() if each.get("obj") == request]
    actions = [each["action"] for each in told]
    assert actions.count(AuditAction.ERASURE_CERTIFIED) == 2
    assert actions[-3:] == [AuditAction.UPSTREAM_ASKED, AuditAction.UPSTREAM_ANSWERED, AuditAction.ERASURE_CERTIFIED]
    asked = len(collector.asked)
    _turn(gate, later=7_200, times=2)
    assert len(collector.asked) == asked


def test_what_the_certificate_says_is_not_more_than_is_known(here, collector):
    _choose(here, collector.url)
    here.track(here.event("ada", "one"))
    request = here.delete("ada")
    here.work()
    collector.jobs = ["REVOKED"]
    _turn(here, later=60, times=3)
    (place,) = _collectors(here, request)
    assert place["method"] == "failed"
    assert place["meaning"].startswith("NOT COMPLETE")
    assert f"collector {collector.url}: NOT COMPLETE" in "\n".join(describe(_certificate(here, request)))
    assert [(each.state, each.error_code) for each in _errands(here)] == [(ErrandState.FAILED, "revoked_there")]

    assert here.services.upstreams.ask_again(_project(here), request, actor="test") == 1
    collector.jobs = ["SUCCESS"]
    _turn(here, later=60, times=3)
    assert [each["method"] for each in _collectors(here, request)] == ["complete"]
    with pytest.raises(Conflict):
        here.services.upstreams.ask_again(_project(here), request, actor="test")
    with pytest.raises(NotFound):
        here.services.upstreams.ask_again(_project(here), "other", actor="test")


def test_without_a_credential_nobody_is_asked_and_the_certificate_says_so(here, collector):
    _choose(here, collector.url, oauth="")
    here.track(here.event("ada", "one"))
    _turn(here)
    request = here.delete("ada")
    here.work()
    _turn(here, later=60)
    assert collector.asked == []
    (place,) = _collectors(here, request)
    assert place["method"] == "not_asked"
    assert here.rows("SELECT sealed FROM errand") == [(None,)]


def test_a_collector_that_the_project_left_is_not_forgotten(here, collector):
    _choose(here, collector.url)
    here.track(here.event("ada", "one"))
    _turn(here)
    here.services.upstreams.stop(_project(here), actor="test")
    request = here.delete("ada")
    here.work()
    assert [(each["place"], each["method"]) for each in _collectors(here, request)] == [
        (f"collector {collector.url}", "not_asked")
    ]


def test_a_project_without_a_collector_certifies_as_ever(here):
    here.track(here.event("ada", "one"))
    request = here.delete("ada")
    here.work()
    assert _collectors(here, request) == []


def test_nothing_of_an_erased_person_is_sent_after_the_erasure_was_asked_for(here, collector):
    _choose(here, collector.url)
    here.track(here.event("ada", "one"))
    here.client.post("/engage", json=[{"$token": here.token, "$distinct_id": "ada", "$set": {"plan": "pro"}}])
    collector.answers = [(503, {}, {})] * 2
    _turn(here, later=300)
    here.delete("ada")
    here.work()
    sent = len(collector.sent)
    _turn(here, later=600, times=3)
    assert len(collector.sent) == sent
    assert _ids(collector) == ["ada"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((500, {}, {}), "busy"),
        ((429, {}, {"Retry-After": "90"}), "busy"),
        ((CUT, {}, {}), "unreachable"),
        ((403, {"error": "secret words"}, {}), "credentials_refused"),
        ((302, {}, {"Location": "http://127.0.0.1:1/elsewhere"}), "moved"),
        ((201, b"<html>", {}), "unintelligible"),
        ((201, b'{"status":"ok"', {"Content-Length": "99"}), "unreachable"),
    ],
)
def test_a_bad_answer_is_not_the_end_and_events_go_on(here, collector, answer, code):
    _choose(here, collector.url)
    here.track(here.event("bob", "other"))
    here.delete("ada")
    here.work()
    collector.job_answers = [answer]
    _turn(here)
    assert [(each.state, each.error_code, each.failures) for each in _errands(here)] == [(ErrandState.PENDING, code, 1)]
    assert len(collector.events()) == 1
    assert "secret words" not in repr(here.rows("SELECT * FROM errand"))
    asked = len(collector.asked)
    _turn(here)
    assert len(collector.asked) == asked, "it is not due yet"
    _turn(here, later=130, times=2)
    assert [each.state for each in _errands(here)] == [ErrandState.COMPLETE]


def test_a_job_that_fails_there_is_asked_for_three_times(here, collector):
    _choose(here, collector.url)
    here.delete("ada")
    here.work()
    collector.jobs = ["FAILURE", "NOT_FOUND", "FAILURE"]
    _turn(here, later=60, times=8)
    assert [method for method, *_ in collector.asked].count("POST") == 3
    assert [(each.state, each.error_code) for each in _errands(here)] == [(ErrandState.FAILED, "failed_there")]


def test_a_collector_that_refuses_is_not_asked_for_ever(here, collector):
    _choose(here, collector.url)
    request = here.delete("ada")
    here.work()
    collector.job_answers = [(400, {"error": "no", "status": "error"}, {})]
    _turn(here, later=60, times=2)
    assert [(each.state, each.error_code) for each in _errands(here)] == [(ErrandState.FAILED, "refused")]
    assert [each["method"] for each in _collectors(here, request)] == ["failed"]
    assert here.rows("SELECT count(*) FROM errand WHERE sealed IS NOT NULL") == [(1,)]
    here.clock[0] += 31 * DAY_S * 1_000
    cleanup.clean(here.services)
    assert here.rows("SELECT count(*) FROM errand WHERE sealed IS NOT NULL") == [(0,)]


def test_a_job_that_never_ends_is_pending_and_after_sixty_days_failed(here, collector):
    _choose(here, collector.url)
    request = here.delete("ada")
    here.work()
    collector.jobs = ["STARTED"]
    _turn(here, later=3_600, times=30)
    looks = len(collector.asked)
    assert [each["method"] for each in _collectors(here, request)] == ["pending"]
    _turn(here, later=60 * DAY_S)
    _turn(here)
    assert looks < 40
    assert [(each.state, each.error_code) for each in _errands(here)] == [(ErrandState.FAILED, "never_finished")]
    assert [each["method"] for each in _collectors(here, request)] == ["failed"]


def test_a_group_in_the_closure_is_deleted_by_its_own_name(here, collector):
    _choose(here, collector.url)
    update = {"$token": here.token, "$group_key": "owner", "$group_id": "ada@example.com", "$set": {"tier": 1}}
    here.client.post("/groups", json=[update])
    here.track(here.event("ada@example.com", "one"))
    _turn(here)
    here.delete("ada@example.com", "$group:owner:ada@example.com")
    here.work()
    _turn(here, later=60)
    deletion = collector.updates("/groups")[-1]
    assert (deletion["$group_key"], deletion["$group_id"], deletion["$delete"]) == ("owner", "ada@example.com", "")
    assert _ids(collector) == ["ada@example.com"]


def test_a_retrieval_is_asked_for_too_and_its_answer_is_shown_to_who_may_have_it(gate, collector):
    _choose(gate, collector.url, keeps=Keeps.NOTHING)
    gate.track(gate.event("ada", "one"))
    _turn(gate)
    request = gate.retrieve("ada", compliance_type="CCPA", disclosure_type="Categories")
    gate.work()
    collector.address = "https://example.com/archive-canary.zip"
    _turn(gate, later=60, times=2)
    method, path, body, _ = collector.asked[0]
    assert (method, path) == ("POST", "/api/app/data-retrievals/v3.0/?token=there-token")
    assert body == {"distinct_ids": ["ada"], "compliance_type": "CCPA", "disclosure_type": "Categories"}
    url = f"/v1/upstream/requests/{request}/answers"
    assert gate.client.get(url, headers=gate.bearer("officer")).get_json() == {"addresses": [collector.address]}
    assert gate.client.get(url, headers=gate.bearer("auditor")).status_code == 403
    assert "canary" not in repr(gate.rows("SELECT * FROM errand")) + repr(gate.log_after_sequencing())
    assert gate.log()[-1]["action"] == AuditAction.UPSTREAM_ARCHIVE_SHOWN

    gate.delete("ada")
    assert gate.client.get(url, headers=gate.bearer("officer")).status_code == 409, "a person in it is being erased"
    assert gate.rows("SELECT sealed FROM errand WHERE kind = 'access'") == [(None,)]


def test_ids_stand_nowhere_in_clear(here, collector, caplog):
    _choose(here, collector.url)
    here.track(here.event("person-canary", "one"))
    here.delete("person-canary")
    here.work()
    collector.job_answers = [(403, {"error": "person-canary"}, {})]
    _turn(here)
    kept = repr(here.rows("SELECT * FROM errand")) + repr(here.rows("SELECT * FROM upstream"))
    assert "canary" not in kept + json.dumps(here.log_after_sequencing()) + caplog.text


def test_leaving_a_collector_while_it_works_is_said_and_certified(here, collector):
    _choose(here, collector.url)
    here.track(here.event("bob", "one"))
    _turn(here)
    request = here.delete("ada")
    here.work()
    upstreams = here.services.upstreams
    with pytest.raises(Conflict, match="1 requests"):
        upstreams.stop(_project(here), actor="test")
    with pytest.raises(Conflict, match="1 requests"):
        _choose(here, "http://127.0.0.1:9")
    upstreams.stop(_project(here), actor="test", discard=True)
    _turn(here)
    assert [each["method"] for each in _collectors(here, request)] == ["failed"]
    assert [each.error_code for each in _errands(here)] == ["collector_left"]


def test_the_collector_is_another_portcullis_and_erases_too(gate, tmp_path):
    there = build(tmp_path / "there", None)
    served = Served(there.client.application)
    try:
        _choose(gate, served.url, oauth=there.credentials["officer_token"], token=there.token)
        gate.track(gate.event("ada", "one"), gate.event("bob", "two"))
        _turn(gate)
        assert there.people() == ["ada", "bob"]
        request = gate.delete("ada")
        gate.work()
        _turn(gate)
        assert there.people() == ["bob"]
        _turn(gate, later=60)
        assert [each["method"] for each in _collectors(gate, request)] == ["pending"]
        there.work()
        _turn(gate, later=60, times=2)
        assert [each["method"] for each in _collectors(gate, request)] == ["complete"]
        assert there.rows("SELECT count(*) FROM event") == [(1,)]
    finally:
        served.close()
        there.services.close()
