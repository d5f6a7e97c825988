"""A property that carried what it should not: rewritten in the events of some days as a policy says, in place.

The people stay who they are, so pseudonyms and ciphertexts of the policy stay as well. Only the one property changes; the
rest of each event, its time and its `$insert_id` do not.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.audit.certificate import digest
from app.audit.entry import AuditAction
from app.events.port import EventQuery, EventRow
from app.query.batches import batches
from app.reimport import ledger, report
from app.reimport.ledger import EVENTS, Tally
from app.reimport.model import State
from jobs import purge
from jobs.reimport_pass import day_of, note_sums
from jobs.reimport_work import Work, as_record, ids_of
from policies.model import Scope
from policies.sanitise import Account, Sanitised

_ROWS_AT_ONCE = 500
_LARGEST = (1 << 63) - 1


def survey(work: Work) -> None:
    """SURVEYING: what policy would make of the property, counted; nothing is changed."""
    terms = work.of.terms
    names = terms.events or None
    if work.of.total is None:
        with work.services.database.write() as tx:
            sight = work.services.sights.internal(tx, work.project)
            total = work.store.count(tx, sight, EventQuery(from_ms=terms.from_ms, to_ms=terms.to_ms, names=names))
            work.services.reimports.queue.hold(tx, work.of, total=total)
    with work.services.database.read() as reading:
        sight = work.services.sights.internal(reading, work.project)
        query = EventQuery(from_ms=terms.from_ms, to_ms=terms.to_ms, names=names, after=work.standing.after)
        for rows in batches(work.store.scan(reading, sight, query), _ROWS_AT_ONCE):
            tally = Tally()
            for row, before, each in _judged(work, reading, rows, work.standing.account):
                tally.add(EVENTS, each.label, day_of(row.time_ms), 1, 1, 1)
                note_sums(tally, work, each.label, before, each.properties or {})
            work.standing.after = (rows[-1].time_ms, rows[-1].dedup)
            with work.effect(len(rows)) as tx:
                tally.write(tx, work.of.id)
            if work.over():
                return
    account = work.standing.account
    with work.services.database.write() as tx:
        work.services.reimports.queue.hold(tx, work.of)
        made = report.build(tx, work.of, account, 0, 0, work.keys.salt)
        ledger.forget(tx, work.of.id)
        work.move(tx, State.REVIEW, report=json.dumps(made))
        facts = {"blocked": ",".join(made["blocked"]) or "no"}
        work.tell(tx, AuditAction.REIMPORT_REVIEWABLE, counts={"findings": made["findings"]}, facts=facts)


def rewrite(work: Work) -> None:
    """REWRITING: window by window, each locked, rewritten and done in one transaction."""
    terms = work.of.terms
    while not work.over():
        after = work.standing.after or ((terms.from_ms or 0) - 1, _LARGEST)
        with work.effect() as tx:
            rows = list(work.store.old_events(tx, work.of.project_id, after, terms.to_ms or 0, _ROWS_AT_ONCE))
            wanted = [row for row in rows if not terms.events or row.name in terms.events]
            changed = [
                msgspec.structs.replace(row, properties=_with(row, terms.leaked or "", each))
                for row, _, each in _judged(work, tx, wanted, work.standing.account)
            ]
            moved = [new for new, old in zip(changed, _having(wanted, terms.leaked or ""), strict=True) if new != old]
            work.store.rewrite_events(tx, work.of.project_id, moved)
            if rows:
                work.standing.after = (rows[-1].time_ms, rows[-1].dedup)
                work.standing.seq += len(moved)
        if len(rows) < _ROWS_AT_ONCE:
            return _finish(work)
    return None


def _finish(work: Work) -> None:
    of, services = work.of, work.services
    made = json.loads(of.report or "{}")
    with services.database.write() as tx:
        services.reimports.queue.hold(tx, of)
        note = report.statement(of, made, None, services.clock(), services.keyring.of(tx, of.project_id).signing)
        work.move(tx, State.DONE, statement=note)
        facts = {"sha256": digest(note)}
        work.tell(tx, AuditAction.REIMPORT_DONE, counts={"events_changed": work.standing.seq}, facts=facts)
    # Until then the old text of a row is still in the file, or in its dead version.
    purge.settle(services.database, ("event",))


def _having(rows: list[EventRow], name: str) -> list[EventRow]:
    return [row for row in rows if name in msgspec.json.decode(row.properties)]


def _judged(
    work: Work, tx: Connection, rows: list[EventRow], account: Account
) -> list[tuple[EventRow, dict[str, Any], Sanitised]]:
    """Those rows that have the property: what it is, and what the policy makes of it alone."""
    name = work.of.terms.leaked or ""
    having = _having(rows, name)
    alone = [{name: msgspec.json.decode(row.properties)[name]} for row in having]
    ids = ids_of(work.services, tx, work.of.project_id, {row.uid for row in having})
    records = [as_record(Scope.EVENT, row.name, each, row.time_ms) for row, each in zip(having, alone, strict=True)]
    context = work.services.keyring.of(tx, work.of.project_id).check_context(work.services.clock())
    found = work.sanitiser.sanitise(records, [ids.get(row.uid, set()) for row in having], context, account)
    return list(zip(having, alone, found, strict=True))


def _with(row: EventRow, name: str, each: Sanitised) -> str:
    properties: dict[str, Any] = msgspec.json.decode(row.properties)
    del properties[name]
    # Under another name too, where the name itself was personal.
    properties.update(each.properties or {})
    return msgspec.json.encode(properties).decode()
