"""The event store as the rest of the service sees it. An adapter for another engine implements this and nothing more.

Every read demands a `Sight` and answers with what is in it: only rows of which its expression is true, without the properties
that it withholds. Rows name people by uid only, and a store does not know who of them is hidden: the caller asks
`app.sight.people` and leaves the others out, so that hiding works the same over every engine. What takes no `Sight` is no
read: it is how ingest, erasure and retention change rows, and shows them to nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.where.tree import Expr


# Structs, because reads and batches make them by the million: a frozen dataclass takes five times as long to make.
class EventRow(msgspec.Struct, frozen=True, gc=False):
    """One event that has passed the gate. `time_ms` is Unix time in milliseconds; `properties` is JSON text.

    `uid` is the subject's, or 0 for an event that belongs to nobody.
    """

    time_ms: int
    dedup: int
    uid: int
    name: str
    properties: str
    policy_version: int
    received_ms: int

    def __repr__(self) -> str:
        return f"EventRow(time_ms={self.time_ms}, dedup={self.dedup}, uid={self.uid}, policy_version={self.policy_version})"


class ProfileRow(msgspec.Struct, frozen=True, gc=False):
    """One profile. `seq` rises with creation; `properties` is JSON text; `last_seen_ms` is None until an update counts.

    `changed_ms` is when it was last put, by the clock of this server. `group_key` names the kind of group that the profile
    is of ("company"), and is empty for a person's; a group stands in the register like a person does (wire section 9).
    """

    seq: int
    uid: int
    properties: str
    last_seen_ms: int | None
    policy_version: int
    changed_ms: int = 0
    group_key: str = ""

    def __repr__(self) -> str:
        return f"ProfileRow(seq={self.seq}, uid={self.uid}, policy_version={self.policy_version}, changed_ms={self.changed_ms})"


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events a scan returns: from `from_ms` (inclusive) to `to_ms` (exclusive), of these names and these people, and
    of which `where` is true, its ids bound to uids (`app.sight.ids`).

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
    where: Expr | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProfileQuery:
    """Which profiles a scan returns: after_seq < seq <= up_to_seq, of these people, and of which `where` is true.

    `group_key` is empty for profiles of people, the kind of groups for theirs, and None for all alike.
    """

    after_seq: int = 0
    up_to_seq: int = (1 << 63) - 1
    uids: Collection[int] | None = None
    where: Expr | None = field(default=None, repr=False)
    group_key: str | None = ""


class EventStore(Protocol):
    """What an engine must do. `tx` is the transaction of the caller; an engine with its own makes its effects idempotent."""

    def append(self, tx: Connection, project_id: int, rows: Sequence[EventRow]) -> None:
        """Store events. A row with the same (time, dedup) replaces the earlier one (wire section 7: the latest is shown)."""

    def scan(self, tx: Connection, sight: Sight, query: EventQuery) -> Iterator[EventRow]:
        """Events in sight, in time order, streamed: memory does not grow with the result.

        Raises `NotAllowed` when `where` asks for a property that is withheld, as every read does.
        """

    def count(self, tx: Connection, sight: Sight, query: EventQuery) -> int:
        """How many events a scan would return; `after` and `limit` do not count."""

    def scan_profiles(self, tx: Connection, sight: Sight, query: ProfileQuery) -> Iterator[ProfileRow]:
        """Profiles in sight, in order of `seq`, streamed."""

    def count_profiles(self, tx: Connection, sight: Sight, query: ProfileQuery) -> int:
        """How many profiles a scan would return."""

    def read_profiles(self, tx: Connection, sight: Sight, uids: Collection[int]) -> Sequence[ProfileRow]:
        """The profiles of a few thousand people at most, those in sight, in order of `seq`."""

    # --- what changes rows, and shows them to nobody -----------------------------------------------------------------

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
