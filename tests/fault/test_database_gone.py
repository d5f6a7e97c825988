"""The database goes away under a running service: everyone is told to come back, nothing passes, and all works when it returns.

PostgreSQL is stopped and started under web, worker and dispatcher; SQLite is locked by another process, full, or read-only.
"""

from __future__ import annotations

import base64
import json
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from app.keys.master import generate_key
from tests.e2e.client import Gate, Reply, call
from tests.e2e.installation import Credentials, Installation, installation, until
from tests.installation import in_threads
from tests.integration.gate import build
from tests.servers import Cluster, private_postgres

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
# One moment for all: what is sent again is the same event.
_AT = time.time()
_CERTIFIED = "erasure.certified"


# --- what each sender asks, and how it is refused --------------------------------------------------------------------


def _event(held: Credentials, insert_id: str, person: str = "ada") -> dict[str, Any]:
    properties = {"token": held.project_token, "distinct_id": person, "$insert_id": insert_id, "time": _AT}
    return {"event": "Gone", "properties": properties}


def _basic(held: Credentials) -> dict[str, str]:
    account = held.service_account
    return {"Authorization": "Basic " + base64.b64encode(f"{account['username']}:{account['secret']}".encode()).decode()}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _track_python(held: Credentials, mark: str) -> Reply:
    body = urlencode({"data": json.dumps(_event(held, mark)), "verbose": "1", "ip": "0"}).encode()
    return call("POST", f"{held.base_url}/track", body=body, headers=FORM)


def _track_node(held: Credentials, mark: str) -> Reply:
    encoded = base64.b64encode(json.dumps(_event(held, mark)).encode()).decode()
    return call("GET", f"{held.base_url}/track?{urlencode({'data': encoded, 'ip': '0', 'verbose': '0'})}")


def _track_script(held: Credentials, mark: str) -> Reply:
    return call("GET", f"{held.base_url}/track?{urlencode({'data': json.dumps(_event(held, mark)), 'callback': 'cb'})}")


def _import(held: Credentials, mark: str) -> Reply:
    url = f"{held.base_url}/import?strict=1&project_id={held.project_id}"
    return call("POST", url, body=json.dumps([_event(held, mark)]).encode(), headers=JSON | _basic(held))


def _engage(held: Credentials, mark: str) -> Reply:
    update = {"$token": held.project_token, "$distinct_id": "ada", "$set": {"mark": mark}}
    body = urlencode({"data": json.dumps(update), "verbose": "1"}).encode()
    return call("POST", f"{held.base_url}/engage", body=body, headers=FORM)


def _check(held: Credentials, mark: str) -> Reply:
    body = {"events": [{"event": "Gone", "properties": {"mark": mark}}]}
    return call("POST", f"{held.base_url}/v1/check", body=json.dumps(body).encode(), headers=JSON | _bearer(held.ingest_token))


def _gdpr(held: Credentials, mark: str) -> Reply:
    body = json.dumps({"distinct_ids": [f"gone-{mark}"]}).encode()
    url = f"{held.base_url}/api/app/data-deletions/v3.0/?token={held.project_token}"
    return call("POST", url, body=body, headers=JSON | _bearer(held.officer_token))


def _opt_out(held: Credentials, mark: str) -> Reply:
    body = json.dumps({"distinct_ids": [f"gone-{mark}"]}).encode()
    return call("POST", f"{held.base_url}/v1/opt-outs", body=body, headers=JSON | _bearer(held.officer_token))


def _export(held: Credentials, _mark: str) -> Reply:
    query = urlencode({"from_date": "2020-01-01", "to_date": "2020-01-02", "project_id": held.project_id})
    return call("GET", f"{held.base_url}/api/2.0/export?{query}", headers=_basic(held))


def _profiles(held: Credentials, _mark: str) -> Reply:
    return call("GET", f"{held.base_url}/api/2.0/engage?project_id={held.project_id}", headers=_basic(held))


@dataclass(frozen=True)
class Sender:
    """How one sender asks, and what its refusal must look like."""

    ask: Callable[[Credentials, str], Reply]
    refused: Callable[[bytes], bool]
    writes: bool = True


def _has(**values: Any) -> Callable[[bytes], bool]:
    def look(body: bytes) -> bool:
        found = json.loads(body)
        return bool(found["error"]) and all(found[name] == value for name, value in values.items())

    return look


def _v1(body: bytes) -> bool:
    found = json.loads(body)["error"]
    return found["code"] == "unavailable" and bool(found["message"]) and bool(found["remedy"])


SENDERS = {
    "track, python": Sender(_track_python, _has(status=0)),
    "track, node": Sender(_track_node, _has(status="error")),
    "track, script": Sender(_track_script, lambda body: body.startswith(b'cb({"error":') and body.endswith(b'"status":0});')),
    "import": Sender(_import, _has(status="Service Unavailable", code=503)),
    "engage": Sender(_engage, _has(status=0)),
    "check": Sender(_check, _v1, writes=False),
    "gdpr": Sender(_gdpr, _has(status="error")),
    "opt-out": Sender(_opt_out, _v1),
    "export": Sender(_export, lambda body: b"\n" in body and b"{" not in body),
    "profiles": Sender(_profiles, _has(status="error")),
}


def _refused_in_its_dialect(name: str, reply: Reply) -> None:
    assert reply.status == 503, (name, reply.status, reply.body[:300])
    assert int({each.lower(): value for each, value in reply.headers.items()}["retry-after"]) > 0, name
    assert SENDERS[name].refused(reply.body), (name, reply.body)


def _taken(name: str, reply: Reply) -> None:
    assert reply.status in (200, 201), (name, reply.status, reply.body[:300])
    assert reply.body in (b"1", b"", b"cb(1);") or json.loads(reply.body).get("status") not in (0, "error")


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster_url() -> Iterator[tuple[Cluster, str]]:
    with private_postgres() as made:
        yield made


@pytest.fixture(scope="module")
def one(cluster_url: tuple[Cluster, str]) -> Iterator[Installation]:
    settings = {"DATABASE_URL": cluster_url[1], "PORTCULLIS_MASTER_KEY": generate_key(), "PORTCULLIS_JOB_LEASE": "2"}
    with installation(**settings) as running:
        yield running


@pytest.fixture
def cluster(cluster_url: tuple[Cluster, str]) -> Iterator[Cluster]:
    yield cluster_url[0]
    cluster_url[0].stop()
    cluster_url[0].start()


def _rows(url: str, statement: str) -> list[Any]:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


def _failed_closed(held: Credentials) -> float:
    text = Gate(held).get("/metrics", held.admin_token).body.decode()
    found = [line for line in text.splitlines() if line.startswith('portcullis_fail_closed_total{code="unavailable"}')]
    return float(found[0].split()[-1]) if found else 0.0


def _processes(one: Installation) -> set[int]:
    """Those that the supervisor started: web, worker, dispatcher. A worker's helper of one job comes and goes."""
    assert one.process is not None
    pids = [pid for words in ("serve", "jobs.worker", "jobs.dispatcher") for pid in one.processes(words)]
    return {pid for pid in pids if _parent(pid) == one.process.pid}


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def _stored_marks(url: str) -> Counter[str]:
    return Counter(json.loads(row[0])["$insert_id"] for row in _rows(url, "SELECT properties FROM event"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_postgresql_goes_and_comes_back(
    one: Installation, cluster: Cluster, cluster_url: tuple[Cluster, str], signum: int
) -> None:
    held, url, run = one.credentials, cluster_url[1], signal.Signals(signum).name
    for name, sender in SENDERS.items():
        _taken(name, sender.ask(held, f"{run}-before-{name}"))
    running, refused = _processes(one), _failed_closed(held)
    assert len(running) == 3
    asked = len(_rows(url, "SELECT 1 FROM subject_request"))

    cluster.stop(signum)
    assert call("GET", f"{held.base_url}/healthz").status == 200
    ready = call("GET", f"{held.base_url}/readyz")
    assert ready.status == 503
    assert ready.json()["database"] == "unavailable"
    scraped = call("GET", f"{held.base_url}/metrics", headers={"Authorization": f"Bearer {held.admin_token}"})
    assert (scraped.status, scraped.json()["error"]["code"]) == (503, "unavailable")
    for name, sender in SENDERS.items():
        began = time.monotonic()
        _refused_in_its_dialect(name, sender.ask(held, f"{run}-gone-{name}"))
        assert time.monotonic() - began < 5, f"{name} kept its sender waiting"
    assert call("GET", f"{held.base_url}/healthz").status == 200

    cluster.start()
    until(lambda: call("GET", f"{held.base_url}/readyz").status == 200, 15, "ready again")
    marks = _stored_marks(url)
    assert [mark for mark in marks if mark.startswith(f"{run}-gone-")] == []
    assert len(_rows(url, "SELECT 1 FROM subject_request")) == asked
    for name, sender in SENDERS.items():
        # The senders that were refused send the same again, and those that were answered do so too.
        _taken(name, sender.ask(held, f"{run}-gone-{name}"))
        _taken(name, sender.ask(held, f"{run}-before-{name}"))
    mine = [n for mark, n in _stored_marks(url).items() if mark.startswith(run)]
    assert mine == [1] * 8, "track in three ways and import, before and after, each once"
    # Every sender once, and the scrape.
    assert _failed_closed(held) == refused + len(SENDERS) + 1
    assert _processes(one) == running, "nobody had to be started again"


def test_what_is_acknowledged_while_postgresql_comes_and_goes_is_stored_once(
    one: Installation, cluster: Cluster, cluster_url: tuple[Cluster, str]
) -> None:
    held, url = one.credentials, cluster_url[1]
    acknowledged: list[str] = []
    stop = threading.Event()

    def send(writer: int) -> None:
        n = 0
        while not stop.is_set():
            event = _event(held, f"writer{writer}-{n}")
            n += 1
            body = json.dumps([event]).encode()
            while not stop.is_set():
                reply = call("POST", f"{held.base_url}/track", body=body, headers=JSON)
                assert (reply.status, reply.body) == (200, b"1") or reply.status == 503, (reply.status, reply.body)
                if reply.status == 200:
                    acknowledged.append(event["properties"]["$insert_id"])
                    break
                time.sleep(0.05)

    requests = [_gdpr(held, "in flight").json()["results"]["task_id"]]
    writers = [threading.Thread(target=send, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    for signum in (signal.SIGQUIT, signal.SIGINT, signal.SIGQUIT):
        time.sleep(0.7)
        cluster.stop(signum)
        time.sleep(0.3)
        cluster.start()
    time.sleep(1.0)
    requests.append(_gdpr(held, "after").json()["results"]["task_id"])
    stop.set()
    for writer in writers:
        writer.join(30)
    stored = _stored_marks(url)
    assert len(acknowledged) > 30
    assert not [mark for mark in acknowledged if stored[mark] != 1]

    def done() -> bool:
        states = dict(_rows(url, "SELECT id, state FROM subject_request"))
        return all(states[each] == "done" for each in requests)

    until(done, 30, "both erasures done")
    pulled = Gate(held).get("/v1/audit/entries?limit=10000", held.auditor_token).body.decode().splitlines()
    certified = Counter(entry.get("obj") for line in pulled if (entry := json.loads(line)["entry"])["action"] == _CERTIFIED)
    assert [certified[each] for each in requests] == [1, 1]


# --- SQLite ----------------------------------------------------------------------------------------------------------


def test_sqlite_that_another_process_holds(tmp_path: Path) -> None:
    with installation() as running:
        held = running.credentials
        for name, sender in SENDERS.items():
            _taken(name, sender.ask(held, f"before-{name}"))
        until(lambda: _open_requests(running.database) == 0, 20, "the erasure done")
        with closing(sqlite3.connect(running.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert call("GET", f"{held.base_url}/healthz").status == 200
            _taken("check", SENDERS["check"].ask(held, "locked"))
            writers = [name for name, sender in SENDERS.items() if sender.writes]
            replies = in_threads([lambda name=name: SENDERS[name].ask(held, f"locked-{name}") for name in writers[:7]])
            other.execute("ROLLBACK")
        for name, reply in zip(writers, replies, strict=False):
            _refused_in_its_dialect(name, reply)
        with closing(sqlite3.connect(running.database)) as other:
            stored = [json.loads(row[0])["$insert_id"] for row in other.execute("SELECT properties FROM event")]
        assert stored
        assert [mark for mark in stored if "locked" in mark] == []
        for name, sender in SENDERS.items():
            _taken(name, sender.ask(held, f"locked-{name}"))


def _open_requests(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM subject_request WHERE state IN ('pending', 'running')").fetchone()[0])


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_sqlite_that_cannot_be_written(tmp_path: Path, fault: str) -> None:
    gate = build(tmp_path, None)
    gate.track(gate.event("ada", "before"))
    engine = gate.services.database.engine
    pages = gate.rows("PRAGMA page_count")[0][0]
    pragma = f"PRAGMA max_page_count={pages}" if fault == "full" else "PRAGMA query_only=ON"

    def hinder(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute(pragma)

    sa.event.listen(engine, "checkout", hinder)
    many = [gate.event(f"person{n}", f"hindered{n}", text="x" * 200) for n in range(400)]
    answer = gate.client.post("/track", data={"data": json.dumps(many), "verbose": "1"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.get_json()["status"] == 0
    assert gate.client.get("/healthz").status_code == 200
    if fault == "read-only":
        assert gate.client.get("/readyz").status_code == 503
    sa.event.remove(engine, "checkout", hinder)
    engine.dispose()
    assert [json.loads(row[0])["$insert_id"] for row in gate.rows("SELECT properties FROM event")] == ["before"]
    gate.track(*many)
    assert len(gate.rows("SELECT 1 FROM event")) == 401
    gate.services.close()
