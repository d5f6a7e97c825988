"""The clocks of the law: alarms while a request is open, and the report of what was done with requests (11 CCR section 7102).

The moment of the next alarm stands in the row, so a round reads an index and touches only what is due. An alarm is an audit
entry and a metric, once for each level, whatever happens to processes in between.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import InvalidInput
from app.subjects import workflow
from app.subjects.model import Outcome, RequestKind, RequestState, Required
from app.subjects.queue import SYSTEM, as_request
from app.subjects.tables import subject_request
from policies.regimes import level_at, next_alarm

_AT_ONCE = 200
_DAY_MS = 86_400_000


@dataclass(slots=True)
class Figures:
    """Requests of one kind that were received in a period. `days` counts, by whole days begun, how long answers took."""

    received: int = 0
    complied: int = 0
    complied_in_part: int = 0
    denied: int = 0
    withdrawn: int = 0
    open: int = 0
    extended: int = 0
    late: int = 0
    acknowledged_late: int = 0
    days: Counter[int] = field(default_factory=Counter)
    denials: Counter[str] = field(default_factory=Counter)

    @property
    def median_days(self) -> float | None:
        """The median number of days to an answer, None while nothing is answered."""
        return statistics.median(self.days.elements()) if self.days else None

    @property
    def mean_days(self) -> float | None:
        """The mean number of days to an answer, to two places."""
        total = sum(self.days.values())
        return round(sum(day * n for day, n in self.days.items()) / total, 2) if total else None


class Clocks:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(self, database: Database, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def round(self) -> int:
        """Tell of every request that has used up 50, 75, 90 or all of its time since the last round; returns how many."""
        told = 0
        while n := self._some():
            told += n
        return told

    def _some(self) -> int:
        now = self._clock()
        due = sa.select(subject_request).where(subject_request.c.next_alarm_ms <= now).limit(_AT_ONCE)
        with self._database.write() as tx:
            rows = tx.execute(due.with_for_update(skip_locked=True)).all()
            for row in rows:
                request = as_request(row)
                level = level_at(request.created_ms, request.deadline_ms, now)
                follows = next_alarm(request.created_ms, request.deadline_ms, level)
                mine = subject_request.c.id == request.id
                tx.execute(sa.update(subject_request).where(mine).values(alarm_level=level, next_alarm_ms=follows))
                if level <= request.alarm_level:
                    continue
                facts = {
                    "kind": request.kind.value,
                    "regime": request.compliance_type,
                    "state": request.state.value,
                    "level": f"{level}%",
                }
                entry = Entry(AuditAction.REQUEST_ALARM, request.project_id, SYSTEM, now, obj=request.id, facts=facts)
                self._audit.stage(tx, entry)
        return len(rows)

    def report(self, by: Principal, first: date, last: date, regime: str) -> Mapping[RequestKind, Figures]:
        """What became of the requests received from `first` to `last`, both included (UTC), under one regime.

        Days are counted from receipt to the answer, or to the end of the work where answers are not recorded. Memory does not
        grow with the requests. Raises `InvalidInput` when `last` is before `first`.
        """
        if last < first:
            raise InvalidInput("to_date is before from_date", field="to_date", remedy="name the first day first")
        figures: dict[RequestKind, Figures] = {}
        mine = sa.and_(
            subject_request.c.project_id == by.project.id,
            subject_request.c.compliance_type == regime,
            subject_request.c.created_ms >= _start_of(first),
            subject_request.c.created_ms < _start_of(last + timedelta(days=1)),
        )
        now = self._clock()
        with self._database.read() as tx:
            for row in tx.execute(sa.select(*_REPORTED).where(mine), execution_options={"yield_per": 1_000}):
                _count(figures.setdefault(RequestKind(row.kind), Figures()), row, now)
        counts = {kind.value: each.received for kind, each in figures.items()}
        facts = {"regime": regime, "from": first.isoformat(), "to": last.isoformat()}
        with self._database.write() as tx:
            entry = Entry(AuditAction.REQUESTS_REPORTED, by.project.id, by.id, now, counts=counts, facts=facts)
            self._audit.stage(tx, entry)
        return dict(sorted(figures.items()))


_REPORTED = tuple(
    subject_request.c[name]
    for name in (
        *("kind", "state", "outcome", "reason", "required", "created_ms", "deadline_ms", "finished_ms", "answered_ms"),
        *("extended_ms", "acknowledge_due_ms", "acknowledged_ms"),
    )
)


def _count(figures: Figures, row: sa.Row[tuple[object, ...]], now_ms: int) -> None:
    figures.received += 1
    figures.extended += row.extended_ms is not None
    running = workflow.clock_runs(RequestState(row.state), {Required(each) for each in row.required.split(",") if each})
    ended = now_ms if running else (row.answered_ms or row.finished_ms or now_ms)
    figures.late += ended > row.deadline_ms and row.state != RequestState.CANCELLED
    # Whoever has the answer needs no receipt.
    confirmed = min(row.acknowledged_ms or ended, ended)
    figures.acknowledged_late += row.acknowledge_due_ms is not None and confirmed > row.acknowledge_due_ms
    if row.state == RequestState.CANCELLED:
        figures.withdrawn += 1
        return
    if running:
        figures.open += 1
        return
    figures.days[-(-(ended - row.created_ms) // _DAY_MS)] += 1
    figures.complied += row.outcome == Outcome.COMPLETE
    figures.complied_in_part += row.outcome == Outcome.PARTIAL
    if row.outcome == Outcome.REFUSED:
        figures.denied += 1
        figures.denials[row.reason or "nothing_done"] += 1


def _start_of(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
