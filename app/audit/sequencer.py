"""Gives staged entries their place, grows the tree, and signs a checkpoint: one transaction a project and batch.

What is signed is what the database gives back: every entry of the batch is read again and hashed again before the root is
computed, and the root is signed only if the tree extends the last checkpoint. A bit that flips on the way to the disk
stops the log of that project, and nothing else.
"""

from __future__ import annotations

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from app.audit import merkle
from app.audit.checkpoint import Checkpoint
from app.audit.note import sign
from app.audit.stored import Head, head, origin, size_of
from app.audit.tables import audit_entry, audit_head, audit_staging
from app.audit.tree import Tree
from app.audit.witness import Witness
from app.database import Database
from app.errors import Integrity, PortcullisError
from app.keys.service import Keyring

_BATCH = 2_000
_LOCK = 0x61756469


class Sequencer:
    """Any number may run, in any process; one works at a time."""

    def __init__(self, database: Database, keyring: Keyring, witness: Witness | None) -> None:
        self._database = database
        self._keyring = keyring
        self._witness = witness

    def run(self) -> int:
        """Move every staged entry to its place. Returns how many were moved.

        A project whose log cannot go on keeps its entries staged; the others go on, and the metric of the oldest staged
        entry raises the alarm.
        """
        with self._database.read() as tx:
            waiting = list(tx.execute(sa.select(audit_staging.c.project_id).distinct()).scalars())
        moved = 0
        for project_id in sorted(waiting):
            try:
                while batch := self._batch(project_id):
                    moved += batch
            except Integrity as fault:
                structlog.get_logger().error("audit_log_stopped", project_id=project_id, code=fault.code)
            except PortcullisError as fault:
                structlog.get_logger().warning("audit_log_waits", project_id=project_id, code=fault.code)
        return moved

    def _batch(self, project_id: int) -> int:
        with self._database.write() as tx:
            if not self._database.sqlite:
                tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            bodies = _take(tx, project_id)
            if not bodies:
                return 0
            old = head(tx, project_id)
            size = _append(tx, project_id, bodies)
            tree = Tree(tx, project_id)
            tree.complete(size + len(bodies))
            checkpoint = self._sign(tx, project_id, old, size + len(bodies), tree)
        if self._witness:
            self._witness.write(checkpoint)
        return len(bodies)

    def _sign(self, tx: Connection, project_id: int, old: Head | None, size: int, tree: Tree) -> str:
        root = tree.root(size)
        if old is not None:
            _refuse_fork(old, size, root, tree)
        text = Checkpoint(origin(project_id), size, root).text()
        note = sign(text, origin(project_id), self._keyring.of(tx, project_id).signing)
        tx.execute(sa.insert(audit_head).values(project_id=project_id, size=size, root=root, note=note))
        return note


def _take(tx: Connection, project_id: int) -> list[bytes]:
    # Rows are removed as they are read, so one that commits late is never skipped, as it would be by a reader that
    # remembers the last id it saw.
    oldest = sa.select(audit_staging.c.id).where(audit_staging.c.project_id == project_id)
    ids = list(tx.execute(oldest.order_by(audit_staging.c.id).limit(_BATCH)).scalars())
    if not ids:
        return []
    taken = sa.delete(audit_staging).where(audit_staging.c.id.in_(ids)).returning(audit_staging.c.id, audit_staging.c.body)
    return [bytes(row.body) for row in sorted(tx.execute(taken), key=lambda row: int(row.id))]


def _append(tx: Connection, project_id: int, bodies: list[bytes]) -> int:
    """Store the entries behind the last one and read them back. Returns the index of the first."""
    size = size_of(tx, project_id)
    made = [
        {"project_id": project_id, "idx": size + offset, "body": body, "leaf": merkle.leaf_hash(body)}
        for offset, body in enumerate(bodies)
    ]
    tx.execute(sa.insert(audit_entry), made)
    stored = sa.select(audit_entry.c.body, audit_entry.c.leaf).where(audit_entry.c.project_id == project_id)
    again = tx.execute(stored.where(audit_entry.c.idx >= size).order_by(audit_entry.c.idx)).all()
    if [merkle.leaf_hash(bytes(body)) for body, _ in again] != [each["leaf"] for each in made]:
        raise Integrity("an audit entry came back changed from the database", remedy="look at the database's disk and memory")
    if [bytes(leaf) for _, leaf in again] != [each["leaf"] for each in made]:
        raise Integrity("a leaf hash came back changed from the database", remedy="look at the database's disk and memory")
    return size


def _refuse_fork(old: Head, size: int, root: bytes, tree: Tree) -> None:
    """Raises `Integrity` unless the tree of `size` entries extends the last signed one."""
    try:
        merkle.verify_consistency(old.size, size, old.root, root, tree.consistency_proof(old.size, size))
    except merkle.ProofWrong:
        raise Integrity(
            "the audit log does not extend its last checkpoint",
            remedy="run `portcullis audit fsck`, and keep the database as it is",
        ) from None
