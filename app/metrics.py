"""Prometheus metrics of one process. Labels are closed lists. What is read from SQL when it is asked for: `app.gauges`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.database import Database
from app.gauges import FromSql


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
        self.withheld = Counter(
            "portcullis_reads_withheld",
            "Reads that were refused (export_refused) or showed less than there is: classified, view, hidden.",
            ("cause",),
            registry=self.registry,
        )
        self.seconds = Histogram("portcullis_request_seconds", "Time to answer, by route.", ("route",), registry=self.registry)
        self.registry.register(FromSql(database))

    def count_read(self, way: str, rows: int) -> None:
        """Rows that left by one of the ways to read."""
        self.read.labels(way).inc(rows)

    def count_withheld(self, cause: str) -> None:
        """A read that was refused or showed less than there is."""
        self.withheld.labels(cause).inc()
