"""`/import` through HTTP with the shipped policy, against the same without policy and against the bare store. One run.

    python -m benchmarks.ingest [batches]

Prints events per second and ratios; the ratios are what counts. The two policies take turns, so that a machine whose
speed drifts treats them alike. Nothing is asserted.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import signal
import statistics
import string
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app import first_start
from app.access.roles import Role
from app.access.service import Kind
from app.bootstrap import Services, bootstrap
from app.database import migrate
from app.events.port import EventRow
from app.settings import Settings
from tests import servers
from tests.e2e.installation import free_port

EVENTS = 2_000
PASS_THROUGH = """
policy: pass-through
description: No rule and no detector; what is measured is everything else.
unknown_properties: allow
detectors: keep
rules: []
"""


_ALPHANUMERIC = string.ascii_letters + string.digits


def batch(draw: random.Random, number: int) -> bytes:
    """2,000 events of about 12 properties; 8 in 100 hold an e-mail address in free text."""
    now = int(time.time())
    events = []
    for i in range(EVENTS):
        note = f"write to p{draw.randrange(10**6)}@mail.example" if draw.random() < 0.08 else "thanks for the quick answer"
        properties: dict[str, Any] = {
            "distinct_id": f"user-{int(draw.paretovariate(1.1)) % 100_000}",
            "$insert_id": _insert_id(draw, number, i),
            "time": now - draw.randrange(86_400),
            "note": note,
            "plan": draw.choice(["free", "pro", "team"]),
            "price": round(draw.random() * 100, 2),
            "$browser": "Firefox",
            "$os": "Linux",
            "$screen_width": 1920,
            "page": f"/docs/{draw.randrange(500)}",
            "seats": draw.randrange(50),
            "trial": draw.random() < 0.5,
        }
        events.append({"event": draw.choice(["View", "Click", "Order"]), "properties": properties})
    return json.dumps(events).encode()


def _insert_id(draw: random.Random, number: int, i: int) -> str:
    """What SDKs send: 32 hexadecimal digits (Python), a UUID (Node, Go, Java), 22 letters and digits (browsers); and in one
    event of fifty what somebody made up."""
    kind = i % 50
    if kind == 0:
        return f"b{number}-{i}-{draw.randrange(10**9)}"
    if kind < 20:
        return "".join(draw.choices(_ALPHANUMERIC, k=22))
    made = uuid.UUID(int=draw.getrandbits(128), version=4)
    return made.hex if kind < 35 else str(made)


def main() -> None:
    """Measure SQLite, then PostgreSQL."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        report["sqlite"] = measure(Path(folder) / "s", None, rounds)
        with servers.postgres() as server:
            report["postgresql"] = measure(Path(folder) / "p", server.new_database(), rounds)
    print(f"{'':12}{'policy ev/s':>14}{'without ev/s':>14}{'bare store':>14}{'policy/without':>16}{'policy/bare':>13}")
    for engine, found in report.items():
        print(
            f"{engine:12}{found['policy']:>14,.0f}{found['without']:>14,.0f}{found['bare']:>14,.0f}"
            f"{found['ratio']:>16.2f}{found['policy'] / found['bare']:>13.2f}"
        )
    print(json.dumps(report))


def measure(folder: Path, url: str | None, rounds: int) -> dict[str, float]:
    """Median events per second of each way over `rounds` turns, and the median ratio of policy to without in a turn."""
    port = free_port()
    env = {
        "PORTCULLIS_DATA": str(folder),
        "PORTCULLIS_EMBEDDED": "1",
        "PORT": str(port),
        **({"DATABASE_URL": url} if url else {}),
    }
    settings = Settings.from_env(env)
    first_start.make_data_folder(settings)
    migrate(settings.database_url)
    services = bootstrap(settings)
    shipped = json.loads(first_start.make_demo_project(services).read_text())
    secrets = {"policy": shipped["api_secret"], "without": _second_project(services)}
    seconds: dict[str, list[float]] = {"policy": [], "without": [], "bare": []}
    draw = random.Random(7)
    with _served(env, port):
        for number in range(rounds + 2):
            for way in ("policy", "without") if number % 2 else ("without", "policy"):
                taken = _post(port, secrets[way], batch(draw, number))
                if number >= 2:
                    seconds[way].append(taken)
            if number >= 2:
                seconds["bare"].append(_bare(services, draw))
    services.close()
    pairs = zip(seconds["policy"], seconds["without"], strict=True)
    found = {way: EVENTS / statistics.median(taken) for way, taken in seconds.items()}
    # Of neighbours in time: what else the machine does then is much the same for both.
    return {**found, "ratio": statistics.median(without / policy for policy, without in pairs)}


def _second_project(services: Services) -> str:
    with services.database.write() as tx:
        made = services.access.create_project(tx, "without", actor="benchmark")
        version = services.rulebook.add(tx, made.id, PASS_THROUGH, author="benchmark")
        services.rulebook.activate(tx, made.id, version.version, actor="benchmark")
        return services.access.create_principal(tx, made.id, Kind.PROJECT_SECRET, Role.PIPELINE, actor="benchmark").secret


def _post(port: int, secret: str, body: bytes) -> float:
    headers = {
        "Content-Type": "application/json",
        "Authorization": "Basic " + base64.b64encode(f"{secret}:".encode()).decode(),
    }
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/import?strict=1", body, headers)
    answer = connection.getresponse()
    told = answer.read()
    taken = time.perf_counter() - began
    connection.close()
    if answer.status != 200 or json.loads(told)["num_records_imported"] != EVENTS:
        raise SystemExit(f"the import was answered {answer.status}: {told[:200]!r}")
    return taken


def _bare(services: Services, draw: random.Random) -> float:
    now = time.time_ns() // 1_000_000
    text = json.dumps({"plan": "pro", "note": "x" * 180, "page": "/docs/1", "seats": 3})
    rows = [
        EventRow(now - draw.randrange(86_400_000), draw.randrange(2**62), draw.randrange(2**62), "View", text, 1, now)
        for _ in range(EVENTS)
    ]
    began = time.perf_counter()
    with services.database.write() as tx:
        services.stores.of(None).append(tx, 99, rows)
    return time.perf_counter() - began


@contextmanager
def _served(env: dict[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env={**os.environ, **env}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with suppress(OSError):
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


if __name__ == "__main__":
    main()
