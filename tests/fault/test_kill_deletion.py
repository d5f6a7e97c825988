"""Kill -9 in the middle of a data deletion: everything that is covered goes, nothing else does, and it is certified once."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from typing import Any

from tests.e2e.client import Gate, call
from tests.e2e.installation import Installation, installation, until
from tests.e2e.stored import Stored

EVENTS = 16_000


def _fill(one: Installation) -> None:
    now = int(time.time())
    for start in range(0, EVENTS, 2_000):
        events = [
            {
                "event": "View" if n % 8 else "Buy",
                "properties": {
                    "token": one.credentials.project_token,
                    "distinct_id": f"p{n % 300}",
                    "$insert_id": f"d{n}",
                    "time": now - n,
                },
            }
            for n in range(start, start + 2_000)
        ]
        body = json.dumps(events).encode()
        reply = call("POST", f"{one.base_url}/track", body=body, headers={"Content-Type": "application/json"})
        assert reply.body == b"1"


def _look(one: Installation, deletion_id: str) -> dict[str, Any]:
    reply = Gate(one.credentials).get(f"/v1/data-deletions/{deletion_id}", one.credentials.officer_token)
    return dict(reply.json()) if reply.status == 200 else {"state": "unreachable", "counts": {}}


def test_a_deletion_whose_dispatchers_are_killed_erases_everything_once() -> None:
    with installation(PORTCULLIS_JOB_LEASE="1", PORTCULLIS_DELETION_UNDO_DAYS="0") as one:
        _fill(one)
        body = {"events": ["View"], "reason": "test_data"}
        reply = Gate(one.credentials).post("/v1/data-deletions", body, one.credentials.officer_token)
        assert reply.status == 201, reply.body
        deletion_id, killed = str(reply.json()["id"]), 0
        for _ in range(60):
            found = _look(one, deletion_id)
            if found["state"] == "done":
                break
            if killed < 4 and found["state"] == "erasing":
                for pid in one.processes("jobs.dispatcher"):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
            time.sleep(0.3)
        until(lambda: _look(one, deletion_id)["state"] == "done", 90, "the deletion done")
        counts = _look(one, deletion_id)["counts"]
        assert killed, "the deletion was over before anybody could be killed"
        assert counts["before.event"] == counts["deleted.event"] == EVENTS * 7 // 8
        rows = Stored(one.database).rows("SELECT name, count(*) AS n FROM event GROUP BY name")
        assert [(row["name"], row["n"]) for row in rows] == [("Buy", EVENTS // 8)]
        log = Gate(one.credentials).get("/v1/audit/entries?limit=10000", one.credentials.auditor_token).body.decode()
        entries = [json.loads(line)["entry"] for line in log.splitlines()]
        acts = [each["action"] for each in entries if each.get("obj") == f"data-deletion/{deletion_id}"]
        assert acts.count("deletion.certified") == acts.count("deletion.verified") == 1
