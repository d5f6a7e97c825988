"""The event store as the rest of the service sees it. An adapter for another engine implements this and nothing more.

Rows name people by uid only. Reads do not know who is hidden: the caller resolves uids through the register and leaves the
hidden ones out, so that hiding works the same over every engine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.engine import Connection


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event that has passed the gate. `time_ms` is Unix time in milliseconds; `properties` is JSON text.

    `uid` is the subject's, or 0 for an event that belongs to nobody.
    """

    time_ms: int
    dedup: int
    uid: int
    name: str = field(repr=False)
    properties: str = field(repr=False)
    policy_version: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One profile. `seq` rises with creation; `properties` is JSON text; `last_seen_ms` is None until an update counts.

    `changed_ms` is when it was last put, by the clock of this server. `group_key` names the kind of group that the profile
    is of ("company"), and is empty for a person's; a group stands in the register like a person does (wire section 9).
    """

    seq: int
    uid: int
    properties: str = field(repr=False)
    last_seen_ms: int | None
    policy_version: int
    changed_ms: int = 0
    group_key: str = ""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events a scan returns: from `from_ms` (inclusive) to `to_ms` (exclusive), of these names and these people.

    `after` is the (time, dedup) of an event: only what follows it in the order of the scan. `limit` is how many at most;
    with `newest_first` those are the last ones, from the newest back.
    """

    from_ms: int | None = None
    to_ms: int | None = None
    names: Collection[str] | None = None
    uids: Collection[int] | None = None
    after: tuple[int, int] | None = None
    limit: int | None = None
    newest_first: bool = False


class EventStore(Protocol):
    """What an engine must do. `tx` is the transaction of the caller; an engine with its own makes its effects idempotent."""

    def append(self, tx: Connection, project_id: int, rows: Sequence[EventRow]) -> None:
        """Store events. A row with the same (time, dedup) replaces the earlier one (wire section 7: the latest is shown)."""

    def scan(self, tx: Connection, project_id: int, query: EventQuery) -> Iterator[EventRow]:
        """Events in time order, streamed: memory does not grow with the result."""

    def count(self, tx: Connection, project_id: int, query: EventQuery) -> int:
        """How many events a scan would return; `after` and `limit` do not count."""

    def profiles_of(self, tx: Connection, project_id: int, uids: Collection[int]) -> Mapping[int, ProfileRow]:
        """The profiles of these people, locked until the transaction ends where the engine can."""

    def lock_profiles(self, tx: Connection, project_id: int, uids: Collection[int]) -> None:
        """Hold the profiles of these people until the transaction ends, where the engine can, all of them in one order.

        Whoever then reads and puts them some at a time cannot meet another batch half-way.
        """

    def put_profiles(self, tx: Connection, project_id: int, rows: Sequence[ProfileRow]) -> None:
        """Create or replace profiles; `seq` of a new one is ignored and given by the store."""

    def delete_profiles(self, tx: Connection, project_id: int, uids: Collection[int]) -> int:
        """Delete profiles, keeping events."""

    def scan_profiles(
        self, tx: Connection, project_id: int, after_seq: int, up_to_seq: int, group_key: str = ""
    ) -> Iterator[ProfileRow]:
        """Profiles with after_seq < seq <= up_to_seq, in that order, streamed: of people, or of one kind of group."""

    def count_profiles(self, tx: Connection, project_id: int, up_to_seq: int, group_key: str = "") -> int:
        """How many such profiles there are up to this `seq`."""

    def newest_profile(self, tx: Connection, project_id: int) -> int:
        """The highest `seq`, 0 when there is no profile."""

    def old_events(
        self, tx: Connection, project_id: int, after: tuple[int, int], before_ms: int, limit: int
    ) -> Sequence[EventRow]:
        """The first `limit` events beyond `after` (time_ms, dedup) and earlier than `before_ms`, in that order, locked."""

    def delete_events(self, tx: Connection, project_id: int, rows: Collection[EventRow]) -> int:
        """Delete these events; returns how many there were."""

    def rewrite_events(self, tx: Connection, project_id: int, rows: Sequence[EventRow]) -> int:
        """Put new properties into events that are still there; one that is gone stays gone. Returns how many there were."""

    def old_profiles(
        self, tx: Connection, project_id: int, after: tuple[int, int], before_ms: int, limit: int
    ) -> Sequence[ProfileRow]:
        """As `old_events`, by (changed_ms, seq): profiles that nobody changed since `before_ms`."""

    def rewrite_profiles(self, tx: Connection, project_id: int, rows: Sequence[ProfileRow]) -> int:
        """As `rewrite_events`. It is no change by the sender: `changed_ms` stays."""

    def places(self) -> tuple[str, ...]:
        """The names of the tables in which this store keeps personal data, for the certificate."""

    def count_subjects(self, tx: Connection, project_id: int, place: str, uids: Collection[int]) -> int:
        """How many rows of `place` belong to these people."""

    def delete_subjects(self, tx: Connection, project_id: int, place: str, uids: Collection[int], limit: int) -> int:
        """Delete at most `limit` such rows; the caller repeats until 0."""
