"""Bad input over HTTP: one clear error that names the field, no value of it anywhere, and no harm to its neighbours.

After every case was sent, the family of canaries is sought in every spelling: in the answers, in what the service
printed, in Redis, and in every file of the data folder. A control that policy does let through is found there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import redis

from tests.e2e.client import Gate, Reply, call
from tests.e2e.corpus import FAMILY, FORM, JSON, RECORDS, UPDATES, BadRecord, Case, cases
from tests.e2e.installation import Credentials, Installation, installation, until
from tests.e2e.stored import Stored
from tests.e2e.traces import search, search_bytes

CONTROL = "ostrichcontrol-allowed"


@pytest.fixture(scope="module")
def one() -> Iterator[Installation]:
    with installation() as running:
        yield running
        _nothing_is_left(running)


@pytest.fixture(scope="module")
def held(one: Installation) -> Credentials:
    return one.credentials


def _no_value_in(reply: Reply) -> None:
    whole = reply.body + repr(dict(reply.headers)).encode()
    assert not search_bytes(whole, {"canary": FAMILY}, "answer"), whole[:600]


def _tells(reply: Reply, names: tuple[str, ...]) -> None:
    """An error in one of the dialects: `{"error": {…}}`, `{"error": text}`, a script, or a line of text."""
    text = reply.body.decode()
    assert len(text) > 12
    for name in names:
        assert name.lower() in text.lower(), (name, text[:600])
    if text.startswith("{") and isinstance(told := json.loads(text)["error"], dict):
        assert told["code"]
        assert told["message"]
        assert told.get("remedy"), told
        assert told.get("field") or told.get("problems") or reply.status in (401, 403, 404, 405, 413), told


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_bad_request_is_told_clearly_and_quoted_nowhere(held: Credentials, case: Case) -> None:
    reply = case.ask(held, case.canary)
    assert reply.status in case.statuses, (reply.status, reply.body[:600])
    _no_value_in(reply)
    if reply.status >= 400:
        _tells(reply, case.names)


# --- records ---------------------------------------------------------------------------------------------------------

_SENT = [(endpoint, each) for each in (*RECORDS, *UPDATES) for endpoint in each.endpoints]


def _record(held: Credentials, endpoint: str, mark: str, canary: str = "") -> dict[str, Any]:
    if endpoint == "engage":
        filled = {"plan": CONTROL, "mark": mark} | ({"email": canary, "note": f"to {canary}"} if canary else {})
        return {"$token": held.project_token, "$distinct_id": f"person {mark}", "$set": filled}
    properties = {
        "token": held.project_token,
        "distinct_id": "ada",
        "$insert_id": mark,
        "time": int(time.time()),
        "plan": CONTROL,
    }
    return {"event": "Seen", "properties": properties | ({"email": canary, "note": f"write to {canary}"} if canary else {})}


def _mark(endpoint: str, each: BadRecord, place: str) -> str:
    return f"{endpoint}-{hashlib.sha256(each.name.encode()).hexdigest()[:8]}-{place}"


def _ask(held: Credentials, endpoint: str, texts: list[str]) -> Reply:
    body = f"[{','.join(texts)}]".encode()
    if endpoint == "import":
        headers = JSON | {"Authorization": f"Bearer {held.ingest_token}"}
        return call("POST", f"{held.base_url}/import?strict=1", body=body, headers=headers)
    return call("POST", f"{held.base_url}/{endpoint}", body=urlencode({"data": body, "verbose": "1"}).encode(), headers=FORM)


@pytest.mark.parametrize(("endpoint", "each"), _SENT, ids=[f"{endpoint} {each.name}" for endpoint, each in _SENT])
def test_a_bad_record_is_told_clearly_and_its_neighbours_are_stored(
    one: Installation, held: Credentials, endpoint: str, each: BadRecord
) -> None:
    bad = each.text(_record(held, endpoint, _mark(endpoint, each, "bad"), each.canary), each.canary)
    alone = _ask(held, endpoint, [bad])
    assert alone.status in ((200, 400) if endpoint == "import" else (200,)), (alone.status, alone.body)
    _no_value_in(alone)
    good = [json.dumps(_record(held, endpoint, _mark(endpoint, each, place))) for place in ("before", "after")]
    between = _ask(held, endpoint, [good[0], bad, good[1]])
    _no_value_in(between)
    if each.names is None:
        assert alone.json()["error"] is None if endpoint != "import" else alone.status == 200, alone.body
    elif endpoint == "import":
        [failed] = alone.json()["failed_records"]
        assert len(failed["message"]) > 12
        assert all(name in failed["field"] + failed["message"] for name in each.names), failed
        assert [record["index"] for record in between.json()["failed_records"]] == [1]
        assert between.json()["num_records_imported"] == 2
    else:
        assert alone.json()["status"] == 0
        assert all(name in alone.json()["error"] for name in each.names), alone.body
        assert len(alone.json()["error"]) > 12
        assert between.json() == {"error": None, "status": 1}
    table = "profile" if endpoint == "engage" else "event"
    stored = Stored(one.database)
    assert [stored.holding(table, json.dumps(_mark(endpoint, each, place))) for place in ("before", "after")] == [1, 1]


# --- and nothing is left ---------------------------------------------------------------------------------------------


def _nothing_is_left(one: Installation) -> None:
    """Sought once, after every case of this module was sent."""
    held, gate = one.credentials, Gate(one.credentials)
    _ask(held, "track", [json.dumps(_record(held, "track", "control", f"{FAMILY}.control@corpus.example"))])
    body = {"kind": "erasure", "distinct_ids": [f"{FAMILY}.erased@corpus.example"]}
    assert gate.post("/v1/requests", body, held.officer_token).status == 201
    until(lambda: _all_done(gate, held), 60, "every request done")
    values = {"canary": FAMILY, "control": CONTROL}

    folder = search(one.data, values)
    assert folder.of("control") > 0, "the search finds what policy lets through"
    assert folder.of("canary") == 0, [str(trace) for trace in folder.traces if trace.label == "canary"]

    printed = one.log.read_bytes()
    assert b"project_created" in printed, "it is the service's own output that is read"
    assert b"unexpected_failure" not in printed, one.printed()
    assert not search_bytes(printed, values, "output"), one.printed()

    queue = redis.Redis(unix_socket_path=str(one.data / "queue.sock"))
    content = b"".join(key + (queue.dump(key) or b"") for key in queue.scan_iter())
    queue.close()
    assert b"rq:" in content, "it is the service's own queue that is read"
    assert not search_bytes(content, values, "redis")

    log = gate.get("/v1/audit/entries?limit=10000", held.auditor_token).body
    assert b"ingest.accepted" in log
    assert not search_bytes(log, values, "audit log")


def _all_done(gate: Gate, held: Credentials) -> bool:
    found = gate.get("/v1/requests?limit=1000", held.officer_token).json()["requests"]
    return all(each["state"] == "done" for each in found)
