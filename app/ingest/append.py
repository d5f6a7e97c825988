"""Events through register and gate into the store, inside one transaction that holds the fence."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.events import retention
from app.events.port import EventRow, EventStore
from app.identity import register
from app.identity.derive import EventIds, event_ids
from app.identity.keyed import keep_bridges, with_person_keys
from app.identity.register import Row
from app.ingest import consent
from app.ingest.outcome import Event
from app.ingest.tables import REFUSAL_SHARDS, refusal
from app.ingest.tally import Tally
from app.keys.service import ProjectKeys
from app.observe.counting import Counting
from app.quarantine.holding import Arrival
from app.quarantine.service import Quarantine
from app.rulebook.service import ActivePolicy
from policies.context import CheckContext
from policies.model import NOBODY_REFUSES, Decision, Record, Scope, SubjectState, Verdict

_NOBODY = 0


def append_events(
    tx: Connection,
    project_id: int,
    keys: ProjectKeys,
    policy: ActivePolicy,
    store: EventStore,
    quarantine: Quarantine,
    counting: Counting,
    events: Sequence[Event],
    now_ms: int,
    context: CheckContext,
) -> Tally:
    """Check, register and store `events`. Returns what became of them; raises when anything stops the check."""
    tally = Tally()
    ids = [event_ids(event.properties) for event in events]
    known = register.resolve(tx, keys, {each for named in ids for each in named.judged()})
    records = [
        Record(Scope.EVENT, event.name, event.properties, _state(named, known), event.time_ms, _refused(named, known))
        for event, named in zip(events, ids, strict=True)
    ]
    decisions, giving = consent.check(policy, records, ids, known, context)
    consent.keep_evidence(tx, project_id, decisions, [_first_known(named, known) for named in ids], now_ms)
    accepted = [i for i, decision in enumerate(decisions) if decision.verdict is not Verdict.DROPPED]
    known |= _enrol_and_link(tx, keys, known, [ids[i] for i in accepted], now_ms)
    tally.opted_in = consent.record_opt_ins(tx, project_id, giving, ids, known)
    people = {i: known[subject] for i in accepted if (subject := ids[i].subject)}
    decisions = with_person_keys(tx, keys, policy.gate, context, records, decisions, people)
    accepted = [i for i in accepted if decisions[i].verdict is not Verdict.DROPPED]
    keep_bridges(tx, keys, ((people[i].person, decisions[i]) for i in accepted if i in people), now_ms)
    _follow_opt_outs(tx, keys, known, ids, records, now_ms)
    rows: list[tuple[EventRow, Decision]] = []
    held: list[Arrival] = []
    for i in accepted:
        row = _event_row(keys, events[i], ids[i], known, decisions[i], policy.version, now_ms)
        if decisions[i].verdict is Verdict.QUARANTINED:
            held.append((row, decisions[i].remarks, ids[i].stray))
        else:
            rows.append((row, decisions[i]))
    store.append(tx, project_id, [row for row, _ in rows])
    if rows and policy.written.retention:
        retention.note_late(tx, project_id, min(row.time_ms for row, _ in rows), now_ms)
    quarantine.hold(tx, keys, held)
    counting.count(tx, project_id, Scope.EVENT, decisions, now_ms)
    tally.stored, tally.quarantined = len(rows), len(held)
    tally.changed = sum(decision.verdict is Verdict.CHANGED for _, decision in rows)
    tally.refused.update(reason_of(each) for each in decisions if each.verdict is Verdict.DROPPED)
    return tally


def with_states(tx: Connection, keys: ProjectKeys, records: Sequence[Record]) -> list[Record]:
    """The same records with what the register knows of their people."""
    ids = [event_ids(record.properties) for record in records]
    known = register.resolve(tx, keys, {each for named in ids for each in named.judged()})
    return [
        msgspec.structs.replace(record, state=_state(named, known), refused_purposes=_refused(named, known))
        for record, named in zip(records, ids, strict=True)
    ]


def reason_of(decision: Decision) -> str:
    """The reason code of a refusal: that of the remark that decided it, the last one."""
    return decision.remarks[-1].reason if decision.remarks else "check_failed"


def state_of(rows: Iterable[Row]) -> SubjectState:
    """The state that forbids most among these rows."""
    return register.gravest(row.state for row in rows)


def _state(ids: EventIds, known: Mapping[str, Row]) -> SubjectState:
    state = state_of(known[each] for each in ids.judged() if each in known)
    return SubjectState.ACTIVE if state is SubjectState.OPTED_IN and not _consented(ids, known) else state


def _consented(ids: EventIds, known: Mapping[str, Row]) -> bool:
    """Whether the event's own person opted in: themselves, or on a device that is about to become theirs.

    Consent that somebody else gave on a shared device is not theirs.
    """
    subject, device = known.get(ids.subject or ""), known.get(ids.device or "")
    own = subject is not None and subject.state is SubjectState.OPTED_IN
    return own or (device is not None and device.state is SubjectState.OPTED_IN and device.person == device.uid)


def _refused(ids: EventIds, known: Mapping[str, Row]) -> frozenset[str]:
    """The purposes that any of these ids refuses."""
    refused = NOBODY_REFUSES
    for each in ids.judged():
        if each in known and known[each].refused:
            refused |= known[each].refused
    return refused


def _first_known(ids: EventIds, known: Mapping[str, Row]) -> Row | None:
    return next((known[each] for each in ids.judged() if each in known), None)


def _enrol_and_link(
    tx: Connection, keys: ProjectKeys, known: Mapping[str, Row], ids: Sequence[EventIds], now_ms: int
) -> dict[str, Row]:
    wanted = {each for named in ids for each in named.all()} - known.keys()
    rows = {**known, **register.enrol(tx, keys, wanted, now_ms)}
    for named in ids:
        if named.user and named.device:
            rows[named.device], rows[named.user] = register.link(tx, keys, rows[named.device], rows[named.user])
    return rows


def _follow_opt_outs(
    tx: Connection,
    keys: ProjectKeys,
    known: Mapping[str, Row],
    ids: Sequence[EventIds],
    records: Sequence[Record],
    now_ms: int,
) -> None:
    # A device that turns up with an opted-out user is that user's: what it sends alone later is refused too.
    pairs = {
        (named.user, named.device)
        for named, record in zip(ids, records, strict=True)
        if record.state is SubjectState.OPTED_OUT and named.user and named.device
    }
    for user, device in sorted(pairs):
        if user in known and known[user].state is SubjectState.OPTED_OUT:
            rows = dict(known) if device in known else register.enrol(tx, keys, [device], now_ms)
            register.link(tx, keys, rows[device], known[user])


def _event_row(
    keys: ProjectKeys,
    event: Event,
    ids: EventIds,
    known: Mapping[str, Row],
    decision: Decision,
    version: int,
    now_ms: int,
) -> EventRow:
    uid = _uid(known, ids.subject)
    properties: dict[str, Any] = dict(decision.properties or {})
    properties.pop("distinct_id", None)
    for name, identifier in (("$user_id", ids.user), ("$device_id", ids.device)):
        if name in properties:
            properties[name] = _uid(known, identifier)
    name = decision.name or ""
    return EventRow(
        time_ms=event.time_ms,
        # Of what the sender said, not of what policy made of it: a new policy version must not double a re-sent event.
        dedup=keys.dedup_of(event.name, event.time_ms, uid, event.insert_id),
        uid=uid,
        name=name,
        properties=msgspec.json.encode(properties).decode(),
        policy_version=version,
        received_ms=now_ms,
    )


def _uid(known: Mapping[str, Row], identifier: str | None) -> int:
    if identifier is None:
        return _NOBODY
    uid = known[identifier].uid
    if uid is None:
        raise LookupError("an accepted event names a person who is erased")
    return uid


def count_refusals(tx: Connection, project_id: int, reasons: Counter[str], now_ms: int) -> None:
    """Add to the day's counters, in the transaction that refused."""
    if not reasons:
        return
    insert: Any = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(refusal)
    statement = insert.on_conflict_do_update(
        index_elements=["project_id", "day", "reason", "shard"], set_={"n": refusal.c.n + insert.excluded.n}
    )
    day, shard = utc_day(now_ms), secrets.randbelow(REFUSAL_SHARDS)
    rows = [
        {"project_id": project_id, "day": day, "reason": reason, "shard": shard, "n": n} for reason, n in sorted(reasons.items())
    ]
    tx.execute(statement, rows)


def refusals(tx: Connection, project_id: int, from_day: str, to_day: str) -> dict[str, int]:
    """Totals by reason over a range of UTC days, both inclusive."""
    rows = (
        sa.select(refusal.c.reason, sa.func.sum(refusal.c.n))
        .where(refusal.c.project_id == project_id, refusal.c.day.between(from_day, to_day))
        .group_by(refusal.c.reason)
        .order_by(refusal.c.reason)
    )
    return {reason: int(n) for reason, n in tx.execute(rows)}


def utc_day(at_ms: int) -> str:
    """The UTC date of a moment, `yyyy-mm-dd`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
