"""The Merkle tree over one project's stored entries, read tile by tile (256 hashes, as in C2SP tlog-tiles)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.audit import merkle
from app.audit.tables import audit_entry, audit_node
from app.errors import Integrity

TILE = 256
_TILE_LEVELS = 8
# The tiles that one root or proof needs at a time; what is dropped is read again.
_TILES_HELD = 64


class Tree:
    """What `merkle` asks for, from the database of one transaction. Raises `Integrity` where a hash is missing."""

    def __init__(self, tx: Connection, project_id: int) -> None:
        self._tx = tx
        self._project_id = project_id
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def root(self, size: int) -> bytes:
        """The root of the first `size` entries."""
        return merkle.root(size, self.subtree)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """That entry `index` is in the tree of `size` entries."""
        return merkle.inclusion_proof(index, size, self.subtree)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """That the tree of `old` entries is the beginning of that of `new`."""
        return merkle.consistency_proof(old, new, self.subtree)

    def subtree(self, level: int, index: int) -> bytes:
        """The root over the `1 << level` entries from `index << level` on."""
        tier, rest = divmod(level, _TILE_LEVELS)
        first = index << rest
        tile, offset = divmod(first, TILE)
        found = self.tile(tier, tile)[offset : offset + (1 << rest)]
        if len(found) != 1 << rest:
            raise Integrity("the audit log has a gap", remedy="run `portcullis audit fsck`, and restore what is missing")
        return merkle.perfect(found)

    def tile(self, tier: int, number: int) -> list[bytes]:
        """The hashes of a tile from its first to the first that is not there: up to 256."""
        key = (tier, number)
        if key not in self._tiles:
            if len(self._tiles) >= _TILES_HELD:
                self._tiles.clear()
            self._tiles[key] = self._read(tier, number * TILE)
        return self._tiles[key]

    def complete(self, size: int) -> None:
        """Store the roots of the tiles that `size` entries fill and that are not stored yet."""
        tier = 1
        while full := size >> (_TILE_LEVELS * tier):
            mine = (audit_node.c.project_id == self._project_id, audit_node.c.tier == tier)
            newest = self._tx.execute(sa.select(sa.func.max(audit_node.c.idx)).where(*mine)).scalar()
            for index in range(0 if newest is None else newest + 1, full):
                hashes = self.tile(tier - 1, index)
                if len(hashes) != TILE:
                    raise Integrity("the audit log has a gap", remedy="run `portcullis audit fsck`")
                row = {"project_id": self._project_id, "tier": tier, "idx": index, "hash": merkle.perfect(hashes)}
                self._tx.execute(sa.insert(audit_node).values(row))
            tier += 1

    def _read(self, tier: int, first: int) -> list[bytes]:
        if tier == 0:
            rows = sa.select(audit_entry.c.idx, audit_entry.c.leaf).where(audit_entry.c.project_id == self._project_id)
            index = audit_entry.c.idx
        else:
            rows = sa.select(audit_node.c.idx, audit_node.c.hash)
            rows = rows.where(audit_node.c.project_id == self._project_id, audit_node.c.tier == tier)
            index = audit_node.c.idx
        found = self._tx.execute(rows.where(index >= first, index < first + TILE).order_by(index))
        hashes: list[bytes] = []
        for place, held in found:
            if place != first + len(hashes):
                break
            hashes.append(bytes(held))
        return hashes
