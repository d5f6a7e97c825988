"""The composition root for web, worker, dispatcher and CLI alike. Every dependency is a parameter with a real default.

No Flask here: a worker must never need an application context.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from app.access.accounts import ServiceAccounts
from app.access.grants import Grants
from app.access.service import Access
from app.audit.service import AuditLog
from app.audit.witness import Witness
from app.custody.service import Custody
from app.database import Database
from app.dataviews.rule import by_views
from app.dataviews.service import DataViews
from app.dataviews.teams import Teams
from app.deletions.pending import by_deletions
from app.deletions.service import DataDeletions
from app.doorbell import Doorbell, RqDoorbell, SilentDoorbell
from app.errors import PortcullisError
from app.events.placement import EventStores
from app.identity import fence
from app.identity.service import Identity
from app.ingest.lanes import WAITING_ROOM, Lane
from app.ingest.places import Places
from app.ingest.service import Ingest
from app.keys.master import MasterKey, load_master_key
from app.keys.service import Keyring
from app.lexicon.anomalies import Anomalies
from app.lexicon.digest import Digests, Means
from app.lexicon.overview import Overview
from app.lexicon.published import PublishedSchemas
from app.lexicon.service import Lexicon
from app.metrics import Metrics
from app.observe.counting import Counting
from app.observe.dropping import DropFilters
from app.observe.findings import Findings
from app.observe.simulations import Simulations
from app.observe.suggestions import Suggestions
from app.quarantine.service import Quarantine
from app.query.cohorts import Cohorts
from app.query.feed import ActivityFeed
from app.query.service import Query
from app.reimport.service import Reimports
from app.rulebook.promises import Promises
from app.rulebook.service import Rulebook
from app.settings import Settings
from app.sight.classification import Classification
from app.sight.dictionary import by_dictionary
from app.sight.service import Rule, Sights
from app.sight.standing import Standings
from app.subjects.cases import Cases
from app.subjects.choices import Choices
from app.subjects.preview import Previews
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
    accounts: ServiceAccounts
    grants: Grants
    stores: EventStores
    rulebook: Rulebook
    lexicon: Lexicon
    overview: Overview
    schemas: PublishedSchemas
    anomalies: Anomalies
    digests: Digests
    promises: Promises
    doorbell: Doorbell
    queue: RequestQueue
    quarantine: Quarantine
    findings: Findings
    simulations: Simulations
    suggestions: Suggestions
    drop_filters: DropFilters
    deletions: DataDeletions
    ingest: Ingest
    places: Places
    sights: Sights
    standings: Standings
    teams: Teams
    data_views: DataViews
    query: Query
    cohorts: Cohorts
    feed: ActivityFeed
    subjects: Subjects
    cases: Cases
    reimports: Reimports
    choices: Choices
    upstreams: Upstreams
    previews: Previews
    identity: Identity
    metrics: Metrics

    def close(self) -> None:
        """Write what waits in memory, and let go of connections."""
        with suppress(PortcullisError):
            self.lexicon.sightings.flush()
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
    database = database or _database(settings)
    master_key, doorbell = master_key or load_master_key(settings), doorbell or _doorbell(settings)
    stores, keyring, metrics = stores or EventStores(), Keyring(master_key), Metrics(database)
    audit = AuditLog(database, keyring, Witness(settings.witness) if settings.witness else None)
    access, places = Access(master_key, keyring, audit, clock), _places(settings, metrics)
    rulebook, lexicon = Rulebook(audit, clock, fence.enter_exclusive), Lexicon(database, audit, clock, fence.enter_exclusive)
    classification = Classification(lexicon.reading, rulebook.active)
    sights = Sights(keyring, clock, _rules(lexicon, classification))
    cases = Cases.of(database, keyring, stores, rulebook, audit, doorbell, clock, settings)
    held_ms, lane = settings.quarantine_days * 86_400_000, _lane(settings)
    quarantine = Quarantine(database, keyring, stores, rulebook, lexicon, audit, clock, held_ms, sights)
    ingest = Ingest(database, keyring, stores, rulebook, lexicon, quarantine, Counting(), audit, clock, places, lane=lane)
    return Services(
        settings=settings,
        clock=clock,
        database=database,
        keyring=keyring,
        custody=Custody(database, keyring, audit, clock),
        audit=audit,
        access=access,
        accounts=ServiceAccounts(access, audit, clock),
        grants=Grants(audit, clock),
        stores=stores,
        rulebook=rulebook,
        lexicon=lexicon,
        overview=Overview(database, lexicon, lambda tx, of: rulebook.active(tx, of).gate.classifier, clock),
        schemas=PublishedSchemas(database, lexicon, clock),
        digests=Digests(database, keyring, audit, clock, Means(settings.digest_hosts, settings.smtp_url is not None)),
        promises=Promises(),
        doorbell=doorbell,
        queue=RequestQueue(database, clock, settings.job_lease * 1_000, audit),
        quarantine=quarantine,
        anomalies=Anomalies(database, audit, clock),
        findings=Findings(database, audit, clock, settings.expected_days * 86_400_000),
        simulations=Simulations(database, rulebook, audit, doorbell, clock, settings.job_lease * 1_000),
        suggestions=Suggestions(database, stores, rulebook, audit, clock, sights),
        drop_filters=DropFilters(database, stores, rulebook, audit, clock, sights),
        deletions=DataDeletions(database, stores, audit, clock, sights, settings.deletion_undo_days),
        ingest=ingest,
        places=places,
        sights=sights,
        standings=Standings(sights, classification),
        teams=Teams(database, audit, clock),
        data_views=DataViews(database, stores, audit, clock, sights),
        query=Query(database, keyring, stores, audit, clock, sights, classification, metrics),
        cohorts=Cohorts(database, stores, keyring, audit, clock, sights),
        feed=ActivityFeed(database, stores, keyring, audit, clock, sights, metrics.count_read),
        subjects=cases.subjects,
        cases=cases,
        reimports=Reimports(database, keyring, stores, sights, rulebook, audit, doorbell, clock, settings.job_lease * 1_000),
        upstreams=Upstreams(database, keyring, audit, clock),
        choices=cases.choices,
        previews=Previews(database, keyring, stores, audit, clock),
        identity=Identity(database, keyring, audit, clock),
        metrics=metrics,
    )


def _database(settings: Settings) -> Database:
    # One connection for each thread that the web server may run at once, and two for what a request opens on the side.
    return Database(settings.database_url, pool_size=settings.threads + 2, overflow=WAITING_ROOM)


def _rules(lexicon: Lexicon, classification: Classification) -> tuple[Rule, ...]:
    """Each takes away from what a reader may see: data views, classification, what is hidden or deleted."""
    return by_dictionary(lexicon.reading), classification.rule, by_views(lexicon.reading), by_deletions


def _doorbell(settings: Settings) -> Doorbell:
    return RqDoorbell(settings.redis_url) if settings.redis_url else SilentDoorbell()


def _places(settings: Settings, metrics: Metrics) -> Places:
    return Places(settings.geoip_db, lambda outcome: metrics.lookups.labels(outcome).inc())


def _lane(settings: Settings) -> Lane:
    # Half of the threads stay free for single events, however much is imported in bulk.
    return Lane(places=max(1, settings.threads // 2))
