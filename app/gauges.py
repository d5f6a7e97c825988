"""Gauges that are true of the installation and not of one process, read from SQL when asked for. Labels are closed lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.engine import Connection

from app.access.tables import principal, project
from app.audit.tables import audit_staging
from app.database import Database
from app.deletions.tables import data_deletion
from app.errors import PortcullisError
from app.events.tables import retention_mark, retention_turn
from app.keys.tables import wrapped_key
from app.lexicon.tables import lexicon_anomaly, lexicon_entry, lexicon_project
from app.observe.tables import finding
from app.reimport.tables import reimport
from app.subjects.tables import legal_hold, subject_request
from app.upstream.tables import errand, outgoing, upstream

_NAMED_PROJECTS = 50


class FromSql(Collector):
    """What every question of `_QUESTIONS` answers, in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """The families, or none when the database went away after the scrape was let in, which needs it."""
        try:
            with self._database.read() as tx:
                families = [each for ask in _QUESTIONS for each in ask(tx)]
        except PortcullisError:
            return
        yield from families


def _requests(tx: Connection) -> Iterator[Metric]:
    of = subject_request.c
    family = GaugeMetricFamily("portcullis_subject_requests", "Subject requests by kind and state.", labels=("kind", "state"))
    yield _grouped(tx, family, of.kind, of.state)
    means = "Requests on the clock of the law, by regime and per cent of the time that an alarm told of."
    clocks = GaugeMetricFamily("portcullis_requests_waiting", means, labels=("regime", "used"))
    answered = of.state.in_(("answered", "cancelled", "done", "rejected"))
    late = sa.and_(of.alarm_level == 100, sa.not_(answered))
    yield _grouped(tx, clocks, of.compliance_type, of.alarm_level, where=sa.or_(of.next_alarm_ms.is_not(None), late))
    standing = _count(tx, legal_hold, legal_hold.c.lifted_ms.is_(None))
    yield _single("portcullis_legal_holds", "Legal holds in force.", standing)


def _keys(tx: Connection) -> Iterator[Metric]:
    of = wrapped_key.c
    family = GaugeMetricFamily("portcullis_keys", "Versions of project keys, by purpose and state.", labels=("purpose", "state"))
    yield _grouped(tx, family, of.purpose, of.state)
    rotations = CounterMetricFamily("portcullis_key_rotations", "Rotations of project keys, by purpose.", labels=("purpose",))
    yield _grouped(tx, rotations, of.purpose, where=of.version > 1)


def _audit(tx: Connection) -> Iterator[Metric]:
    yield _single("portcullis_audit_staged_entries", "Audit entries not yet in place.", _count(tx, audit_staging))
    body = tx.execute(sa.select(audit_staging.c.body).order_by(audit_staging.c.id).limit(1)).scalar()
    yield _single(
        "portcullis_audit_oldest_staged_seconds",
        "When the audit entry was made that waits longest for its place, 0 when none waits: alarm when it is 5 s ago.",
        0.0 if body is None else datetime.fromisoformat(json.loads(body)["t"]).timestamp(),
    )


def _policies(tx: Connection) -> Iterator[Metric]:
    versions = GaugeMetricFamily(
        "portcullis_policy_active_version",
        f"The policy version in force, by project; the first {_NAMED_PROJECTS} projects only.",
        labels=("project",),
    )
    # A label for every project of a large installation would be a series each: only the first ones are named.
    active = project.c.active_policy
    named = sa.select(project.c.id, active).where(active.is_not(None)).order_by(project.c.id).limit(_NAMED_PROJECTS)
    for project_id, version in tx.execute(named):
        versions.add_metric((str(project_id),), version)
    yield versions
    projects = GaugeMetricFamily("portcullis_projects", "Projects, by whether a policy is in force.", labels=("policy",))
    every, governed = tx.execute(sa.select(sa.func.count(), sa.func.count(active)).select_from(project)).one()
    projects.add_metric(("active",), governed)
    projects.add_metric(("none",), every - governed)
    yield projects


def _retention(tx: Connection) -> Iterator[Metric]:
    removed = CounterMetricFamily(
        "portcullis_retention_removed", "What retention removed, whole events and single properties.", labels=("what",)
    )
    totals = sa.select(sa.func.sum(retention_mark.c.events), sa.func.sum(retention_mark.c.properties))
    for what, n in zip(("events", "properties"), tx.execute(totals).one(), strict=True):
        removed.add_metric((what,), int(n or 0))
    yield removed
    longest_ago = tx.execute(sa.select(sa.func.min(retention_turn.c.finished_ms))).scalar()
    means = "When retention last finished, where it is longest ago."
    yield _single("portcullis_retention_finished_seconds", means, int(longest_ago or 0) / 1000)


def _upstream(tx: Connection) -> Iterator[Metric]:
    parcels = GaugeMetricFamily(
        "portcullis_upstream_parcels", "What a collector has not taken: waiting, or parked for an operator.", labels=("state",)
    )
    kept = outgoing.c.parked.is_not(None)
    rows = tx.execute(sa.select(kept, sa.func.count(), sa.func.min(outgoing.c.queued_ms)).group_by(kept)).all()
    found = {bool(parked): (n, since) for parked, n, since in rows}
    waiting, since = found.get(False, (0, 0))
    parcels.add_metric(("waiting",), waiting)
    parcels.add_metric(("parked",), found.get(True, (0, 0))[0])
    yield parcels
    means = "Since when the parcel waits that waits longest."
    yield _single("portcullis_upstream_oldest_seconds", means, since / 1000)
    delivered = CounterMetricFamily("portcullis_upstream_delivered", "Parcels that a collector took.")
    delivered.add_metric((), _sum(tx, upstream.c.delivered))
    yield delivered
    means = "Parts of requests that were passed on, by kind and state."
    asked = GaugeMetricFamily("portcullis_upstream_requests", means, labels=("kind", "state"))
    yield _grouped(tx, asked, errand.c.kind, errand.c.state)


def _deletions(tx: Connection) -> Iterator[Metric]:
    of = data_deletion.c
    yield _grouped(tx, GaugeMetricFamily("portcullis_data_deletions", "Data deletions, by state.", labels=("state",)), of.state)
    pending = of.state.in_(("hidden", "erasing"))
    failing = _count(tx, data_deletion, pending, of.failures > 0)
    yield _single("portcullis_data_deletions_failing", "Data deletions that are tried again after a failure.", failing)
    first = tx.execute(sa.select(sa.func.min(of.undo_until_ms)).where(pending)).scalar()
    means = "When the time to undo ends of the one that is next; 0: none."
    yield _single("portcullis_data_deletion_due_seconds", means, int(first or 0) / 1000)
    removed = CounterMetricFamily("portcullis_data_deletion_removed", "Records deleted, or rewritten without a property.")
    removed.add_metric((), _sum(tx, of.removed))
    yield removed


def _reimports(tx: Connection) -> Iterator[Metric]:
    of = reimport.c
    means = "Sanitised re-imports by state; `failing` are those of them whose last attempt failed."
    family = GaugeMetricFamily("portcullis_reimports", means, labels=("state",))
    family.add_metric(("failing",), _count(tx, reimport, of.error_code.is_not(None), of.next_due_ms.is_not(None)))
    yield _grouped(tx, family, of.state)


def _accounts(tx: Connection) -> Iterator[Metric]:
    c = principal.c
    state = sa.case((c.revoked_ms.is_not(None), "deleted"), (c.last_used_ms.is_(None), "unused"), else_="used")
    family = GaugeMetricFamily("portcullis_service_accounts", "Service accounts, by state.", labels=("state",))
    yield _grouped(tx, family, state, where=c.kind == "service_account")


def _governance(tx: Connection) -> Iterator[Metric]:
    undecided = _count(tx, finding, finding.c.state.in_(("open", "acknowledged")))
    means = "Properties found to carry personal data, nobody decided yet."
    yield _single("portcullis_findings_open", means, undecided)
    lexicon = GaugeMetricFamily(
        "portcullis_lexicon",
        "The dictionaries: names that wait, odd volumes nobody acknowledged, digests that failed.",
        labels=("what",),
    )
    lexicon.add_metric(("pending",), _count(tx, lexicon_entry, lexicon_entry.c.state == "pending"))
    lexicon.add_metric(("anomalies",), _count(tx, lexicon_anomaly, lexicon_anomaly.c.state == "open"))
    # One attempt is under way; more mean that none arrived.
    lexicon.add_metric(("digests_failing",), _count(tx, lexicon_project, lexicon_project.c.digest_attempts > 1))
    yield lexicon


_QUESTIONS: tuple[Callable[[Connection], Iterator[Metric]], ...] = (
    _requests,
    _keys,
    _audit,
    _policies,
    _retention,
    _upstream,
    _deletions,
    _reimports,
    _accounts,
    _governance,
)


def _grouped(tx: Connection, family: Any, *by: sa.ColumnElement[Any], where: sa.ColumnElement[bool] | None = None) -> Metric:
    """The family with the number of rows for each combination of these columns, which are its labels."""
    rows = sa.select(*by, sa.func.count()).group_by(*by)
    for *labels, n in tx.execute(rows if where is None else rows.where(where)):
        family.add_metric([str(each) for each in labels], n)
    found: Metric = family
    return found


def _single(name: str, means: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, means)
    family.add_metric((), value)
    return family


def _count(tx: Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    return int(tx.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())


def _sum(tx: Connection, column: sa.ColumnElement[Any]) -> int:
    return int(tx.execute(sa.select(sa.func.sum(column))).scalar() or 0)
