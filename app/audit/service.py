"""The log of every project: staging with the act, and what auditors pull from it.

An act stages its entry in its own transaction, so there is never an act without an entry, nor an entry without an act.
The sequencer later gives staged entries their place and signs what the log is then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.audit import stored
from app.audit.entry import Entry
from app.audit.note import verifier_key
from app.audit.sequencer import Sequencer
from app.audit.stored import SequencedEntry, head, origin, size_of
from app.audit.tables import audit_staging
from app.audit.tree import TILE, Tree
from app.audit.witness import Witness
from app.database import Database
from app.errors import InvalidInput
from app.keys.service import Keyring

_BATCH = 2_000
# A filter that matches little must not read a whole log for one answer: the caller goes on from where this one ended.
_MOST_LOOKED_AT = 50_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries a caller asks for. Each part narrows; times are RFC 3339 in UTC, as entries carry them."""

    action: str | None = None
    actor: str | None = None
    obj: str | None = None
    since: str | None = None
    before: str | None = None

    def allows(self, body: bytes) -> bool:
        """Whether an entry is among those asked for."""
        if self == _EVERYTHING:
            return True
        entry: dict[str, Any] = json.loads(body)
        action = entry["action"]
        return (
            (self.action is None or action == self.action or action.startswith(f"{self.action}."))
            and (self.actor is None or entry["actor"] == self.actor)
            and (self.obj is None or entry.get("obj") == self.obj)
            and (self.since is None or entry["t"] >= self.since)
            and (self.before is None or entry["t"] < self.before)
        )


_EVERYTHING = Wanted()


class AuditLog:
    """The log of every project of one database."""

    def __init__(self, database: Database, keyring: Keyring, witness: Witness | None = None) -> None:
        self._database = database
        self._keyring = keyring
        self._sequencer = Sequencer(database, keyring, witness)

    def stage(self, tx: Connection, entry: Entry) -> None:
        """Write `entry` in the caller's transaction: it stands if and only if the act does."""
        tx.execute(sa.insert(audit_staging).values(project_id=entry.project_id, body=entry.canonical()))

    def sequence(self) -> int:
        """Move every staged entry to its place, and sign a checkpoint. Returns how many were moved."""
        return self._sequencer.run()

    @staticmethod
    def size(tx: Connection, project_id: int) -> int:
        """How many entries of the project are in place."""
        return size_of(tx, project_id)

    def entries(self, project_id: int, start: int, limit: int) -> list[SequencedEntry]:
        """Entries from index `start` on, at most `limit`, in order. Sequences what is staged first."""
        return self.search(project_id, start, limit, _EVERYTHING)[0]

    def search(self, project_id: int, start: int, limit: int, wanted: Wanted) -> tuple[list[SequencedEntry], int]:
        """Those of the entries from `start` on that are wanted, at most `limit`, and the index at which to go on.

        Sequences what is staged first. One call looks at 50,000 entries at most.
        """
        self.sequence()
        found: list[SequencedEntry] = []
        following = start
        with self._database.read() as tx:
            for each in stored.entries(tx, project_id, start, start + _MOST_LOOKED_AT):
                if len(found) == limit:
                    break
                following = each.index + 1
                if wanted.allows(each.body):
                    found.append(each)
        return found, following

    def checkpoint(self, project_id: int) -> str | None:
        """The newest signed checkpoint; sequences what is staged first. None for a log without an entry."""
        self.sequence()
        with self._database.read() as tx:
            found = head(tx, project_id)
        return None if found is None else found.note

    def verifier_key(self, project_id: int) -> str:
        """The public key under which the checkpoints of a project verify."""
        with self._database.read() as tx:
            return verifier_key(origin(project_id), self._keyring.of(tx, project_id).signing)

    def inclusion_proof(self, project_id: int, index: int, size: int) -> tuple[bytes, list[bytes]]:
        """The leaf hash of an entry, and the proof that it is in the tree of `size`. Raises `InvalidInput`."""
        with self._database.read() as tx:
            _within(tx, project_id, size, "size")
            if index >= size:
                raise InvalidInput("the index lies outside the tree", field="index", remedy="ask for one below `size`")
            tree = Tree(tx, project_id)
            return tree.subtree(0, index), tree.inclusion_proof(index, size)

    def consistency_proof(self, project_id: int, old: int, new: int) -> list[bytes]:
        """The proof that the log of `new` entries extends that of `old`. Raises `InvalidInput`."""
        with self._database.read() as tx:
            _within(tx, project_id, new, "to")
            if old > new:
                raise InvalidInput("the older size is larger than the newer", field="from", remedy="swap `from` and `to`")
            return Tree(tx, project_id).consistency_proof(old, new)

    def tile(self, project_id: int, tier: int, number: int, width: int) -> bytes:
        """`width` hashes of a tile, one after the other (C2SP tlog-tiles). Raises `InvalidInput` when there are fewer."""
        with self._database.read() as tx:
            hashes = Tree(tx, project_id).tile(tier, number)
        _wide_enough(len(hashes), width)
        return b"".join(hashes[:width])

    def bodies(self, project_id: int, number: int, width: int) -> bytes:
        """The entries of a tile, each with its length before it in two bytes (C2SP tlog-tiles). Raises `InvalidInput`."""
        first = number * TILE
        with self._database.read() as tx:
            found = list(stored.entries(tx, project_id, first, first + width))
        _wide_enough(len(found), width)
        return b"".join(len(each.body).to_bytes(2, "big") + each.body for each in found)

    def covered(self, project_id: int, note: str) -> Iterator[SequencedEntry]:
        """Every entry that a checkpoint of this log covers, at constant memory."""
        size = int(note.split("\n", 2)[1])
        for first in range(0, size, _BATCH):
            # A transaction of its own for each piece: a reader who is slow must not hold a purge up.
            with self._database.read() as tx:
                piece = list(stored.entries(tx, project_id, first, min(size, first + _BATCH)))
            yield from piece


def _within(tx: Connection, project_id: int, size: int, field: str) -> None:
    if size > (held := size_of(tx, project_id)):
        raise InvalidInput(f"the log has {held} entries", field=field, remedy=f"ask for {held} or fewer")


def _wide_enough(found: int, width: int) -> None:
    if found < width:
        remedy = f"ask for the first of it with `.p/{found}`" if found else "ask for an earlier tile"
        raise InvalidInput(f"the tile holds {found} so far", field="tile", remedy=remedy)
