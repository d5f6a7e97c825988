"""Updates of profiles on their way into the store, once the gate has passed them: what waits to be applied, and applying it.

What a collector is to be told of is taken down as it takes effect, and what does not take effect is told to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.events.port import EventStore, ProfileRow
from app.events.profile_update import MOST_PROPERTIES, apply
from app.identity import bridges
from app.ingest.answers import FailedRecord
from app.ingest.outcome import Operation
from app.ingest.tally import Tally
from app.upstream import outbox
from app.upstream.outbox import Kind
from policies.model import Decision, Remark, Verdict

Checked = tuple[Operation, Decision | None]
"""An operation and the decision on it; None for one that carries no value and is not refused."""
NOTHING = b"[]"
"""The steps of an update of which nothing waits to be applied."""
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Waiting:
    """One operation that policy holds: its name, its cleaned operand as JSON, and why."""

    operation: str
    operand: bytes = field(repr=False)
    remarks: tuple[Remark, ...]


@dataclass(slots=True)
class AcceptedUpdate:
    """One update of which something takes effect or is held. `steps` is JSON: name and operand of each operation to apply.

    `seen_ms` is None for an update that does not count as a sign of life.
    """

    index: int
    name: str = field(repr=False)
    time_ms: int
    seen_ms: int | None
    literal: bool
    deletes: bool
    steps: bytes = field(default=NOTHING, repr=False)
    held: tuple[Waiting, ...] = ()
    changed: bool = False
    bridges: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    group_key: str = ""

    def decide(self, checked: Sequence[Checked]) -> None:
        """Take over what the gate made of the operations."""
        steps: list[tuple[str, Any]] = []
        held: list[Waiting] = []
        for (operation, operand), decision in checked:
            if decision is None:
                steps.append((operation, operand))
            elif decision.verdict is Verdict.QUARANTINED:
                held.append(Waiting(operation, _encode(decision.properties), decision.remarks))
            elif decision.properties is not None:
                steps.append((operation, decision.properties))
        decisions = [decision for _, decision in checked if decision is not None]
        self.steps, self.held = _encode(steps), tuple(held)
        self.changed = any(each.verdict is Verdict.CHANGED for each in decisions)
        self.bridges = tuple(pair for each in decisions for pair in each.bridges)


def apply_updates(
    tx: Connection,
    project_id: int,
    store: EventStore,
    chosen: Mapping[int, Sequence[AcceptedUpdate]],
    pairs: Mapping[int, Mapping[str, str]],
    version: int,
    now_ms: int,
    tally: Tally,
    posted: list[outbox.Operation] | None,
) -> None:
    """Apply the updates of some profiles and put these back; `posted` takes what a collector is to be told."""
    found = store.profiles_of(tx, project_id, chosen.keys())
    rows: list[ProfileRow] = []
    gone: list[int] = []
    for uid, updates in chosen.items():
        row = found.get(uid)
        draft = _Draft.of(row, pairs.get(uid, {}))
        for each in updates:
            _apply(draft, each, tally, uid, posted)
        if draft.properties is not None:
            text = _encode(draft.properties).decode()
            rows.append(ProfileRow(0, uid, text, draft.last_seen_ms, version, now_ms, updates[0].group_key))
        elif row is not None:
            gone.append(uid)
    if gone:
        store.delete_profiles(tx, project_id, gone)
    store.put_profiles(tx, project_id, rows)


@dataclass(slots=True)
class _Draft:
    """A profile while a batch works on it. `properties` is None once it is deleted, or while there is none."""

    properties: dict[str, Any] | None = field(repr=False)
    last_seen_ms: int | None

    @classmethod
    def of(cls, row: ProfileRow | None, newest: Mapping[str, str]) -> _Draft:
        """The stored profile, or none. `newest` are pseudonyms by their older forms."""
        if row is None:
            return cls(None, None)
        # A value that is sent again after a rotation must meet its older pseudonym, or a list would hold both.
        return cls(msgspec.json.decode(bridges.with_newest(row.properties, newest)), row.last_seen_ms)


def _apply(draft: _Draft, update: AcceptedUpdate, tally: Tally, uid: int, posted: list[outbox.Operation] | None) -> None:
    """Work the update into the draft; one that would make the profile too large changes nothing, and its sender is told."""
    properties, last_seen = draft.properties, draft.last_seen_ms
    for operation, operand in msgspec.json.decode(update.steps):
        if operation == "$delete":
            properties, last_seen = None, None
        elif operation != "$unset" or properties is not None:
            properties = apply(properties or {}, operation, operand)
            last_seen = last_seen if update.seen_ms is None else update.seen_ms
    # It is in the draft now: both at once would be the batch twice.
    steps, update.steps = update.steps if posted is not None else NOTHING, NOTHING
    if properties is not None and len(properties) > MOST_PROPERTIES:
        message = f"a profile holds at most {MOST_PROPERTIES} properties; unset some first"
        tally.failures.append(FailedRecord(update.index, "", "$set", message))
        return
    draft.properties, draft.last_seen_ms = properties, last_seen
    tally.stored += 1
    tally.changed += update.changed
    if posted is not None:
        posted.extend(_operations(uid, update, steps))


def pass_on(chosen: Mapping[int, Sequence[AcceptedUpdate]], posted: list[outbox.Operation] | None, tally: Tally) -> None:
    """Of a project that keeps nothing: what would have been applied is told to the collector alone."""
    for uid, updates in chosen.items():
        for each in updates:
            if posted is not None:
                posted.extend(_operations(uid, each, each.steps))
            each.steps = NOTHING
            tally.stored += 1
            tally.changed += each.changed


def _operations(uid: int, update: AcceptedUpdate, steps: bytes) -> Iterator[outbox.Operation]:
    kind = Kind.GROUP if update.group_key else Kind.PROFILE
    for name, operand in msgspec.json.decode(steps, type=list[tuple[str, msgspec.Raw]]):
        yield outbox.Operation(uid, kind, update.time_ms, name, bytes(operand), update.literal, update.seen_ms is not None)
