"""Kill -9 all through a re-import: every event is there once, under one fresh id a person, and nothing tells who that was."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
import redis

from tests.e2e.client import Gate, call
from tests.e2e.installation import Installation, installation, until
from tests.e2e.stored import Stored

PEOPLE = 60
EVENTS = 6_000
POLICY = """\
policy: anonymous
unknown_properties: allow
unknown_events: allow
rules:
  - {id: who, properties: [owner], category: user.contact.email, sensitivity: confidential, action: drop}
"""


@pytest.fixture(scope="module")
def one() -> Any:
    with installation(PORTCULLIS_JOB_LEASE="1") as running:
        yield running


def _person(n: int) -> str:
    return f"canary-{n}@example.com"


def _fill(one: Installation) -> None:
    now = int(time.time())
    for start in range(0, EVENTS, 2_000):
        events = [
            {
                "event": ["View", "Buy"][n % 2],
                "properties": {
                    "token": one.credentials.project_token,
                    "distinct_id": _person(n % PEOPLE),
                    "$insert_id": f"s{n}",
                    "time": now - n,
                    "city": ["Bonn", "Kiel"][n % 2],
                    "amount": n % 7,
                },
            }
            for n in range(start, start + 2_000)
        ]
        reply = call(
            "POST", f"{one.base_url}/track", body=json.dumps(events).encode(), headers={"Content-Type": "application/json"}
        )
        assert reply.body == b"1"


def _figures(one: Installation) -> tuple[Counter[str], int, int]:
    rows = Stored(one.database).rows("SELECT uid, name, properties FROM event")
    amounts = sum(json.loads(row["properties"])["amount"] for row in rows)
    return Counter(row["name"] for row in rows), amounts, len({row["uid"] for row in rows})


def _kill(one: Installation) -> int:
    killed = 0
    for pid in one.processes("jobs.worker"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def _held_by_redis(one: Installation) -> bytes:
    queue = redis.Redis(unix_socket_path=str(one.data / "queue.sock"))
    with suppress(redis.RedisError):
        return b"".join(key + (queue.dump(key) or b"") for key in queue.scan_iter())
    return b""


def test_a_re_import_whose_workers_are_killed_loses_and_doubles_nothing(one: Installation) -> None:
    _fill(one)
    before = _figures(one)
    gate, officer = Gate(one.credentials), one.credentials.officer_token
    made = gate.post("/v1/policies", {"text": POLICY}, one.credentials.admin_token)
    assert made.status == 201, made.body
    people = [_person(n) for n in range(PEOPLE // 2)]
    order = {"scope": "people", "policy": made.json()["version"], "distinct_ids": people, "quasi_identifiers": ["city"]}
    asked = gate.post("/v1/reimports", order, officer)
    assert asked.status == 202, asked.body
    path, killed, seen, held = f"/v1/reimports/{asked.json()['id']}", 0, set(), b""

    def state() -> str:
        reply = gate.get(path, officer)
        return str(reply.json()["state"]) if reply.status == 200 else "unreachable"

    until_ms = time.monotonic() + 120
    while (now := state()) not in ("done", "failed", "rolled_back", "cancelled") and time.monotonic() < until_ms:
        held += _held_by_redis(one)
        if now == "review":
            review = gate.get(f"{path}/review", officer).json()
            assert review["blocked"] == [], review
            assert gate.post(f"{path}/approve", {}, officer).status == 200
        elif now not in seen and (gone := _kill(one)):
            # Once in every state that is seen: the supervisor waits longer before each new start.
            killed += gone
            seen.add(now)
        time.sleep(0.03)
    waiting = redis.Redis(unix_socket_path=str(one.data / "queue.sock")).llen("rq:queue:portcullis")
    assert state() == "done", f"{waiting} jobs wait: {one.printed(1_500)}"
    assert killed >= 3, f"only {killed} were killed"
    until(lambda: _figures(one) == before, 5, "the figures of before")
    ids = {row["uid"] for row in Stored(one.database).rows("SELECT uid FROM register WHERE created_ms = 0")}
    assert len(ids) == len(people)
    for table in ("reimport_chunk", "reimport_subject", "reimport_mark", "reimport_total"):
        assert Stored(one.database).rows(f"SELECT * FROM {table}") == []
    entries = gate.get("/v1/audit/entries?limit=10000", one.credentials.auditor_token).body
    for name in (b"reimport.ordered", b"reimport.done"):
        assert entries.count(name) == 1
    assert "canary" not in one.log.read_text(errors="replace")
    assert b"canary" not in held + entries + gate.get(f"{path}/statement", officer).body
