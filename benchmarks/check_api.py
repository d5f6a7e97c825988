"""`POST /v1/check` for one event, in process: the whole way through Flask, credentials, register and gate.

    python -m benchmarks.check_api [requests]

Prints percentiles and the share of the gate itself in one run; asserts nothing.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from app import first_start
from app.bootstrap import bootstrap
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


def main(requests: int = 3_000) -> None:
    """Measure on the embedded default and print."""
    some = events(3)[:200]
    bodies = [json.dumps({"events": [event]}) for event in some]
    gate = compile_policy(load(library.text(first_start.DEFAULT_POLICY)))
    context = CheckContext(PseudonymKey(1, bytes(32)), identifiers="exposed")
    records = [Record(Scope.EVENT, event["event"], event["properties"]) for event in some]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_env({"PORTCULLIS_DATA": str(Path(folder) / "d"), "PORTCULLIS_EMBEDDED": "1"})
        first_start.make_data_folder(settings)
        migrate(settings.database_url)
        services = bootstrap(settings)
        held = json.loads(first_start.make_demo_project(services).read_text())
        client = create_app(settings, services).test_client()
        headers = {"Authorization": f"Bearer {held['ingest_token']}", "Content-Type": "application/json"}

        def ask(turn: int) -> None:
            answer = client.post("/v1/check", data=bodies[turn % len(bodies)], headers=headers)
            if answer.status_code != 200:
                raise SystemExit(f"answered {answer.status_code}: {answer.get_data(as_text=True)[:200]}")

        whole = _times(ask, requests)
        alone = _times(lambda turn: gate.check((records[turn % len(records)],), context), requests)
        services.close()
    for label, found in (("POST /v1/check, one event", whole), ("the gate alone", alone)):
        p50, p99 = statistics.median(found), statistics.quantiles(found, n=100)[98]
        print(f"{label:28} p50 {p50 * 1e3:7.3f} ms   p99 {p99 * 1e3:7.3f} ms")
    print(f"the gate's share of the median: {statistics.median(alone) / statistics.median(whole):.2f}")


def _times(action: Callable[[int], object], rounds: int) -> list[float]:
    for turn in range(200):
        action(turn)
    found = []
    for turn in range(rounds):
        begin = time.perf_counter()
        action(turn)
        found.append(time.perf_counter() - begin)
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
