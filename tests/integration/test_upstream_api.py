"""Proxy mode over HTTP and on the command line: credentials go in and never come out, and each act stands in the log."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.upstream.speaking import Speaker
from jobs import forward
from tests.integration.gate import build

SECRETS = {"token": "tok-canary", "username": "user-canary", "secret": "sec-canary", "project_id": "77", "oauth": "oa-canary"}


@pytest.fixture
def gate(tmp_path):
    built = build(tmp_path, None)
    yield built
    built.services.close()


def _call(gate, method, path="", who="admin", **options):
    return gate.client.open(f"/v1/upstream{path}", method=method, headers=gate.bearer(who), **options)


def _entries(gate, action):
    return [each for each in gate.log_after_sequencing() if each["action"] == action]


def test_a_collector_is_chosen_and_what_it_is_told_by_is_shown_to_nobody(gate, collector):
    assert _call(gate, "GET").status_code == 404
    answer = _call(gate, "PUT", json={"url": collector.url, "region": "eu", **SECRETS})
    assert answer.status_code == 200, answer.get_json()
    shown = answer.get_json()
    assert (shown["url"], shown["keeps"], shown["passes_requests_on"]) == (collector.url, "store_and_forward", True)
    again = {"url": collector.url, "region": "eu", "token": "other-canary", "keeps": "forward_only"}
    assert _call(gate, "PUT", json=again).status_code == 200
    first, second = (each["facts"] for each in _entries(gate, "upstream.chosen"))
    assert first == {"base": collector.url, "region": "eu", "keeps": "store_and_forward", "requests": "passed_on"}
    assert second["before_keeps"] == "store_and_forward"
    assert (second["keeps"], second["requests"], second["before_requests"]) == ("forward_only", "not_passed_on", "passed_on")
    said = repr(gate.log()) + _call(gate, "GET").get_data(as_text=True) + repr(gate.rows("SELECT * FROM upstream"))
    assert "canary" not in said


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"region": None}, "region"),
        ({"secret": ""}, "username"),
        ({"oauth": "two words"}, "oauth"),
        ({"token": "line\nbreak"}, "token"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(gate, collector, change, field):
    answer = _call(gate, "PUT", json={"url": collector.url, "region": "eu", **SECRETS, **change})
    assert answer.status_code == 400
    assert answer.get_json()["error"]["field"] == field
    assert answer.get_json()["error"]["remedy"]
    assert "canary" not in answer.get_data(as_text=True)


def test_only_an_admin_changes_it_and_only_who_may_sees_it(gate, collector):
    for who in ("officer", "auditor"):
        assert _call(gate, "PUT", who=who, json={"url": collector.url, **SECRETS}).status_code == 403
        assert _call(gate, "POST", "/retry", who=who, json={}).status_code == 403
        assert _call(gate, "GET", who=who).status_code == 404
    assert _call(gate, "GET", who="ingest").status_code == 403


def test_what_is_parked_is_listed_without_a_word_of_it_and_tried_again_or_deleted(gate, collector):
    _call(gate, "PUT", json={"url": collector.url, "region": "eu", "token": "there"})
    gate.track(gate.event("person-canary", "one"), gate.event("person-canary", "two"))
    failed = [{"index": 0, "message": "person-canary"}, {"index": 1, "message": "x"}]
    collector.answers = [(400, {"code": 400, "failed_records": failed}, {})]
    forward.run_due(gate.services, lambda: False, Speaker())
    answer = _call(gate, "GET", "/parked?limit=1")
    (one,) = answer.get_json()["parcels"]
    assert (one["kind"], one["reason"]) == ("event", "invalid_record")
    assert len(_call(gate, "GET", f"/parked?after={one['id']}").get_json()["parcels"]) == 1
    assert "canary" not in answer.get_data(as_text=True)
    assert _call(gate, "POST", "/retry", json={"reasons": ["uncertain"]}).get_json() == {"parcels": 0}
    assert _call(gate, "POST", "/discard", json={"reasons": ["invalid_record"]}).get_json() == {"parcels": 2}
    assert _call(gate, "POST", "/retry", json={"reasons": ["whatever"]}).status_code == 422
    assert _entries(gate, "upstream.discarded")[0]["facts"] == {"reasons": "invalid_record"}
    assert _call(gate, "DELETE").get_json() == {"stopped": True}
    assert _call(gate, "DELETE").status_code == 404


def test_a_test_knocks_at_both_doors(gate, collector):
    _call(gate, "PUT", json={"url": collector.url, "region": "eu", "token": "there"})
    assert _call(gate, "POST", "/test").get_json() == {"delivery": "ok", "requests": "no_credential"}
    _call(gate, "PUT", json={"url": collector.url, "region": "eu", "token": "there", "oauth": "o"})
    collector.answers, collector.job_answers = [(401, {}, {})], [(404, {"error": "no", "status": "error"}, {})]
    assert _call(gate, "POST", "/test").get_json() == {"delivery": "credentials_refused", "requests": "ok"}
    collector.close()
    assert _call(gate, "POST", "/test").get_json() == {"delivery": "unreachable", "requests": "unreachable"}
    assert _entries(gate, "upstream.tested")[1]["facts"]["delivery"] == "credentials_refused"


def test_requests_that_were_passed_on_are_listed_and_asked_for_again(gate, collector):
    _call(gate, "PUT", json={"url": collector.url, "region": "eu", "token": "there", "oauth": "o"})
    request = gate.delete("person-canary")
    gate.work()
    collector.job_answers = [(400, {}, {})]
    forward.run_due(gate.services, lambda: False, Speaker())
    answer = _call(gate, "GET", "/requests?state=failed", who="auditor")
    (one,) = answer.get_json()["requests"]
    assert (one["request_id"], one["kind"], one["ids"], one["error_code"]) == (request, "erasure", 1, "refused")
    assert "canary" not in answer.get_data(as_text=True)
    assert _call(gate, "POST", f"/requests/{request}/retry", who="officer").get_json() == {"parts": 1}
    assert _call(gate, "POST", f"/requests/{request}/retry", who="officer").status_code == 409
    assert _call(gate, "GET", f"/requests/{request}/answers", who="officer").status_code == 409
    metrics = gate.client.get("/metrics", headers=gate.bearer("admin")).get_data(as_text=True)
    assert 'portcullis_upstream_requests{kind="erasure",state="pending"} 1.0' in metrics


def test_the_commands_do_the_same(gate, collector, tmp_path):
    project = str(gate.rows("SELECT id FROM project")[0][0])
    env = {"PORTCULLIS_DATA": str(tmp_path / "data"), "PORTCULLIS_EMBEDDED": "1", "UPSTREAM_OAUTH": "oauth-canary"}

    def run(*words, code=0):
        done = CliRunner().invoke(cli, ["upstream", *words], env=env)
        assert done.exit_code == code, (words, done.output)
        assert "canary" not in done.output
        return done.output

    chosen = run("set", project, collector.url, "--region", "eu", "--token", "there", "--forward-only")
    assert "not kept here" in chosen
    assert "requests   none yet" in chosen
    assert "delivery   ok" in run("test", project)
    collector.answers = [(401, {}, {})]
    assert "credentials_refused" in run("test", project, code=1)
    assert run("parked", project) == ""
    assert "0 parcels will be tried again" in run("retry", project, "--reason", "uncertain")
    assert "0 parcels are deleted" in run("discard", project)
    request = gate.delete("ada")
    gate.work()
    assert f"{request}  erasure   pending" in run("requests", project)
    assert "1 pending" in run("status", project)
    run("stop", project, "--discard")
