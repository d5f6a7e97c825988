"""Erasing people: count, delete, verify, shred their keys, certify. `purge.py` is the step before the certificate.

Where to look is never listed here: the places are those of the project's event store and of the generated data map, so
a new table cannot be forgotten. The people are the register rows that carry the request's id; they keep their uids
until the shredding, so every step finds the same people however often it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.audit.certificate import digest
from app.audit.entry import AuditAction
from app.bootstrap import Services
from app.database import Place, data_map
from app.errors import PortcullisError
from app.events.port import EventStore
from app.identity import fence, register as people
from app.identity.closure import closure_of
from app.identity.tables import register
from app.subjects import certificate
from app.subjects.model import Outcome, Step
from app.subjects.queue import Claim, current
from app.upstream import errands as passed_on
from jobs import entries, errands, withholding
from policies.model import SubjectState

UIDS_AT_ONCE = 500
ROWS_AT_ONCE = 1_000
_MOST_ROUNDS = 5


class StillThere(PortcullisError):
    """Rows of an erased person were found again after every round of deletion. Nothing is shredded or certified."""

    code = "verification_failed"


@dataclass(frozen=True, slots=True)
class Location:
    """One place of a project that holds personal data: how many rows of some uids are there, and how to delete some."""

    name: str
    count: Callable[[Connection, list[int]], int]
    delete: Callable[[Connection, list[int], int], int]


# --- steps -----------------------------------------------------------------------------------------------------------


def survey(services: Services, claim: Claim) -> None:
    """START: count what is there before anything goes; once more after a legal hold, with what went before it."""
    found = _count_everywhere(services, claim, everyone=True)
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        counts = current(tx, claim.request.id).counts
        before = {f"before.{name}": n + counts.get(f"deleted.{name}", 0) for name, n in found.items()}
        services.queue.advance(tx, claim, Step.DELETE, before | {name: 0 for name in counts if name.startswith("kept.")})


def delete(services: Services, claim: Claim) -> None:
    """DELETE: in every place, at most a thousand rows a transaction, each with its count."""
    for place in locations(services, claim):
        for uids in _pages(services, claim):
            while _delete_some(services, claim, place, uids):
                pass
        _delete_unheld(services, claim, place)
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        services.queue.advance(tx, claim, Step.VERIFY)
        counts = _phase(current(tx, claim.request.id).counts, "deleted")
        entries.stage(services, tx, claim.request, AuditAction.ERASURE_DELETED, counts)


def verify(services: Services, claim: Claim) -> None:
    """VERIFY: count everywhere again, twice, in transactions of its own. Raises `StillThere` after five rounds."""
    reached = _reach_everyone(services, claim)
    left = [_count_everywhere(services, claim) for _ in range(2)]
    found = {name: max(each[name] for each in left) for name in left[0]}
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        if reached or any(found.values()):
            _delete_again(services, tx, claim)
            return
        services.queue.advance(tx, claim, Step.SHRED, {f"after.{name}": n for name, n in found.items()})
        entries.stage(services, tx, claim.request, AuditAction.ERASURE_VERIFIED, found)


def shred(services: Services, claim: Claim) -> None:
    """SHRED: the register rows become tombstones; ids, keys, uids and audit references are gone with them."""
    request = claim.request
    for uids in _pages(services, claim):
        with services.database.write() as tx:
            fence.enter_exclusive(tx, request.project_id)
            services.queue.hold(tx, claim)
            # Before its keys go: a collector knows these people by every id of theirs.
            revealed = people.reveal(tx, services.keyring.of(tx, request.project_id), uids)
            errands.take(services, tx, request, sorted(each.identifier for each in revealed.values()))
            services.queue.tally(tx, claim, {"tombstones.register": people.entomb(tx, request.project_id, uids)})
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        services.queue.advance(tx, claim, Step.PURGE)
        counts = _phase(current(tx, request.id).counts, "tombstones")
        entries.stage(services, tx, request, AuditAction.ERASURE_SHREDDED, counts)


def certify(services: Services, claim: Claim) -> None:
    """CERTIFY: sign what was done, in the transaction that ends the request. What a legal hold keeps is not certified."""
    if kept := withholding.kept(services, claim):
        _end_partly(services, claim, kept)
        return
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        keys = services.keyring.of(tx, claim.request.project_id)
        outcomes, request = errands.outcomes(services, tx, claim.request), current(tx, claim.request.id)
        request = replace(request, counts={**request.counts, **outcomes})
        note = certificate.issue(request, services.clock(), keys.signing)
        passed_on.tell(tx, request.id)
        facts = {"sha256": digest(note)}
        services.queue.advance(tx, claim, Step.FINISHED, outcomes, certificate=note)
        services.queue.finish(tx, claim)
        entries.stage(services, tx, claim.request, AuditAction.ERASURE_CERTIFIED, facts=facts)


def _end_partly(services: Services, claim: Claim, kept: dict[str, int]) -> None:
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        counts = current(tx, claim.request.id).counts
        gone = sum(n for name, n in counts.items() if name.startswith(("deleted.", "tombstones.")))
        outcome = Outcome.PARTIAL if gone else Outcome.REFUSED
        passed_on.tell(tx, claim.request.id)
        services.queue.advance(tx, claim, Step.FINISHED, kept | errands.outcomes(services, tx, claim.request))
        services.queue.finish(tx, claim, outcome)
        facts = {"kind": claim.request.kind.value, "outcome": outcome.value}
        entries.stage(services, tx, claim.request, AuditAction.REQUEST_DONE, kept, facts)


# --- their effects ---------------------------------------------------------------------------------------------------


def _delete_some(services: Services, claim: Claim, place: Location, uids: list[int]) -> int:
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        deleted = place.delete(tx, uids, ROWS_AT_ONCE)
        if deleted:
            services.queue.tally(tx, claim, {f"deleted.{place.name}": deleted})
    return deleted


def _delete_unheld(services: Services, claim: Claim, place: Location) -> None:
    """Of people under a legal hold: what it does not keep."""
    for held in withholding.held_of(services, claim):
        uids = [uid for uid, scope in held.items() if not withholding.in_part(scope, place.name)]
        uids = [uid for uid in uids if not withholding.spares(held[uid], place.name)]
        while uids and _delete_some(services, claim, place, uids):
            pass
        for uid, scope in held.items():
            if withholding.in_part(scope, place.name):
                withholding.delete_other_events(services, claim, uid, scope)


def _delete_again(services: Services, tx: Connection, claim: Claim) -> None:
    if current(tx, claim.request.id).counts.get("verify.rounds", 0) >= _MOST_ROUNDS:
        raise StillThere("rows were found again after every round of deletion", remedy="find out who writes them")
    services.queue.tally(tx, claim, {"verify.rounds": 1})
    services.queue.advance(tx, claim, Step.DELETE)


def _reach_everyone(services: Services, claim: Claim) -> int:
    """Take ids into the request that mean its people and are not in it. The fence keeps there from being any."""
    request, reached = claim.request, 0
    for uids in _pages(services, claim):
        with services.database.read() as tx:
            if not _missed(services, tx, request.project_id, uids):
                continue
        with services.database.write() as tx:
            fence.enter_exclusive(tx, request.project_id)
            services.queue.hold(tx, claim)
            missed = _missed(services, tx, request.project_id, uids)
            people.set_state(tx, request.project_id, missed, SubjectState.ERASING, request_id=request.id)
        reached += len(missed)
    return reached


def _missed(services: Services, tx: Connection, project_id: int, uids: list[int]) -> list[int]:
    """Living ids in the closure of these, which are being erased."""
    return closure_of(tx, services.keyring.of(tx, project_id), uids).uids


# --- places and people -----------------------------------------------------------------------------------------------


def locations(services: Services, claim: Claim) -> tuple[Location, ...]:
    """Every place of the project but the register: the event store's own, then the rest of the data map."""
    project_id = claim.request.project_id
    with services.database.read() as tx:
        store = services.stores.of(project_by_id(tx, project_id).store_url)
    stored = [
        Location(name, partial(_count_stored, store, name, project_id), partial(_delete_stored, store, name, project_id))
        for name in store.places()
    ]
    mapped = [
        Location(place.name, partial(_count_rows, place, project_id), partial(_delete_rows, place, project_id))
        for place in data_map()
        if place.name not in store.places() and place.table is not register
    ]
    return (*stored, *mapped)


def _count_stored(store: EventStore, name: str, project_id: int, tx: Connection, uids: list[int]) -> int:
    return store.count_subjects(tx, project_id, name, uids)


def _delete_stored(store: EventStore, name: str, project_id: int, tx: Connection, uids: list[int], most: int) -> int:
    return store.delete_subjects(tx, project_id, name, uids, most)


def _count_rows(place: Place, project_id: int, tx: Connection, uids: list[int]) -> int:
    rows = sa.select(sa.func.count()).select_from(place.table).where(_of(place, project_id, uids))
    return int(tx.execute(rows).scalar_one())


def _delete_rows(place: Place, project_id: int, tx: Connection, uids: list[int], most: int) -> int:
    key = list(place.table.primary_key.columns)
    some = sa.select(*key).where(_of(place, project_id, uids)).limit(most)
    chosen: Any = sa.tuple_(*key).in_(some) if len(key) > 1 else key[0].in_(some)
    return tx.execute(sa.delete(place.table).where(chosen)).rowcount


def _of(place: Place, project_id: int, uids: list[int]) -> sa.ColumnElement[bool]:
    return sa.and_(place.table.c.project_id == project_id, place.subject.in_(uids))


def _count_everywhere(services: Services, claim: Claim, *, everyone: bool = False) -> dict[str, int]:
    """Rows by place, each page of uids in a transaction of its own; without `everyone` not what a legal hold keeps."""
    places = locations(services, claim)
    found = dict.fromkeys((place.name for place in places), 0)
    for held in () if everyone else withholding.held_of(services, claim):
        for place in places:
            found[place.name] += withholding.left_over(services, claim, held, place.name, place.count)
    for uids in _pages(services, claim, everyone=everyone):
        for place in places:
            with services.database.read() as tx:
                found[place.name] += place.count(tx, uids)
    return found


def _pages(services: Services, claim: Claim, *, everyone: bool = False) -> Iterator[list[int]]:
    """The uids of the request, some hundreds at a time, in uid order; without `everyone` those that no legal hold keeps."""
    request, after = claim.request, 0
    mine = sa.select(register.c.uid).where(register.c.project_id == request.project_id, register.c.request_id == request.id)
    while True:
        page = mine.where(register.c.uid > after).order_by(register.c.uid).limit(UIDS_AT_ONCE)
        with services.database.read() as tx:
            uids = list(tx.execute(page).scalars())
            free = uids if everyone else withholding.free(tx, request.project_id, uids)
        if not uids:
            return
        if free:
            yield free
        after = uids[-1]


def _phase(counts: Any, phase: str) -> dict[str, int]:
    return {name.partition(".")[2]: n for name, n in counts.items() if name.startswith(f"{phase}.")}
