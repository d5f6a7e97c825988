"""Reading events and profiles. Every read leaves hidden people out and stands in the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.access.sight import Sight
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.events.placement import EventStores
from app.events.port import EventStore, ProfileQuery, ProfileRow
from app.identity import register
from app.identity.register import Row
from app.keys.service import Keyring, ProjectKeys
from app.query import cohorts, sessions
from app.query.batches import batches
from app.query.export import EventExport
from app.query.legible import Legible
from app.query.params import EngageParams, ExportParams
from app.query.render import profile_view
from app.query.sessions import Session
from app.sight import people
from app.sight.ids import bind_ids
from app.sight.service import Sights
from app.where.tree import About, Expr, conjunction

_BATCH = 1_000
# Below the bound-parameter limits of both engines.
_UIDS = 5_000


@dataclass(frozen=True, slots=True)
class ProfilePage:
    """One page of a profile query. `results` are `{"$distinct_id", "$properties"}`; `total` counts every page."""

    page: int
    results: list[dict[str, Any]] = field(repr=False)
    session_id: str = field(repr=False)
    total: int


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which profiles: of these people, None for all, of which `where` is true, None for all; of groups with a `group_key`."""

    uids: Collection[int] | None
    where: Expr | None
    group_key: str


class Query:
    """Streams exports and reads profiles in pages. Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        stores: EventStores,
        audit: AuditLog,
        clock: Callable[[], int],
        sights: Sights,
        count: Callable[[str, int], None],
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._stores = stores
        self._audit = audit
        self._clock = clock
        self._sights = sights
        self._count = count

    # --- events ------------------------------------------------------------------------------------------------------

    def export(self, by: Principal, params: ExportParams) -> Generator[bytes]:
        """Whole lines of JSON in time order, some thousands at a time. Close the iterator when you stop early.

        The audit entry of the beginning is committed before this returns, that of the end before the iterator ends.
        A failure midway raises out of the iterator: whoever serves it must break the connection. Values under `encrypt`
        leave in clear for a principal that holds `VALUES_DECRYPT`; the closing entry counts them.
        """
        store = self._stores.of(by.project.store_url)
        export_id = secrets.token_hex(8)
        counts = {} if params.names is None else {"names": len(params.names)}
        facts = {"from": params.first_day.isoformat(), "to": params.last_day.isoformat(), "phase": "begun"}
        facts |= {} if params.where is None else {"filtered": "where"}
        facts |= {} if params.zone is UTC else {"zone": str(params.zone)}
        with self._database.write() as tx:
            keys = self._keyring.of(tx, by.project.id)
            sight = self._sights.of(tx, by)
            sight.admit(params.where, About.EVENT)
            where = params.where and bind_ids(tx, keys, params.where, About.EVENT)
            self._stage(tx, AuditAction.EVENTS_EXPORTED, by, export_id, counts, facts)
        legible = Legible(self._keyring, sight)
        export = EventExport(self._database, store, keys, params, legible, where)
        return self._watched(by, export_id, export, legible)

    def _watched(self, by: Principal, export_id: str, export: EventExport, legible: Legible) -> Generator[bytes]:
        phase = "broken_off"
        try:
            yield from export.chunks()
            phase = "finished"
        finally:
            self._count("export", export.sent)
            with self._database.write() as tx:
                counts, facts = {"events": export.sent, **_opened(legible)}, {"phase": phase}
                self._stage(tx, AuditAction.EVENTS_EXPORTED, by, export_id, counts, facts)

    # --- profiles ----------------------------------------------------------------------------------------------------

    def profiles(self, by: Principal, params: EngageParams) -> ProfilePage:
        """One page of profiles. Raises `InvalidInput` for a page of a session that is unknown, over, or not for these ids."""
        store = self._stores.of(by.project.store_url)
        with self._database.read() as tx:
            keys = self._keyring.of(tx, by.project.id)
            sight = self._sights.of(tx, by)
            uids = None if params.ids is None else _uids(register.resolve(tx, keys, params.identifiers or ()).values())
            chosen = _Chosen(uids, self._asked(tx, keys, sight, params), params.group_key)
            known = sessions.find(tx, keys, params.session_id, _bound_to(by, params), self._clock()) if params.page else None
        session = known or self._measured(store, sight, keys, _bound_to(by, params), chosen)
        legible = Legible(self._keyring, sight)
        rows, results = self._page(store, keys, legible, chosen, session.page(params.page), params.only)
        self._count("profiles", len(rows))
        with self._database.write() as tx:
            if known is None:
                sessions.keep(tx, by.project.id, session, self._clock())
            self._stage_read(tx, by, params, rows, legible)
        return ProfilePage(params.page, results, session.id, session.total)

    def _asked(self, tx: Connection, keys: ProjectKeys, sight: Sight, params: EngageParams) -> Expr | None:
        sight.admit(params.where, About.PROFILE)
        saved = None if params.cohort is None else cohorts.saved(tx, keys.project_id, params.cohort).expression
        sight.admit(saved, About.PROFILE, "filter_by_cohort")
        whole = conjunction(params.where, saved)
        return None if whole is None else bind_ids(tx, keys, whole, About.PROFILE)

    def _measured(
        self, store: EventStore, sight: Sight, keys: ProjectKeys, bound_to: Collection[str], chosen: _Chosen
    ) -> Session:
        def visible(some: Sequence[int]) -> Collection[int]:
            with self._database.read() as fresh:
                return people.in_sight(fresh, store, sight, some).keys()

        with self._database.read() as tx:
            newest = store.newest_profile(tx, keys.project_id)
            total, bounds = sessions.measure(_scan(tx, store, sight, chosen, (0, newest)), visible)
        return Session(sessions.name_session(keys, bound_to), total, bounds)

    def _page(
        self,
        store: EventStore,
        keys: ProjectKeys,
        legible: Legible,
        chosen: _Chosen,
        bounds: tuple[int, int],
        only: Collection[str] | None,
    ) -> tuple[list[ProfileRow], list[dict[str, Any]]]:
        """The visible profiles of a range of `seq`, as stored and as shown."""
        shown: list[tuple[ProfileRow, dict[str, Any]]] = []
        with self._database.read() as tx:
            for rows in batches(_scan(tx, store, legible.sight, chosen, bounds), _BATCH):
                with self._database.read() as fresh:
                    clear = legible.rows(fresh, rows)
                    revealed = people.revealed(fresh, store, keys, legible.sight, {row.uid for row in rows})
                views = ((row, profile_view(row, revealed, only)) for row in clear)
                shown.extend((row, view) for row, view in views if view is not None)
        return [row for row, _ in shown], [view for _, view in shown]

    # --- audit -------------------------------------------------------------------------------------------------------

    def _stage_read(
        self, tx: Connection, by: Principal, params: EngageParams, rows: Sequence[ProfileRow], legible: Legible
    ) -> None:
        # One person is named by a reference that dies with the register row; many are a number.
        one = rows[0].uid if params.ids is not None and len(rows) == 1 else None
        ref = register.audit_ref(tx, by.project.id, one) if one else None
        counts = {"profiles": len(rows), "page": params.page, **_opened(legible)}
        facts = {"selected": "all" if params.ids is None else "by_id"}
        facts |= {} if params.where is None else {"filtered": "where"}
        facts |= {} if params.cohort is None else {"cohort": str(params.cohort)}
        self._stage(tx, AuditAction.PROFILES_READ, by, None, counts, facts, ref)

    def _stage(
        self,
        tx: Connection,
        action: AuditAction,
        by: Principal,
        obj: str | None,
        counts: dict[str, int],
        facts: dict[str, str],
        ref: str | None = None,
    ) -> None:
        entry = Entry(action, by.project.id, by.id, self._clock(), obj=obj, ref=ref, counts=counts, facts=facts)
        self._audit.stage(tx, entry)


def _opened(legible: Legible) -> dict[str, int]:
    return {"values_opened": legible.opened} if legible.opened else {}


def _uids(rows: Collection[Row]) -> frozenset[int]:
    """The uids under which profiles of these ids may stand: the person's, and the id's own for one set literally."""
    shown = [row for row in rows if not row.hidden]
    return frozenset(uid for row in shown for uid in (row.uid, row.person) if uid is not None)


def _bound_to(by: Principal, params: EngageParams) -> tuple[str, ...]:
    # A total counts what its reader may see: another reader asks for a session of their own.
    return (f"\0reader {by.id}", *(("\0everyone",) if params.selection is None else params.selection))


def _scan(tx: Connection, store: EventStore, sight: Sight, chosen: _Chosen, bounds: tuple[int, int]) -> Iterator[ProfileRow]:
    """Profiles with bounds[0] < seq <= bounds[1] in that order, of those that were chosen."""
    after, up_to = bounds
    if chosen.uids is None:
        yield from store.scan_profiles(tx, sight, ProfileQuery(after, up_to, where=chosen.where, group_key=chosen.group_key))
        return
    found: list[ProfileRow] = []
    for uids in batches(sorted(chosen.uids), _UIDS) if after < up_to else ():
        found += store.scan_profiles(tx, sight, ProfileQuery(after, up_to, uids, chosen.where, chosen.group_key))
    yield from sorted(found, key=lambda row: row.seq)
