"""The durable append. One transaction: fence, register, policy, gate, append, count, audit. Acknowledged means committed.

Anything that stops the check (no policy, no key, no database) raises, and nothing of the batch is stored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy.engine import Connection

from app.access.modes import IdentityMode
from app.access.service import Project, project_of_token
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import NotFound
from app.events.placement import EventStores
from app.identity import fence, keyed, signals
from app.identity.derive import VERBS as HEEDED
from app.ingest import append, judging, profiles
from app.ingest.answers import FailedRecord
from app.ingest.circumstances import UNREMARKABLE, Circumstances
from app.ingest.in_force import Forces
from app.ingest.lanes import Lane
from app.ingest.limits import Limits
from app.ingest.outcome import Event, Ignored, Rejected, Update
from app.ingest.parcel import Parcel
from app.ingest.places import Places
from app.ingest.tally import Tally
from app.ingest.updates import validate_update
from app.ingest.validate import VERBS, validate_event
from app.ingest.wire import Batch
from app.keys.service import Keyring, ProjectKeys
from app.lexicon.service import Lexicon
from app.lexicon.sightings import Seen
from app.observe.counting import Counting
from app.quarantine.service import Quarantine
from app.rulebook.service import Rulebook
from policies.context import CheckContext
from policies.model import Decision, Record, Scope

_UNKNOWN_TOKEN = "is not the token of a project here; use the project token of this installation"  # noqa: S105


class Ingest:
    """Takes decoded batches in. Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        stores: EventStores,
        rulebook: Rulebook,
        lexicon: Lexicon,
        quarantine: Quarantine,
        counting: Counting,
        audit: AuditLog,
        clock: Callable[[], int],
        places: Places,
        limits: Limits | None = None,
        lane: Lane | None = None,
    ) -> None:
        self._database = database
        self._forces = Forces(rulebook, keyring, lexicon, audit, clock)
        self._stores = stores
        self._lexicon = lexicon
        self._quarantine = quarantine
        self._counting = counting
        self._audit = audit
        self._clock = clock
        self._places = places
        self.limits = limits or Limits()
        self.lane = lane or Lane(places=4)

    def track(self, batch: Batch, circumstances: Circumstances = UNREMARKABLE) -> Tally:
        """Events of `/track`: each names its project by the token in its properties."""
        return self._events(batch, None, "sdk", circumstances)

    def import_events(self, batch: Batch, project: Project, actor: str) -> Tally:
        """Events of `/import`: the credential names the project. Strict adds the rules of strict import.

        The sender is a server: neither its address nor its headers say anything of the people in the events.
        """
        return self._events(batch, project, actor, UNREMARKABLE)

    def _events(self, batch: Batch, project: Project | None, actor: str, circumstances: Circumstances) -> Tally:
        tally, now = Tally(), self._clock()
        by_token: dict[str, Parcel[Event]] = defaultdict(lambda: Parcel(Event))
        # Before the transaction: what is not fit to be stored costs no lock, and on SQLite others write meanwhile.
        for index, raw in enumerate(batch.records):
            event = validate_event(
                raw,
                endpoint="track" if project is None else "import",
                now_ms=now,
                limits=self.limits,
                strict=batch.controls.strict,
                # Of `/track` the project is known later: it keeps every verb until then.
                identity=project.identity if project else IdentityMode.ORIGINAL,
                distinct_id_required=project is not None and project.identity is IdentityMode.ORIGINAL,
            )
            if isinstance(event, Event):
                by_token[project.token if project else event.token or ""].add(index, event)
            else:
                _set_aside(tally, index, event)
        if by_token:
            seen: dict[int, Seen] = {}
            with self._database.write() as tx:
                for token, events in sorted(by_token.items()):
                    found = project or self._project(tx, token, events.indexes, tally, "properties.token")
                    if found is not None:
                        seen[found.id] = self._append(tx, found, events, actor, tally, circumstances)
            self._note(seen)
        tally.failures.sort(key=lambda failure: failure.index)
        return tally

    def _append(
        self,
        tx: Connection,
        project: Project,
        events: Parcel[Event],
        actor: str,
        tally: Tally,
        circumstances: Circumstances,
    ) -> Seen:
        fence.enter_shared(tx, project.id)
        force = self._forces.completed(tx, project.id)
        part = append.append_events(
            tx,
            project.id,
            force.keys,
            force.policy,
            force.entrance,
            self._stores.of(project.store_url),
            self._quarantine,
            self._counting,
            ([event for _, event in part if _heeds(project, event, tally)] for part in events.parts()),
            self._clock(),
            self._context(force.keys, circumstances),
            project.identity,
        )
        part.refused += tally.refused  # Set aside before the gate (`$ignore`, too old): counted with the first project.
        tally.refused = Counter()
        append.count_refusals(tx, project.id, part.refused, self._clock())
        self._stage(tx, AuditAction.INGEST_ACCEPTED, project.id, actor, force.policy.version, part)
        if part.opted_in:
            entry = Entry(AuditAction.OPT_IN_RECEIVED, project.id, actor, self._clock(), counts={"people": part.opted_in})
            self._audit.stage(tx, entry)
        _add(tally, part, len(events))
        return part.seen

    def _note(self, seen: Mapping[int, Seen]) -> None:
        """Tell the dictionary what is stored by now."""
        for project_id, each in seen.items():
            self._lexicon.sightings.add(project_id, each, self._clock())

    def engage(self, batch: Batch, circumstances: Circumstances = UNREMARKABLE) -> Tally:
        """Profile updates of `/engage`: each names its project by `$token`."""
        return self._updates(batch, Scope.PROFILE, circumstances)

    def groups(self, batch: Batch, circumstances: Circumstances = UNREMARKABLE) -> Tally:
        """Updates of `/groups`: each names its project by `$token`, and a group where `/engage` names a person.

        No address is looked up for a group: where its sender sits says nothing of it.
        """
        return self._updates(batch, Scope.GROUP, replace(circumstances, ip=None))

    def _updates(self, batch: Batch, scope: Scope, circumstances: Circumstances) -> Tally:
        tally, now = Tally(), self._clock()
        by_token: dict[str, Parcel[Update]] = defaultdict(lambda: Parcel(Update))
        for index, raw in enumerate(batch.records):
            update = validate_update(raw, kind="group" if scope is Scope.GROUP else "profile", now_ms=now, limits=self.limits)
            if isinstance(update, Update):
                by_token[update.token].add(index, update)
            else:
                _set_aside(tally, index, update)
        if by_token:
            seen: dict[int, Seen] = {}
            with self._database.write() as tx:
                for token, updates in sorted(by_token.items()):
                    found = self._project(tx, token, updates.indexes, tally, "$token")
                    if found is not None:
                        seen[found.id] = self._update(tx, found, scope, updates, tally, circumstances)
            self._note(seen)
        tally.failures.sort(key=lambda failure: failure.index)
        return tally

    def _update(
        self,
        tx: Connection,
        project: Project,
        scope: Scope,
        updates: Parcel[Update],
        tally: Tally,
        circumstances: Circumstances,
    ) -> Seen:
        fence.enter_shared(tx, project.id)
        force = self._forces.completed(tx, project.id)
        part = profiles.update_profiles(
            tx,
            project.id,
            force.keys,
            force.policy,
            force.entrance,
            self._stores.of(project.store_url),
            self._quarantine,
            self._counting,
            updates.parts(),
            self._clock(),
            self._context(force.keys, circumstances),
            scope,
        )
        append.count_refusals(tx, project.id, part.refused, self._clock())
        self._stage(tx, AuditAction.PROFILES_CHANGED, project.id, "sdk", force.policy.version, part)
        _add(tally, part, len(updates) - len(part.failures))
        return part.seen

    def check(
        self, tx: Connection, project: Project, records: Sequence[Record], circumstances: Circumstances = UNREMARKABLE
    ) -> tuple[str, int, list[Decision]]:
        """The verdict of the active policy and of the dictionary on records of a caller who stores elsewhere. Stores nothing.

        Returns the policy's name, its version, and one decision a record, in order. Values under `encrypt` are under
        the key of the person when the register knows the id; else the placeholder stays, because nobody is enrolled here.
        """
        force = self._forces.of(tx, project.id)
        if force.keys.tokens is None:
            with self._database.write() as own:
                force = self._forces.completed(own, project.id)
        policy, keys = force.policy, force.keys
        context = self._context(keys, circumstances, "exposed")
        known = judging.with_states(tx, keys, records, project.identity)
        decisions = policy.gate.check(known, context)
        people = keyed.known_people(tx, keys, known, decisions, project.identity)
        decisions = keyed.with_person_keys(tx, keys, policy.gate, context, known, decisions, people)
        decisions = [force.entrance.apply(record.scope, each) for record, each in zip(known, decisions, strict=True)]
        return policy.name, policy.version, decisions

    def refusals(self, tx: Connection, project_id: int, from_day: str, to_day: str) -> dict[str, int]:
        """How many records were refused by reason, from one UTC day to another, both inclusive."""
        return append.refusals(tx, project_id, from_day, to_day)

    def signals_of_unknown_ids(self, tx: Connection, project_id: int, from_day: str, to_day: str) -> dict[str, int]:
        """In how many records of ids that nobody knew a browser's signal was honoured; days as above."""
        return signals.of_unknown_ids(tx, project_id, from_day, to_day)

    def _context(
        self, keys: ProjectKeys, circumstances: Circumstances, identifiers: Literal["sealed", "exposed"] = "sealed"
    ) -> CheckContext:
        said = keys.check_context(self._clock(), identifiers=identifiers)
        return replace(said, ip=circumstances.ip, signals=circumstances.signals, places=self._places.look_up)

    @staticmethod
    def _project(tx: Connection, token: str, indexes: Iterable[int], tally: Tally, field: str) -> Project | None:
        try:
            return project_of_token(tx, token)
        except NotFound:
            tally.failures.extend(FailedRecord(index, "", field, f"'{field}' {_UNKNOWN_TOKEN}") for index in indexes)
            return None

    def _stage(self, tx: Connection, action: AuditAction, project_id: int, actor: str, version: int, part: Tally) -> None:
        facts = {"policy_version": str(version)}
        entry = Entry(action, project_id, actor, self._clock(), counts=part.counts(), facts=facts)
        self._audit.stage(tx, entry)
        if part.honoured:
            counts = dict(part.honoured)
            self._audit.stage(tx, Entry(AuditAction.SIGNAL_HONOURED, project_id, actor, self._clock(), counts=counts))


def _heeds(project: Project, event: Event, tally: Tally) -> bool:
    """False for an identity verb that the project's mode passes over."""
    passed_over = event.name in VERBS and event.name not in HEEDED[project.identity]
    if passed_over:
        tally.refused["identity_verb"] += 1
    return not passed_over


def _set_aside(tally: Tally, index: int, record: Rejected | Ignored) -> None:
    if isinstance(record, Rejected):
        tally.failures.append(FailedRecord(index, record.insert_id, record.field, record.message))
    else:
        tally.valid += 1
        tally.refused[record.reason] += 1


def _add(tally: Tally, part: Tally, valid: int) -> None:
    tally.valid += valid
    tally.stored += part.stored
    tally.changed += part.changed
    tally.quarantined += part.quarantined
    tally.links += part.links
    tally.refused += part.refused
    tally.failures.extend(part.failures)
