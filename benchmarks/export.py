"""The raw export against a bare cursor whose rows are written as JSON, on both engines. One run.

    python -m benchmarks.export [events]

Prints rows per second and ratios; the ratios are what counts. "bare" reads the same rows of the same table and encodes
them, uids and all: what no reader may be given. Nothing is asserted.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from app.access.roles import Role
from app.access.service import Kind, Principal
from app.bootstrap import Services
from app.database import migrate
from app.events.port import EventRow
from app.identity import register
from app.query.params import export_params
from tests.installation import installed
from tests.servers import postgres

NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1000
DAYS = {"from_date": "2026-03-01", "to_date": "2026-03-01"}
WHERE = {
    "a tenth by where": 'properties["seats"] < 5',
    "all by where": 'properties["seats"] >= 0 and defined(properties["plan"])',
}
_PEOPLE = 2_000
_ROUNDS = 3


def main(events: int = 60_000) -> None:
    """Measure and print."""
    for name, place in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        with place() as services:
            by = _filled(services, events)
            ways: dict[str, Callable[[], int]] = {"bare cursor": lambda by=by, at=services: _bare(at, by)}  # type: ignore[misc]
            for label, where in {"export": None, **WHERE}.items():
                ways[label] = lambda by=by, where=where, at=services: _export(at, by, where)  # type: ignore[misc]
            _report(name, events, ways)


def _report(name: str, events: int, ways: dict[str, Callable[[], int]]) -> None:
    seconds: dict[str, list[float]] = {each: [] for each in ways}
    handed: dict[str, int] = {}
    for _ in range(_ROUNDS):
        for each, run in ways.items():
            began = time.perf_counter()
            handed[each] = run()
            seconds[each].append(time.perf_counter() - began)
    bare = statistics.median(seconds["bare cursor"])
    print(f"{name}, {events:,} events")
    for each, taken in seconds.items():
        median = statistics.median(taken)
        print(f"  {each:18} {events / median:10,.0f} rows read/s  {handed[each]:7,} handed out  {median / bare:5.2f} x bare")


def _export(services: Services, by: Principal, where: str | None) -> int:
    asked = export_params({**DAYS, **({} if where is None else {"where": where})})
    return sum(chunk.count(b"\n") for chunk in services.query.export(by, asked))


def _bare(services: Services, by: Principal) -> int:
    wanted = sa.text("SELECT time_ms, uid, name, properties FROM event WHERE project_id = :p ORDER BY time_ms, dedup")
    lines = 0
    with services.database.read() as tx, tx.execution_options(yield_per=1_000).execute(wanted, {"p": by.project.id}) as rows:
        for time_ms, uid, name, properties in rows:
            held = {"time": time_ms // 1000, "distinct_id": uid, **json.loads(properties)}
            msgspec.json.encode({"event": name, "properties": held})
            lines += 1
    return lines


def _filled(services: Services, events: int) -> Principal:
    draw = random.Random(11)
    with services.database.write() as tx:
        project = services.access.create_project(tx, "export", actor="benchmark")
        secret = services.access.create_principal(tx, project.id, Kind.BEARER, Role.PIPELINE, actor="benchmark").secret
        people = register.enrol(tx, services.keyring.of(tx, project.id), [f"person-{i}" for i in range(_PEOPLE)], NOON)
        uids = [row.uid or 0 for row in people.values()]
        for start in range(0, events, 5_000):
            rows = [_row(draw, uids, n) for n in range(start, min(start + 5_000, events))]
            services.stores.of(None).append(tx, project.id, rows)
    with services.database.read() as tx:
        return services.access.bearer(tx, secret)


def _row(draw: random.Random, uids: list[int], number: int) -> EventRow:
    uid = draw.choice(uids)
    # As the gate writes it: the uid first, and no space.
    properties = {"$user_id": uid, "plan": draw.choice(["free", "pro"]), "note": "x" * 120, "seats": draw.randrange(50)}
    return EventRow(NOON + number * 100, number, uid, "View", msgspec.json.encode(properties).decode(), 1, NOON)


@contextmanager
def _sqlite() -> Iterator[Services]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/portcullis.db"
        migrate(url)
        with installed(url, Path(folder)) as home:
            yield home.services


@contextmanager
def _postgres() -> Iterator[Services]:
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        url = server.new_database(migrate)
        with installed(url, Path(folder)) as home:
            yield home.services


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:2]))
