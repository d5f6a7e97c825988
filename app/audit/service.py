"""Staging, sequencing and paging of audit entries.

An act stages its entry in its own transaction, so there is never an act without an entry, nor an entry without an act.
The sequencer later gives staged entries their place. It removes rows as it reads them (DELETE … RETURNING), so an id
that commits late is never skipped, as it would be by a reader that remembers the last id it saw.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.audit.entry import Entry
from app.audit.tables import audit_entry, audit_staging
from app.database import Database

_BATCH = 2_000
_SEQUENCER_LOCK = 0x61756469


@dataclass(frozen=True, slots=True)
class SequencedEntry:
    """An entry in its final place: `index` from 0 without gaps, canonical `body`, RFC 6962 `leaf` hash."""

    index: int
    body: bytes
    leaf: bytes


def leaf_hash(body: bytes) -> bytes:
    """RFC 6962 section 2.1: SHA-256 over a zero byte and the entry."""
    return hashlib.sha256(b"\x00" + body).digest()


class AuditLog:
    """The log of every project of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stage(self, tx: Connection, entry: Entry) -> None:
        """Write `entry` in the caller's transaction: it stands if and only if the act does."""
        tx.execute(sa.insert(audit_staging).values(project_id=entry.project_id, body=entry.canonical()))

    def sequence(self) -> int:
        """Move every staged entry to its place. Returns how many were moved."""
        moved = 0
        while batch := self._sequence_batch():
            moved += batch
        return moved

    def _sequence_batch(self) -> int:
        with self._database.write() as tx:
            if not self._database.sqlite:
                tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SEQUENCER_LOCK})
            oldest = sa.select(audit_staging.c.id).order_by(audit_staging.c.id).limit(_BATCH)
            ids = list(tx.execute(oldest).scalars())
            if not ids:
                return 0
            taken = tx.execute(
                sa.delete(audit_staging).where(audit_staging.c.id.in_(ids)).returning(*audit_staging.columns)
            ).all()
            by_project: dict[int, list[bytes]] = defaultdict(list)
            for row in sorted(taken, key=lambda row: int(row.id)):
                by_project[row.project_id].append(row.body)
            for project_id, bodies in by_project.items():
                self._append(tx, project_id, bodies)
            return len(taken)

    @staticmethod
    def _append(tx: Connection, project_id: int, bodies: list[bytes]) -> None:
        size = AuditLog.size(tx, project_id)
        tx.execute(
            sa.insert(audit_entry),
            [
                {"project_id": project_id, "idx": size + offset, "body": body, "leaf": leaf_hash(body)}
                for offset, body in enumerate(bodies)
            ],
        )

    @staticmethod
    def size(tx: Connection, project_id: int) -> int:
        """How many entries of the project are in place."""
        newest = sa.select(sa.func.max(audit_entry.c.idx)).where(audit_entry.c.project_id == project_id)
        found = tx.execute(newest).scalar()
        return 0 if found is None else int(found) + 1

    def entries(self, project_id: int, start: int, limit: int) -> list[SequencedEntry]:
        """Entries from index `start` on, at most `limit`, in order. Sequences what is staged first."""
        self.sequence()
        rows = (
            sa.select(audit_entry)
            .where(audit_entry.c.project_id == project_id, audit_entry.c.idx >= start)
            .order_by(audit_entry.c.idx)
            .limit(limit)
        )
        with self._database.read() as tx:
            return [SequencedEntry(row.idx, row.body, row.leaf) for row in tx.execute(rows)]

    def check(self, project_id: int) -> Iterator[int]:
        """Indexes whose stored leaf hash is not the hash of the stored body, or that are missing. Empty when all is well."""
        expected = 0
        with self._database.read() as tx:
            rows = sa.select(audit_entry).where(audit_entry.c.project_id == project_id).order_by(audit_entry.c.idx)
            for row in tx.execute(rows, execution_options={"yield_per": _BATCH}):
                yield from range(expected, row.idx)
                if leaf_hash(row.body) != row.leaf:
                    yield row.idx
                expected = row.idx + 1
