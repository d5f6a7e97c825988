"""Consent, signals and places against one running installation, with the unmodified python SDK."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from tests import geofile
from tests.e2e import senders
from tests.e2e.client import Gate, call
from tests.e2e.installation import installation

POLICY = """\
policy: asked
geolocation: city
detectors: keep
consent:
  default: opted_out
  signals: [gpc]
  purposes:
    - {id: marketing, events: ["Ad *"]}
"""
V4 = "192.0.2.77"


@pytest.fixture(scope="module")
def one():
    with tempfile.TemporaryDirectory() as folder:
        path = geofile.write(Path(folder) / "city.mmdb")
        with installation(GEOIP_DB=str(path), PORTCULLIS_TRUSTED_PROXIES="1") as running:
            gate = Gate(running.credentials)
            made = gate.post("/v1/policies", {"text": POLICY, "activate": True}, running.credentials.admin_token)
            assert made.status == 201
            yield running


@pytest.fixture
def gate(one):
    return Gate(one.credentials)


def _named(gate, person):
    return sorted(each["event"] for each in gate.export() if each["properties"]["distinct_id"] == person)


def _choose(gate, path, **body):
    answer = gate.post(path, body, gate.credentials.officer_token)
    assert answer.status == 200, answer.body
    return answer.json()


def test_python_is_told_success_and_nothing_is_kept_until_the_person_agrees(one, gate):
    sdk = senders.python_sdk(one.credentials)
    sdk.track("ada", "Before")
    sdk.people_set("ada", {"plan": "pro"})
    assert _named(gate, "ada") == []
    sdk.track("ada", "$opt_in")
    sdk.track("ada", "After")
    sdk.people_set("ada", {"plan": "pro"})
    assert _named(gate, "ada") == ["$opt_in", "After"]
    _choose(gate, "/v1/opt-outs", distinct_ids=["ada"])
    sdk.track("ada", "Withdrawn")
    sdk.track("ada", "$opt_in")
    assert _named(gate, "ada") == ["$opt_in", "After"]


def test_an_officers_opt_in_and_a_refused_purpose_hold_for_the_sdk(one, gate):
    sdk = senders.python_sdk(one.credentials)
    _choose(gate, "/v1/opt-ins", distinct_ids=["bob"])
    _choose(gate, "/v1/opt-outs", distinct_ids=["bob"], purposes=["marketing"])
    sdk.track("bob", "Ad seen")
    sdk.track("bob", "Bought")
    assert _named(gate, "bob") == ["Bought"]


def _browser(one, event, address, **headers):
    properties = {"token": one.credentials.project_token, "distinct_id": "cleo", "$insert_id": event}
    body = json.dumps([{"event": event, "properties": properties}]).encode()
    sent = {"Content-Type": "application/json", "X-Forwarded-For": address, **headers}
    return call("POST", f"{one.base_url}/track/?verbose=1&ip=1", body=body, headers=sent)


def test_a_browser_is_placed_by_its_address_and_heard_when_it_says_no(one, gate):
    _choose(gate, "/v1/opt-ins", distinct_ids=["cleo"])
    assert _browser(one, "Seen", V4).json() == {"error": None, "status": 1}
    assert _browser(one, "Refused", V4, **{"Sec-GPC": "1"}).json() == {"error": None, "status": 1}
    (kept,) = [each["properties"] for each in gate.export() if each["properties"]["distinct_id"] == "cleo"]
    assert (kept["mp_country_code"], kept["$region"], kept["$city"]) == ("DE", "Land Berlin", "Berlin")
    states = gate.post("/v1/subjects/states", {"distinct_ids": ["cleo"]}, one.credentials.officer_token).json()
    assert [(each["signal"], each["n"]) for each in states["signals"][0]] == [("gpc", 1)]
    assert gate.get("/.well-known/gpc.json").json()["gpc"] is True
    assert gate.get("/readyz").json()["geolocation"] == "ok"


def test_the_address_that_the_web_server_gives_can_be_read(one, gate):
    _choose(gate, "/v1/opt-ins", distinct_ids=["dan"])
    body = json.dumps([{"event": "E", "properties": {"token": one.credentials.project_token, "distinct_id": "dan"}}]).encode()
    call("POST", f"{one.base_url}/track?ip=1", body=body, headers={"Content-Type": "application/json"})
    metrics = gate.get("/metrics", one.credentials.admin_token).body.decode()
    assert 'portcullis_geolocation_lookups_total{outcome="private"} 1.0' in metrics
    assert 'outcome="invalid"' not in metrics


def test_no_address_is_in_the_data_folder(one):
    files = [path for path in one.data.rglob("*") if path.is_file()] + [one.log]
    held = b"".join(path.read_bytes() for path in files)
    assert b"Land Berlin" in held, "the search reads what is stored"
    assert V4.encode() not in held
