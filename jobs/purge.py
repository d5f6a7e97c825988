"""Making deleted bytes unreadable: what DELETE leaves in files, SQLite's log and PostgreSQL's dead rows.

The wrapped key and the sealed id of a person stand in one small table, and so do the keys of archives: those are written
anew. Big tables hold random uids and what policy let pass; they are vacuumed. What was done is recorded for each place,
because the certificate says so in words. A purge that something holds back raises `PurgeBlocked`, is tried again
later, and is never certified as done.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.audit.certificate import PurgeMethod
from app.audit.entry import AuditAction
from app.bootstrap import Services
from app.database import Database, data_map
from app.errors import PortcullisError
from app.identity.tables import register
from app.subjects.model import Step
from app.subjects.queue import Claim
from app.subjects.tables import archive, archive_chunk
from jobs import entries

# Writing a table anew locks everyone out of it for about a second for each 100 MB (measured).
_LARGEST_REWRITE = 256 << 20
_TRIES = 5
_PAUSE = 0.2
_CHECKPOINT_WAIT_MS = 1_000
# VACUUM VERBOSE tells the oldest transaction whose view it had to respect (PostgreSQL 15 and later; then before).
_CUTOFF = re.compile(r"(?:removable cutoff|oldest xmin): (\d+)")
_XIDS = 1 << 32


class PurgeBlocked(PortcullisError):
    """A reader, an old transaction or a lock holds deleted bytes back. Nothing is certified; it is tried again later."""

    code = "purge_blocked"


def purge(services: Services, claim: Claim) -> None:
    """PURGE: deal with the bytes in every place of the project, and record how."""
    with services.database.read() as tx:
        store = services.stores.of(project_by_id(tx, claim.request.project_id).store_url)
    tables = [place.table for place in data_map()] + [archive, archive_chunk]
    methods = dict.fromkeys(store.places(), PurgeMethod.LEFT_TO_STORE) | certain(services.database, tables)
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        services.queue.advance(tx, claim, Step.CERTIFY, {f"purge.{name}": int(how) for name, how in methods.items()})
        facts = {name: how.name.lower() for name, how in methods.items()}
        entries.stage(services, tx, claim.request, AuditAction.ERASURE_PURGED, facts=facts)


def certain(database: Database, tables: Iterable[sa.Table]) -> dict[str, PurgeMethod]:
    """Deal with the bytes of deleted rows in these tables, and say how in each. Raises `PurgeBlocked`."""
    return (_purge_sqlite if database.sqlite else _purge_postgres)(database, tables)


def settle(database: Database, tables: Iterable[str]) -> bool:
    """Deal with the bytes of deleted rows as far as that goes now; False when a reader or an old transaction held some back.

    For what ends by itself and is certified to nobody: what is held back goes with the next erasure, checkpoint or vacuum.
    """
    if database.sqlite:
        return _wal_truncated(database)
    return None not in [_vacuum_once(database, name) for name in tables]


# --- SQLite ----------------------------------------------------------------------------------------------------------


def _purge_sqlite(database: Database, tables: Iterable[sa.Table]) -> dict[str, PurgeMethod]:
    # secure_delete zeroes a row in the log's copy of its page; the file keeps the row until the log is written back.
    for _ in range(_TRIES):
        if _wal_truncated(database):
            return {table.name: PurgeMethod.CHECKPOINTED for table in tables}
        time.sleep(_PAUSE)
    raise PurgeBlocked("a reader keeps SQLite's write-ahead log from being truncated")


def _wal_truncated(database: Database) -> bool:
    """True when the log was empty for a moment: everything in it had reached the database file."""
    with database.outside_transaction() as connection:
        usual = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
        try:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_CHECKPOINT_WAIT_MS}")
            busy, left, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(usual)}")
    return bool(busy == 0 and left == 0)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def _purge_postgres(database: Database, tables: Iterable[sa.Table]) -> dict[str, PurgeMethod]:
    with database.write() as tx:
        # Every row that was deleted until now was deleted by a transaction before this one.
        now = int(tx.execute(sa.text("SELECT pg_current_xact_id()::text")).scalar_one())
    methods = {table.name: _vacuum(database, table.name, now) for table in tables}
    for table in (register, archive):
        if methods.get(table.name) is PurgeMethod.VACUUMED:
            methods[table.name] = _rewrite(database, table.name)
    _checkpoint(database)
    return methods


def _vacuum(database: Database, name: str, now: int) -> PurgeMethod:
    """VACUUM until no old transaction can hold back what was deleted before `now`. Raises `PurgeBlocked`."""
    for _ in range(_TRIES):
        cutoff = _vacuum_once(database, name)
        if cutoff is None:
            return PurgeMethod.UNCONFIRMED
        if (cutoff - now) % _XIDS < _XIDS // 2:
            return PurgeMethod.VACUUMED
        time.sleep(_PAUSE)
    raise PurgeBlocked("an old transaction holds deleted rows back", field=name)


def _vacuum_once(database: Database, name: str) -> int | None:
    with database.outside_transaction() as connection:
        said: list[str] = []
        with _listening(connection, said.append):
            connection.exec_driver_sql(f"VACUUM (VERBOSE, INDEX_CLEANUP ON) {name}")
    return cutoff_of(said)


def cutoff_of(messages: Iterable[str]) -> int | None:
    """The oldest transaction that VACUUM VERBOSE says it had to respect, or None when it does not say.

    The first report is the table's own; that of its TOAST table was made later and is at least as young.
    """
    found = (_CUTOFF.search(message) for message in messages)
    return next((int(match[1]) for match in found if match), None)


def _rewrite(database: Database, name: str) -> PurgeMethod:
    with database.outside_transaction() as connection:
        size = sa.text("SELECT pg_total_relation_size(to_regclass(:name))")
        if int(connection.execute(size, {"name": name}).scalar_one()) > _LARGEST_REWRITE:
            return PurgeMethod.DEFERRED
        connection.exec_driver_sql(f"VACUUM (FULL) {name}")
    return PurgeMethod.REWRITTEN


def _checkpoint(database: Database) -> None:
    # Files of a rewritten table are unlinked at the next checkpoint. A role that may not ask for one waits for it.
    allowed = sa.text("SELECT pg_has_role(current_user, to_regrole('pg_checkpoint'), 'USAGE')")
    with database.outside_transaction() as connection:
        if connection.execute(allowed).scalar():
            connection.exec_driver_sql("CHECKPOINT")


@contextmanager
def _listening(connection: Connection, hear: Callable[[str], None]) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection

    def heard(diagnostic: Any) -> None:
        hear(diagnostic.message_primary or "")

    driver.add_notice_handler(heard)
    try:
        yield
    finally:
        driver.remove_notice_handler(heard)
