"""Kill -9 and a Redis that forgets or goes away: what was acknowledged stands once, what was requested completes once."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
import redis

from tests.e2e.client import Gate, call
from tests.e2e.installation import Installation, installation, until
from tests.e2e.stored import Stored

LEASE = {"PORTCULLIS_JOB_LEASE": "2"}


@pytest.fixture(scope="module")
def one():
    with installation(**LEASE) as running:
        yield running


def _kill(one: Installation, *words: str) -> int:
    """SIGKILL to every process of the installation whose command line holds `words`."""
    pids = one.processes(*words)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def _send(one: Installation, person: str, insert_id: str, at: float | None = None) -> bool:
    """Whether the event was acknowledged; anything else, a broken connection included, is not."""
    properties: dict[str, Any] = {
        "token": one.credentials.project_token,
        "distinct_id": person,
        "$insert_id": insert_id,
        "time": at or time.time(),
    }
    body = json.dumps([{"event": "Kill", "properties": properties}]).encode()
    try:
        reply = call("POST", f"{one.base_url}/track", body=body, headers={"Content-Type": "application/json"})
    except (OSError, http.client.HTTPException):
        return False  # Refused, or cut short by a server that died while it answered.
    return reply.status == 200 and reply.body == b"1"


def _request(one: Installation, people: list[str], kind: str = "erasure") -> str:
    body = {"kind": kind, "distinct_ids": people}
    reply = Gate(one.credentials).post("/v1/requests", body, one.credentials.officer_token)
    assert reply.status == 201, reply.body
    return str(reply.json()["id"])


def _state(one: Installation, request_id: str) -> str:
    with suppress(OSError, http.client.HTTPException):
        reply = Gate(one.credentials).get(f"/v1/requests/{request_id}", one.credentials.officer_token)
        # A database that recovers from a kill may keep a reader waiting; then the answer is 503, and the next one comes.
        assert reply.status in (200, 503), reply.status
        return str(reply.json().get("state", "unreachable"))
    return "unreachable"


def _acts(one: Installation, request_id: str) -> Counter[str]:
    reply = Gate(one.credentials).get("/v1/audit/entries?limit=10000", one.credentials.auditor_token)
    entries = [json.loads(line)["entry"] for line in reply.body.decode().splitlines()]
    return Counter(each["action"] for each in entries if each.get("obj") == request_id)


def _finished(one: Installation, requests: list[str], seconds: float = 40.0) -> None:
    until(lambda: all(_state(one, each) == "done" for each in requests), seconds, "every request done")


def test_every_acknowledged_event_is_stored_once_though_the_web_process_is_killed(one):
    acknowledged: list[str] = []
    stop = threading.Event()

    def send(writer: int) -> None:
        n = 0
        while not stop.is_set():
            insert_id, at = f"w{writer}-{n}", time.time()
            n += 1
            # As an SDK with retries does: the same event again until it is acknowledged.
            while not stop.is_set() and not _send(one, f"writer{writer}", insert_id, at):
                time.sleep(0.05)
            if not stop.is_set():
                acknowledged.append(insert_id)

    writers = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    killed = 0
    for _ in range(4):
        time.sleep(random.uniform(0.8, 1.6))
        killed += _kill(one, "serve")
    until(one.ready, 20, "web again")
    time.sleep(1.0)
    stop.set()
    for writer in writers:
        writer.join()
    rows = Stored(one.database).rows("SELECT properties FROM event WHERE name = 'Kill'")
    stored = Counter(json.loads(row["properties"])["$insert_id"] for row in rows)
    assert killed >= 4
    assert len(acknowledged) > 50
    assert not [each for each in acknowledged if stored[each] != 1]


def test_a_request_completes_once_though_worker_and_dispatcher_are_killed(one):
    people = [[f"victim{n}"] for n in range(6)]
    for (person,) in people:
        assert _send(one, person, f"v-{person}")
    requests = []
    killed = 0
    for each in people:
        until(lambda: one.processes("jobs.worker"), 15, "a worker to kill")
        requests.append(_request(one, each))
        time.sleep(random.uniform(0, 0.08))
        killed += _kill(one, "jobs.worker") + _kill(one, "jobs.dispatcher")
    _finished(one, requests)
    assert killed >= len(people)
    for request_id in requests:
        acts = _acts(one, request_id)
        once = ("request.created", "request.started", "erasure.verified", "erasure.shredded", "erasure.certified")
        assert [acts[each] for each in once] == [1] * len(once)


def test_no_request_is_lost_when_redis_forgets_everything(one):
    queue = redis.Redis(unix_socket_path=str(one.data / "queue.sock"))
    requests = []
    for n in range(4):
        requests.append(_request(one, [f"forgotten{n}"]))
        queue.flushall()
    queue.close()
    _finished(one, requests)


def test_no_request_is_lost_when_redis_is_killed(one):
    requests = []
    for n in range(3):
        _kill(one, "queue.sock")
        requests.append(_request(one, [f"killed{n}"]))
    _finished(one, requests)


def test_redis_holds_nothing_but_opaque_ids(one):
    until(one.ready, 20, "the queue again")
    assert _send(one, "someone-canary@example.com", "rc")
    request_id = _request(one, ["someone-canary@example.com"])
    queue = redis.Redis(unix_socket_path=str(one.data / "queue.sock"))
    held = b"".join(key + (queue.dump(key) or b"") for key in queue.scan_iter())
    _finished(one, [request_id])
    held += b"".join(key + (queue.dump(key) or b"") for key in queue.scan_iter())
    queue.close()
    assert held
    assert b"canary" not in held
