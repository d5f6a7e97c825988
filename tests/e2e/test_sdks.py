"""Unmodified SDKs against one running installation: python `mixpanel`, `mixpanel-utils`, and npm `mixpanel`."""

from __future__ import annotations

import json
import subprocess
import time

import mixpanel
import pytest

from tests.e2e import senders
from tests.e2e.client import Gate
from tests.e2e.installation import installation


@pytest.fixture
def gate(one):
    return Gate(one.credentials)


def _events(gate, person):
    return [each for each in gate.export() if each["properties"]["distinct_id"] == person]


def _profile(gate, person):
    reply = gate.get(f"/api/2.0/engage?distinct_id={person}", gate.credentials.admin_token)
    return next((each["$properties"] for each in reply.json()["results"]), None)


def _groups(gate, key="company"):
    reply = gate.get(f"/api/2.0/engage?data_group_id={key}", gate.credentials.admin_token)
    found = {each["$distinct_id"]: each["$properties"] for each in reply.json()["results"]}
    return {name: {k: v for k, v in values.items() if k != "$last_seen"} for name, values in found.items()}


def test_python_tracks_and_writes_profiles_by_every_operation(one, gate):
    sdk = senders.python_sdk(one.credentials)
    sdk.track("py", "Played", {"level": 3})
    sdk.people_set("py", {"plan": "pro", "tags": ["a"], "n": 1, "gone": 1})
    sdk.people_set_once("py", {"plan": "free", "first": "yes"})
    sdk.people_increment("py", {"n": 2})
    sdk.people_append("py", {"tags": "b"})
    sdk.people_union("py", {"tags": ["b", "c"]})
    sdk.people_remove("py", {"tags": "a"})
    sdk.people_unset("py", ["gone"])
    sdk.people_track_charge("py", 9.99)
    found = _profile(gate, "py")
    assert (found["plan"], found["first"], found["n"], found["tags"]) == ("pro", "yes", 3, ["b", "c"])
    assert "gone" not in found
    assert found["$transactions"][0]["$amount"] == 9.99
    sdk.people_clear_charges("py")
    assert "$transactions" not in _profile(gate, "py")
    sdk.people_delete("py")
    assert _profile(gate, "py") is None
    assert [each["properties"]["level"] for each in _events(gate, "py")] == [3]


def test_python_buffers_and_imports_old_events(one, gate):
    consumer = senders.python_consumer(one.credentials.base_url, mixpanel.BufferedConsumer)
    sdk = mixpanel.Mixpanel(one.credentials.project_token, consumer=consumer)
    for n in range(120):
        sdk.track("buffered", "Step", {"n": n})
    consumer.flush()
    assert len(_events(gate, "buffered")) == 120
    senders.python_sdk(one.credentials).import_data(
        None, "old", "Long Ago", int(time.time()) - 86_400 * 100, {"n": 1}, api_secret=one.credentials.api_secret
    )
    assert len(_events(gate, "old")) == 1


def test_python_is_told_of_a_wrong_token_in_its_own_exception(one):
    stranger = mixpanel.Mixpanel("0" * 32, consumer=senders.python_consumer(one.credentials.base_url))
    with pytest.raises(mixpanel.MixpanelException, match="token"):
        stranger.track("x", "y")
    with pytest.raises(mixpanel.MixpanelException, match="credential"):
        senders.python_sdk(one.credentials).import_data(None, "x", "y", int(time.time()), api_secret="wrong")


def test_utils_imports_exports_and_pages_through_profiles(one, gate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # The package writes its files into the working directory.
    utils = senders.utils_sdk(one.credentials)
    now = int(time.time())
    events = [
        {"event": "Bulk", "properties": {"distinct_id": f"bulk{n}", "time": now - n, "$insert_id": f"bulk-{n}", "n": n}}
        for n in range(2_500)
    ]
    utils.import_events(events, timezone_offset=0)
    today = time.strftime("%Y-%m-%d", time.gmtime(now))
    before = time.strftime("%Y-%m-%d", time.gmtime(now - 86_400))
    found = utils.query_export({"from_date": before, "to_date": today, "event": ["Bulk"]}, add_gzip_header=True)
    assert sorted(each["properties"]["n"] for each in found) == list(range(2_500))
    people = [{"$distinct_id": f"bulk{n}", "$properties": {"n": n}} for n in range(2_500)]
    utils.import_people(people)
    read = [each for each in utils.query_engage() if each["$distinct_id"].startswith("bulk")]
    assert sorted(each["$properties"]["n"] for each in read) == list(range(2_500))


def test_node_calls_every_method(one, gate, packages):
    host = one.base_url.removeprefix("http://")
    done = subprocess.run(
        ["node", "drive.js", host, one.credentials.project_token], check=True, cwd=packages, capture_output=True, timeout=60
    )
    answers = json.loads(done.stdout)
    assert set(answers.values()) == {"ok"}, answers
    assert len(answers) == 21
    names = sorted(each["event"] for each in _events(gate, "node"))
    assert names == ["Batched", "Batched", "Single"]
    found = _profile(gate, "node")
    assert (found["seats"], found["first"], found["tags"]) == (5, "yes", ["b", "c"])
    assert "gone" not in found
    assert found["$transactions"] == []
    assert _groups(gate) == {"acme": {"plan": "pro", "first": "yes", "tags": ["b"]}}


def test_a_request_line_of_sixty_kilobytes_arrives_whole(one, gate):
    # npm's package sends a whole batch in the query; a request line may have 64 KB.
    properties = {f"p{n}": "x" * 250 for n in range(175)}
    record = {"event": "Long", "properties": {"distinct_id": "long", "token": gate.credentials.project_token, **properties}}
    assert 60_000 <= len(senders.node_path("track", record)) < 65_000
    reply = senders.node_get(one.base_url, "track", record)
    assert (reply.status, reply.body) == (200, b"1")
    [found] = _events(gate, "long")
    assert properties.items() <= found["properties"].items()


def test_python_writes_groups_by_every_operation(one, gate):
    sdk = senders.python_sdk(one.credentials)
    sdk.group_set("team", "red", {"plan": "pro", "tags": ["a"], "gone": 1})
    sdk.group_set_once("team", "red", {"plan": "free", "first": "yes"})
    sdk.group_union("team", "red", {"tags": ["a", "b"]})
    sdk.group_remove("team", "red", {"tags": "a"})
    sdk.group_unset("team", "red", ["gone"])
    sdk.group_update({"$group_key": "team", "$group_id": "blue", "$set": {"n": 1}})
    assert _groups(gate, "team") == {"red": {"plan": "pro", "tags": ["b"], "first": "yes"}, "blue": {"n": 1}}
    sdk.group_delete("team", "red")
    assert list(_groups(gate, "team")) == ["blue"]


def test_python_aliases_and_merges_without_an_exception(one, monkeypatch):
    # `alias` makes a Consumer of its own, which knows only the vendor's address: it is given ours.
    monkeypatch.setattr(mixpanel, "Consumer", lambda: senders.python_consumer(one.credentials.base_url))
    sdk = senders.python_sdk(one.credentials)
    sdk.alias("new-name", "old-name")
    sdk.merge(None, "one", "two", api_secret=one.credentials.api_secret)


def test_python_buffers_every_kind_and_flushes_once(one, gate):
    consumer = senders.python_consumer(one.credentials.base_url, mixpanel.BufferedConsumer)
    sdk = mixpanel.Mixpanel(one.credentials.project_token, consumer=consumer)
    sdk.track("kinds", "Kept", {"n": 1})
    sdk.people_set("kinds", {"n": 1})
    sdk.group_set("kind", "all", {"n": 1})
    sdk.import_data(None, "kinds", "Imported", int(time.time()) - 9_000_000, api_secret=one.credentials.api_secret)
    assert _events(gate, "kinds") == []
    consumer.flush()
    assert sorted(each["event"] for each in _events(gate, "kinds")) == ["Imported", "Kept"]
    assert (_profile(gate, "kinds")["n"], _groups(gate, "kind")) == (1, {"all": {"n": 1}})


def test_utils_writes_profiles_by_every_operation(one, gate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    utils = senders.utils_sdk(one.credentials)
    who = [{"$distinct_id": "util", "$properties": {}}]
    utils.people_set({"plan": "pro", "tags": ["a"], "n": 1, "gone": 1}, profiles=who)
    utils.people_set_once({"plan": "free", "first": "yes"}, profiles=who)
    utils.people_add({"n": 2}, profiles=who)
    utils.people_append({"tags": "b"}, profiles=who)
    utils.people_union({"tags": ["b", "c"]}, profiles=who)
    utils.people_remove({"tags": "a"}, profiles=who)
    utils.people_unset(["gone"], profiles=who)
    found = _profile(gate, "util")
    assert (found["plan"], found["first"], found["n"], found["tags"]) == ("pro", "yes", 3, ["b", "c"])
    assert "gone" not in found
    utils.people_delete(profiles=who, backup=False)
    assert _profile(gate, "util") is None


def test_every_client_speaks_https_once_it_knows_the_certificate(packages, monkeypatch):
    with installation(tls=True) as one:
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
            monkeypatch.setenv(name, str(one.certificate))
        # `api_host` has no other way than https.
        sdk = mixpanel.Mixpanel(one.credentials.project_token, consumer=mixpanel.Consumer(api_host=f"localhost:{one.port}"))
        sdk.track("secure", "Played")
        # With an account, npm's package refuses to speak anything else.
        account = one.credentials.service_account
        arguments = [f"localhost:{one.port}", one.credentials.project_token, account["username"], account["secret"]]
        done = subprocess.run(
            ["node", "drive_import.js", *arguments, str(one.credentials.project_id)],
            check=True, cwd=packages, capture_output=True, timeout=60,
        )  # fmt: skip
        assert json.loads(done.stdout) == {"import": "ok", "import_batch": "ok"}
        assert len(Gate(one.credentials).export()) == 4
