"""Retention: what the policy gives a time to live goes when that is over, in bounded batches, once.

Whose turn it is and how far each rule got stand in SQL (`app.events.retention`), so any number of dispatchers may run
and a run may end anywhere. Each batch is one transaction: it renews the turn, changes some rows and moves the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import structlog
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.audit.entry import AuditAction, Entry
from app.bootstrap import Services
from app.errors import PortcullisError, Unavailable
from app.events import retention
from app.events.port import EventRow, EventStore, ProfileRow
from app.events.retention import Mark
from app.identity import fence
from app.quarantine import lapse
from app.subjects.queue import SYSTEM
from app.turns import LostTurn, Turn
from app.where.evaluate import Subject
from jobs import purge, withholding
from jobs.steps import code_of
from policies.model import Scope
from policies.retention import Expiry, expiries

ROWS_AT_ONCE = 500
_EVERY_MS = 3_600_000
_LEASE_MS = 60_000


class Stopped(PortcullisError):
    """The process is asked to end. The next run goes on from the mark."""

    code = "stopped"


@dataclass(frozen=True, slots=True)
class _Run:
    """One project's turn: the store that holds its data, and when the process must stop."""

    services: Services
    turn: Turn
    store: EventStore
    stopping: Callable[[], bool]


def run_due(services: Services, stopping: Callable[[], bool] = lambda: False) -> int:
    """Apply the retention of every project whose turn it is. Returns how many runs came to their end."""
    with services.database.write() as tx:
        retention.plan(tx)
        waiting = retention.TURNS.due(tx, services.clock())
    return sum(_take_turn_safely(services, project_id, stopping) for project_id in waiting if not stopping())


def _take_turn_safely(services: Services, project_id: int, stopping: Callable[[], bool]) -> bool:
    """One project that fails does not keep the others waiting. Its lease runs out, and it is tried again."""
    try:
        return _take_turn(services, project_id, stopping)
    except Exception as fault:
        structlog.get_logger().error("retention_failed", project_id=project_id, code=code_of(fault))
        return False


def _take_turn(services: Services, project_id: int, stopping: Callable[[], bool]) -> bool:
    with services.database.write() as tx:
        turn = retention.TURNS.claim(tx, project_id, services.clock(), _LEASE_MS)
    if turn is None:
        return False
    due_ms, finished = services.clock(), False
    try:
        removed = _apply(services, turn, stopping)
        due_ms, finished = services.clock() + _EVERY_MS, True
    except LostTurn:
        return False
    except Stopped:
        removed = False
    with services.database.write() as tx:
        retention.TURNS.give_back(tx, turn, due_ms, **({"finished_ms": services.clock()} if finished else {}))
    if removed:
        settled = purge.settle(services.database, ("event", "profile", "quarantined"))
        structlog.get_logger().info("retention_applied", project_id=project_id, settled=settled)
    return finished


def _apply(services: Services, turn: Turn, stopping: Callable[[], bool]) -> bool:
    """Every rule of the active policy, one after the other. True when anything was removed."""
    rules, store = _rules(services, turn.project_id)
    if not rules:
        return False
    with services.database.write() as tx:
        fence.enter_exclusive(tx, turn.project_id)
        _hold(services, tx, turn)
        retention.go_back(tx, turn.project_id)
    run = _Run(services, turn, store, stopping)
    after: tuple[int, str] | None = None
    while after := _held_batch(run, rules, after):
        _unless_stopping(run)
    return sum(_apply_rule(run, rule) for rule in rules) > 0


def _rules(services: Services, project_id: int) -> tuple[list[Expiry], EventStore]:
    with services.database.read() as tx:
        store = services.stores.of(project_by_id(tx, project_id).store_url)
        try:
            policy = services.rulebook.active(tx, project_id)
        except Unavailable:
            return [], store  # Nothing was ever let in, or nothing can be told apart: ingest says so, loudly.
    return expiries(policy.written, policy.gate), store


def _apply_rule(run: _Run, rule: Expiry) -> bool:
    while _event_batch(run, rule):
        _unless_stopping(run)
    while not rule.whole and _profile_batch(run, rule):
        _unless_stopping(run)
    return _tell(run, rule)


def _unless_stopping(run: _Run) -> None:
    if run.stopping():
        raise Stopped("the process is asked to end")


def _hold(services: Services, tx: Connection, turn: Turn) -> None:
    retention.TURNS.renew(tx, turn, services.clock(), _LEASE_MS)


# --- batches ---------------------------------------------------------------------------------------------------------


def _held_batch(run: _Run, rules: Sequence[Expiry], after: tuple[int, str] | None) -> tuple[int, str] | None:
    """One batch of what waits in quarantine, which each run reads anew. Returns where the next begins, or None."""
    services, project_id = run.services, run.turn.project_id
    with services.database.write() as tx:
        _hold(services, tx, run.turn)
        page = lapse.remove_page(tx, services.keyring.of(tx, project_id), rules, after, services.clock(), ROWS_AT_ONCE)
        for digest, n in page.removed.items():
            retention.advance(tx, retention.mark(tx, project_id, digest), {"held": n}, events=n)
    return page.after


def _event_batch(run: _Run, rule: Expiry) -> bool:
    """One batch of events. False when there are no more."""
    services, project_id = run.services, run.turn.project_id
    with services.database.write() as tx:
        _hold(services, tx, run.turn)
        mark = retention.mark(tx, project_id, rule.digest)
        rows = run.store.old_events(tx, project_id, mark.events, rule.before_ms(services.clock()), ROWS_AT_ONCE)
        if rows:
            mark = replace(mark, events=(rows[-1].time_ms, rows[-1].dedup))
            (_remove_events if rule.whole else _strip_events)(run, tx, rule, mark, rows)
    return len(rows) == ROWS_AT_ONCE


def _remove_events(run: _Run, tx: Connection, rule: Expiry, mark: Mark, rows: Sequence[EventRow]) -> None:
    stays = withholding.untouchable(tx, mark.project_id, {row.uid for row in rows})
    going = [row for row in rows if rule.covers(row.name) and not stays(row.uid, row.name)]
    deleted = run.store.delete_events(tx, mark.project_id, going)
    retention.advance(tx, mark, {"events": deleted}, events=deleted)


def _strip_events(run: _Run, tx: Connection, rule: Expiry, mark: Mark, rows: Sequence[EventRow]) -> None:
    changed, removed = [], 0
    # What a data deletion hides by a condition stays as it is until it goes: without a property it might show again.
    sight = run.services.sights.internal(tx, project_by_id(tx, mark.project_id))
    stays = withholding.untouchable(tx, mark.project_id, {row.uid for row in rows})
    for row in rows:
        if stays(row.uid, row.name) or (sight.events is not None and not sight.shows(_as_subject(row))):
            continue
        kept, n = rule.without(Scope.EVENT, row.name, msgspec.json.decode(row.properties))
        if n:
            changed.append(msgspec.structs.replace(row, properties=msgspec.json.encode(kept).decode()))
            removed += n
    run.store.rewrite_events(tx, mark.project_id, changed)
    retention.advance(tx, mark, {"events_changed": len(changed), "properties": removed}, properties=removed)


def _as_subject(row: EventRow) -> Subject:
    return Subject(msgspec.json.decode(row.properties), row.time_ms, row.name, received_ms=row.received_ms)


def _profile_batch(run: _Run, rule: Expiry) -> bool:
    """One batch of profiles that nobody changed for as long. False when there are no more."""
    services, project_id = run.services, run.turn.project_id
    with services.database.write() as tx:
        _hold(services, tx, run.turn)
        mark = retention.mark(tx, project_id, rule.digest)
        rows = run.store.old_profiles(tx, project_id, mark.profiles, rule.before_ms(services.clock()), ROWS_AT_ONCE)
        if rows:
            _strip_profiles(run, tx, rule, replace(mark, profiles=(rows[-1].changed_ms, rows[-1].seq)), rows)
    return len(rows) == ROWS_AT_ONCE


def _strip_profiles(run: _Run, tx: Connection, rule: Expiry, mark: Mark, rows: Sequence[ProfileRow]) -> None:
    changed, removed = [], 0
    stays = withholding.untouchable(tx, mark.project_id, {row.uid for row in rows})
    for row in (each for each in rows if not stays(each.uid, None)):
        kept, n = rule.without(Scope.GROUP if row.group_key else Scope.PROFILE, "", msgspec.json.decode(row.properties))
        if n:
            changed.append(msgspec.structs.replace(row, properties=msgspec.json.encode(kept).decode()))
            removed += n
    run.store.rewrite_profiles(tx, mark.project_id, changed)
    retention.advance(tx, mark, {"profiles_changed": len(changed), "properties": removed}, properties=removed)


def _tell(run: _Run, rule: Expiry) -> bool:
    """The audit entry of the rule's run, with the counts that no entry told yet. True when there were any."""
    services, project_id = run.services, run.turn.project_id
    with services.database.write() as tx:
        _hold(services, tx, run.turn)
        mark = retention.mark(tx, project_id, rule.digest)
        if not mark.untold:
            return False
        retention.told(tx, mark)
        facts = {"rule": rule.id}
        entry = Entry(AuditAction.RETENTION_APPLIED, project_id, SYSTEM, services.clock(), counts=dict(mark.untold), facts=facts)
        services.audit.stage(tx, entry)
    return True
