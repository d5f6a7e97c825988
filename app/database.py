"""The database: engine, unit of work, migrations entry, and the generated data map.

SQLite and PostgreSQL alike. `read()` and `write()` are the only ways in; both roll back unless the block ends cleanly.
Driver errors leave here as `Unavailable` or `DatabaseFault`, without the values that drivers like to quote
(PostgreSQL repeats the offending row in DETAIL, even with SQLAlchemy's hide_parameters).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError, TimeoutError as PoolTimeout

from app.errors import PortcullisError, StartupRefused, Unavailable
from app.where.values import SQL_FUNCTIONS

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# A batch is one transaction; anything slower than this holds an erasure up, so it is refused and retried.
_LOCK_TIMEOUT_MS = 10_000
# For a connection while all are in use; then the request is refused with 503.
_POOL_TIMEOUT_S = 10
_RETRY_AFTER = 2
_WAL_TRIES = 100
_SQLITE_PATIENCE_MS = 15_000


class Holds(StrEnum):
    """What a column holds about people. Every column says so; a test fails on one that does not."""

    SUBJECT = "subject_bound"
    TOMBSTONE = "tombstone"
    NOT_PERSONAL = "not_personal"


def column(name: str, kind: Any, *constraints: Any, holds: Holds, **options: Any) -> sa.Column[Any]:
    """A column that declares what it holds about people."""
    return sa.Column(name, kind, *constraints, info={"holds": holds}, **options)


def work_columns() -> tuple[sa.Column[Any], ...]:
    """What makes a row its own outbox: when it is due, who may work on it until when, and how that went.

    `fence` rises with every claim, so that whoever lost the lease can change nothing. Times are Unix milliseconds.
    """
    return (
        column("started_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
        column("finished_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
        column("next_due_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
        column("lease_until_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
        column("fence", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
        column("attempts", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
        column("error_code", sa.Text, holds=Holds.NOT_PERSONAL),
    )


def turn_columns() -> tuple[sa.Column[Any], ...]:
    """What `app.turns` works with: one row a project. Times are Unix milliseconds."""
    return (
        column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
        column("due_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
        column("lease_until_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
        column("holder", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    )


def serial(name: str) -> sa.Column[Any]:
    """A primary key that rises with every row: 64 bits, also on SQLite, where such a key must be spelled INTEGER."""
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return column(name, kind, primary_key=True, autoincrement=True, holds=Holds.NOT_PERSONAL)


class DatabaseFault(PortcullisError):
    """The database refused a statement: our mistake, not the caller's. Carries the SQLSTATE and never a value."""

    code = "database_fault"


@dataclass(frozen=True, slots=True)
class Place:
    """One table that holds personal data, and the column that says whose."""

    name: str
    table: sa.Table
    subject: sa.Column[Any]


def data_map(tables: sa.MetaData = metadata) -> tuple[Place, ...]:
    """Every table with a subject-bound column, in name order. Erasure, export and verification iterate this.

    A table says in `info["subject"]` which column holds the uid of the person. Raises `KeyError` for one that
    holds personal data and does not say whose.
    """
    return tuple(
        Place(table.name, table, table.c[table.info["subject"]])
        for table in tables.sorted_tables
        if any(c.info.get("holds") is Holds.SUBJECT for c in table.columns)
    )


class Database:
    """One engine and its units of work. Safe to share between threads; forget it in a forked child."""

    def __init__(self, url: str, *, pool_size: int = 10, overflow: int = 10) -> None:
        """At most `pool_size` connections are kept and `overflow` more are opened while they are needed."""
        self.engine = _engine(url, pool_size, overflow)
        self.sqlite = self.engine.dialect.name == "sqlite"
        os.register_at_fork(after_in_child=self._forget_connections)

    def _forget_connections(self) -> None:
        # A forked child that used its parent's sockets would corrupt both conversations.
        self.engine.dispose(close=False)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises `Unavailable` when the database does not answer."""
        with _faults(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits when the block ends cleanly and rolls back otherwise.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE): what the block reads cannot change under it.
        """
        with _faults(), self.engine.connect() as connection:
            connection.execution_options(portcullis_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def write_unless_busy(self) -> Iterator[Connection]:
        """As `write`, for what may as well be left out: raises `Unavailable` at once while another writer has SQLite."""
        with _faults(), self.engine.connect() as connection:
            if self.sqlite:
                self._patience(connection, 0)
            try:
                connection.execution_options(portcullis_write=True)
                with connection.begin():
                    yield connection
            finally:
                if self.sqlite:
                    self._patience(connection, _SQLITE_PATIENCE_MS)

    @staticmethod
    def _patience(connection: Connection, milliseconds: int) -> None:
        # Through the driver: as a statement it would begin a transaction.
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA busy_timeout={milliseconds}")

    @contextmanager
    def outside_transaction(self) -> Iterator[Connection]:
        """A connection in autocommit, for VACUUM and checkpoints."""
        with _faults(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def ping(self) -> None:
        """Raises `Unavailable` or `DatabaseFault` unless the database takes writes and its schema is the one this code was
        written for. What is written to find out is taken back."""
        probe = sa.text("UPDATE alembic_version SET version_num = version_num RETURNING version_num")
        with _faults(), self.engine.connect() as connection:
            connection.execution_options(portcullis_write=True)
            with connection.begin() as attempt:
                found = connection.execute(probe).scalar()
                attempt.rollback()
        if found != expected_revision():
            raise Unavailable("the database schema is not the one of this release", remedy="run `portcullis migrate`")

    def refuse_unsafe(self) -> None:
        """Raises `StartupRefused` when an acknowledged write could be lost or an erased byte would stay."""
        with self.read() as tx:
            for name, wanted in _SQLITE_SAFE.items() if self.sqlite else _POSTGRES_SAFE.items():
                found = str(tx.exec_driver_sql(f"{'PRAGMA' if self.sqlite else 'SHOW'} {name}").scalar())
                if found not in wanted:
                    raise StartupRefused(
                        f"the database runs with {name}={found}; an acknowledged write could be lost",
                        field=name,
                        remedy=f"set {name}={wanted[0]} on the database server",
                    )

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


_SQLITE_SAFE = {"journal_mode": ("wal",), "synchronous": ("2", "3"), "secure_delete": ("1",)}
_POSTGRES_SAFE = {"fsync": ("on",), "synchronous_commit": ("on", "remote_write", "remote_apply", "local")}


def _engine(url: str, pool_size: int, overflow: int) -> Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = sa.create_engine(
            parsed,
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=overflow,
            pool_timeout=_POOL_TIMEOUT_S,
            connect_args={"timeout": 15},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return sa.create_engine(
        parsed,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=overflow,
        pool_timeout=_POOL_TIMEOUT_S,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "options": f"-c lock_timeout={_LOCK_TIMEOUT_MS}"},
        isolation_level="READ COMMITTED",  # The fence relies on a fresh snapshot for every statement.
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN; the driver must not.
    _enter_wal(connection)
    for name, arguments, function in SQL_FUNCTIONS:
        connection.create_function(name, arguments, function, deterministic=True)
    for pragma in (
        "synchronous=FULL",
        "secure_delete=ON",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        f"busy_timeout={_SQLITE_PATIENCE_MS}",
        "cache_size=-16000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _enter_wal(connection: Any) -> None:
    # The first change of a new file to WAL wants it alone and does not wait its turn: SQLite answers "locked" at once
    # while another process does the same. Once it is done, asking again changes nothing and needs no lock.
    for _ in range(_WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            time.sleep(0.05)
        else:
            return
    connection.execute("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    write = connection.get_execution_options().get("portcullis_write")
    # Said to the driver itself: SQLAlchemy's way to a statement takes ten times as long as this one.
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def _faults() -> Iterator[None]:
    # `from None` and a message of our own: a driver's text may quote the row it refused.
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout):
        raise Unavailable("the database does not answer", retry_after=_RETRY_AFTER) from None
    except DBAPIError as fault:
        if fault.connection_invalidated:
            raise Unavailable("the database connection was lost", retry_after=_RETRY_AFTER) from None
        state = getattr(fault.orig, "sqlstate", None) or type(fault.orig).__name__
        raise DatabaseFault(f"the database refused a statement ({state})") from None
    except sqlite3.OperationalError:  # BEGIN is said to the driver itself, which SQLAlchemy does not translate.
        raise Unavailable("the database does not answer", retry_after=_RETRY_AFTER) from None
    except psycopg.OperationalError:  # So is COPY.
        raise Unavailable("the database connection was lost", retry_after=_RETRY_AFTER) from None
    except psycopg.Error as fault:
        raise DatabaseFault(f"the database refused a statement ({fault.sqlstate})") from None
    except SQLAlchemyError as fault:
        raise DatabaseFault(f"the database layer failed ({type(fault).__name__})") from None


# --- migrations ------------------------------------------------------------------------------------------------------

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(url: str) -> None:
    """Bring the schema at `url` to the newest revision. Safe to call from several processes at once."""
    from alembic import command  # noqa: PLC0415 - half a second that only this call needs

    database = Database(url, pool_size=1)
    try:
        with database.write() as tx:
            if not database.sqlite:
                tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config = _alembic_config()
            config.attributes["connection"] = tx
            command.upgrade(config, "head")
    finally:
        database.close()


@cache
def expected_revision() -> str | None:
    """The newest revision that this release ships: revisions are numbered files (0001_…, 0002_…)."""
    names = sorted(p.stem.split("_", 1)[0] for p in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    return names[-1] if names else None


_MIGRATION_LOCK = 0x706F7274


def _alembic_config() -> Any:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
