"""The composition root for web, worker, dispatcher and CLI alike. Every dependency is a parameter with a real default.

No Flask here: a worker must never need an application context.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.access.service import Access
from app.audit.service import AuditLog
from app.custody.service import Custody
from app.database import Database
from app.doorbell import Doorbell, RqDoorbell, SilentDoorbell
from app.events.placement import EventStores
from app.identity import fence
from app.ingest.places import Places
from app.ingest.service import Ingest
from app.keys.master import MasterKey, load_master_key
from app.keys.service import Keyring
from app.metrics import Metrics
from app.observe.counting import Counting
from app.observe.findings import Findings
from app.observe.simulations import Simulations
from app.observe.suggestions import Suggestions
from app.quarantine.service import Quarantine
from app.query.service import Query
from app.rulebook.promises import Promises
from app.rulebook.service import Rulebook
from app.settings import Settings
from app.subjects.choices import Choices
from app.subjects.queue import RequestQueue
from app.subjects.service import Subjects
from app.upstream.service import Upstreams


@dataclass(frozen=True, slots=True)
class Services:
    """Everything one process works with."""

    settings: Settings
    clock: Callable[[], int]
    database: Database
    keyring: Keyring
    custody: Custody
    audit: AuditLog
    access: Access
    stores: EventStores
    rulebook: Rulebook
    promises: Promises
    doorbell: Doorbell
    queue: RequestQueue
    quarantine: Quarantine
    findings: Findings
    simulations: Simulations
    suggestions: Suggestions
    ingest: Ingest
    places: Places
    query: Query
    subjects: Subjects
    choices: Choices
    upstreams: Upstreams
    metrics: Metrics

    def close(self) -> None:
        """Let go of connections."""
        self.database.close()


def now_ms() -> int:
    """The wall clock, Unix milliseconds in UTC."""
    return time.time_ns() // 1_000_000


def bootstrap(
    settings: Settings,
    *,
    clock: Callable[[], int] = now_ms,
    database: Database | None = None,
    master_key: MasterKey | None = None,
    doorbell: Doorbell | None = None,
    stores: EventStores | None = None,
) -> Services:
    """Build the services. Raises `StartupRefused` for a setting that is unsafe or unusable."""
    database = database or Database(settings.database_url, pool_size=settings.threads + 2)
    master_key = master_key or load_master_key(settings)
    doorbell = doorbell or (RqDoorbell(settings.redis_url) if settings.redis_url else SilentDoorbell())
    stores = stores or EventStores()
    keyring = Keyring(master_key)
    audit = AuditLog(database)
    metrics = Metrics(database)
    places = Places(settings.geoip_db, lambda outcome: metrics.lookups.labels(outcome).inc())
    rulebook = Rulebook(audit, clock, fence.enter_exclusive)
    queue = RequestQueue(database, clock, settings.job_lease * 1_000)
    quarantine = Quarantine(database, keyring, stores, rulebook, audit, clock, settings.quarantine_days * 86_400_000)
    access = Access(master_key, keyring, audit, clock)
    return Services(
        settings=settings,
        clock=clock,
        database=database,
        keyring=keyring,
        custody=Custody(database, keyring, audit, clock),
        audit=audit,
        access=access,
        stores=stores,
        rulebook=rulebook,
        promises=Promises(),
        doorbell=doorbell,
        queue=queue,
        quarantine=quarantine,
        findings=Findings(database, audit, clock),
        simulations=Simulations(database, rulebook, audit, doorbell, clock, settings.job_lease * 1_000),
        suggestions=Suggestions(database, stores, rulebook, audit, clock),
        ingest=Ingest(database, keyring, stores, rulebook, quarantine, Counting(), audit, clock, places),
        places=places,
        query=Query(database, keyring, stores, audit, clock),
        subjects=Subjects(database, keyring, stores, audit, doorbell, clock, settings),
        upstreams=Upstreams(database, keyring, audit, clock),
        choices=Choices(database, keyring, rulebook, audit, clock),
        metrics=metrics,
    )
