"""Profile updates through register and gate into the store (wire section 8).

As with events, a batch costs memory like its body: it is judged part by part, and what waits to be written is the text of
what its operations became. All that is written is written once for the whole batch, in one order; profiles are then
taken up some at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from sqlalchemy.engine import Connection

from app.events.port import EventRow, EventStore
from app.events.profile_update import REPEATABLE
from app.identity import register
from app.identity.groups import group_identifier
from app.identity.keyed import keep_bridges, with_secrets
from app.identity.register import Row
from app.ingest import consent
from app.ingest.drafts import NOTHING, AcceptedUpdate, Checked, Waiting, apply_updates, pass_on
from app.ingest.judging import reason_of, state_of
from app.ingest.outcome import NO_ADDRESS, Update
from app.ingest.parcel import Parcel
from app.ingest.tally import Tally
from app.keys.service import ProjectKeys
from app.lexicon.reading import Entrance
from app.observe.counting import Counting, Hits
from app.quarantine.holding import Arrival
from app.quarantine.service import Quarantine
from app.rulebook.service import ActivePolicy
from app.upstream import outbox
from app.upstream.outbox import Keeps
from policies.context import CheckContext
from policies.model import NOBODY_REFUSES, Decision, Record, Scope, SubjectState, Verdict

PROFILES_AT_ONCE = 50
"""So many stored profiles are in memory at a time."""


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
    forwards = outbox.keeps(tx, project_id)
    judging = _Judging(tx, keys, policy, context, entrance, scope, forwards=forwards is not None)
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
    by_target: defaultdict[int, list[AcceptedUpdate]] = defaultdict(list)
    for uid, each in zip(targets, accepted, strict=True):
        if each.steps != NOTHING:
            by_target[uid].append(each)
    uids = sorted(by_target)
    # A profile that does not exist yet has no row to lock: its person has.
    register.hold(tx, project_id, uids)
    store.lock_profiles(tx, project_id, uids)
    for start in range(0, len(uids), PROFILES_AT_ONCE):
        some = {uid: by_target.pop(uid) for uid in uids[start : start + PROFILES_AT_ONCE]}
        posted: list[outbox.Operation] | None = None if forwards is None else []
        if forwards is Keeps.NOTHING:
            pass_on(some, posted, tally)
        else:
            apply_updates(tx, project_id, store, some, pairs, policy.version, now_ms, tally, posted)
        outbox.post_operations(tx, project_id, posted or [], now_ms)
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
        *,
        forwards: bool,
    ) -> None:
        """Take what every part is judged with."""
        self._forwards = forwards
        self._entrance = entrance
        self._scope = scope
        self._tx = tx
        self._keys = keys
        self._policy = policy
        self._context = context
        self.known: dict[str, Row] = {}
        self.inherited: dict[str, Row] = {}
        self.accepted: list[AcceptedUpdate] = []
        self._unkeyed: Parcel[Update] = Parcel(Update)
        self._named: set[str] = set()
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
            kept = AcceptedUpdate(index, _identifier(update), update.time_ms, seen_ms, update.ignore_alias, _deletes(update))
            kept.group_key = update.group_key or ""
            if any(each.needs_key for each in decisions):
                self._unkeyed.add(len(self.accepted), update)
            else:
                self._decide(kept, checked)
            self.accepted.append(kept)
            self._named.add(kept.name)

    def judge_again(self) -> None:
        """Those with a value under `encrypt`, now that their people are in the register. Never more lenient than before."""
        for part in self._unkeyed.parts():
            for (at, _), checked in zip(part, self._check([update for _, update in part], keyed=True), strict=True):
                self._decide(self.accepted[at], checked)

    def _decide(self, accepted: AcceptedUpdate, checked: Sequence[Checked]) -> None:
        decisions = [decision for _, decision in checked if decision is not None]
        self.hits.note(decisions)
        self.tally.refused.update(reason_of(each) for each in decisions if each.verdict is Verdict.DROPPED)
        accepted.decide([(operation, None if each is None else self._by_name(each)) for operation, each in checked])

    def _by_name(self, decision: Decision) -> Decision:
        """The gate's decision, or the stricter one of the dictionary, by the names that the gate left."""
        stricter = self._entrance.apply(self._scope, decision)
        self.tally.seen.note(self._scope, decision, stricter)
        return stricter

    def _check(self, updates: Sequence[Update], *, keyed: bool = False) -> list[list[Checked]]:
        """Each operation of each update beside its decision; `keyed` with the keys of people who are all known."""
        checked: list[list[Checked]] = [[(operation, None) for operation in update.operations] for update in updates]
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

    def _may_act(self, update: Update, checked: Sequence[Checked]) -> bool:
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
        # A profile that nobody has here may be one that the batch makes, or the collector's.
        return name in self.known or not deletes or self._forwards or name in self._named


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
    accepted: Sequence[tuple[int, AcceptedUpdate]],
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


def _arrival(keys: ProjectKeys, uid: int, update: AcceptedUpdate, waiting: Waiting, version: int, now_ms: int) -> Arrival:
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
