"""Prometheus metrics of one process, and gauges read from SQL when they are asked for. Labels are closed lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.engine import Connection

from app.access.tables import principal, project
from app.audit.tables import audit_staging
from app.database import Database
from app.errors import PortcullisError
from app.events.tables import retention_mark, retention_turn
from app.keys.tables import wrapped_key
from app.lexicon.tables import lexicon_anomaly, lexicon_entry, lexicon_project
from app.observe.tables import finding
from app.reimport.tables import reimport
from app.subjects.tables import subject_request
from app.upstream.tables import outgoing, upstream

_NAMED_PROJECTS = 50


class Metrics:
    """The counters that views raise. One registry per process, so that tests and workers do not share."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "portcullis_ingest_records",
            "Records received, by endpoint and what became of them.",
            ("endpoint", "outcome"),
            registry=self.registry,
        )
        self.waits = Counter(
            "portcullis_import_waits",
            "Bulk imports that found no free place: those that waited for one, and those refused (429).",
            ("outcome",),
            registry=self.registry,
        )
        self.refusals = Counter(
            "portcullis_ingest_refusals", "Records refused by policy, by reason.", ("reason",), registry=self.registry
        )
        self.links = Counter(
            "portcullis_identity_links",
            "Claims that two ids are one person, by what became of them: linked, or why not.",
            ("outcome",),
            registry=self.registry,
        )
        self.closed = Counter(
            "portcullis_fail_closed",
            "Requests refused because the check could not run, by error code.",
            ("code",),
            registry=self.registry,
        )
        self.checks = Counter(
            "portcullis_checked_records",
            "Records judged for other services, by verdict.",
            ("verdict",),
            registry=self.registry,
        )
        self.activations = Counter(
            "portcullis_policy_activations",
            "Attempts to change the policy in force: activated, forced, rolled_back, refused.",
            ("outcome",),
            registry=self.registry,
        )
        self.lookups = Counter(
            "portcullis_geolocation_lookups", "Addresses looked up for a place, by outcome.", ("outcome",), registry=self.registry
        )
        self.read = Counter(
            "portcullis_read_rows",
            "Events and profiles handed out, by way: export, profiles, feed.",
            ("way",),
            registry=self.registry,
        )
        self.seconds = Histogram("portcullis_request_seconds", "Time to answer, by route.", ("route",), registry=self.registry)
        self.registry.register(_FromSql(database))

    def count_read(self, way: str, rows: int) -> None:
        """Rows that left by one of the ways to read."""
        self.read.labels(way).inc(rows)


class _FromSql(Collector):
    """What is true of the installation and not of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        requests = GaugeMetricFamily(
            "portcullis_subject_requests", "Subject requests by kind and state.", labels=("kind", "state")
        )
        keys = GaugeMetricFamily(
            "portcullis_keys", "Versions of project keys, by purpose and state.", labels=("purpose", "state")
        )
        rotations = CounterMetricFamily("portcullis_key_rotations", "Rotations of project keys, by purpose.", labels=("purpose",))
        waiting, unsigned = _audit_families()
        versions, projects = _policy_families()
        removed = CounterMetricFamily(
            "portcullis_retention_removed", "What retention removed, whole events and single properties.", labels=("what",)
        )
        swept = GaugeMetricFamily(
            "portcullis_retention_finished_seconds", "When retention last finished, where it is longest ago."
        )
        parcels = GaugeMetricFamily(
            "portcullis_upstream_parcels",
            "What a collector has not taken: waiting, or parked for an operator.",
            labels=("state",),
        )
        oldest = GaugeMetricFamily("portcullis_upstream_oldest_seconds", "Since when the parcel waits that waits longest.")
        forwarded = CounterMetricFamily("portcullis_upstream_delivered", "Parcels that a collector took.")
        findings = GaugeMetricFamily("portcullis_findings_open", "Properties found to carry personal data, nobody decided yet.")
        lexicon = GaugeMetricFamily(
            "portcullis_lexicon",
            "The dictionaries: names that wait, odd volumes nobody acknowledged, digests that failed.",
            labels=("what",),
        )
        accounts = GaugeMetricFamily("portcullis_service_accounts", "Service accounts, by state.", labels=("state",))
        try:
            with self._database.read() as tx:
                columns = (subject_request.c.kind, subject_request.c.state)
                for kind, state, n in tx.execute(sa.select(*columns, sa.func.count()).group_by(*columns)):
                    requests.add_metric((kind, state), n)
                kept = (wrapped_key.c.purpose, wrapped_key.c.state)
                for purpose, state, n in tx.execute(sa.select(*kept, sa.func.count()).group_by(*kept)):
                    keys.add_metric((purpose, state), n)
                rotated = sa.select(wrapped_key.c.purpose, sa.func.count()).where(wrapped_key.c.version > 1)
                for purpose, n in tx.execute(rotated.group_by(wrapped_key.c.purpose)):
                    rotations.add_metric((purpose,), n)
                waiting.add_metric((), tx.execute(sa.select(sa.func.count()).select_from(audit_staging)).scalar_one())
                unsigned.add_metric((), _oldest_staged(tx))
                _count_policies(tx, versions, projects)
                totals = sa.select(sa.func.sum(retention_mark.c.events), sa.func.sum(retention_mark.c.properties))
                for what, n in zip(("events", "properties"), tx.execute(totals).one(), strict=True):
                    removed.add_metric((what,), int(n or 0))
                longest_ago = tx.execute(sa.select(sa.func.min(retention_turn.c.finished_ms))).scalar()
                swept.add_metric((), int(longest_ago or 0) / 1000)
                _count_parcels(tx, parcels, oldest, forwarded)
                reimports = _reimports(tx)
                undecided = sa.select(sa.func.count()).where(finding.c.state.in_(("open", "acknowledged")))
                findings.add_metric((), tx.execute(undecided).scalar_one())
                _count_accounts(tx, accounts)
                for what, condition in _LEXICON.items():
                    lexicon.add_metric((what,), tx.execute(sa.select(sa.func.count()).where(condition)).scalar_one())
        except PortcullisError:
            return  # The database went away after the scrape was let in, which needs it: what this process counted is told.
        yield from (requests, keys, rotations, waiting, unsigned, versions, projects, removed, swept, findings, lexicon)
        yield from (parcels, oldest, forwarded, accounts, reimports)


def _audit_families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("portcullis_audit_staged_entries", "Audit entries not yet in place."),
        GaugeMetricFamily(
            "portcullis_audit_oldest_staged_seconds",
            "When the audit entry was made that waits longest for its place, 0 when none waits: alarm when it is 5 s ago.",
        ),
    )


def _oldest_staged(tx: Connection) -> float:
    body = tx.execute(sa.select(audit_staging.c.body).order_by(audit_staging.c.id).limit(1)).scalar()
    return 0.0 if body is None else datetime.fromisoformat(json.loads(body)["t"]).timestamp()


_LEXICON = {
    "pending": lexicon_entry.c.state == "pending",
    "anomalies": lexicon_anomaly.c.state == "open",
    # One attempt is under way; more mean that none arrived.
    "digests_failing": lexicon_project.c.digest_attempts > 1,
}


def _count_accounts(tx: Connection, accounts: GaugeMetricFamily) -> None:
    c = principal.c
    ended = sa.case((c.revoked_ms.is_not(None), "deleted"), (c.last_used_ms.is_(None), "unused"), else_="used")
    rows = sa.select(ended, sa.func.count()).where(c.kind == "service_account").group_by(ended)
    for state, n in tx.execute(rows):
        accounts.add_metric((state,), n)


def _count_parcels(tx: Connection, parcels: GaugeMetricFamily, oldest: GaugeMetricFamily, forwarded: CounterMetricFamily) -> None:
    kept = outgoing.c.parked.is_not(None)
    rows = tx.execute(sa.select(kept, sa.func.count(), sa.func.min(outgoing.c.queued_ms)).group_by(kept)).all()
    found = {bool(parked): (n, since) for parked, n, since in rows}
    waiting, since = found.get(False, (0, 0))
    parcels.add_metric(("waiting",), waiting)
    parcels.add_metric(("parked",), found.get(True, (0, 0))[0])
    oldest.add_metric((), since / 1000)
    forwarded.add_metric((), int(tx.execute(sa.select(sa.func.sum(upstream.c.delivered))).scalar() or 0))


def _reimports(tx: Connection) -> GaugeMetricFamily:
    reimports = GaugeMetricFamily(
        "portcullis_reimports",
        "Sanitised re-imports by state; `failing` are those of them whose last attempt failed.",
        labels=("state",),
    )
    for state, n in tx.execute(sa.select(reimport.c.state, sa.func.count()).group_by(reimport.c.state)):
        reimports.add_metric((state,), n)
    failing = sa.and_(reimport.c.error_code.is_not(None), reimport.c.next_due_ms.is_not(None))
    reimports.add_metric(("failing",), tx.execute(sa.select(sa.func.count()).where(failing)).scalar_one())
    return reimports


def _policy_families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily(
            "portcullis_policy_active_version",
            f"The policy version in force, by project; the first {_NAMED_PROJECTS} projects only.",
            labels=("project",),
        ),
        GaugeMetricFamily("portcullis_projects", "Projects, by whether a policy is in force.", labels=("policy",)),
    )


def _count_policies(tx: Connection, versions: GaugeMetricFamily, projects: GaugeMetricFamily) -> None:
    # A label for every project of a large installation would be a series each: only the first ones are named.
    active = project.c.active_policy
    named = sa.select(project.c.id, active).where(active.is_not(None)).order_by(project.c.id).limit(_NAMED_PROJECTS)
    for project_id, version in tx.execute(named):
        versions.add_metric((str(project_id),), version)
    every, governed = tx.execute(sa.select(sa.func.count(), sa.func.count(active)).select_from(project)).one()
    projects.add_metric(("active",), governed)
    projects.add_metric(("none",), every - governed)
