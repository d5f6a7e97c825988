"""What counting detector hits costs ingest: the same batches with and without it, taking turns in one process. One run.

    python -m benchmarks.observe [rounds]

Prints the ratio of the medians for batches of 2,000 events and of one, on SQLite and PostgreSQL. Nothing is asserted.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from app import first_start
from app.bootstrap import Services, bootstrap
from app.database import migrate
from app.ingest.wire import Batch, Controls
from app.observe.counting import Counting, Hits
from app.settings import Settings
from benchmarks.ingest import batch
from tests import servers

_COUNT, _NOTE = Counting.count, Hits.note


def main() -> None:
    """Measure both engines."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as folder:
        measure("sqlite", Path(folder) / "s", None, rounds)
        with servers.postgres() as server:
            measure("postgresql", Path(folder) / "p", server.new_database(), rounds)


def measure(engine: str, folder: Path, url: str | None, rounds: int) -> None:
    """One line for each size of batch."""
    env = {"PORTCULLIS_DATA": str(folder), "PORTCULLIS_EMBEDDED": "1", **({"DATABASE_URL": url} if url else {})}
    settings = Settings.from_env(env)
    first_start.make_data_folder(settings)
    migrate(settings.database_url)
    services = bootstrap(settings)
    token = json.loads(first_start.make_demo_project(services).read_text())["project_token"]
    draw = random.Random(1)
    for size, repeats in ((2_000, rounds), (1, rounds * 20)):
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for number in range(repeats * 2 + 4):
            counted = number % 2 == 0
            took = _timed(services, _events(draw, token, number * 10 + size, size), counted)
            if number >= 4:
                seconds[counted].append(took)
        with_it, without = statistics.median(seconds[True]), statistics.median(seconds[False])
        print(
            f"{engine:12} batch {size:5}: {with_it * 1e3:8.2f} ms with, {without * 1e3:8.2f} ms without, {with_it / without:.3f}"
        )
    services.close()


def _events(draw: random.Random, token: str, number: int, size: int) -> Batch:
    events = json.loads(batch(draw, number))[:size]
    for each in events:
        each["properties"]["token"] = token
    return Batch(events, Controls(), False, (0,) * len(events))


def _timed(services: Services, events: Batch, counted: bool) -> float:
    Counting.count = _COUNT if counted else _nothing  # type: ignore[method-assign, assignment]
    Hits.note = _NOTE if counted else _nothing  # type: ignore[method-assign, assignment]
    began = time.perf_counter()
    services.ingest.track(events)
    return time.perf_counter() - began


def _nothing(*_: Any) -> None:
    """In place of counting."""


if __name__ == "__main__":
    main()
