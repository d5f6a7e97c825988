"""Where a data deletion finds what it covers: the event store, quarantine, and what a collector has not taken yet.

Each place is counted and emptied some hundred records at a time. What to look for is found in a short transaction that
reads; what changes a record is another, which looks again whether the record is still the one that was received before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import msgspec
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.bootstrap import Services
from app.deletions import work
from app.deletions.model import Deletion, Target
from app.deletions.survey import bounds, spans
from app.errors import PortcullisError
from app.events.port import EventQuery, EventRow, EventStore, ProfileQuery
from app.quarantine import covered, holding
from app.quarantine.holding import Held
from app.turns import Turn
from app.upstream import covered as waiting, outbox
from app.upstream.covered import without
from app.upstream.outbox import Parcel
from app.where.evaluate import matches
from app.where.tree import Arrival, Comparison, Expr, Literal, conjunction
from jobs import withholding
from policies.model import Scope

ROWS_AT_ONCE = 1_000
_SEALED_AT_ONCE = 200


class Stopped(PortcullisError):
    """The process is asked to end. The next run goes on from the marks."""

    code = "stopped"


@dataclass(frozen=True)
class Run:
    """One deletion in the hands of one process. Not slotted: what is looked up once is kept."""

    services: Services
    turn: Turn
    lease_ms: int
    deletion: Deletion
    stopping: Callable[[], bool]

    @contextmanager
    def effect(self) -> Iterator[Connection]:
        """A transaction that changes something: it begins with the turn. Raises `LostTurn`."""
        with self.services.database.write() as tx:
            work.TURNS.renew(tx, self.turn, self.services.clock(), self.lease_ms)
            yield tx

    def look(self) -> Deletion:
        """The deletion as it stands."""
        with self.services.database.read() as tx:
            return work.look(tx, self.deletion.id)

    def unless_stopping(self) -> None:
        """Raises `Stopped`."""
        if self.stopping():
            raise Stopped("the process is asked to end")

    @cached_property
    def store(self) -> EventStore:
        """Where the project's events are."""
        with self.services.database.read() as tx:
            return self.services.stores.of(project_by_id(tx, self.deletion.project_id).store_url)

    @cached_property
    def condition(self) -> Expr:
        """What is true of a covered event, beside its name and time."""
        received = Comparison("<=", Arrival(), Literal(float(self.deletion.received_up_to_ms)))
        return conjunction(received, self.deletion.extent.condition()) or received

    @cached_property
    def names(self) -> frozenset[str]:
        """The property to take out; nothing when events go whole."""
        name = self.deletion.extent.property_name
        return frozenset() if name is None else frozenset({name})

    @cached_property
    def covered(self) -> Expr:
        """What is true of a covered event."""
        return self.deletion.extent.covered(self.deletion.received_up_to_ms) or self.condition


class Place(Protocol):
    """One table in which something may be covered."""

    name: str

    def count(self) -> int:
        """How many covered records are there now."""

    def remove(self) -> None:
        """Delete them, or take the property out of them; from where the last run stopped."""


def places(run: Run) -> tuple[Place, ...]:
    """Every place to look at."""
    first = StoredProfiles(run) if run.deletion.extent.target is Target.PROFILE_PROPERTY else StoredEvents(run)
    return (first, Quarantined(run), Outgoing(run))


class StoredEvents:
    """Events in the store."""

    name = "event"

    def __init__(self, run: Run) -> None:
        self._run = run
        self._project_id = run.deletion.project_id

    def count(self) -> int:
        """In ranges of time, each in a transaction of its own."""
        found = 0
        for start, end in spans(*self._bounds()):
            self._run.unless_stopping()
            with self._run.services.database.read() as tx:
                found += self._run.store.count_events(tx, self._project_id, self._query(start, end))
        return found

    def remove(self) -> None:
        """In order of time; the mark is the time up to which everything is done."""
        first, last = self._bounds()
        mark = self._run.look().marks.get(self.name, first)
        for start, end in spans(max(first, mark), last):
            after: tuple[int, int] | None = None
            while True:
                self._run.unless_stopping()
                with self._run.services.database.read() as tx:
                    keys = self._run.store.event_keys(tx, self._project_id, self._query(start, end, after))
                whole = len(keys) < ROWS_AT_ONCE
                with self._run.effect() as tx:
                    removed = self._remove(tx, keys) if keys else 0
                    work.progress(tx, self._run.deletion.id, self.name, end if whole else keys[-1][0], removed)
                if whole:
                    break
                after = keys[-1]

    def _bounds(self) -> tuple[int, int]:
        with self._run.services.database.read() as tx:
            return bounds(self._run.deletion.extent, self._run.store.event_bounds(tx, self._project_id))

    def _query(self, start: int, end: int, after: tuple[int, int] | None = None) -> EventQuery:
        names, condition = self._run.deletion.extent.events, self._run.condition
        return EventQuery(from_ms=start, to_ms=end, names=names, where=condition, after=after, limit=ROWS_AT_ONCE)

    def _remove(self, tx: Connection, keys: Any) -> int:
        # One that was sent again meanwhile has replaced the one that was found, and is new.
        locked = self._run.store.locked_events(tx, self._project_id, keys)
        rows = [row for row in locked if row.received_ms <= self._run.deletion.received_up_to_ms]
        withholding.refuse_held(tx, self._project_id, [(row.uid, row.name) for row in rows])
        if self._run.deletion.extent.whole:
            return self._run.store.delete_events(tx, self._project_id, rows)
        changed = [self._without(row) for row in rows]
        return self._run.store.rewrite_events(tx, self._project_id, [row for row in changed if row is not None])

    def _without(self, row: EventRow) -> EventRow | None:
        text = without(row.properties, self._run.names)
        return None if text is None else msgspec.structs.replace(row, properties=text)


class StoredProfiles:
    """Profiles in the store, of people and of groups, that have the property."""

    name = "profile"

    def __init__(self, run: Run) -> None:
        self._run = run
        self._project_id = run.deletion.project_id

    def count(self) -> int:
        """In pages by creation."""
        return sum(len(keys) for keys in self._pages(0))

    def remove(self) -> None:
        """In order of creation; the mark is the `seq` up to which everything is done."""
        for keys in self._pages(self._run.look().marks.get(self.name, 0)):
            with self._run.effect() as tx:
                removed = self._remove(tx, [uid for _, uid in keys])
                work.progress(tx, self._run.deletion.id, self.name, keys[-1][0], removed)

    def _pages(self, after: int) -> Iterator[Any]:
        while True:
            self._run.unless_stopping()
            query = ProfileQuery(after_seq=after, group_key=None, where=self._run.deletion.extent.condition())
            with self._run.services.database.read() as tx:
                keys = self._run.store.profile_keys(tx, self._project_id, query, ROWS_AT_ONCE)
            if not keys:
                return
            yield keys
            after = keys[-1][0]

    def _remove(self, tx: Connection, uids: list[int]) -> int:
        rows = self._run.store.profiles_of(tx, self._project_id, uids).values()
        texts = [(row, without(row.properties, self._run.names)) for row in rows]
        changed = [msgspec.structs.replace(row, properties=text) for row, text in texts if text is not None]
        withholding.refuse_held(tx, self._project_id, [(row.uid, None) for row in changed])
        return self._run.store.rewrite_profiles(tx, self._project_id, changed)


class Quarantined:
    """What waits for an officer. Its values are sealed, so every record is opened to ask it; marks are not worth keeping."""

    name = "quarantined"

    def __init__(self, run: Run) -> None:
        self._run = run

    def count(self) -> int:
        """Open, and ask."""
        return sum(len(found) for _, found in self._pages())

    def remove(self) -> None:
        """Delete what is covered; seal anew, without the property, what has it."""
        for tx, found in self._pages():
            if found:
                self._remove(tx, found)
                work.progress(tx, self._run.deletion.id, self.name, 0, len(found))

    def _pages(self) -> Iterator[tuple[Connection, list[Held]]]:
        after: tuple[int, str] | None = None
        while True:
            self._run.unless_stopping()
            with self._run.effect() as tx:
                keys = self._run.services.keyring.of(tx, self._run.deletion.project_id)
                page = covered.page(tx, keys, after, self._run.deletion.received_up_to_ms, _SEALED_AT_ONCE)
                yield tx, [each for each in page.held if self._covers(each)]
            if page.after is None:
                return
            after = page.after

    def _covers(self, held: Held) -> bool:
        extent = self._run.deletion.extent
        event = held.scope is Scope.EVENT
        if extent.whole:
            return event and matches(self._run.covered, covered.as_subject(held))
        return event is (extent.target is Target.EVENT_PROPERTY) and held.properties.get(extent.property_name or "") is not None

    def _remove(self, tx: Connection, found: list[Held]) -> None:
        extent, project_id = self._run.deletion.extent, self._run.deletion.project_id
        if extent.whole:
            holding.remove(tx, project_id, [each.id for each in found])
            return
        keys = self._run.services.keyring.of(tx, project_id)
        for each in found:
            properties = {name: value for name, value in each.properties.items() if name != extent.property_name}
            holding.hold_again(tx, keys, replace(each, properties=properties), each.held_by, each.policy_version)


class Outgoing:
    """What a collector has not taken yet, and what it will not have: events, and changes of profiles."""

    name = "outgoing"

    def __init__(self, run: Run) -> None:
        self._run = run
        self._project_id = run.deletion.project_id

    def count(self) -> int:
        """In pages by id."""
        return sum(len(found) for _, found, _ in self._pages(0))

    def remove(self) -> None:
        """In order of arrival; the mark is the id up to which everything is done."""
        for tx, found, last in self._pages(self._run.look().marks.get(self.name, 0)):
            bodies = {
                each.id: None if self._run.deletion.extent.whole else waiting.stripped(each, self._run.names) for each in found
            }
            outbox.forget(tx, self._project_id, [one for one, body in bodies.items() if body is None])
            waiting.rewrite(tx, self._project_id, {one: body for one, body in bodies.items() if body is not None})
            work.progress(tx, self._run.deletion.id, self.name, last, len(found))

    def _pages(self, after: int) -> Iterator[tuple[Connection, list[Parcel], int]]:
        deletion = self._run.deletion
        while True:
            self._run.unless_stopping()
            with self._run.effect() as tx:
                about, up_to_ms = deletion.extent.about, deletion.received_up_to_ms
                parcels = waiting.queued(tx, self._project_id, about, after, up_to_ms, ROWS_AT_ONCE)
                if not parcels:
                    return
                after = parcels[-1].id
                yield tx, [each for each in parcels if self._is_covered(each)], after

    def _is_covered(self, each: Parcel) -> bool:
        if self._run.deletion.extent.whole:
            return matches(self._run.covered, waiting.as_subject(each))
        return waiting.stripped(each, self._run.names) != each.body
