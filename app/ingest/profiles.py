"""Profile updates through register and gate into the store (wire section 8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.events.port import EventStore, ProfileRow
from app.events.profile_update import apply
from app.identity import bridges, register
from app.identity.keyed import keep_bridges, with_person_keys
from app.identity.register import Row
from app.ingest import consent
from app.ingest.answers import FailedRecord
from app.ingest.judging import reason_of, state_of
from app.ingest.limits import Limits
from app.ingest.outcome import NO_ADDRESS, Operation, Update
from app.ingest.tally import Tally
from app.keys.service import ProjectKeys
from app.observe.counting import Counting, Hits
from app.rulebook.service import ActivePolicy
from policies.context import CheckContext
from policies.model import Decision, Record, Scope, SubjectState, Verdict


@dataclass(slots=True)
class _Draft:
    """A profile while a batch works on it. `properties` is None once it is deleted."""

    properties: dict[str, Any] | None = field(repr=False)
    last_seen_ms: int | None
    existed: bool


def update_profiles(
    tx: Connection,
    project_id: int,
    keys: ProjectKeys,
    policy: ActivePolicy,
    store: EventStore,
    counting: Counting,
    updates: Sequence[tuple[int, Update]],
    now_ms: int,
    context: CheckContext,
) -> Tally:
    """Check and apply updates in order; `updates` carries each one's index in the batch."""
    tally = Tally()
    names = [_identifier(update) for _, update in updates]
    known = register.resolve(tx, keys, set(names))
    checked, unkeyed = _check(policy, context, updates, names, known)
    _keep_evidence(tx, project_id, checked, [known.get(name) for name in names], now_ms)
    allowed = [i for i in range(len(updates)) if _leaves_something(checked[i], names[i], known, tally)]
    known |= register.enrol(tx, keys, {names[i] for i in allowed} - known.keys(), now_ms)
    targets = {i: _target(known[names[i]], updates[i][1].ignore_alias) for i in allowed}
    _encrypt(tx, keys, policy, context, checked, unkeyed, {i: known[names[i]] for i in allowed})
    pairs = keep_bridges(tx, keys, _decided(checked, targets), now_ms)
    drafts = _load(store.profiles_of(tx, project_id, set(targets.values())), targets.values(), pairs)
    for i in allowed:
        index, update = updates[i]
        if _apply(drafts[targets[i]], update, checked[i]):
            tally.stored += 1
            tally.changed += any(d is not None and d.verdict is Verdict.CHANGED for _, d in checked[i])
        else:
            most = Limits().profile_properties
            tally.failures.append(FailedRecord(index, "", "$set", f"a profile holds at most {most} properties; unset some first"))
    _store(tx, project_id, store, drafts, policy.version, now_ms)
    hits = Hits(Scope.PROFILE)
    hits.note(decision for each in checked for _, decision in each if decision is not None)
    counting.count(tx, project_id, hits, now_ms)
    return tally


_Checked = tuple[Operation, Decision | None]
_Unkeyed = tuple[int, int, Record, Decision]


def _check(
    policy: ActivePolicy,
    context: CheckContext,
    updates: Sequence[tuple[int, Update]],
    names: Sequence[str],
    known: Mapping[str, Row],
) -> tuple[list[list[_Checked]], list[_Unkeyed]]:
    """Each operation of each update beside its decision; None for one that carries no value and is not refused.

    And where those stand that must be checked again with the person's key.
    """
    places, records = [], []
    checked: list[list[_Checked]] = []
    for (_, update), name in zip(updates, names, strict=True):
        state = state_of([known[name]] if name in known else [])
        checked.append([(operation, None) for operation in update.operations])
        for at, (operation, operand) in enumerate(update.operations):
            if operation != "$delete":
                places.append((len(checked) - 1, at))
                values = {} if operation == "$unset" else _with_address(operation, operand, update, context)
                records.append(Record(Scope.PROFILE, operation, values, state, update.time_ms))
    decisions = policy.gate.check(records, context)
    for (i, at), decision in zip(places, decisions, strict=True):
        done = checked[i][at][0]
        if done[0] != "$unset" or decision.verdict is Verdict.DROPPED:
            checked[i][at] = (done, decision)
    found = zip(places, records, decisions, strict=True)
    return checked, [(i, at, record, decision) for (i, at), record, decision in found if decision.needs_key]


def _encrypt(
    tx: Connection,
    keys: ProjectKeys,
    policy: ActivePolicy,
    context: CheckContext,
    checked: list[list[_Checked]],
    unkeyed: Sequence[_Unkeyed],
    people: Mapping[int, Row],
) -> None:
    """Put the decisions in place that were made with the keys of these people, by index of the update."""
    records, decisions = [record for _, _, record, _ in unkeyed], [decision for *_, decision in unkeyed]
    whose = {n: people[i] for n, (i, *_) in enumerate(unkeyed) if i in people}
    keyed = with_person_keys(tx, keys, policy.gate, context, records, decisions, whose)
    for (i, at, *_), decision in zip(unkeyed, keyed, strict=True):
        checked[i][at] = (checked[i][at][0], decision)


def _decided(checked: Sequence[list[_Checked]], targets: Mapping[int, int]) -> Iterator[tuple[int, Sequence[tuple[str, str]]]]:
    for i, uid in targets.items():
        yield from ((uid, decision.bridges) for _, decision in checked[i] if decision is not None)


def _with_address(operation: str, operand: dict[str, Any], update: Update, context: CheckContext) -> dict[str, Any]:
    """What the gate looks at: with the update's own address, which no policy keeps, where a place may come of it."""
    # An address of 0 says "look nothing up", which matters only where there is another address to look up.
    wanted = update.ip is not None and (context.ip is not None or update.ip != NO_ADDRESS)
    return {**operand, "$ip": update.ip} if wanted and operation == "$set" else operand


def _keep_evidence(
    tx: Connection, project_id: int, checked: Sequence[Sequence[_Checked]], rows: Sequence[Row | None], now_ms: int
) -> None:
    evidence = consent.Evidence()
    for each, row in zip(checked, rows, strict=True):
        for _, decision in each:
            if decision is not None:
                evidence.note((decision,), (row,))
    evidence.keep(tx, project_id, now_ms)


def _leaves_something(checked: list[_Checked], name: str, known: Mapping[str, Row], tally: Tally) -> bool:
    """False when nothing of the update may take effect; counts why."""
    state = known[name].state if name in known else SubjectState.ACTIVE
    if state in (SubjectState.ERASING, SubjectState.ERASED, SubjectState.RESTRICTED):
        tally.refused[SubjectState.ERASED.value if state is SubjectState.ERASING else state.value] += 1
        return False
    deletes = any(operation == "$delete" for (operation, _), _ in checked)
    if state is SubjectState.OPTED_OUT and not deletes:
        # Deleting is the one thing an opted-out person's browser asks for, and the one thing done.
        tally.refused[state.value] += 1
        return False
    refused = [d for _, d in checked if d is not None and d.verdict in (Verdict.DROPPED, Verdict.QUARANTINED)]
    tally.refused.update(reason_of(each) for each in refused)
    if name not in known and deletes:
        return False
    return len(refused) < len(checked)


def _identifier(update: Update) -> str:
    return update.distinct_id or ""


def _target(row: Row, literal: bool) -> int:
    uid = row.uid if literal else row.person
    if uid is None:
        raise LookupError("an accepted update names a person who is erased")
    return uid


def _load(found: Mapping[int, ProfileRow], uids: Iterable[int], pairs: Mapping[int, Mapping[str, str]]) -> dict[int, _Draft]:
    drafts: dict[int, _Draft] = {}
    for uid in set(uids):
        row = found.get(uid)
        # A value that is sent again after a rotation must meet its older pseudonym, or a list would hold both.
        properties = msgspec.json.decode(bridges.with_newest(row.properties, pairs.get(uid, {}))) if row else None
        drafts[uid] = _Draft(properties, row.last_seen_ms if row else None, row is not None)
    return drafts


def _apply(draft: _Draft, update: Update, checked: list[_Checked]) -> bool:
    """Work the update into the draft. False, and nothing changed, when the profile would grow too large."""
    properties, last_seen = draft.properties, draft.last_seen_ms
    for (operation, operand), decision in checked:
        if operation == "$delete":
            properties, last_seen = None, None
            continue
        if decision is not None and (decision.properties is None or decision.verdict is Verdict.QUARANTINED):
            continue
        if operation == "$unset" and properties is None:
            continue
        properties = apply(properties or {}, operation, operand if decision is None else decision.properties)
        last_seen = last_seen if update.ignore_time else update.time_ms
    if properties is not None and len(properties) > Limits().profile_properties:
        return False
    draft.properties, draft.last_seen_ms = properties, last_seen
    return True


def _store(tx: Connection, project_id: int, store: EventStore, drafts: Mapping[int, _Draft], version: int, now_ms: int) -> None:
    gone = [uid for uid, draft in drafts.items() if draft.properties is None and draft.existed]
    if gone:
        store.delete_profiles(tx, project_id, gone)
    rows = [
        ProfileRow(0, uid, msgspec.json.encode(draft.properties).decode(), draft.last_seen_ms, version, now_ms)
        for uid, draft in drafts.items()
        if draft.properties is not None
    ]
    store.put_profiles(tx, project_id, rows)
