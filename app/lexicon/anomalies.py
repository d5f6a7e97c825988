"""Volume anomalies: a day on which an event came far more or far less often than on the same weekday before.

The expected volume is the median of the same weekday in the last eight weeks, the spread its median absolute deviation
(Iglewicz and Hoaglin 1993, with their factor 1.4826 and limit 3.5), which a single odd week does not move.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.audit.entry import AuditAction, Entry as AuditEntry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, NotFound
from app.lexicon.model import Editor, Kind
from app.lexicon.names import UNNAMED
from app.lexicon.sightings import utc_day
from app.lexicon.tables import lexicon_anomaly, lexicon_volume

WEEKS = 8
_FEWEST_WEEKS = 4
_LEAST = 100
_LIMIT = 3.5
_SCALE = 1.4826
# Never for less than half of what is expected (wire section 17), however steady an event was before.
_SHARE = 0.5
_MOST_EVENTS = 1_000
KEPT_DAYS = 190
_SETTLED_MS = 600_000
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a weekday used to bring: the median, and how far from it is still usual."""

    n: int
    spread: int


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One odd day of one event. `state` is open or acknowledged; `day` is a UTC date."""

    id: str
    name: str = field(repr=False)
    day: str
    n: int
    expected: int
    spread: int
    state: str
    opened_ms: int
    decided_ms: int | None
    decided_by: str | None


def odd(history: Sequence[int], n: int) -> Expected | None:
    """What was expected, when `n` is out of all proportion to the same weekday before; else None. Pure."""
    if len(history) < _FEWEST_WEEKS:
        return None
    usual = median(history)
    if usual < _LEAST:
        return None
    deviation = median(abs(each - usual) for each in history)
    spread = max(_LIMIT * _SCALE * deviation, _SHARE * usual)
    return Expected(round(usual), round(spread)) if abs(n - usual) > spread else None


class Anomalies:
    """Anomalies of every project. Stateless but for its dependencies."""

    def __init__(self, database: Database, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._looked: str | None = None

    def round(self) -> int:
        """Look at the last whole UTC day, a while after it is over, and forget volumes that nothing asks for any more.

        Returns how many were opened. Safe to run twice, and anywhere: an anomaly exists once.
        """
        now = self._clock()
        if self._looked == utc_day(now):
            return 0
        today = date.fromisoformat(utc_day(now))
        with self._database.write() as tx:
            old = (today - timedelta(days=KEPT_DAYS)).isoformat()
            tx.execute(sa.delete(lexicon_volume).where(lexicon_volume.c.day < old))
        with self._database.read() as tx:
            projects = list(tx.execute(sa.select(lexicon_volume.c.project_id).distinct()).scalars())
        opened = sum(self._look(project_id, today - timedelta(days=1)) for project_id in projects)
        # Counts wait in the memory of web processes for some seconds: the first minutes of a day look again.
        self._looked = utc_day(now - _SETTLED_MS)
        return opened

    def _look(self, project_id: int, day: date) -> int:
        with self._database.read() as tx:
            series = _series(tx, project_id, day)
        found = [(name, n, expected) for name, (n, past) in series.items() if (expected := odd(past, n))]
        opened = 0
        for name, n, expected in found:
            with self._database.write() as tx:
                opened += self._open(tx, project_id, name, day, n, expected)
        return opened

    def _open(self, tx: Connection, project_id: int, name: str, day: date, n: int, expected: Expected) -> bool:
        insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
        made = {
            "id": secrets.token_hex(8),
            "project_id": project_id,
            "name": name,
            "day": day.isoformat(),
            "n": n,
            "expected": expected.n,
            "spread": expected.spread,
            "state": "open",
            "opened_ms": self._clock(),
        }
        rows = insert(lexicon_anomaly).values(made).on_conflict_do_nothing().returning(lexicon_anomaly.c.id)
        if tx.execute(rows).first() is None:
            return False
        counts = {"n": n, "expected": expected.n, "spread": expected.spread}
        self._stage(tx, AuditAction.LEXICON_ANOMALY_OPENED, project_id, _SYSTEM, str(made["id"]), counts, day.isoformat())
        structlog.get_logger().warning("volume_anomaly", project_id=project_id, anomaly_id=made["id"])
        return True

    def of(self, project_id: int, limit: int = 1_000) -> list[Anomaly]:
        """The anomalies of a project, newest first."""
        wanted = sa.select(lexicon_anomaly).where(lexicon_anomaly.c.project_id == project_id)
        key = (lexicon_anomaly.c.day.desc(), lexicon_anomaly.c.name)
        with self._database.read() as tx:
            return [_anomaly(row) for row in tx.execute(wanted.order_by(*key).limit(limit))]

    def acknowledge(self, project_id: int, by: Editor, anomaly_id: str) -> Anomaly:
        """Say that somebody knows. Raises `NotFound`, or `Conflict` when somebody did already."""
        mine = sa.and_(lexicon_anomaly.c.id == anomaly_id, lexicon_anomaly.c.project_id == project_id)
        values = {"state": "acknowledged", "decided_ms": self._clock(), "decided_by": by.id}
        with self._database.write() as tx:
            done = tx.execute(sa.update(lexicon_anomaly).where(mine, lexicon_anomaly.c.state == "open").values(values)).rowcount
            row = tx.execute(sa.select(lexicon_anomaly).where(mine)).first()
            if row is None:
                raise NotFound("no such anomaly", field="id", remedy="list them with GET /v1/lexicon/anomalies")
            if not done:
                raise Conflict("the anomaly is acknowledged already", remedy="nothing is left to do")
            self._stage(tx, AuditAction.LEXICON_ANOMALY_ACKNOWLEDGED, project_id, by.id, anomaly_id, {}, row.day)
        return _anomaly(row)

    def _stage(
        self, tx: Connection, action: AuditAction, project_id: int, actor: str, anomaly_id: str, counts: dict[str, int], day: str
    ) -> None:
        obj, now = f"anomaly/{anomaly_id}", self._clock()
        self._audit.stage(tx, AuditEntry(action, project_id, actor, now, obj, None, counts, {"day": day}))


def _series(tx: Connection, project_id: int, day: date) -> dict[str, tuple[int, list[int]]]:
    """Of the busiest events: how often each came on this day, and on the same weekday of the weeks before.

    A week in which it did not come counts as 0 once it had come at all.
    """
    v = lexicon_volume.c
    days = [(day - timedelta(weeks=back)).isoformat() for back in range(WEEKS + 1)]
    mine = sa.and_(v.project_id == project_id, v.kind == Kind.EVENT.value, v.name != UNNAMED, v.day.in_(days))
    busiest = sa.select(v.name).where(mine).group_by(v.name).order_by(sa.func.sum(v.n).desc(), v.name).limit(_MOST_EVENTS)
    rows = tx.execute(sa.select(v.name, v.day, v.n).where(mine, v.name.in_(busiest)))
    counts: dict[str, dict[str, int]] = {}
    for name, on, n in rows:
        counts.setdefault(name, {})[on] = int(n)
    first = {name: min(each) for name, each in counts.items()}
    return {
        name: (each.get(days[0], 0), [each.get(on, 0) for on in days[1:] if on >= first[name]]) for name, each in counts.items()
    }


def _anomaly(row: Any) -> Anomaly:
    return Anomaly(**{name: getattr(row, name) for name in Anomaly.__dataclass_fields__})
