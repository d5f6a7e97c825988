"""A project's log as it is stored: its entries in order, its size, and the newest signed checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.audit.tables import audit_entry, audit_head

_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class SequencedEntry:
    """An entry in its final place: `index` from 0 without gaps, canonical `body`, RFC 6962 `leaf` hash."""

    index: int
    body: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """A signed checkpoint: `note` says that the first `size` entries have this `root`."""

    size: int
    root: bytes
    note: str


def origin(project_id: int) -> str:
    """The name of a project's log, which is also the name of the key that signs its checkpoints."""
    return f"portcullis/{project_id}/audit"


def head(tx: Connection, project_id: int) -> Head | None:
    """The newest signed checkpoint, or None for a log without one."""
    found = sa.select(audit_head.c.size, audit_head.c.root, audit_head.c.note).where(audit_head.c.project_id == project_id)
    row = tx.execute(found.order_by(audit_head.c.size.desc()).limit(1)).first()
    return None if row is None else Head(row.size, bytes(row.root), row.note)


def size_of(tx: Connection, project_id: int) -> int:
    """How many entries of the project are in place."""
    newest = sa.select(sa.func.max(audit_entry.c.idx)).where(audit_entry.c.project_id == project_id)
    found = tx.execute(newest).scalar()
    return 0 if found is None else int(found) + 1


def entries(tx: Connection, project_id: int, start: int = 0, end: int | None = None) -> Iterator[SequencedEntry]:
    """The entries from index `start` on and below `end`, in order, over gaps as well; some thousands are read at a time."""
    rows = sa.select(audit_entry.c.idx, audit_entry.c.body, audit_entry.c.leaf).where(audit_entry.c.project_id == project_id)
    rows = rows if end is None else rows.where(audit_entry.c.idx < end)
    while page := tx.execute(rows.where(audit_entry.c.idx >= start).order_by(audit_entry.c.idx).limit(_BATCH)).all():
        for row in page:
            yield SequencedEntry(row.idx, bytes(row.body), bytes(row.leaf))
        start = page[-1].idx + 1
