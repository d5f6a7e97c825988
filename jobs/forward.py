"""Delivering what waits for a project's collector, in order, some hundreds at a time.

Delivery is at least once: a process that dies between the collector's answer and the commit sends the same parcels again,
and each event carries the `$insert_id` by which the collector knows it. Whoever is hidden meanwhile is not told of: the
parcels of a restricted person wait, those of a person who opted out or is being erased go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.audit.entry import AuditAction, Entry
from app.bootstrap import Services
from app.deletions.pending import vanishing
from app.errors import PortcullisError
from app.events.port import EventRow
from app.identity import register
from app.query.render import event_view, open_event, uids_of
from app.turns import LostTurn, Turn
from app.upstream import covered, outbox
from app.upstream.outbox import Parcel
from app.upstream.speaking import NotTaken, Speaker
from policies.model import SubjectState

PARCELS_AT_ONCE = 500
_LEASE_MS = 120_000
_FIRST_WAIT_MS = 2_000
_LONGEST_WAIT_MS = 300_000
_SYSTEM = "system"
_NOBODY = 0


@dataclass(frozen=True, slots=True)
class _Letter:
    """One parcel with ids in it again, as the collector reads it."""

    parcel: Parcel
    content: dict[str, Any]


def run_due(services: Services, stopping: Callable[[], bool], speaker: Speaker) -> int:
    """Deliver for every project whose turn it is; returns how many parcels were taken."""
    with services.database.read() as tx:
        projects = outbox.due(tx, services.clock())
    taken = 0
    for project_id in projects:
        if not stopping():
            taken += _run(services, project_id, stopping, speaker)
    return taken


def _run(services: Services, project_id: int, stopping: Callable[[], bool], speaker: Speaker) -> int:
    with services.database.write() as tx:
        turn = outbox.TURNS.claim(tx, project_id, services.clock(), _LEASE_MS)
    if turn is None:
        return 0
    taken, after, trouble = 0, 0, None
    try:
        while not stopping():
            n, after = _deliver_some(services, turn, speaker, after)
            if after == 0:
                break
            taken += n
    except LostTurn:
        return taken
    except PortcullisError as fault:
        trouble = fault
        structlog.get_logger().warning("not_forwarded", project_id=project_id, code=fault.code)
    with services.database.write() as tx:
        due_ms = services.clock() + (_wait_ms(trouble, outbox.failures(tx, project_id)) if trouble else 0)
        outbox.give_back(tx, turn, due_ms, trouble.code if trouble else None)
    return taken


def _deliver_some(services: Services, turn: Turn, speaker: Speaker, after: int) -> tuple[int, int]:
    """One batch: how many were taken, and the id to go on after; 0 when there is nothing beyond."""
    with services.database.write() as tx:
        outbox.TURNS.renew(tx, turn, services.clock(), _LEASE_MS)
        parcels = outbox.waiting(tx, turn.project_id, after, PARCELS_AT_ONCE)
        if not parcels:
            return 0, 0
        collector = services.upstreams.collector(tx, turn.project_id)
        letters, gone = _letters(services, tx, turn.project_id, parcels)
        outbox.forget(tx, turn.project_id, gone)
    refused: Mapping[int, str] = {}
    if letters:
        refused = speaker.events(collector, [letter.content for letter in letters]).refused
    with services.database.write() as tx:
        outbox.TURNS.renew(tx, turn, services.clock(), _LEASE_MS)
        _settle(services, tx, turn, letters, refused)
    return len(letters) - len(refused), parcels[-1].id


def _settle(services: Services, tx: Connection, turn: Turn, letters: Sequence[_Letter], refused: Mapping[int, str]) -> None:
    if not letters:
        return
    now = services.clock()
    outbox.delivered(tx, turn, [each.parcel.id for i, each in enumerate(letters) if i not in refused], now)
    outbox.park(tx, turn.project_id, {letters[i].parcel.id: reason for i, reason in refused.items()})
    counts = {"events": len(letters) - len(refused), "parked": len(refused)}
    services.audit.stage(tx, Entry(AuditAction.UPSTREAM_DELIVERED, turn.project_id, _SYSTEM, now, counts=counts))


def _letters(services: Services, tx: Connection, project_id: int, parcels: Sequence[Parcel]) -> tuple[list[_Letter], list[int]]:
    """What may be sent, and the ids of parcels that never will be."""
    sight = services.sights.internal(tx, project_by_id(tx, project_id))
    parcels = covered.leaving(tx, sight, vanishing(tx, project_id), parcels)
    events = {each.id: open_event(_row(each)) for each in parcels}
    revealed = register.reveal(tx, services.keyring.of(tx, project_id), uids_of(events.values()))
    letters, gone = [], []
    for each in parcels:
        state = revealed[each.uid].state if each.uid in revealed else SubjectState.ERASED
        if each.uid == _NOBODY or state in register.ACCEPTED:
            view = event_view(events[each.id], revealed, time_in_ms=True)
            if view is not None:
                letters.append(_Letter(each, _told(each, view)))
        elif state is not SubjectState.RESTRICTED:
            gone.append(each.id)
    return letters, gone


def _row(parcel: Parcel) -> EventRow:
    return EventRow(parcel.time_ms, 0, parcel.uid, parcel.name, parcel.body, 0, 0)


def _told(parcel: Parcel, view: dict[str, Any]) -> dict[str, Any]:
    # Without an id of its own a second delivery would be a second event.
    view["properties"].setdefault("$insert_id", f"portcullis-{parcel.id:x}")
    return view


def _wait_ms(trouble: PortcullisError, failures: int) -> int:
    """Until the next try: what the collector asked for, else 2 s doubling to 5 min, with half of it by chance."""
    asked = trouble.retry_after if isinstance(trouble, NotTaken) else None
    if asked is not None:
        return asked * 1_000
    longest = min(_LONGEST_WAIT_MS, _FIRST_WAIT_MS << min(failures, 10))
    return longest // 2 + random.randrange(longest // 2 + 1)  # noqa: S311 - spreads load, guards nothing
