"""What an officer does with held events and profile updates: list them, open one, release or discard them. And how they expire.

A release puts the held form, already cleaned, before the policy that is in force now, as a new record with its original time
and its person's present state. Whatever made the event be held (the same rule, at the same place, for the same reason) is
accepted; everything else that the policy does to it, it does. So a release never brings a value back that was removed, never
stores an event of a person who opted out meanwhile, and where today's policy holds the event for something that was not
on the officer's screen, it stays held and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.events import retention
from app.events.placement import EventStores
from app.identity import fence, keyed, register
from app.identity.register import Row
from app.keys.service import Keyring, ProjectKeys
from app.lexicon.service import Lexicon
from app.quarantine import covered, holding, lapse
from app.quarantine.holding import Arrival, Held
from app.quarantine.opening import after, as_seen, unknown
from app.quarantine.tables import quarantined
from app.quarantine.updates import Passed, put_back
from app.rulebook.service import ActivePolicy, Rulebook
from app.sight.service import Sights
from app.upstream import outbox
from app.upstream.outbox import Keeps
from policies.model import NOBODY_REFUSES, Decision, Record, Scope, SubjectState, Verdict
from policies.retention import expiries

MOST_AT_ONCE = 5_000
_PAGE = 500
_GROUPS = 200
_DAY_MS = 86_400_000
_AGES = (("day", _DAY_MS), ("week", 7 * _DAY_MS))
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which held events: by id, or by everything else that is not None. `before_ms` and `after_ms` are of their arrival."""

    ids: Sequence[str] | None = None
    reason: str | None = None
    event: str | None = field(default=None, repr=False)
    before_ms: int | None = None
    after_ms: int | None = None
    scope: str | None = None

    def of(self, project_id: int) -> sa.ColumnElement[bool]:
        """As a condition on the table."""
        conditions = [quarantined.c.project_id == project_id]
        if self.ids is not None:
            conditions.append(quarantined.c.id.in_(list(self.ids)))
        if self.reason is not None:
            conditions.append(quarantined.c.reason == self.reason)
        if self.scope is not None:
            conditions.append(quarantined.c.scope == self.scope)
        if self.event is not None:
            conditions.append(quarantined.c.name == self.event)
        if self.before_ms is not None:
            conditions.append(quarantined.c.received_ms < self.before_ms)
        if self.after_ms is not None:
            conditions.append(quarantined.c.received_ms >= self.after_ms)
        return sa.and_(*conditions)


@dataclass(frozen=True, slots=True)
class Listed:
    """One held record without its values. `event` is the name of an event, or of an operation on a profile."""

    id: str
    scope: str
    event: str = field(repr=False)
    reason: str
    policy_version: int
    received_ms: int
    expires_ms: int

    @classmethod
    def of(cls, row: Any) -> Listed:
        """Of a row of the table, or of an opened record."""
        return cls(row.id, str(row.scope), row.name, row.reason, row.policy_version, row.received_ms, row.expires_ms)


@dataclass(frozen=True, slots=True)
class Group:
    """Held records of one scope, name and reason."""

    scope: str
    event: str = field(repr=False)
    reason: str
    held: int
    oldest_ms: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A page of held events, and counts of all that the selection holds. `cursor` asks for the next page."""

    total: int
    ages: dict[str, int]
    groups: list[Group]
    held: list[Listed]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """One held event as its officer sees it: `properties` with ids in place of uids."""

    held: Held
    distinct_id: str = field(repr=False)
    properties: dict[str, Any] = field(repr=False)


@dataclass(slots=True)
class Outcome:
    """What became of a selection. `refused` counts by reason what policy or the person's state forbids; those events and
    `held_again` stay in quarantine. `more` says that the selection was larger than one call takes."""

    released: int = 0
    discarded: int = 0
    held_again: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    more: bool = False

    def counts(self) -> dict[str, int]:
        """The figures that stand in the audit entry."""
        figures = {
            "released": self.released,
            "discarded": self.discarded,
            "held_again": self.held_again,
            "refused": self.refused.total(),
        }
        return {name: n for name, n in figures.items() if n}


class Quarantine:
    """Held events of every project. Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        stores: EventStores,
        rulebook: Rulebook,
        lexicon: Lexicon,
        audit: AuditLog,
        clock: Callable[[], int],
        ttl_ms: int,
        sights: Sights,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._stores = stores
        self._rulebook = rulebook
        self._lexicon = lexicon
        self._audit = audit
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._sights = sights

    def hold(self, tx: Connection, keys: ProjectKeys, events: Sequence[Arrival]) -> None:
        """Keep these events, sealed, until they are decided or expire; in the transaction that acknowledges them."""
        holding.hold(tx, keys, events, self._clock(), self._ttl_ms)

    def withdraw(self, tx: Connection, keys: ProjectKeys, people: Collection[int]) -> int:
        """Drop what is held for profiles that their sender deletes; in that transaction, which counts it in its audit entry."""
        return holding.remove_updates(tx, keys.project_id, people) if people else 0

    # --- looking -----------------------------------------------------------------------------------------------------

    def overview(self, by: Principal, wanted: Selection, limit: int, cursor: str | None = None) -> Overview:
        """Counts and one page, the longest held first. Raises `NotFound` for a cursor that no page gave."""
        condition, now = wanted.of(by.project.id), self._clock()
        with self._database.read() as tx:
            total, day, week = tx.execute(sa.select(sa.func.count(), *_younger(now)).where(condition)).one()
            day, week = int(day or 0), int(week or 0)
            rows = tx.execute(_page(condition, after(cursor), limit + 1)).all()
            groups = tx.execute(_groups(condition)).all()
        held = [Listed.of(row) for row in rows[:limit]]
        return Overview(
            total=total,
            ages={"under_a_day": day, "under_a_week": week - day, "older": total - week},
            groups=[Group(*row) for row in groups],
            held=held,
            cursor=f"{held[-1].received_ms}.{held[-1].id}" if len(rows) > limit else None,
        )

    def open(self, by: Principal, held_id: str) -> Opened:
        """One held event with its values; the read stands in the audit log. Raises `NotFound`, also when the person is
        restricted or being erased, and when the event is being deleted: nobody reads that."""
        with self._database.write() as tx:
            keys = self._keyring.of(tx, by.project.id)
            held = next(holding.opened(tx, keys, sa.select(quarantined).where(Selection([held_id]).of(by.project.id))), None)
            revealed = register.reveal(tx, keys, held.uids) if held else {}
            subject = revealed.get(held.uid) if held else None
            if held is None or (held.uid and (subject is None or subject.hidden)):
                raise unknown()
            held = as_seen(tx, self._stores.of(by.project.store_url), self._sights.desk(tx, by), held)
            self._stage(tx, AuditAction.QUARANTINE_READ, by, {"events": 1}, held)
        properties = holding.with_ids(held, revealed)
        return Opened(held, subject.canonical if subject else "", properties)

    # --- deciding ----------------------------------------------------------------------------------------------------

    def release(self, by: Principal, wanted: Selection) -> Outcome:
        """Store what the policy in force lets through, a few hundred at a time. Raises `Unavailable` without a policy."""
        return self._decide(by, wanted, self._release_page)

    def discard(self, by: Principal, wanted: Selection) -> Outcome:
        """Delete for good."""
        return self._decide(by, wanted, self._discard_page)

    def _decide(
        self, by: Principal, wanted: Selection, decide: Callable[[Connection, Principal, list[Held], Outcome], None]
    ) -> Outcome:
        outcome, after, seen = Outcome(), None, 0
        while seen < MOST_AT_ONCE:
            with self._database.write() as tx:
                fence.enter_shared(tx, by.project.id)
                keys = self._keyring.of(tx, by.project.id)
                page = list(holding.opened(tx, keys, _page(wanted.of(by.project.id), after, _PAGE).with_for_update()))
                if not page:
                    return outcome
                decide(tx, by, page, outcome)
            after, seen = (page[-1].received_ms, page[-1].id), seen + len(page)
        outcome.more = True
        return outcome

    def _discard_page(self, tx: Connection, by: Principal, page: list[Held], outcome: Outcome) -> None:
        part = Outcome(discarded=holding.remove(tx, by.project.id, [each.id for each in page]))
        self._stage(tx, AuditAction.QUARANTINE_DISCARDED, by, part.counts(), *page)
        outcome.discarded += part.discarded

    def _release_page(self, tx: Connection, by: Principal, page: list[Held], outcome: Outcome) -> None:
        keys = self._keyring.of(tx, by.project.id)
        policy = self._rulebook.active(tx, by.project.id)
        part, passed, now, rules = Outcome(), [], self._clock(), expiries(policy.written, policy.gate)
        sight = self._sights.internal(tx, by.project)
        page = [covered.without_withheld(sight, each) for each in page]
        people = register.rows_of(tx, by.project.id, frozenset[int]().union(*(each.uids for each in page)))
        for held, decision in zip(page, self._checked(tx, keys, policy, page, people), strict=True):
            unseen = set(holding.holds(decision.remarks)) - set(held.held_by)
            if decision.verdict is Verdict.DROPPED:
                part.refused[decision.remarks[-1].reason] += 1
            elif not covered.shown(sight, held):
                part.refused[covered.BEING_DELETED] += 1
            elif lapse.lapsed(rules, held, now):
                part.refused[lapse.RETENTION_OVER] += 1
            elif unseen and held.held_by:
                holding.hold_again(tx, keys, held, holding.holds(decision.remarks), policy.version)
                part.held_again += 1
            else:
                passed.append((held, decision))
        owners = [(people[held.uid].person, decision.bridges) for held, decision in passed if held.uid]
        pairs = keyed.keep_bridges(tx, keys, owners, now)
        done = self._put_back(tx, by, passed, people, pairs, policy, part)
        holding.remove(tx, by.project.id, [held.id for held in done])
        part.released = len(done)
        facts = {"policy_version": str(policy.version)}
        self._stage(tx, AuditAction.QUARANTINE_RELEASED, by, part.counts(), *page, facts=facts)
        outcome.released += part.released
        outcome.held_again += part.held_again
        outcome.refused += part.refused

    def _put_back(
        self,
        tx: Connection,
        by: Principal,
        passed: Sequence[tuple[Held, Decision]],
        people: Mapping[int, Row],
        newest: Mapping[int, Mapping[str, str]],
        policy: ActivePolicy,
        part: Outcome,
    ) -> list[Held]:
        """Store what passed: events as they happened, updates as they arrived. Returns what is stored now."""
        store = self._stores.of(by.project.store_url)
        events = [each for each in passed if each[0].scope is Scope.EVENT]
        rows = [holding.event_row(*each, policy.version) for each in events]
        kept = outbox.keeps(tx, by.project.id) is not Keeps.NOTHING
        if kept:
            store.append(tx, by.project.id, rows)
        outbox.post_events(tx, by.project.id, rows, self._clock())
        if kept and events and policy.written.retention:
            retention.note_late(tx, by.project.id, min(held.time_ms for held, _ in events), self._clock())
        changes = [
            Passed(held, decision, held.uid if held.literal else people[held.uid].person or held.uid)
            for held, decision in passed
            if held.scope is not Scope.EVENT
        ]
        done = put_back(tx, by.project.id, store, changes, newest, policy.version, part.refused, self._clock())
        retention.reopen_profiles(tx, by.project.id, [each.received_ms for each in done])
        return [*(held for held, _ in events), *done]

    def _checked(
        self, tx: Connection, keys: ProjectKeys, policy: ActivePolicy, page: Sequence[Held], people: Mapping[int, Row]
    ) -> list[Decision]:
        strays = register.rows_of_lookups(tx, keys.project_id, {each.stray for each in page if each.stray})
        properties = keyed.under_person_keys(tx, keys, [(each.uid, each.properties) for each in page], people)
        records = [_record(each, cleaned, people, strays) for each, cleaned in zip(page, properties, strict=True)]
        context = keys.check_context(self._clock())
        decisions = policy.gate.check(records, context)
        # What is encrypted already is recognised under its person's key, and what is not gets encrypted.
        owners = {i: people[each.uid] for i, each in enumerate(page) if each.uid in people}
        decisions = keyed.with_person_keys(tx, keys, policy.gate, context, records, decisions, owners)
        # What the dictionary would hold, the officer lets go; what it blocks by now stays out.
        blocking = self._lexicon.entrance(tx, keys.project_id).blocking
        return [blocking.apply(held.scope, each) for held, each in zip(page, decisions, strict=True)]

    def _stage(
        self,
        tx: Connection,
        action: AuditAction,
        by: Principal,
        counts: dict[str, int],
        *held: Held,
        facts: dict[str, str] | None = None,
    ) -> None:
        # One event is named, and its person by the reference that dies with them; many are a number.
        one = held[0] if len(held) == 1 else None
        ref = register.audit_ref(tx, by.project.id, one.uid) if one and one.uid else None
        obj = f"quarantine/{one.id}" if one else None
        self._audit.stage(
            tx, Entry(action, by.project.id, by.id, self._clock(), obj=obj, ref=ref, counts=counts, facts=facts or {})
        )

    # --- expiring ----------------------------------------------------------------------------------------------------

    def expire(self) -> int:
        """Delete what nobody decided in time; one audit entry a project. Returns how many events."""
        expired = quarantined.c.expires_ms <= self._clock()
        with self._database.read() as tx:
            projects = list(tx.execute(sa.select(quarantined.c.project_id).where(expired).distinct()).scalars())
        return sum(self._expire(project_id, expired) for project_id in projects)

    def _expire(self, project_id: int, expired: sa.ColumnElement[bool]) -> int:
        with self._database.write() as tx:
            gone = tx.execute(sa.delete(quarantined).where(quarantined.c.project_id == project_id, expired)).rowcount
            if gone:
                entry = Entry(AuditAction.QUARANTINE_EXPIRED, project_id, _SYSTEM, self._clock(), counts={"events": gone})
                self._audit.stage(tx, entry)
        return gone


def _record(held: Held, properties: Mapping[str, Any], people: Mapping[int, Row], strays: Mapping[bytes, Row]) -> Record:
    """The event as the gate is to see it: with what everybody decided whom it names, by an id that it keeps or by another."""
    named = [people[uid] for uid in held.uids if uid in people]
    if held.stray is not None and held.stray in strays:
        named.append(strays[held.stray])
    refused = NOBODY_REFUSES.union(*(each.refused for each in named))
    return Record(held.scope, held.name, properties, _state(held, named, people), held.time_ms, refused)


def _state(held: Held, named: Sequence[Row], people: Mapping[int, Row]) -> SubjectState:
    """The state that forbids most. Who has no row is erased, and consent is nobody's but the event's own person's."""
    if not held.uids <= people.keys():
        return SubjectState.ERASED
    state = register.gravest(each.state for each in named)
    consented = held.uid in people and people[held.uid].state is SubjectState.OPTED_IN
    return SubjectState.ACTIVE if state is SubjectState.OPTED_IN and not consented else state


def _younger(now_ms: int) -> list[sa.ColumnElement[Any]]:
    return [sa.func.sum(sa.case((quarantined.c.received_ms > now_ms - age, 1), else_=0)) for _, age in _AGES]


def _page(condition: sa.ColumnElement[bool], after: tuple[int, str] | None, limit: int) -> sa.Select[Any]:
    key = (quarantined.c.received_ms, quarantined.c.id)
    wanted = sa.select(quarantined).where(condition).order_by(*key).limit(limit)
    return wanted if after is None else wanted.where(sa.tuple_(*key) > after)


def _groups(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    arrival, n = quarantined.c.received_ms, sa.func.count()
    columns = (quarantined.c.scope, quarantined.c.name, quarantined.c.reason)
    wanted = sa.select(*columns, n, sa.func.min(arrival), sa.func.max(arrival)).where(condition)
    return wanted.group_by(*columns).order_by(n.desc(), *columns).limit(_GROUPS)
