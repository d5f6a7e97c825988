"""Suggestions from observed traffic: the last so many events, read through once; nothing of them is kept but counts.

The look happens while somebody waits for the answer, so it is bounded by a time as well; the answer says how far it came.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.access.service import Project
from app.access.sight import Sight
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Unavailable
from app.events.placement import EventStores
from app.events.port import EventQuery, EventStore, ProfileQuery
from app.rulebook.service import Rulebook
from app.sight import people
from app.sight.service import Sights
from policies.compile import classifier
from policies.detect import Scanner
from policies.load import load
from policies.model import Detector, DetectorTerms, Policy, Scope
from policies.proposal import policy_text
from policies.suggest import Suggestion, Survey

MOST_EVENTS = 50_000
BUDGET_S = 2.0
"""Seconds that a look may take; the page at hand is finished, and profiles get what events leave."""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Suggested:
    """What was looked at, and a suggestion for every property that no rule of policy `version` names.

    `complete` is False when the time was up before everything asked for had been looked at.
    """

    version: int
    records: int
    suggestions: list[Suggestion]
    left_out: int
    complete: bool

    @property
    def policy(self) -> str:
        """The suggested rules as a policy of their own, from which they can be pasted."""
        return policy_text("suggested", (each.proposal for each in self.suggestions))


class Suggestions:
    """Reads a bounded sample on demand. Stateless but for its dependencies."""

    def __init__(
        self,
        database: Database,
        stores: EventStores,
        rulebook: Rulebook,
        audit: AuditLog,
        clock: Callable[[], int],
        sights: Sights,
        budget_s: float = BUDGET_S,
    ) -> None:
        self._database = database
        self._stores = stores
        self._rulebook = rulebook
        self._audit = audit
        self._clock = clock
        self._sights = sights
        self._budget_s = budget_s

    def of(self, project: Project, events: int, *, actor: str) -> Suggested:
        """Look at the last `events` events and as many profiles at most. Raises `Unavailable` without an active policy.

        People who are restricted or being erased are left out. The look stands in the audit log.
        """
        store = self._stores.of(project.store_url)
        with self._database.read() as tx:
            version, policy = self._policy(tx, project.id)
            sight = self._sights.internal(tx, project)
        survey = _survey(policy)
        until = time.monotonic() + self._budget_s
        whole = self._events(store, sight, events, survey, until)
        whole = self._profiles(store, sight, events, survey, until) and whole
        with self._database.write() as tx:
            counts, facts = {"records": survey.records}, {"policy_version": str(version)}
            entry = Entry(AuditAction.SUGGESTIONS_MADE, project.id, actor, self._clock(), counts=counts, facts=facts)
            self._audit.stage(tx, entry)
        return Suggested(version, survey.records, survey.suggestions(), survey.left_out, whole)

    def _policy(self, tx: Connection, project_id: int) -> tuple[int, Policy]:
        version = self._rulebook.active(tx, project_id).version
        text = next((each.text for each in self._rulebook.versions(tx, project_id) if each.version == version), None)
        if text is None:
            raise Unavailable("the project has no active policy", remedy="activate one with `portcullis policy activate`")
        return version, load(text)

    def _events(self, store: EventStore, sight: Sight, most: int, survey: Survey, until: float) -> bool:
        after: tuple[int, int] | None = None
        while most > 0:
            query = EventQuery(after=after, limit=min(_PAGE, most), newest_first=True)
            with self._database.read() as tx:
                rows = list(store.scan(tx, sight, query))
                shown = {people.NOBODY, *people.in_sight(tx, store, sight, {row.uid for row in rows})}
            if not rows:
                return True
            for row in rows:
                if row.uid in shown:
                    survey.watch(Scope.EVENT, row.name, _properties(row.properties))
            after, most = (rows[-1].time_ms, rows[-1].dedup), most - len(rows)
            if most > 0 and time.monotonic() > until:
                return False
        return True

    def _profiles(self, store: EventStore, sight: Sight, most: int, survey: Survey, until: float) -> bool:
        after = 0
        with self._database.read() as tx:
            newest = store.newest_profile(tx, sight.project_id)
        while most > 0:
            with self._database.read() as tx:
                rows = list(_first(store.scan_profiles(tx, sight, ProfileQuery(after, newest)), min(_PAGE, most)))
                shown = people.in_sight(tx, store, sight, {row.uid for row in rows})
            if not rows:
                return True
            for row in rows:
                if row.uid in shown:
                    survey.watch(Scope.PROFILE, "$set", _properties(row.properties))
            after, most = rows[-1].seq, most - len(rows)
            if most > 0 and time.monotonic() > until:
                return False
        return True


def _survey(policy: Policy) -> Survey:
    own = Scanner(dict(policy.detectors), policy.default_region)
    everything = Scanner({each: DetectorTerms() for each in Detector}, policy.default_region)
    return Survey(policy, classifier(policy, own), everything, secrets.token_bytes(32))


def _first(rows: Iterable[Any], most: int) -> Iterable[Any]:
    for number, row in enumerate(rows, 1):
        yield row
        if number == most:
            return


def _properties(text: str) -> dict[str, Any]:
    properties: dict[str, Any] = msgspec.json.decode(text)
    return properties
