"""Kill -9 in the middle of a simulation: the report is that of a simulation that nobody disturbed."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from typing import Any

import pytest

from tests.e2e.client import Gate, call
from tests.e2e.installation import Installation, installation, until

EVENTS = 16_000
DRAFT = """\
policy: draft
rules:
  - {id: note, properties: [note], category: user.content, sensitivity: internal, action: drop}
  - {id: plan, properties: [plan], category: user.behavior, sensitivity: internal, action: hash}
"""


@pytest.fixture(scope="module")
def one() -> Any:
    with installation(PORTCULLIS_JOB_LEASE="1") as running:
        yield running


def _fill(one: Installation) -> None:
    now = int(time.time())
    for start in range(0, EVENTS, 2_000):
        events = [
            {
                "event": "View",
                "properties": {
                    "token": one.credentials.project_token,
                    "distinct_id": f"p{n % 300}",
                    "$insert_id": f"s{n}",
                    "time": now - n,
                    "note": f"about {n}",
                    "plan": ["free", "pro"][n % 2],
                },
            }
            for n in range(start, start + 2_000)
        ]
        body = json.dumps(events).encode()
        reply = call("POST", f"{one.base_url}/track", body=body, headers={"Content-Type": "application/json"})
        assert reply.body == b"1"


def _status(one: Installation, simulation_id: str) -> dict[str, Any]:
    reply = Gate(one.credentials).get(f"/v1/simulations/{simulation_id}", one.credentials.officer_token)
    return dict(reply.json()) if reply.status == 200 else {"state": "unreachable"}


def test_a_simulation_whose_workers_are_killed_tells_the_same(one: Installation) -> None:
    _fill(one)
    admin = one.credentials.admin_token
    made = Gate(one.credentials).post("/v1/policies", {"text": DRAFT}, admin)
    assert made.status == 201, made.body
    path = f"/v1/policies/{made.json()['version']}/simulate"
    disturbed = str(Gate(one.credentials).post(path, {"days": 7}, admin).json()["id"])
    killed, seen = 0, []
    for _ in range(100):
        found = _status(one, disturbed)
        seen.append(found.get("done", 0))
        if found["state"] == "done":
            break
        if killed < 4 and found["state"] == "running":
            for pid in one.processes("jobs.worker"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        time.sleep(0.6)
    until(lambda: _status(one, disturbed)["state"] == "done", 60, "the disturbed simulation done")
    undisturbed = str(Gate(one.credentials).post(path, {"days": 7}, admin).json()["id"])
    until(lambda: _status(one, undisturbed)["state"] == "done", 60, "the undisturbed simulation done")
    assert killed, "the simulation was over before anybody could be killed"
    assert any(0 < each < EVENTS for each in seen), "it was seen in the middle"
    reports = [_status(one, each)["report"] for each in (disturbed, undisturbed)]
    assert reports[0] == reports[1]
    assert reports[0]["total"]["records"] == EVENTS
