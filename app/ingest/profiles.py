"""Profile updates through register and gate into the store (wire section 8).

As with events, a batch costs memory like its body: it is judged part by part, and what waits to be written is the text of
what its operations became. All that is written is written once for the whole batch, in one order; profiles are then
taken up some at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.events.port import EventRow, EventStore, ProfileRow
from app.events.profile_update import MOST_PROPERTIES, REPEATABLE, apply
from app.identity import bridges, register
from app.identity.groups import group_identifier
from app.identity.keyed import keep_bridges, with_secrets
from app.identity.register import Row
from app.ingest import consent
from app.ingest.answers import FailedRecord
from app.ingest.judging import reason_of, state_of
from app.ingest.outcome import NO_ADDRESS, Operation, Update
from app.ingest.parcel import Parcel
from app.ingest.tally import Tally
from app.keys.service import ProjectKeys
from app.lexicon.reading import Entrance
from app.observe.counting import Counting, Hits
from app.quarantine.holding import Arrival
from app.quarantine.service import Quarantine
from app.rulebook.service import ActivePolicy
from policies.context import CheckContext
from policies.model import NOBODY_REFUSES, Decision, Record, Remark, Scope, SubjectState, Verdict

PROFILES_AT_ONCE = 50
"""So many stored profiles are in memory at a time."""

_Checked = tuple[Operation, Decision | None]
"""An operation and the decision on it; None for one that carries no value and is not refused."""
_encode = msgspec.json.Encoder().encode
_NOTHING = b"[]"


@dataclass(slots=True)
class _Waiting:
    """One operation that policy holds: its name, its cleaned operand as JSON, and why."""

    operation: str
    operand: bytes = field(repr=False)
    remarks: tuple[Remark, ...]


@dataclass(slots=True)
class _Accepted:
    """One update of which something takes effect or is held. `steps` is JSON: name and operand of each operation to apply.

    `seen_ms` is None for an update that does not count as a sign of life.
    """

    index: int
    name: str = field(repr=False)
    time_ms: int
    seen_ms: int | None
    literal: bool
    deletes: bool
    steps: bytes = field(default=_NOTHING, repr=False)
    held: tuple[_Waiting, ...] = ()
    changed: bool = False
    bridges: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    group_key: str = ""

    def decide(self, checked: Sequence[_Checked]) -> None:
        """Take over what the gate made of the operations."""
        steps: list[tuple[str, Any]] = []
        held: list[_Waiting] = []
        for (operation, operand), decision in checked:
            if decision is None:
                steps.append((operation, operand))
            elif decision.verdict is Verdict.QUARANTINED:
                held.append(_Waiting(operation, _encode(decision.properties), decision.remarks))
            elif decision.properties is not None:
                steps.append((operation, decision.properties))
        decisions = [decision for _, decision in checked if decision is not None]
        self.steps, self.held = _encode(steps), tuple(held)
        self.changed = any(each.verdict is Verdict.CHANGED for each in decisions)
        self.bridges = tuple(pair for each in decisions for pair in each.bridges)


def update_profiles(
    tx: Connection,
    project_id: int,
    keys: ProjectKeys,
    policy: ActivePolicy,
    entrance: Entrance,
    store: EventStore,
    quarantine: Quarantine,
    counting: Counting,
    parts: Iterable[Sequence[tuple[int, Update]]],
    now_ms: int,
    context: CheckContext,
    scope: Scope = Scope.PROFILE,
) -> Tally:
    """Check the updates of one batch, which arrive part by part with their indexes in it, and apply them in order.

    They are of profiles (`scope` PROFILE) or of groups (GROUP). A group has a row in the register, like a person: what is
    decided on its id holds, and its values have a key.
    """
    judging = _Judging(tx, keys, policy, context, entrance, scope)
    for updates in parts:
        judging.judge(updates)
    accepted, tally = judging.accepted, judging.tally
    judging.evidence.keep(tx, project_id, now_ms)
    tally.honoured = judging.evidence.honoured
    judging.known |= register.enrol(
        tx, keys, {each.name for each in accepted} - judging.known.keys(), now_ms, inherited=judging.inherited
    )
    judging.judge_again()
    targets = [_target(judging.known[each.name], each.literal) for each in accepted]
    decided = ((uid, each.bridges) for uid, each in zip(targets, accepted, strict=True))
    pairs = keep_bridges(tx, keys, decided, now_ms)
    # Before the profiles, as a release does it: whoever needs both waits for them in one order.
    _hold(tx, keys, quarantine, list(zip(targets, accepted, strict=True)), policy.version, now_ms, tally)
    by_target: defaultdict[int, list[_Accepted]] = defaultdict(list)
    for uid, each in zip(targets, accepted, strict=True):
        if each.steps != _NOTHING:
            by_target[uid].append(each)
    uids = sorted(by_target)
    # A profile that does not exist yet has no row to lock: its person has.
    register.hold(tx, project_id, uids)
    store.lock_profiles(tx, project_id, uids)
    for start in range(0, len(uids), PROFILES_AT_ONCE):
        some = {uid: by_target.pop(uid) for uid in uids[start : start + PROFILES_AT_ONCE]}
        _work(tx, project_id, store, some, pairs, policy.version, now_ms, tally)
    counting.count(tx, project_id, judging.hits, now_ms)
    return tally


class _Judging:
    """One batch of one project on its way through the gate. It writes nothing."""

    def __init__(
        self,
        tx: Connection,
        keys: ProjectKeys,
        policy: ActivePolicy,
        context: CheckContext,
        entrance: Entrance,
        scope: Scope,
    ) -> None:
        """Take what every part is judged with."""
        self._entrance = entrance
        self._scope = scope
        self._tx = tx
        self._keys = keys
        self._policy = policy
        self._context = context
        self.known: dict[str, Row] = {}
        self.inherited: dict[str, Row] = {}
        self.accepted: list[_Accepted] = []
        self._unkeyed: Parcel[Update] = Parcel(Update)
        self.evidence = consent.Evidence()
        self.hits = Hits(scope)
        self.tally = Tally()

    def judge(self, updates: Sequence[tuple[int, Update]]) -> None:
        """The next part of the batch, in its order."""
        names = {_identifier(update) for _, update in updates} - self.known.keys() - self.inherited.keys()
        known, inherited = register.acquainted(self._tx, self._keys, names)
        self.known |= known
        self.inherited |= inherited
        for (index, update), checked in zip(updates, self._check([update for _, update in updates]), strict=True):
            decisions = [decision for _, decision in checked if decision is not None]
            self.evidence.note(decisions, repeat(self.known.get(_identifier(update)), len(decisions)))
            if not self._may_act(update, checked):
                self.hits.note(decisions)
                continue
            seen_ms = None if update.ignore_time else update.time_ms
            kept = _Accepted(index, _identifier(update), update.time_ms, seen_ms, update.ignore_alias, _deletes(update))
            kept.group_key = update.group_key or ""
            if any(each.needs_key for each in decisions):
                self._unkeyed.add(len(self.accepted), update)
            else:
                self._decide(kept, checked)
            self.accepted.append(kept)

    def judge_again(self) -> None:
        """Those with a value under `encrypt`, now that their people are in the register. Never more lenient than before."""
        for part in self._unkeyed.parts():
            for (at, _), checked in zip(part, self._check([update for _, update in part], keyed=True), strict=True):
                self._decide(self.accepted[at], checked)

    def _decide(self, accepted: _Accepted, checked: Sequence[_Checked]) -> None:
        decisions = [decision for _, decision in checked if decision is not None]
        self.hits.note(decisions)
        self.tally.refused.update(reason_of(each) for each in decisions if each.verdict is Verdict.DROPPED)
        accepted.decide([(operation, None if each is None else self._by_name(each)) for operation, each in checked])

    def _by_name(self, decision: Decision) -> Decision:
        """The gate's decision, or the stricter one of the dictionary, by the names that the gate left."""
        stricter = self._entrance.apply(self._scope, decision)
        self.tally.seen.note(self._scope, decision, stricter)
        return stricter

    def _check(self, updates: Sequence[Update], *, keyed: bool = False) -> list[list[_Checked]]:
        """Each operation of each update beside its decision; `keyed` with the keys of people who are all known."""
        checked: list[list[_Checked]] = [[(operation, None) for operation in update.operations] for update in updates]
        places, records = [], []
        for i, update in enumerate(updates):
            for at, (operation, operand) in enumerate(update.operations):
                if operation != "$delete":
                    places.append((i, at))
                    records.append(self._record(update, operation, operand))
        if keyed:
            people = {n: self.known[_identifier(updates[i])].person for n, (i, _) in enumerate(places)}
            records = list(with_secrets(self._tx, self._keys, dict(enumerate(records)), people).values())
        for (i, at), decision in zip(places, self._policy.gate.check(records, self._context), strict=True):
            done = updates[i].operations[at]
            if done[0] != "$unset" or decision.verdict is Verdict.DROPPED:
                checked[i][at] = (done, decision)
        return checked

    def _record(self, update: Update, operation: str, operand: Any) -> Record:
        name = _identifier(update)
        row = self.known.get(name) or self.inherited.get(name)
        state, refused = state_of([row] if row else []), row.refused if row else NOBODY_REFUSES
        values = {} if operation == "$unset" else _with_address(operation, operand, update, self._context)
        return Record(self._scope, operation, values, state, update.time_ms, refused)

    def _may_act(self, update: Update, checked: Sequence[_Checked]) -> bool:
        """False when nothing of the update may take effect; counts why."""
        name, refused = _identifier(update), self.tally.refused
        row = self.known.get(name) or self.inherited.get(name)
        state, deletes = row.state if row else SubjectState.ACTIVE, _deletes(update)
        if state in (SubjectState.ERASING, SubjectState.ERASED, SubjectState.RESTRICTED):
            refused[SubjectState.ERASED.value if state is SubjectState.ERASING else state.value] += 1
            return False
        if state is SubjectState.OPTED_OUT and not deletes:
            # Deleting is the one thing an opted-out person's browser asks for, and the one thing done.
            refused[state.value] += 1
            return False
        dropped = [each for _, each in checked if each is not None and each.verdict is Verdict.DROPPED]
        if len(dropped) == len(checked):
            refused.update(reason_of(each) for each in dropped)
            return False
        return name in self.known or not deletes


def _with_address(operation: str, operand: dict[str, Any], update: Update, context: CheckContext) -> dict[str, Any]:
    """What the gate looks at: with the update's own address, which no policy keeps, where a place may come of it."""
    # An address of 0 says "look nothing up", which matters only where there is another address to look up.
    wanted = update.ip is not None and (context.ip is not None or update.ip != NO_ADDRESS)
    return {**operand, "$ip": update.ip} if wanted and operation == "$set" else operand


def _deletes(update: Update) -> bool:
    return any(operation == "$delete" for operation, _ in update.operations)


def _identifier(update: Update) -> str:
    if update.group_key is not None:
        return group_identifier(update.group_key, update.group_id or "")
    return update.distinct_id or ""


def _target(row: Row, literal: bool) -> int:
    uid = row.uid if literal else row.person
    if uid is None:
        raise LookupError("an accepted update names a person who is erased")
    return uid


def _hold(
    tx: Connection,
    keys: ProjectKeys,
    quarantine: Quarantine,
    accepted: Sequence[tuple[int, _Accepted]],
    version: int,
    now_ms: int,
    tally: Tally,
) -> None:
    """Hold what policy holds. A `$delete` takes with it what is held of its profile, in the batch and from before."""
    held: defaultdict[int, list[Arrival]] = defaultdict(list)
    deleted = [uid for uid, each in accepted if each.deletes]
    for uid, each in accepted:
        if each.deletes:
            held.pop(uid, None)
        held[uid] += [_arrival(keys, uid, each, waiting, version, now_ms) for waiting in each.held]
        each.held = ()
    tally.withdrawn = quarantine.withdraw(tx, keys, deleted)
    arrivals = [arrival for of_one in held.values() for arrival in of_one]
    quarantine.hold(tx, keys, arrivals)
    tally.quarantined = len(arrivals)


def _arrival(keys: ProjectKeys, uid: int, update: _Accepted, waiting: _Waiting, version: int, now_ms: int) -> Arrival:
    text = waiting.operand.decode()
    # What may be done twice without harm is held once, and what adds up as often as it was sent.
    same = text if waiting.operation in REPEATABLE else None
    row = EventRow(
        time_ms=update.time_ms,
        dedup=keys.dedup_of(waiting.operation, 0, uid, same),
        uid=uid,
        name=waiting.operation,
        properties=text,
        policy_version=version,
        received_ms=now_ms,
    )
    return Arrival(
        row,
        waiting.remarks,
        scope=Scope.GROUP if update.group_key else Scope.PROFILE,
        literal=update.literal,
        seen=update.seen_ms is not None,
        group_key=update.group_key,
    )


def _work(
    tx: Connection,
    project_id: int,
    store: EventStore,
    chosen: Mapping[int, Sequence[_Accepted]],
    pairs: Mapping[int, Mapping[str, str]],
    version: int,
    now_ms: int,
    tally: Tally,
) -> None:
    """Apply the updates of some profiles and put these back."""
    found = store.profiles_of(tx, project_id, chosen.keys())
    rows: list[ProfileRow] = []
    gone: list[int] = []
    for uid, updates in chosen.items():
        row = found.get(uid)
        draft = _Draft.of(row, pairs.get(uid, {}))
        for each in updates:
            _apply(draft, each, tally)
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


def _apply(draft: _Draft, update: _Accepted, tally: Tally) -> None:
    """Work the update into the draft; one that would make the profile too large changes nothing, and its sender is told."""
    properties, last_seen = draft.properties, draft.last_seen_ms
    for operation, operand in msgspec.json.decode(update.steps):
        if operation == "$delete":
            properties, last_seen = None, None
        elif operation != "$unset" or properties is not None:
            properties = apply(properties or {}, operation, operand)
            last_seen = last_seen if update.seen_ms is None else update.seen_ms
    # It is in the draft now: both at once would be the batch twice.
    update.steps = _NOTHING
    if properties is not None and len(properties) > MOST_PROPERTIES:
        message = f"a profile holds at most {MOST_PROPERTIES} properties; unset some first"
        tally.failures.append(FailedRecord(update.index, "", "$set", message))
        return
    draft.properties, draft.last_seen_ms = properties, last_seen
    tally.stored += 1
    tally.changed += update.changed
