"""What really stands in the SQLite file, read past the service: rows, counts, and digests over rows."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

# Entries wait in one table until they are given their place in the other; together they are the log.
_LOG = ("audit_staging", "audit_entry")
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"

Row = dict[str, Any]


class Stored:
    """A reader of the database file. Each question opens the file and closes it, and so never delays a purge."""

    def __init__(self, database: Path) -> None:
        self._url = f"{database.as_uri()}?mode=ro"

    def rows(self, statement: str, *values: Any) -> list[Row]:
        """The rows of one SELECT."""
        with self._open() as connection:
            return [dict(row) for row in connection.execute(statement, values)]

    def counts(self) -> dict[str, int]:
        """How many rows each table has; the two tables of the log count as one, `audit`."""
        found: dict[str, int] = {}
        with self._open() as connection:
            for (name,) in connection.execute(_TABLES).fetchall():
                (n,) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()
                key = "audit" if name in _LOG else name
                found[key] = found.get(key, 0) + n
        return found

    def event(self, trace: str) -> Row:
        """The one event row whose properties hold `trace`. Raises `LookupError` unless there is exactly one."""
        return self._one("event", trace)

    def profile(self, mark: str) -> Row:
        """The one profile row whose properties hold `mark`. Raises `LookupError` unless there is exactly one."""
        return self._one("profile", mark)

    def holding(self, table: str, text: str) -> int:
        """How many rows of `event` or `profile` hold `text` in their properties."""
        return len(self.rows(f"SELECT 1 FROM {table} WHERE instr(properties, ?) > 0", text))

    def uids_of(self, mark: str) -> set[int]:
        """The uids under which events or a profile with `mark` stand, and those of the same person in the register."""
        marked = "SELECT uid FROM event WHERE instr(properties, ?1) UNION SELECT uid FROM profile WHERE instr(properties, ?1)"
        people = f"SELECT person FROM register WHERE uid IN ({marked})"
        found = self.rows(f"{marked} UNION SELECT uid FROM register WHERE person IN ({people})", mark)
        return {row["uid"] for row in found}

    def digest(self, without: Collection[int] = ()) -> tuple[int, str]:
        """How many rows of event, profile and register belong to anyone but these uids, and SHA-256 over all of them."""
        total, digest = 0, hashlib.sha256()
        with self._open() as connection:
            for table in ("event", "profile", "register"):
                for row in connection.execute(f"SELECT * FROM {table} WHERE uid IS NOT NULL ORDER BY 1, 2, 3"):
                    if row["uid"] not in without:
                        total += 1
                        digest.update(repr((table, tuple(row))).encode())
        return total, digest.hexdigest()

    def _one(self, table: str, text: str) -> Row:
        found = self.rows(f"SELECT * FROM {table} WHERE instr(properties, ?) > 0", text)
        if len(found) != 1:
            raise LookupError(f"{len(found)} rows of {table} where one should be")
        return found[0]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._url, uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection


def properties_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a stored row."""
    found: dict[str, Any] = json.loads(row["properties"])
    return found
