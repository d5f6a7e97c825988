"""What is kept of people under a legal hold while they are erased: everything else of them goes (GDPR article 17(3))."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Project, project_by_id
from app.bootstrap import Services
from app.errors import PortcullisError
from app.events.port import EventQuery
from app.identity import register as people
from app.identity.tables import register
from app.subjects import holds
from app.subjects.holds import Scope
from app.subjects.queue import Claim
from policies.model import SubjectState

_ROWS_AT_ONCE = 1_000
_UIDS_AT_ONCE = 500
_EVENT, _PROFILE, _HOLD = "event", "profile", "hold_subject"


def free(tx: Connection, project_id: int, uids: list[int]) -> list[int]:
    """Those of these ids whom nothing holds."""
    held = holds.scopes_of(tx, project_id, uids)
    return [uid for uid in uids if uid not in held]


def spares(scope: Scope, place: str) -> bool:
    """Whether all of a place stays: what is kept of the person there, and the hold itself."""
    kept = {_EVENT: scope.events is None, _PROFILE: scope.profile, _HOLD: True}
    return kept.get(place, False)


def in_part(scope: Scope, place: str) -> bool:
    """Whether some of a place stays: events of some names."""
    return place == _EVENT and bool(scope.events)


def left_over(
    services: Services, claim: Claim, held: Mapping[int, Scope], place: str, count: Callable[[Connection, list[int]], int]
) -> int:
    """How many rows of held ids are still in a place and are not kept."""
    whole = [uid for uid, scope in held.items() if not spares(scope, place) and not in_part(scope, place)]
    with services.database.read() as tx:
        left = count(tx, whole) if whole else 0
        project = project_by_id(tx, claim.request.project_id)
        store, sight = services.stores.of(project.store_url), services.sights.own_copy(tx, project)
        for uid, scope in held.items():
            if in_part(scope, place):
                kept = store.count(tx, sight, EventQuery(uids=[uid], names=scope.events))
                left += store.count(tx, sight, EventQuery(uids=[uid])) - kept
    return left


def untouchable(tx: Connection, project_id: int, uids: Collection[int]) -> Callable[[int, str | None], bool]:
    """Tells of a uid, with the name of an event or None for a profile, whether retention leaves the row alone: its person is
    restricted (GDPR article 18), or a legal hold keeps it."""
    restricted = {uid for uid, row in people.rows_of(tx, project_id, uids).items() if row.state is SubjectState.RESTRICTED}
    held = holds.scopes_of(tx, project_id, uids)

    def stays(uid: int, event: str | None) -> bool:
        return uid in restricted or (uid in held and held[uid].keeps(event))

    return stays


class Held(PortcullisError):
    """A legal hold keeps some of what is to be deleted. Nothing of it goes; the deletion waits, hidden, for the hold's end."""

    code = "legal_hold"


def refuse_held(tx: Connection, project_id: int, records: Collection[tuple[int, str | None]]) -> None:
    """Raises `Held` when a hold keeps one of these records: the uid, and the name of an event or None for a profile."""
    scopes = holds.scopes_of(tx, project_id, {uid for uid, _ in records})
    if any(uid in scopes and scopes[uid].keeps(event) for uid, event in records):
        raise Held("a legal hold keeps some of what is to be deleted", remedy="lift the hold, or undo the deletion")


def held_of(services: Services, claim: Claim) -> Iterator[dict[int, Scope]]:
    """The held ids of a request, some hundreds at a time, with what is kept of each."""
    request, after = claim.request, 0
    mine = sa.select(register.c.uid).where(register.c.project_id == request.project_id, register.c.request_id == request.id)
    while True:
        with services.database.read() as tx:
            page = mine.where(register.c.uid > after).order_by(register.c.uid).limit(_UIDS_AT_ONCE)
            uids = list(tx.execute(page).scalars())
            held = holds.scopes_of(tx, request.project_id, uids)
        if not uids:
            return
        if held:
            yield held
        after = uids[-1]


def delete_other_events(services: Services, claim: Claim, uid: int, scope: Scope) -> None:
    """Delete the events of a held id whose names are not kept, in bounded transactions."""
    after: tuple[int, int] | None = None
    while True:
        with services.database.write() as tx:
            services.queue.hold(tx, claim)
            project = project_by_id(tx, claim.request.project_id)
            query = EventQuery(uids=[uid], after=after, limit=_ROWS_AT_ONCE)
            store = services.stores.of(project.store_url)
            rows = list(store.scan(tx, services.sights.own_copy(tx, project), query))
            others = [row for row in rows if not scope.keeps(row.name)]
            if others:
                services.queue.tally(tx, claim, {f"deleted.{_EVENT}": store.delete_events(tx, project.id, others)})
        if len(rows) < _ROWS_AT_ONCE:
            return
        after = (rows[-1].time_ms, rows[-1].dedup)


def kept(services: Services, claim: Claim) -> dict[str, int]:
    """How many rows are kept in each place; empty where nobody is held."""
    counts: dict[str, int] = {}
    with services.database.read() as tx:
        project = project_by_id(tx, claim.request.project_id)
    for held in held_of(services, claim):
        with services.database.read() as tx:
            for place, n in _kept(services, tx, project, list(held)).items():
                counts[f"kept.{place}"] = counts.get(f"kept.{place}", 0) + n
            counts["kept.register"] = counts.get("kept.register", 0) + len(held)
    return counts


def _kept(services: Services, tx: Connection, project: Project, uids: list[int]) -> dict[str, int]:
    store = services.stores.of(project.store_url)
    return {place: store.count_subjects(tx, project.id, place, uids) for place in (_EVENT, _PROFILE)}
