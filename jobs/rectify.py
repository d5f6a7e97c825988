"""Correcting what is wrong about a person (GDPR article 16): the profile first, then their events page by page.

Each page is one transaction. What is right already counts as nothing, so a step that is repeated changes and counts nothing.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace
from sqlalchemy.engine import Connection

from app.access.service import Project, project_by_id
from app.audit.entry import AuditAction
from app.bootstrap import Services
from app.events.port import EventQuery, EventRow, ProfileRow
from app.identity import fence
from app.identity.closure import closure_of
from app.subjects.corrections import Correcting, forget_change, open_change
from app.subjects.model import Outcome, Step
from app.subjects.queue import Claim, current
from jobs import entries

ROWS_AT_ONCE = 500


def profile(services: Services, claim: Claim) -> None:
    """START: the profile, in the transaction that goes on to the events."""
    request = claim.request
    with services.database.write() as tx:
        fence.enter_shared(tx, request.project_id)
        services.queue.hold(tx, claim)
        found = _correcting(services, tx, claim)
        counts = {} if found is None else _profile(services, tx, *found)
        services.queue.advance(tx, claim, Step.REWRITE, counts)


def events(services: Services, claim: Claim) -> None:
    """REWRITE: every event of the person that carries one of the properties; the last page ends the request."""
    request, after = claim.request, None
    while True:
        with services.database.write() as tx:
            fence.enter_shared(tx, request.project_id)
            services.queue.hold(tx, claim)
            found = _correcting(services, tx, claim)
            rows, counts = ([], {}) if found is None else _page(services, tx, *found, after)
            if any(counts.values()):
                services.queue.tally(tx, claim, counts)
            if len(rows) < ROWS_AT_ONCE:
                _finish(services, tx, claim, gone=found is None)
                return
        after = (rows[-1].time_ms, rows[-1].dedup)


def _correcting(services: Services, tx: Connection, claim: Claim) -> tuple[Project, int, Correcting] | None:
    project = project_by_id(tx, claim.request.project_id)
    keys = services.keyring.of(tx, project.id)
    opened = open_change(tx, keys, claim.request)
    if opened is None:
        return None
    uid, change = opened
    return project, uid, Correcting(tx, keys, services.rulebook.active(tx, project.id), uid, change, services.clock())


def _profile(services: Services, tx: Connection, project: Project, uid: int, correcting: Correcting) -> dict[str, int]:
    store, change = services.stores.of(project.store_url), correcting.change
    if not (change.profile_set or change.profile_unset):
        return {}
    store.lock_profiles(tx, project.id, [uid])
    row = store.profiles_of(tx, project.id, [uid]).get(uid)
    after, changed, refused = correcting.profile(msgspec.json.decode(row.properties) if row else None)
    if changed:
        version = services.rulebook.active(tx, project.id).version
        fresh = row or ProfileRow(0, uid, "{}", None, version)
        text = msgspec.json.encode(after).decode()
        put = replace(fresh, properties=text, policy_version=version, changed_ms=services.clock())
        store.put_profiles(tx, project.id, [put])
    return {"changed.profile": changed, "refused.profile": refused}


def _page(
    services: Services, tx: Connection, project: Project, uid: int, correcting: Correcting, after: tuple[int, int] | None
) -> tuple[list[EventRow], dict[str, int]]:
    store, change = services.stores.of(project.store_url), correcting.change
    if not (change.event_set or change.event_unset):
        return [], {}
    uids = closure_of(tx, services.keyring.of(tx, project.id), [uid]).uids
    query = EventQuery(names=change.events or None, uids=uids, after=after, limit=ROWS_AT_ONCE)
    rows = list(store.scan(tx, services.sights.own_copy(tx, project), query))
    corrected, counts = [], {"changed.event": 0, "refused.event": 0}
    for row in rows:
        properties, changed, refused = correcting.event(row.name, msgspec.json.decode(row.properties))
        counts["refused.event"] += bool(refused)
        if changed:
            corrected.append(replace(row, properties=msgspec.json.encode(properties).decode()))
    counts["changed.event"] = store.rewrite_events(tx, project.id, corrected) if corrected else 0
    return rows, counts


def _finish(services: Services, tx: Connection, claim: Claim, *, gone: bool) -> None:
    counts = current(tx, claim.request.id).counts
    told = {name: n for name, n in counts.items() if name.startswith(("changed.", "refused."))}
    refused, changed = (any(n for name, n in told.items() if name.startswith(each)) for each in ("refused.", "changed."))
    outcome = Outcome.COMPLETE
    if gone or (refused and not changed):
        outcome = Outcome.REFUSED
    elif refused:
        outcome = Outcome.PARTIAL
    forget_change(tx, claim.request.id)
    services.queue.advance(tx, claim, Step.FINISHED, reason="person_erased" if gone else None)
    services.queue.finish(tx, claim, outcome)
    entries.stage(services, tx, claim.request, AuditAction.CORRECTION_APPLIED, told, {"outcome": outcome.value})
