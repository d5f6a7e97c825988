"""Unmodified SDKs against one running installation: python `mixpanel`, `mixpanel-utils`, and npm `mixpanel`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import mixpanel
import pytest

from tests.e2e import senders
from tests.e2e.client import Gate
from tests.e2e.installation import installation

NODE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def one():
    with installation() as running:
        yield running


@pytest.fixture
def gate(one):
    return Gate(one.credentials)


def _events(gate, person):
    return [each for each in gate.export() if each["properties"]["distinct_id"] == person]


def _profile(gate, person):
    reply = gate.get(f"/api/2.0/engage?distinct_id={person}", gate.credentials.admin_token)
    return next((each["$properties"] for each in reply.json()["results"]), None)


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


def test_node_tracks_batches_and_writes_profiles(one, gate, tmp_path):
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("npm is missing; install Node.js 18 or newer")
        pytest.skip("npm is missing: the SDK of npm is not tried here")
    for name in ("package.json", "drive.js"):
        shutil.copy(NODE / name, tmp_path)
    quiet = {"check": True, "cwd": tmp_path, "capture_output": True, "timeout": 120}
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], **quiet)
    host = one.base_url.removeprefix("http://")
    done = subprocess.run(["node", "drive.js", host, one.credentials.project_token], **quiet)
    assert json.loads(done.stdout) == {"track": "ok", "batch": "ok", "people": "ok", "increment": "ok"}
    names = sorted(each["event"] for each in _events(gate, "node"))
    assert names == ["Batched", "Batched", "Single"]
    assert _profile(gate, "node")["seats"] == 5
