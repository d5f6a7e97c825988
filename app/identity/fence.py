"""The project's fence: ingest holds it shared, whoever changes a person's state holds it exclusive.

Without it, events of a person survive their erasure: a batch reads "active", the erasure is accepted and finished, and
then the batch commits. On SQLite `Database.write` (BEGIN IMMEDIATE) lets one writer in at a time, which is the same fence.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

# The first word of a two-word advisory lock names what is locked; the second is the project.
_FENCE = 0x66656E63


def enter_shared(tx: Connection, project_id: int) -> None:
    """Taken by ingest first of all. Released at commit."""
    _lock(tx, "pg_advisory_xact_lock_shared", project_id)


def enter_exclusive(tx: Connection, project_id: int) -> None:
    """Taken before a state of the register changes. Waits for every ingest transaction under way."""
    _lock(tx, "pg_advisory_xact_lock", project_id)


def _lock(tx: Connection, function: str, project_id: int) -> None:
    if tx.dialect.name == "postgresql":
        tx.execute(sa.text(f"SELECT {function}(:fence, :project)"), {"fence": _FENCE, "project": project_id})
