"""Sanitised re-imports as an officer sees them: look ahead, create, review, approve, override, cancel."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.doorbell import RUN_REIMPORT, Doorbell
from app.errors import Conflict, InvalidInput, NotFound
from app.events.placement import EventStores
from app.events.port import EventQuery, ProfileQuery
from app.identity.closure import Closure, closure
from app.keys.service import Keyring
from app.query.cohorts import saved
from app.reimport import report, staging
from app.reimport.chosen import chosen
from app.reimport.model import ENDED, Override, Reimport, Scope, State, Terms, may_go
from app.reimport.queue import ReimportQueue, as_reimport, current
from app.reimport.tables import reimport
from app.rulebook.review import checked_reason
from app.rulebook.service import Rulebook
from app.sight.service import Sights
from app.subjects.queue import SYSTEM

MOST_PEOPLE = 10_000
_MOST_OPEN = 3
_REVIEW_MS = 30 * 86_400_000
_AT_ONCE = 500
_WHO_OVERRIDES = 2


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks for. `terms` still lacks what the service finds out: the policy's digest and how many ids."""

    scope: Scope
    policy: int | str
    terms: Terms
    identifiers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a re-import would reach. `unknown` are positions of ids that mean nobody here; `withheld` counts ids of people
    whose data may not be processed: restricted, or being erased."""

    people: int
    ids: int
    events: int
    profiles: int
    unknown: tuple[int, ...]
    withheld: int


class Reimports:
    """Re-imports of every project. Stateless but for its dependencies; `queue` is for whoever works on them."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        stores: EventStores,
        sights: Sights,
        rulebook: Rulebook,
        audit: AuditLog,
        doorbell: Doorbell,
        clock: Callable[[], int],
        lease_ms: int,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._stores = stores
        self._sights = sights
        self._rulebook = rulebook
        self._audit = audit
        self._doorbell = doorbell
        self._clock = clock
        self.queue = ReimportQueue(database, audit, clock, lease_ms)

    # --- before ------------------------------------------------------------------------------------------------------

    def preview(self, by: Principal, order: Order) -> Ahead:
        """What it would reach, without anything changing but the log, which counts and names nobody."""
        with self._database.write() as tx:
            chosen(self._rulebook, tx, by.project.id, order.policy)
            ahead = self._ahead(tx, by, order)
            counts = {"people": ahead.people, "ids": ahead.ids, "events": ahead.events}
            self._stage(tx, AuditAction.REIMPORT_PREVIEWED, by, None, counts, {"scope": order.scope.value})
        return ahead

    def create(self, by: Principal, order: Order) -> tuple[Reimport, tuple[int, ...]]:
        """Order one; returns it with the positions of ids that are unknown.

        Raises `NotFound` for a policy or cohort that does not exist, `InvalidInput` for terms that make no sense, and
        `Conflict` when a person may not be processed, nobody is meant, or too many run.
        """
        now, project_id = self._clock(), by.project.id
        with self._database.write() as tx:
            gate = chosen(self._rulebook, tx, project_id, order.policy)
            self._refuse_more(tx, project_id)
            if order.scope is Scope.COHORT:
                saved(tx, project_id, order.terms.cohort or 0)
            named = isinstance(order.policy, str)
            terms = msgspec.structs.replace(
                order.terms,
                version=None if named else int(order.policy),
                library=str(order.policy) if named else None,
                digest=gate.digest,
                ids=len(set(order.identifiers)),
            )
            made, unknown = self._insert(tx, by, order, terms, now)
            facts = {"scope": order.scope.value, "policy": str(order.policy), "policy_sha256": gate.digest}
            people, ids = staging.count_people(tx, made.id)
            counts = {"named": terms.ids, "people": people, "ids": ids}
            self._stage(tx, AuditAction.REIMPORT_CREATED, by, made.id, counts, facts)
        self._doorbell.ring(made.id, RUN_REIMPORT)
        return made, unknown

    def _insert(self, tx: Connection, by: Principal, order: Order, terms: Terms, now: int) -> tuple[Reimport, tuple[int, ...]]:
        keys, reimport_id = self._keyring.of(tx, by.project.id), str(uuid.uuid4())
        wrapped, salt = staging.new_keys(keys, reimport_id)
        first = {Scope.COHORT: State.GATHERING}.get(order.scope, State.SURVEYING)
        values = {
            "id": reimport_id,
            "project_id": by.project.id,
            "scope": order.scope.value,
            "state": first.value,
            "terms": msgspec.json.encode(terms).decode(),
            "requested_by": by.id,
            "overrides": "[]",
            "created_ms": now,
            "next_due_ms": now,
            "lease_until_ms": 0,
            "fence": 0,
            "attempts": 0,
            "done": 0,
            "worked_ms": 0,
            "wrapped_key": wrapped,
            "salt": salt,
        }
        made = as_reimport(tx.execute(sa.insert(reimport).values(values).returning(*reimport.columns)).one())
        if order.scope is not Scope.PEOPLE:
            return made, ()
        found = closure(tx, keys, list(dict.fromkeys(order.identifiers)))
        _refuse_unfit(found)
        staging.add_subjects(tx, made, found)
        return made, _positions(order.identifiers, found)

    def _ahead(self, tx: Connection, by: Principal, order: Order) -> Ahead:
        store = self._stores.of(by.project.store_url)
        terms, sight = order.terms, self._sights.internal(tx, by.project)
        if order.scope is Scope.PROPERTY:
            window = EventQuery(from_ms=terms.from_ms, to_ms=terms.to_ms, names=terms.events or None)
            return Ahead(0, 0, store.count(tx, sight, window), 0, (), 0)
        if order.scope is Scope.COHORT:
            expression = saved(tx, by.project.id, terms.cohort or 0).expression
            people = store.count_profiles(tx, sight, ProfileQuery(where=expression))
            return Ahead(people, people, 0, people, (), 0)
        found = closure(tx, self._keyring.of(tx, by.project.id), list(dict.fromkeys(order.identifiers)))
        events = profiles = 0
        for start in range(0, len(found.uids), _AT_ONCE):
            some = found.uids[start : start + _AT_ONCE]
            events += store.count_subjects(tx, by.project.id, "event", some)
            profiles += store.count_subjects(tx, by.project.id, "profile", some)
        withheld = sum(each.row.hidden for each in found.members) + found.erased
        return Ahead(len(found.people), len(found.members), events, profiles, _positions(order.identifiers, found), withheld)

    @staticmethod
    def _refuse_more(tx: Connection, project_id: int) -> None:
        ended = [each.value for each in ENDED]
        running = sa.select(sa.func.count()).where(reimport.c.project_id == project_id, reimport.c.state.not_in(ended))
        if tx.execute(running).scalar_one() >= _MOST_OPEN:
            raise Conflict(f"{_MOST_OPEN} re-imports of this project are open", remedy="finish one, or cancel it")

    # --- while it runs -----------------------------------------------------------------------------------------------

    def status(self, project_id: int, reimport_id: str) -> Reimport:
        """How far it is. Raises `NotFound`."""
        with self._database.read() as tx:
            return _own(tx, project_id, reimport_id)

    def of(self, project_id: int, limit: int = 100) -> list[Reimport]:
        """The newest re-imports of the project."""
        wanted = sa.select(reimport).where(reimport.c.project_id == project_id)
        with self._database.read() as tx:
            rows = tx.execute(wanted.order_by(reimport.c.created_ms.desc(), reimport.c.id).limit(limit))
            return [as_reimport(row) for row in rows]

    def override(self, by: Principal, reimport_id: str, reason: str) -> Reimport:
        """Put one's word for a blocked re-import, with a reason that is kept. Two different people have to.

        Raises `Conflict` when nothing blocks it, when figures do not agree, or when this person has done so.
        """
        reason = checked_reason(reason)
        with self._database.write() as tx:
            found = self._in_review(tx, by, reimport_id)
            blocked = json.loads(found.report or "{}")["blocked"]
            if not blocked:
                raise Conflict("nothing blocks this re-import", remedy="approve it")
            _refuse_differences(blocked)
            if by.id in found.second_pair():
                raise Conflict("you overrode it already", remedy="another person has to, with a credential of their own")
            words = [*found.overrides, Override(by.id, reason, self._clock())]
            self._update(tx, found, {"overrides": msgspec.json.encode(words).decode()})
            self._stage(tx, AuditAction.REIMPORT_OVERRIDDEN, by, found.id, {"people": len(words)}, {"reason": reason})
            return current(tx, found.id)

    def approve(self, by: Principal, reimport_id: str) -> Reimport:
        """Let it go on: from here the people are hidden, and their data is refused.

        Raises `Conflict` when it is not waiting for this, or is blocked and not overridden by two people.
        """
        with self._database.write() as tx:
            found = self._in_review(tx, by, reimport_id)
            reviewed = json.loads(found.report or "{}")
            _refuse_differences(reviewed["blocked"])
            if reviewed["blocked"] and len(found.second_pair()) < _WHO_OVERRIDES:
                raise Conflict(
                    f"the re-import is blocked: {'; '.join(report.objections(reviewed, found.terms))}",
                    remedy="choose a policy that makes more alike, or let two people override it with a reason",
                )
            onward = State.REWRITING if found.scope is Scope.PROPERTY else State.FREEZING
            begun = {"state": onward.value, "next_due_ms": self._clock(), "approved_by": by.id, "standing": None}
            # Whoever wrote the report may still hold the lease: nobody waits for it to run out.
            free = {"lease_until_ms": 0, "fence": found.fence + 1, "done": 0, "total": None, "worked_ms": 0}
            self._update(tx, found, {**begun, **free})
            facts = {"blocked": ",".join(reviewed["blocked"]) or "no"}
            self._stage(tx, AuditAction.REIMPORT_APPROVED, by, found.id, {"overrides": len(found.overrides)}, facts)
            approved = current(tx, found.id)
        self._doorbell.ring(approved.id, RUN_REIMPORT)
        return approved

    def cancel(self, by: Principal, reimport_id: str) -> Reimport:
        """Take everything back. Raises `Conflict` once the erasure is ordered or events are being rewritten."""
        with self._database.write() as tx:
            found = _own(tx, by.project.id, reimport_id)
            if found.state is State.ERASING or not may_go(found.state, State.UNDOING):
                raise Conflict(
                    f"the re-import is {found.state.value} and can no longer be cancelled",
                    remedy="an erasure in its grace period can be cancelled by itself; then nothing is re-imported",
                )
            self._undo(tx, found, State.CANCELLED)
            self._stage(tx, AuditAction.REIMPORT_CANCELLED, by, found.id)
            cancelled = current(tx, found.id)
        self._doorbell.ring(cancelled.id, RUN_REIMPORT)
        return cancelled

    def expire(self) -> int:
        """Cancel what nobody reviewed for 30 days; returns how many."""
        waiting = sa.and_(reimport.c.state == State.REVIEW.value, reimport.c.created_ms <= self._clock() - _REVIEW_MS)
        with self._database.write() as tx:
            found = [as_reimport(row) for row in tx.execute(sa.select(reimport).where(waiting).limit(_AT_ONCE))]
            for each in found:
                self._undo(tx, each, State.CANCELLED)
                facts = {"reason": "nobody reviewed it"}
                entry = Entry(
                    AuditAction.REIMPORT_CANCELLED,
                    each.project_id,
                    SYSTEM,
                    self._clock(),
                    obj=f"reimport/{each.id}",
                    facts=facts,
                )
                self._audit.stage(tx, entry)
        return len(found)

    def _undo(self, tx: Connection, found: Reimport, ending: State) -> None:
        # The fence is raised as well: whoever works on it finds that out at its next effect.
        undoing = {"state": State.UNDOING.value, "ending": ending.value, "next_due_ms": self._clock(), "lease_until_ms": 0}
        self._update(tx, found, {**undoing, "fence": found.fence + 1, "attempts": 0})

    @staticmethod
    def _update(tx: Connection, found: Reimport, values: dict[str, Any]) -> None:
        unchanged = sa.and_(reimport.c.id == found.id, reimport.c.state == found.state.value, reimport.c.fence == found.fence)
        same = sa.and_(unchanged, reimport.c.overrides == msgspec.json.encode(found.overrides).decode())
        if tx.execute(sa.update(reimport).where(same).values(values)).rowcount != 1:
            raise Conflict("the re-import went on meanwhile", remedy="look at it again")

    def _in_review(self, tx: Connection, by: Principal, reimport_id: str) -> Reimport:
        found = _own(tx, by.project.id, reimport_id)
        if found.state is not State.REVIEW:
            raise Conflict(f"the re-import is {found.state.value} and waits for nobody's word", remedy="ask how far it is")
        return found

    def _stage(
        self,
        tx: Connection,
        action: AuditAction,
        by: Principal,
        reimport_id: str | None,
        counts: Mapping[str, int] | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        obj = None if reimport_id is None else f"reimport/{reimport_id}"
        entry = Entry(action, by.project.id, by.id, self._clock(), obj=obj, counts=counts or {}, facts=facts or {})
        self._audit.stage(tx, entry)


def _own(tx: Connection, project_id: int, reimport_id: str) -> Reimport:
    found = current(tx, reimport_id)
    if found.project_id != project_id:
        raise NotFound("no such re-import", field="id", remedy="use the id that was returned when it was created")
    return found


def _refuse_unfit(found: Closure) -> None:
    if any(each.row.hidden for each in found.members):
        raise Conflict(
            "one of these people is restricted, or in another re-import: what is held of them may not be processed",
            field="distinct_ids",
            remedy="ask POST /v1/subjects/states who it is, and leave them out",
        )
    if not found.members:
        raise Conflict("these ids mean nobody here", field="distinct_ids", remedy="look for their spelling")
    if len(found.members) > MOST_PEOPLE:
        raise InvalidInput(f"a re-import reaches at most {MOST_PEOPLE} ids", field="distinct_ids", remedy="name fewer people")


def _refuse_differences(blocked: Sequence[str]) -> None:
    if report.RECONCILIATION in blocked:
        raise Conflict(
            "figures before and after differ by more than the tolerance, which nobody can override",
            field="tolerance",
            remedy="cancel, and create it again with a policy that keeps them or with a tolerance that you can answer for",
        )


def _positions(identifiers: Sequence[str], found: Closure) -> tuple[int, ...]:
    missing = set(found.unknown)
    return tuple(at for at, each in enumerate(identifiers) if each in missing)
