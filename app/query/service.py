"""Reading events and profiles. Every read leaves hidden people out and stands in the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.roles import Permission
from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.events.placement import EventStores
from app.events.port import EventStore, ProfileRow
from app.identity import register
from app.identity.register import Row
from app.identity.tables import register as register_table
from app.keys.service import Keyring, ProjectKeys
from app.query import sessions
from app.query.batches import batches
from app.query.export import EventExport
from app.query.legible import Legible
from app.query.params import EngageParams, ExportParams
from app.query.render import profile_view
from app.query.sessions import Session
from policies.model import SubjectState

_BATCH = 1_000
_VISIBLE = [state.value for state in SubjectState if not Row(None, None, state).hidden]


@dataclass(frozen=True, slots=True)
class ProfilePage:
    """One page of a profile query. `results` are `{"$distinct_id", "$properties"}`; `total` counts every page."""

    page: int
    results: list[dict[str, Any]] = field(repr=False)
    session_id: str = field(repr=False)
    total: int


class Query:
    """Streams exports and reads profiles in pages. Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        stores: EventStores,
        audit: AuditLog,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._stores = stores
        self._audit = audit
        self._clock = clock

    # --- events ------------------------------------------------------------------------------------------------------

    def export(self, by: Principal, params: ExportParams) -> Generator[bytes]:
        """Whole lines of JSON in time order, a thousand or so at a time. Close the iterator when you stop early.

        The audit entry of the beginning is committed before this returns, that of the end before the iterator ends.
        A failure midway raises out of the iterator: whoever serves it must break the connection. Values under `encrypt`
        leave in clear for a principal that holds `VALUES_DECRYPT`; the closing entry counts them.
        """
        store = self._stores.of(by.project.store_url)
        export_id = secrets.token_hex(8)
        counts = {} if params.names is None else {"names": len(params.names)}
        facts = {"from": params.first_day.isoformat(), "to": params.last_day.isoformat(), "phase": "begun"}
        with self._database.write() as tx:
            keys = self._keyring.of(tx, by.project.id)
            self._stage(tx, AuditAction.EVENTS_EXPORTED, by, export_id, counts, facts)
        legible = self._legible(by)
        export = EventExport(self._database, store, keys, params, legible)
        return self._watched(by, export_id, export, legible)

    def _watched(self, by: Principal, export_id: str, export: EventExport, legible: Legible) -> Generator[bytes]:
        phase = "broken_off"
        try:
            yield from export.chunks()
            phase = "finished"
        finally:
            with self._database.write() as tx:
                counts, facts = {"events": export.sent, **_opened(legible)}, {"phase": phase}
                self._stage(tx, AuditAction.EVENTS_EXPORTED, by, export_id, counts, facts)

    # --- profiles ----------------------------------------------------------------------------------------------------

    def profiles(self, by: Principal, params: EngageParams) -> ProfilePage:
        """One page of profiles. Raises `InvalidInput` for a page of a session that is unknown, over, or not for these ids."""
        store = self._stores.of(by.project.store_url)
        with self._database.read() as tx:
            keys = self._keyring.of(tx, by.project.id)
            uids = None if params.ids is None else _uids(register.resolve(tx, keys, params.identifiers or ()).values())
            known = sessions.find(tx, keys, params.session_id, params.selection, self._clock()) if params.page else None
        session = known or self._measured(store, keys, params, uids)
        legible = self._legible(by)
        rows, results = self._page(store, keys, legible, uids, session.page(params.page), params)
        with self._database.write() as tx:
            if known is None:
                sessions.keep(tx, by.project.id, session, self._clock())
            self._stage_read(tx, by, params, rows, legible)
        return ProfilePage(params.page, results, session.id, session.total)

    def _measured(self, store: EventStore, keys: ProjectKeys, params: EngageParams, uids: Collection[int] | None) -> Session:
        with self._database.read() as tx:
            newest = store.newest_profile(tx, keys.project_id)
            rows = _scan(tx, store, keys.project_id, uids, (0, newest), params.group_key)
            total, bounds = sessions.measure(rows, lambda some: self._visible(keys.project_id, some))
        return Session(sessions.name_session(keys, params.selection), total, bounds)

    def _visible(self, project_id: int, uids: Sequence[int]) -> set[int]:
        # Not `register.reveal`, which would unseal two ids for every profile only to count them.
        shown = sa.select(register_table.c.uid).where(
            register_table.c.project_id == project_id,
            register_table.c.uid.in_(uids),
            register_table.c.state.in_(_VISIBLE),
        )
        with self._database.read() as tx:
            return set(tx.execute(shown).scalars())

    def _page(
        self,
        store: EventStore,
        keys: ProjectKeys,
        legible: Legible,
        uids: Collection[int] | None,
        bounds: tuple[int, int],
        params: EngageParams,
    ) -> tuple[list[ProfileRow], list[dict[str, Any]]]:
        """The visible profiles of a range of `seq`, as stored and as shown."""
        shown: list[tuple[ProfileRow, dict[str, Any]]] = []
        with self._database.read() as tx:
            for rows in batches(_scan(tx, store, keys.project_id, uids, bounds, params.group_key), _BATCH):
                with self._database.read() as fresh:
                    clear = legible.rows(fresh, rows)
                    revealed = register.reveal(fresh, keys, {row.uid for row in rows})
                views = ((row, profile_view(row, revealed, params.only)) for row in clear)
                shown.extend((row, view) for row, view in views if view is not None)
        return [row for row, _ in shown], [view for _, view in shown]

    def _legible(self, by: Principal) -> Legible:
        return Legible(self._keyring, by.project.id, open_values=Permission.VALUES_DECRYPT in by.permissions)

    # --- audit -------------------------------------------------------------------------------------------------------

    def _stage_read(
        self, tx: Connection, by: Principal, params: EngageParams, rows: Sequence[ProfileRow], legible: Legible
    ) -> None:
        # One person is named by a reference that dies with the register row; many are a number.
        one = rows[0].uid if params.ids is not None and len(rows) == 1 else None
        ref = register.audit_ref(tx, by.project.id, one) if one else None
        counts = {"profiles": len(rows), "page": params.page, **_opened(legible)}
        facts = {"selected": "all" if params.ids is None else "by_id"}
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


def _scan(
    tx: Connection,
    store: EventStore,
    project_id: int,
    uids: Collection[int] | None,
    bounds: tuple[int, int],
    group_key: str,
) -> Iterator[ProfileRow]:
    """Profiles with bounds[0] < seq <= bounds[1] in that order, of people or of groups: all, or those of some uids."""
    after, up_to = bounds
    if uids is None:
        yield from store.scan_profiles(tx, project_id, after, up_to, group_key)
        return
    found = store.profiles_of(tx, project_id, uids).values() if uids and after < up_to else ()
    yield from sorted((row for row in found if after < row.seq <= up_to and row.group_key == group_key), key=lambda row: row.seq)
