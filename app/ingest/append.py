"""Events through register and gate into the store, inside one transaction that holds the fence."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.access.modes import IdentityMode
from app.events import horizon, retention
from app.events.port import EventRow, EventStore
from app.identity import linking
from app.identity.derive import VERBS
from app.identity.keyed import keep_bridges, with_secrets
from app.identity.linking import Outcome
from app.identity.register import Row
from app.ingest import consent
from app.ingest.judging import Accepted, Judging
from app.ingest.outcome import Event
from app.ingest.tables import REFUSAL_SHARDS, refusal
from app.ingest.tally import Tally
from app.keys.service import ProjectKeys
from app.lexicon.reading import Entrance
from app.observe.counting import Counting
from app.quarantine.holding import Arrival
from app.quarantine.service import Quarantine
from app.rulebook.service import ActivePolicy
from app.upstream import outbox
from app.upstream.outbox import Keeps
from policies.context import CheckContext
from policies.gate import Gate
from policies.model import Verdict

_NOBODY = 0


def append_events(
    tx: Connection,
    project_id: int,
    keys: ProjectKeys,
    policy: ActivePolicy,
    entrance: Entrance,
    store: EventStore,
    quarantine: Quarantine,
    counting: Counting,
    parts: Iterable[Sequence[Event]],
    now_ms: int,
    context: CheckContext,
    mode: IdentityMode = IdentityMode.SIMPLIFIED,
) -> Tally:
    """Check, register and store the events of one batch, which arrive part by part.

    Returns what became of them; raises when anything stops the check.
    """
    now_ms = horizon.received(tx, project_id, now_ms)
    judging = Judging(tx, keys, policy, context, mode, entrance)
    for events in parts:
        judging.judge(events)
    judging.evidence.keep(tx, project_id, now_ms)
    ids = [each.ids for each in judging.accepted]
    admitted = linking.admit(tx, keys, judging.known, judging.inherited, ids, judging.refused_claims, now_ms)
    known = admitted.rows
    opted_in = consent.record_opt_ins(tx, project_id, judging.consents.givers, known)
    honoured = judging.evidence.honoured
    tally = Tally(opted_in=opted_in, links=admitted.counts(), honoured=honoured, seen=judging.seen)
    _encrypt(tx, keys, policy.gate, context, judging, known)
    placed = zip(judging.accepted, admitted.subjects, admitted.outcomes, strict=True)
    accepted = [each for each in placed if each[0].verdict is not Verdict.DROPPED]
    of_people = [(known[each.ids.subject].person, each) for each, *_ in accepted if each.ids.subject]
    keep_bridges(tx, keys, ((person, each.bridges) for person, each in of_people), now_ms)
    rows: list[EventRow] = []
    held: list[Arrival] = []
    for each, subject, outcome in accepted:
        row = _event_row(keys, each, subject, outcome, known, policy.version, now_ms)
        if each.verdict is Verdict.QUARANTINED:
            held.append(Arrival(row, each.remarks, each.ids.stray))
        else:
            rows.append(row)
    kept = outbox.keeps(tx, project_id) is not Keeps.NOTHING
    if kept:
        store.append(tx, project_id, rows)
    outbox.post_events(tx, project_id, rows, now_ms)
    if kept and rows and policy.written.retention:
        retention.note_late(tx, project_id, min(row.time_ms for row in rows), now_ms)
    quarantine.hold(tx, keys, held)
    counting.count(tx, project_id, judging.hits, now_ms)
    tally.stored, tally.quarantined, tally.refused = len(rows), len(held), judging.refused
    tally.changed = sum(each.verdict is Verdict.CHANGED for each, *_ in accepted)
    return tally


def _encrypt(
    tx: Connection, keys: ProjectKeys, gate: Gate, context: CheckContext, judging: Judging, known: Mapping[str, Row]
) -> None:
    """Judge those events again that carry a value under `encrypt`, now that their people are in the register."""
    for part in judging.unkeyed.parts():
        subjects = {at: judging.accepted[at].ids.subject for at, _ in part}
        people = {at: known[subject].person for at, subject in subjects.items() if subject}
        # Without a key of their own the placeholder stays, and the second decision is like the first.
        records = with_secrets(tx, keys, dict(part), people)
        for at, decision in zip(records, gate.check(list(records.values()), context), strict=True):
            judging.decide_again(at, decision)


def _event_row(
    keys: ProjectKeys,
    event: Accepted,
    uid: int,
    outcome: Outcome | None,
    known: Mapping[str, Row],
    version: int,
    now_ms: int,
) -> EventRow:
    text = event.properties.decode()
    # From here on the row has the text: both at once would be the batch twice.
    event.properties = b""
    named = {"$user_id": event.ids.user, "$device_id": event.ids.device}
    added = [f'"{name}":{_uid(known, named[name])}' for name in event.uids]
    if outcome is not None and outcome.refused and event.sent_name in VERBS[IdentityMode.ORIGINAL]:
        added.append(f'"$failure_reason":"{outcome.value}"')
    if added:
        text = f"{{{','.join(added)}}}" if text == "{}" else f"{{{','.join(added)},{text[1:]}"
    return EventRow(
        time_ms=event.time_ms,
        # Of what the sender said, not of what policy made of it: a new policy version must not double a re-sent event.
        dedup=keys.dedup_of(event.sent_name, event.time_ms, uid, event.insert_id),
        uid=uid,
        name=event.name,
        properties=text,
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
