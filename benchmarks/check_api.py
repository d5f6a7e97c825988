"""`POST /v1/check` for one event, in process: the whole way through WSGI, Flask, credentials, register and gate.

    python -m benchmarks.check_api [requests]

The application is called as a server calls it; nothing of a test client is measured. Every other request is one that does
the least that any request does (`GET /healthz`), so that the machine's mood shows in both. Prints percentiles, how many
statements a request makes, and the share of the gate itself in one run; asserts nothing.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from werkzeug.test import EnvironBuilder

from app import first_start
from app.bootstrap import Services, bootstrap
from app.database import migrate
from app.settings import Settings
from app.web import create_app
from benchmarks.check import events
from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Record, Scope
from policies.pseudonym import PseudonymKey
from tests import servers

_WARM = 200


def main(requests: int = 3_000) -> None:
    """Measure on SQLite, then on PostgreSQL, and print."""
    with tempfile.TemporaryDirectory() as folder, servers.postgres() as server:
        for engine, url in (("SQLite", None), ("PostgreSQL", server.new_database())):
            _report(engine, _measured(Path(folder) / engine, url, requests))


def _report(engine: str, found: dict[str, list[float]]) -> None:
    print(f"{engine}, {found.pop('statements')[0]:.0f} statements a check")
    for label, taken in found.items():
        p50, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
        print(f"  {label:14} p50 {p50 * 1e3:7.3f} ms   p99 {p99 * 1e3:7.3f} ms")


def _measured(folder: Path, url: str | None, requests: int) -> dict[str, list[float]]:
    some = events(3)[:_WARM]
    gate = compile_policy(load(library.text(first_start.DEFAULT_POLICY)))
    context = CheckContext(PseudonymKey(1, bytes(32)), identifiers="exposed")
    records = [Record(Scope.EVENT, event["event"], event["properties"]) for event in some]
    env = {"PORTCULLIS_DATA": str(folder), "PORTCULLIS_EMBEDDED": "1", **({"DATABASE_URL": url} if url else {})}
    settings = Settings.from_env(env)
    first_start.make_data_folder(settings)
    migrate(settings.database_url)
    services = bootstrap(settings)
    held = json.loads(first_start.make_demo_project(services).read_text())
    app = create_app(settings, services)
    ask = _asker(app, [json.dumps({"events": [event]}).encode() for event in some], held["ingest_token"])
    ways: dict[str, Callable[[int], object]] = {
        "POST /v1/check": ask,
        "GET /healthz": _asker(app, [], ""),
        "the gate alone": lambda turn: gate.check((records[turn % len(records)],), context),
    }
    found: dict[str, list[float]] = {label: [] for label in ways}
    for turn in range(-_WARM, requests):
        for label, way in ways.items():
            begin = time.perf_counter()
            way(turn)
            taken = time.perf_counter() - begin
            if turn >= 0:
                found[label].append(taken)
    found["statements"] = [float(_statements(services, lambda: ask(0)))]
    services.close()
    return found


def _asker(app: Callable[..., Any], bodies: list[bytes], token: str) -> Callable[[int], None]:
    """What sends one request; without bodies, for the liveness of the process."""
    path, method = ("/v1/check", "POST") if bodies else ("/healthz", "GET")
    made = EnvironBuilder(path, method=method, headers={"Authorization": f"Bearer {token}"}, content_type="application/json")
    common = {name: value for name, value in made.get_environ().items() if name not in ("CONTENT_LENGTH", "wsgi.input")}
    told: list[str] = []

    def start(status: str, _headers: object, _failure: object = None) -> None:
        told.append(status)

    def ask(turn: int) -> None:
        body = bodies[turn % len(bodies)] if bodies else b""
        answer = app({**common, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}, start)
        b"".join(answer)
        answer.close()
        if not told.pop().startswith("200"):
            raise SystemExit(f"{path} was refused")

    return ask


def _statements(services: Services, action: Callable[[], object]) -> int:
    """How many statements one action makes, transactions not counted."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, text: str, *_more: object) -> None:
        seen.append(text)

    sa.event.listen(services.database.engine, "before_cursor_execute", note)
    action()
    sa.event.remove(services.database.engine, "before_cursor_execute", note)
    return len(seen)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
