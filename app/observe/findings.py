"""Findings: a property starts to carry personal data. Raised by a periodic round over the counters, decided by an officer.

A round looks at two windows: the last ten minutes, so that what starts now is seen within five, and the last day, for what
is rare. A property is carrying from `SHARE` of the records and `HITS` hits on, and no longer once its share is below half of
that in both. There is one finding a property and detector. One that was mended opens again when the share is reached
anew, counting from after it was mended. One that is expected keeps quiet for a number of days; then that judgement is
forgotten, and a property that still carries is a new finding.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, NotFound
from app.observe.counting import BUCKET_MS
from app.observe.tables import finding, observation
from policies.model import Detector, Scope
from policies.proposal import for_detector, rule_text

SHARE = 0.01
HITS = 5
_SHORT_MS = BUCKET_MS
_LONG_MS = 24 * 3_600_000
_KEPT_MS = 7 * 24 * 3_600_000
_MENDED_KEPT_MS = 90 * 24 * 3_600_000
_MOST_A_ROUND = 200
_MOST_OPEN = 1_000
_SYSTEM = "system"
_KEY = ("project_id", "scope", "event", "path", "detector")


class FindingState(StrEnum):
    """Where a finding is. The last two end it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MENDED = "mended"
    EXPECTED = "expected"


_UNDECIDED = (FindingState.OPEN.value, FindingState.ACKNOWLEDGED.value)


@dataclass(frozen=True, slots=True)
class Finding:
    """A property in which a detector finds something. `event` is empty for profiles; `hits` of `records` are those of the
    window in which it was last seen carrying."""

    id: str
    scope: Scope
    event: str = field(repr=False)
    path: str = field(repr=False)
    detector: Detector
    state: FindingState
    carrying: bool
    hits: int
    records: int
    first_seen_ms: int
    last_seen_ms: int
    opened_ms: int
    decided_ms: int | None
    decided_by: str | None

    @property
    def share(self) -> float:
        """The share of the records of the event, 0 to 1."""
        return min(self.hits / max(self.records, 1), 1.0)

    @property
    def proposed_rule(self) -> str | None:
        """A rule that names the property, for the list under `rules:`; None where no rule can."""
        proposal = for_detector(self.scope, self.event, self.path, self.detector, self.share)
        return None if proposal is None else rule_text(proposal)


class Findings:
    """Findings of every project. Stateless but for its dependencies."""

    def __init__(self, database: Database, audit: AuditLog, clock: Callable[[], int], expected_ms: int) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._expected_ms = expected_ms

    # --- the round ---------------------------------------------------------------------------------------------------

    def round(self, *, long: bool = True) -> int:
        """Open, follow and reopen findings; with `long` also look at the last day and forget counts of last week.

        Returns how many were opened. Safe to run twice, and anywhere: a finding exists once.
        """
        opened = self._look(_SHORT_MS)
        if long:
            opened += self._look(_LONG_MS)
            self._let_go()
            with self._database.write() as tx:
                tx.execute(sa.delete(observation).where(observation.c.bucket_ms < self._clock() - _KEPT_MS))
        return opened

    def _look(self, window_ms: int) -> int:
        since = _bucket(self._clock() - window_ms)
        with self._database.read() as tx:
            found = tx.execute(_carriers(since, SHARE, HITS).limit(_MOST_A_ROUND)).all()
            carriers = [each for each in found if _is_news(tx, each)]
        opened = 0
        for each in carriers:
            with self._database.write() as tx:
                opened += self._carries(tx, each)
        return opened

    def _carries(self, tx: Connection, seen: Any) -> bool:
        """Open, follow or reopen the finding of one property. True when it is open now and was not before."""
        now = self._clock()
        values = {"hits": seen.hits, "records": seen.records, "last_seen_ms": seen.last_ms, "carrying": True}
        mine = sa.and_(*(finding.c[name] == getattr(seen, name) for name in _KEY))
        held = tx.execute(sa.select(finding).where(mine)).first()
        if held is None:
            return self._open(tx, seen, values, now)
        if held.state == FindingState.EXPECTED.value:
            return False
        if held.state == FindingState.MENDED.value:
            again = tx.execute(_carriers(_bucket(held.decided_ms) + BUCKET_MS, SHARE, HITS, seen)).first()
            if again is None:
                return False
            values |= {"state": FindingState.OPEN.value, "opened_ms": now, "hits": again.hits, "records": again.records}
        tx.execute(sa.update(finding).where(mine, finding.c.state == held.state).values(values))
        if held.state == FindingState.MENDED.value:
            self._tell(tx, held.id, seen)
            return True
        return False

    def _open(self, tx: Connection, seen: Any, values: dict[str, Any], now: int) -> bool:
        held = sa.select(sa.func.count()).where(finding.c.project_id == seen.project_id, finding.c.state.in_(_UNDECIDED))
        if tx.execute(held).scalar_one() >= _MOST_OPEN:
            structlog.get_logger().warning("too_many_findings", project_id=seen.project_id)
            return False
        key = {name: getattr(seen, name) for name in _KEY}
        of_key = sa.and_(*(observation.c[name] == value for name, value in key.items()))
        first = tx.execute(sa.select(sa.func.min(observation.c.bucket_ms)).where(of_key)).scalar()
        made = {
            "id": secrets.token_hex(8),
            "state": FindingState.OPEN.value,
            "first_seen_ms": first or now,
            "opened_ms": now,
            **key,
            **values,
        }
        insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
        if tx.execute(insert(finding).values(made).on_conflict_do_nothing().returning(finding.c.id)).first() is None:
            return False
        self._tell(tx, str(made["id"]), seen)
        return True

    def _tell(self, tx: Connection, finding_id: str, seen: Any) -> None:
        counts, facts = {"hits": seen.hits, "records": seen.records}, {"detector": seen.detector}
        entry = Entry(
            AuditAction.FINDING_OPENED, seen.project_id, _SYSTEM, self._clock(), f"finding/{finding_id}", None, counts, facts
        )
        self._audit.stage(tx, entry)
        structlog.get_logger().warning(
            "finding_opened", project_id=seen.project_id, finding_id=finding_id, detector=seen.detector
        )

    def _let_go(self) -> None:
        """Say of what is below half the threshold that it carries nothing any more. It stays until somebody decides."""
        with self._database.write() as tx:
            for held in tx.execute(sa.select(finding).where(finding.c.carrying, finding.c.state.in_(_UNDECIDED))).all():
                windows = (_bucket(self._clock() - each) for each in (_SHORT_MS, _LONG_MS))
                if not any(tx.execute(_carriers(since, SHARE / 2, 1, held)).first() for since in windows):
                    tx.execute(sa.update(finding).where(finding.c.id == held.id).values(carrying=False))

    # --- the officer -------------------------------------------------------------------------------------------------

    def of(self, by: Principal, state: FindingState | None = None) -> list[Finding]:
        """The findings of the caller's project, newest first."""
        wanted = sa.select(finding).where(finding.c.project_id == by.project.id)
        if state is not None:
            wanted = wanted.where(finding.c.state == state.value)
        with self._database.read() as tx:
            rows = tx.execute(wanted.order_by(finding.c.opened_ms.desc(), finding.c.id).limit(_MOST_OPEN)).all()
        return [_finding(row) for row in rows]

    def expire(self) -> int:
        """Delete findings mended over 90 days ago, and those called expected for as long as that holds; returns how many.

        What ends the quiet around an expected finding stands in the audit log: a round may open it anew.
        """
        with self._database.write() as tx:
            mended = tx.execute(self._decided(FindingState.MENDED, _MENDED_KEPT_MS)).rowcount
            gone = self._decided(FindingState.EXPECTED, self._expected_ms)
            expected = tx.execute(gone.returning(finding.c.id, finding.c.project_id, finding.c.detector)).all()
            for each in expected:
                facts = {"outcome": FindingState.EXPECTED.value, "detector": each.detector}
                entry = Entry(
                    AuditAction.FINDING_EXPIRED, each.project_id, _SYSTEM, self._clock(), obj=f"finding/{each.id}", facts=facts
                )
                self._audit.stage(tx, entry)
        return mended + len(expected)

    def _decided(self, state: FindingState, kept_ms: int) -> sa.Delete:
        return sa.delete(finding).where(finding.c.state == state.value, finding.c.decided_ms <= self._clock() - kept_ms)

    def acknowledge(self, by: Principal, finding_id: str) -> Finding:
        """Say that somebody looks after it. Raises `NotFound`, or `Conflict` when it is decided already."""
        return self._decide(by, finding_id, FindingState.ACKNOWLEDGED, AuditAction.FINDING_ACKNOWLEDGED)

    def resolve(self, by: Principal, finding_id: str, outcome: FindingState) -> Finding:
        """End it: MENDED, and it opens again if it comes back; EXPECTED, and it does not for a while. Raises as `acknowledge`."""
        return self._decide(by, finding_id, outcome, AuditAction.FINDING_RESOLVED)

    def _decide(self, by: Principal, finding_id: str, state: FindingState, action: AuditAction) -> Finding:
        mine = sa.and_(finding.c.id == finding_id, finding.c.project_id == by.project.id)
        values = {"state": state.value, "decided_ms": self._clock(), "decided_by": by.id}
        with self._database.write() as tx:
            changed = tx.execute(sa.update(finding).where(mine, finding.c.state.in_(_UNDECIDED)).values(values)).rowcount
            row = tx.execute(sa.select(finding).where(mine)).first()
            if row is None:
                raise NotFound("no such finding", field="id", remedy="list them with GET /v1/findings")
            if not changed:
                raise Conflict(f"the finding is {row.state} already", remedy="it opens again by itself if it comes back")
            facts = {"outcome": state.value, "detector": row.detector}
            entry = Entry(action, by.project.id, by.id, self._clock(), obj=f"finding/{finding_id}", facts=facts)
            self._audit.stage(tx, entry)
        return _finding(row)


def _is_news(tx: Connection, seen: Any) -> bool:
    """Whether the finding of this property has anything to learn. Most rounds have nothing to write."""
    mine = sa.and_(*(finding.c[name] == getattr(seen, name) for name in _KEY))
    held = tx.execute(sa.select(finding).where(mine)).first()
    if held is None:
        return True
    known = (held.hits, held.records, held.last_seen_ms, held.carrying)
    return held.state != FindingState.EXPECTED.value and known != (seen.hits, seen.records, seen.last_ms, True)


def _bucket(at_ms: int) -> int:
    return at_ms - at_ms % BUCKET_MS


def _carriers(since_ms: int, share: float, hits: int, one: Any = None) -> sa.Select[Any]:
    """Properties whose hits since `since_ms` reach both; only that of `one`, when it is given."""
    found, everything = observation.alias("found"), observation.alias("everything")
    event = ("project_id", "scope", "event")
    some = [] if one is None else [found.c[name] == getattr(one, name) for name in _KEY]
    n = sa.cast(sa.func.sum(found.c.n), sa.BigInteger).label("hits")
    last = sa.func.max(found.c.bucket_ms).label("last_ms")
    per_property = (
        sa.select(*(found.c[name] for name in _KEY), n, last)
        .where(found.c.bucket_ms >= since_ms, found.c.detector != "", *some)
        .group_by(*(found.c[name] for name in _KEY))
        .having(n >= hits)
        .subquery()
    )
    records = (
        sa.select(sa.cast(sa.func.sum(everything.c.n), sa.BigInteger))
        .where(everything.c.bucket_ms >= since_ms, everything.c.detector == "", everything.c.path == "")
        .where(*(everything.c[name] == per_property.c[name] for name in event))
        .scalar_subquery()
    )
    with_records = sa.select(*per_property.c, records.label("records")).subquery()
    enough = with_records.c.hits * 1_000 >= with_records.c.records * round(share * 1_000)
    return sa.select(*with_records.c).where(enough).order_by(with_records.c.hits.desc())


def _finding(row: Any) -> Finding:
    fields = {name: getattr(row, name) for name in Finding.__dataclass_fields__}
    fields |= {"scope": Scope(row.scope), "detector": Detector(row.detector), "state": FindingState(row.state)}
    return Finding(**fields)
