"""The event store on SQLite and PostgreSQL, inside the transaction of the caller."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.access.sight import Sight, Window
from app.events.dialects import LAST_SEEN, Dialect, Postgres, Sqlite
from app.events.port import EventQuery, EventRow, ProfileQuery, ProfileRow
from app.events.tables import event, profile
from app.events.where import condition, reads_document
from app.where.tree import About, Expr, conjunction
from policies.model import Scope

_FETCH = 1_000
# Below the bound-parameter limits of both engines.
_UIDS = 5_000
_DAY_MS = 86_400_000
_EVENT_COLUMNS = ("time_ms", "dedup", "uid", "name", "properties", "policy_version", "received_ms")
_PLACES: Mapping[str, sa.Table] = {table.name: table for table in (event, profile)}


class SqlEventStore:
    """Implements `app.events.port.EventStore`. Holds no state: the transaction is the caller's."""

    def append(self, tx: Connection, project_id: int, rows: Sequence[EventRow]) -> None:
        """One statement on SQLite; COPY into a temporary table and one INSERT on PostgreSQL."""
        # Within a batch the last of equal events wins, and rows arrive at the clustered key in its order.
        latest = {(row.time_ms, row.dedup): row for row in rows}
        ordered = [latest[key] for key in sorted(latest)]
        if not ordered:
            return
        if tx.dialect.name == "postgresql":
            _copy_events(tx, project_id, ordered)
        else:
            tx.exec_driver_sql(_SQLITE_UPSERT, [(project_id, *_values(row)) for row in ordered])

    def scan(self, tx: Connection, sight: Sight, query: EventQuery) -> Iterator[EventRow]:
        """Events in time order through a server-side cursor."""
        columns = [event.c[name] for name in _EVENT_COLUMNS]
        wanted = _chosen(tx, columns, sight, About.EVENT, query.where, marked=True).where(*_conditions(query, sight))
        # Closed also when the reader stops early: an abandoned cursor would stay open on the server.
        key = (event.c.time_ms, event.c.dedup)
        if query.after is not None:
            wanted = wanted.where(sa.tuple_(*key) < query.after if query.newest_first else sa.tuple_(*key) > query.after)
        wanted = wanted.order_by(*(each.desc() if query.newest_first else each for each in key)).limit(query.limit)
        with tx.execute(wanted, execution_options={"yield_per": _FETCH}) as rows:
            for part in rows.partitions():
                for row in part:
                    found = EventRow(*row)
                    yield _seen_event(found, sight) if sight.screens else found

    def count(self, tx: Connection, sight: Sight, query: EventQuery) -> int:
        """One range of the clustered key."""
        wanted = _chosen(tx, [sa.func.count()], sight, About.EVENT, query.where).where(*_conditions(query, sight))
        return int(tx.execute(wanted).scalar_one())

    def tally(self, tx: Connection, sight: Sight, query: EventQuery) -> Iterator[tuple[str, int, int]]:
        """Grouped by the engine, streamed."""
        day = (event.c.time_ms - event.c.time_ms % _DAY_MS).label("day")
        columns = [event.c.name, day, sa.func.count()]
        wanted = _chosen(tx, columns, sight, About.EVENT, query.where).where(*_conditions(query, sight))
        grouped = wanted.group_by(event.c.name, sa.text("day")).order_by(sa.text("day"), event.c.name)
        with tx.execute(grouped, execution_options={"yield_per": _FETCH}) as rows:
            for name, start, n in rows:
                yield name, int(start), int(n)

    def subjects(self, tx: Connection, sight: Sight, query: EventQuery) -> Iterator[int]:
        """Made distinct by the engine, streamed."""
        wanted = _chosen(tx, [event.c.uid], sight, About.EVENT, query.where).where(*_conditions(query, sight)).distinct()
        with tx.execute(wanted, execution_options={"yield_per": _FETCH}) as rows:
            yield from rows.scalars()

    def scan_profiles(self, tx: Connection, sight: Sight, query: ProfileQuery) -> Iterator[ProfileRow]:
        """Profiles in creation order through a server-side cursor."""
        chosen = _chosen(tx, list(profile.columns), sight, About.PROFILE, query.where, marked=True)
        wanted = chosen.where(*_profile_conditions(query))
        with tx.execute(wanted.order_by(profile.c.seq), execution_options={"yield_per": _FETCH}) as rows:
            for row in rows:
                yield _seen(row, sight)

    def count_profiles(self, tx: Connection, sight: Sight, query: ProfileQuery) -> int:
        """Through the same conditions."""
        wanted = _chosen(tx, [sa.func.count()], sight, About.PROFILE, query.where).where(*_profile_conditions(query))
        return int(tx.execute(wanted).scalar_one())

    def read_profiles(self, tx: Connection, sight: Sight, uids: Collection[int]) -> Sequence[ProfileRow]:
        """By the index of uids, some thousands a statement."""
        found: list[ProfileRow] = []
        everyone = list(uids)
        for start in range(0, len(everyone), _UIDS):
            query = ProfileQuery(uids=everyone[start : start + _UIDS], group_key=None)
            found += self.scan_profiles(tx, sight, query)
        return sorted(found, key=lambda row: row.seq)

    # --- what changes rows, and shows them to nobody -----------------------------------------------------------------

    def profiles_of(self, tx: Connection, project_id: int, uids: Collection[int]) -> Mapping[int, ProfileRow]:
        """Profiles by uid, row-locked on PostgreSQL."""
        wanted = sa.select(profile).where(profile.c.project_id == project_id, profile.c.uid.in_(list(uids)))
        rows = tx.execute(wanted.order_by(profile.c.seq).with_for_update())
        return {row.uid: _profile(row) for row in rows}

    def lock_profiles(self, tx: Connection, project_id: int, uids: Collection[int]) -> None:
        """Row locks in the order of `seq` on PostgreSQL. On SQLite there is one writer."""
        if tx.dialect.name != "postgresql" or not uids:
            return
        wanted = sa.select(profile.c.seq).where(profile.c.project_id == project_id, profile.c.uid.in_(list(uids)))
        tx.execute(wanted.order_by(profile.c.seq).with_for_update()).all()

    def put_profiles(self, tx: Connection, project_id: int, rows: Sequence[ProfileRow]) -> None:
        """Insert or update by (project, uid)."""
        if not rows:
            return
        insert: Any = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(profile)
        names = ("properties", "last_seen_ms", "policy_version", "changed_ms")
        statement = insert.on_conflict_do_update(
            index_elements=["project_id", "uid"], set_={name: insert.excluded[name] for name in names}
        )
        values = [
            {
                "project_id": project_id,
                "uid": row.uid,
                "properties": row.properties,
                "last_seen_ms": row.last_seen_ms,
                "policy_version": row.policy_version,
                "changed_ms": row.changed_ms,
                "group_key": row.group_key,
            }
            for row in sorted(rows, key=lambda row: row.uid)
        ]
        tx.execute(statement, values)

    def delete_profiles(self, tx: Connection, project_id: int, uids: Collection[int]) -> int:
        """Delete by uid."""
        rows = sa.delete(profile).where(profile.c.project_id == project_id, profile.c.uid.in_(list(uids)))
        return tx.execute(rows).rowcount

    def newest_profile(self, tx: Connection, project_id: int) -> int:
        """The highest `seq` of the project."""
        newest = sa.select(sa.func.max(profile.c.seq)).where(profile.c.project_id == project_id)
        return int(tx.execute(newest).scalar() or 0)

    def old_events(
        self, tx: Connection, project_id: int, after: tuple[int, int], before_ms: int, limit: int
    ) -> Sequence[EventRow]:
        """A page of the clustered key, row-locked on PostgreSQL."""
        columns = [event.c[name] for name in _EVENT_COLUMNS]
        key = sa.tuple_(event.c.time_ms, event.c.dedup)
        page = sa.select(*columns).where(event.c.project_id == project_id, event.c.time_ms < before_ms, key > after)
        rows = tx.execute(page.order_by(event.c.time_ms, event.c.dedup).limit(limit).with_for_update())
        return [EventRow(*row) for row in rows]

    def delete_events(self, tx: Connection, project_id: int, rows: Collection[EventRow]) -> int:
        """By the clustered key."""
        if not rows:
            return 0
        keys = [(row.time_ms, row.dedup) for row in rows]
        chosen = sa.tuple_(event.c.time_ms, event.c.dedup).in_(keys)
        return tx.execute(sa.delete(event).where(event.c.project_id == project_id, chosen)).rowcount

    def rewrite_events(self, tx: Connection, project_id: int, rows: Sequence[EventRow]) -> int:
        """By the clustered key."""
        statement = (
            sa.update(event)
            .where(event.c.project_id == project_id, event.c.time_ms == sa.bindparam("t"), event.c.dedup == sa.bindparam("d"))
            .values(properties=sa.bindparam("p"))
        )
        values = [{"t": row.time_ms, "d": row.dedup, "p": row.properties} for row in rows]
        return tx.execute(statement, values).rowcount if values else 0

    def event_bounds(self, tx: Connection, project_id: int) -> tuple[int, int] | None:
        """Both ends of the clustered key."""
        mine = event.c.project_id == project_id
        ends = [sa.select(end(event.c.time_ms)).where(mine).scalar_subquery() for end in (sa.func.min, sa.func.max)]
        first, last = tx.execute(sa.select(*ends)).one()
        return None if first is None else (int(first), int(last))

    def count_events(self, tx: Connection, project_id: int, query: EventQuery) -> int:
        """Through the same conditions as a read."""
        wanted = _matching(tx, [sa.func.count()], project_id, About.EVENT, query.where).where(*_conditions(query))
        return int(tx.execute(wanted).scalar_one())

    def event_keys(self, tx: Connection, project_id: int, query: EventQuery) -> Sequence[tuple[int, int]]:
        """A page of the clustered key."""
        key = (event.c.time_ms, event.c.dedup)
        wanted = _matching(tx, list(key), project_id, About.EVENT, query.where).where(*_conditions(query))
        if query.after is not None:
            wanted = wanted.where(sa.tuple_(*key) > query.after)
        return [(row.time_ms, row.dedup) for row in tx.execute(wanted.order_by(*key).limit(query.limit))]

    def locked_events(self, tx: Connection, project_id: int, keys: Collection[tuple[int, int]]) -> Sequence[EventRow]:
        """By the clustered key, row-locked on PostgreSQL in its order."""
        if not keys:
            return []
        chosen = sa.tuple_(event.c.time_ms, event.c.dedup).in_(list(keys))
        rows = sa.select(*(event.c[name] for name in _EVENT_COLUMNS)).where(event.c.project_id == project_id, chosen)
        return [EventRow(*row) for row in tx.execute(rows.order_by(event.c.time_ms, event.c.dedup).with_for_update())]

    def count_stored_profiles(self, tx: Connection, project_id: int, query: ProfileQuery) -> int:
        """Through the same conditions as a read."""
        wanted = _matching(tx, [sa.func.count()], project_id, About.PROFILE, query.where)
        return int(tx.execute(wanted.where(*_profile_conditions(query))).scalar_one())

    def profile_keys(self, tx: Connection, project_id: int, query: ProfileQuery, limit: int) -> Sequence[tuple[int, int]]:
        """In order of creation."""
        columns = [profile.c.seq, profile.c.uid]
        wanted = _matching(tx, columns, project_id, About.PROFILE, query.where).where(*_profile_conditions(query))
        return [(row.seq, row.uid) for row in tx.execute(wanted.order_by(profile.c.seq).limit(limit))]

    def old_profiles(
        self, tx: Connection, project_id: int, after: tuple[int, int], before_ms: int, limit: int
    ) -> Sequence[ProfileRow]:
        """A page of the index by change, row-locked on PostgreSQL."""
        key = sa.tuple_(profile.c.changed_ms, profile.c.seq)
        page = sa.select(profile).where(profile.c.project_id == project_id, profile.c.changed_ms < before_ms, key > after)
        rows = tx.execute(page.order_by(profile.c.changed_ms, profile.c.seq).limit(limit).with_for_update())
        return [_profile(row) for row in rows]

    def rewrite_profiles(self, tx: Connection, project_id: int, rows: Sequence[ProfileRow]) -> int:
        """By (project, uid)."""
        statement = (
            sa.update(profile)
            .where(profile.c.project_id == project_id, profile.c.uid == sa.bindparam("u"))
            .values(properties=sa.bindparam("p"))
        )
        values = [{"u": row.uid, "p": row.properties} for row in rows]
        return tx.execute(statement, values).rowcount if values else 0

    def places(self) -> tuple[str, ...]:
        """`event` and `profile`."""
        return tuple(_PLACES)

    def count_subjects(self, tx: Connection, project_id: int, place: str, uids: Collection[int]) -> int:
        """Rows of `place` whose uid is among these."""
        table = _PLACES[place]
        of_people = sa.and_(table.c.project_id == project_id, table.c.uid.in_(list(uids)))
        return int(tx.execute(sa.select(sa.func.count()).select_from(table).where(of_people)).scalar_one())

    def delete_subjects(self, tx: Connection, project_id: int, place: str, uids: Collection[int], limit: int) -> int:
        """At most `limit` rows a call, chosen through the subject index."""
        table = _PLACES[place]
        key = list(table.primary_key.columns)
        some = sa.select(*key).where(table.c.project_id == project_id, table.c.uid.in_(list(uids))).limit(limit)
        chosen = sa.tuple_(*key).in_(some) if len(key) > 1 else key[0].in_(some)
        return tx.execute(sa.delete(table).where(chosen)).rowcount


_SQLITE_UPSERT = (
    f"INSERT INTO event (project_id, {', '.join(_EVENT_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our own columns
    " ON CONFLICT (project_id, time_ms, dedup) DO UPDATE SET uid = excluded.uid, name = excluded.name,"
    " properties = excluded.properties, policy_version = excluded.policy_version, received_ms = excluded.received_ms"
)
_POSTGRES_STAGE = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS incoming_event (project_id bigint, time_ms bigint, dedup bigint, uid bigint,"
    " name text, properties text, policy_version integer, received_ms bigint) ON COMMIT DELETE ROWS"
)
_POSTGRES_UPSERT = (
    "INSERT INTO event SELECT * FROM incoming_event ORDER BY project_id, time_ms, dedup"
    " ON CONFLICT (project_id, time_ms, dedup) DO UPDATE SET uid = excluded.uid, name = excluded.name,"
    " properties = excluded.properties, policy_version = excluded.policy_version, received_ms = excluded.received_ms"
)
# Below this COPY into a staging table costs more round trips than it saves.
_COPY_FROM = 50


def _values(row: EventRow) -> tuple[object, ...]:
    return (row.time_ms, row.dedup, row.uid, row.name, row.properties, row.policy_version, row.received_ms)


def _copy_events(tx: Connection, project_id: int, rows: Sequence[EventRow]) -> None:
    if len(rows) < _COPY_FROM:
        insert = postgresql.insert(event)
        names = ("uid", "name", "properties", "policy_version", "received_ms")
        statement = insert.on_conflict_do_update(
            index_elements=["project_id", "time_ms", "dedup"], set_={name: insert.excluded[name] for name in names}
        )
        columns = ("project_id", *_EVENT_COLUMNS)
        tx.execute(statement, [dict(zip(columns, (project_id, *_values(row)), strict=True)) for row in rows])
        return
    tx.exec_driver_sql(_POSTGRES_STAGE)
    connection: Any = tx.connection.driver_connection
    with connection.cursor() as cursor, cursor.copy("COPY incoming_event FROM STDIN") as copy:
        for row in rows:
            copy.write_row((project_id, *_values(row)))
    tx.exec_driver_sql(_POSTGRES_UPSERT)


def _chosen(
    tx: Connection, columns: Sequence[Any], sight: Sight, about: About, asked: Expr | None, *, marked: bool = False
) -> sa.Select[Any]:
    """The rows of the project that are in sight and of which what was asked is true: the one place that reads for somebody.

    With `marked` a further column, `windows`, says through which windows of the sight a row is seen.
    """
    sight.admit(asked, about)
    dialect = _dialect(tx, about)
    whole = conjunction(sight.demanded(about), sight.translated(asked, about))
    windows = list(sight.through(asked, about))
    shows = [_shows(window, about, dialect, n) for n, window in enumerate(windows, 1)]
    chosen = ([] if whole is None else [condition(whole, dialect)]) + ([sa.or_(*shows)] if shows else [])
    if shows and marked:
        columns = [*columns, _bits(shows).label("windows")]
    read = [whole, *(window.demanded(about) for window in windows if window is not None)]
    return _rows(tx, columns, sight.project_id, about, read).where(*chosen)


def _matching(tx: Connection, columns: Sequence[Any], project_id: int, about: About, whole: Expr | None) -> sa.Select[Any]:
    """The rows of which an expression is true, for nobody who reads: what a deletion covers."""
    wanted = _rows(tx, columns, project_id, about, [whole])
    return wanted if whole is None else wanted.where(condition(whole, _dialect(tx, about)))


def _dialect(tx: Connection, about: About) -> Dialect:
    return (Postgres if tx.dialect.name == "postgresql" else Sqlite)(_table(about).name)


def _table(about: About) -> sa.Table:
    return event if about is About.EVENT else profile


def _rows(tx: Connection, columns: Sequence[Any], project_id: int, about: About, read: Sequence[Expr | None]) -> sa.Select[Any]:
    """The rows of a project, with their document where these expressions read it."""
    table = _table(about)
    wanted = sa.select(*columns).where(table.c.project_id == project_id)
    if tx.dialect.name != "postgresql" or not any(each is not None and reads_document(each) for each in read):
        return wanted.select_from(table)
    # OFFSET keeps the planner from parsing the text once for every mention of a property.
    parsed = (
        sa.select(sa.cast(table.c.properties, postgresql.JSONB).label("document")).correlate(table).offset(0).lateral("parsed")
    )
    return wanted.select_from(sa.join(table, parsed, sa.true()))


def _shows(window: Window | None, about: About, dialect: Dialect, part: int) -> sa.ColumnElement[bool]:
    """Whether a row is seen through a window; through one with a filter of people no group is."""
    if window is None:
        return sa.false()
    demanded = window.demanded(about)
    if demanded is None:
        return sa.true()
    held = sa.and_(condition(demanded, dialect, part))
    return held if about is About.EVENT else sa.and_(held, profile.c.group_key == "")


def _bits(shows: Sequence[sa.ColumnElement[bool]]) -> sa.ColumnElement[int]:
    def bit(n: int) -> sa.ColumnElement[int]:
        return sa.literal_column(str(1 << n), sa.BigInteger)

    if len(shows) == 1:
        return bit(0)
    zero = sa.literal_column("0", sa.BigInteger)
    cases = [sa.case((each, bit(n)), else_=zero) for n, each in enumerate(shows)]
    return sum(cases[1:], cases[0])


def _seen_event(row: EventRow, sight: Sight) -> EventRow:
    shown = sight.shown(row.properties, Scope.EVENT, row.name, row.windows)
    name = sight.event_name(row.name)
    return row if shown is row.properties and name is row.name else replace(row, name=name, properties=shown)


def _conditions(query: EventQuery, sight: Sight | None = None) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if query.from_ms is not None:
        conditions.append(event.c.time_ms >= query.from_ms)
    if query.to_ms is not None:
        conditions.append(event.c.time_ms < query.to_ms)
    if query.names is not None:
        conditions.append(event.c.name.in_(sight.merges.stored_events(query.names) if sight else list(query.names)))
    if query.uids is not None:
        conditions.append(event.c.uid.in_(list(query.uids)))
    return conditions


def _profile_conditions(query: ProfileQuery) -> list[sa.ColumnElement[bool]]:
    conditions = [profile.c.seq > query.after_seq, profile.c.seq <= query.up_to_seq]
    if query.group_key is not None:
        conditions.append(profile.c.group_key == query.group_key)
    return conditions if query.uids is None else [*conditions, profile.c.uid.in_(list(query.uids))]


def _seen(row: Any, sight: Sight) -> ProfileRow:
    found = _profile(row)
    if not sight.screens:
        return found
    scope, windows = Scope.GROUP if found.group_key else Scope.PROFILE, row.windows if sight.windows else -1
    last_seen = None if sight.hides(LAST_SEEN, scope, windows) else found.last_seen_ms
    shown = sight.shown(found.properties, scope, "", windows)
    return replace(found, properties=shown, last_seen_ms=last_seen, windows=windows)


def _profile(row: Any) -> ProfileRow:
    return ProfileRow(row.seq, row.uid, row.properties, row.last_seen_ms, row.policy_version, row.changed_ms, row.group_key)
