"""Hashes a stored log anew, from the bytes of its entries up to every signed checkpoint, and says what does not fit."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.audit import merkle
from app.audit.checkpoint import BadCheckpoint, Checkpoint, parse
from app.audit.note import BadNote, open_note, verifier_key
from app.audit.stored import entries, origin, size_of
from app.audit.tables import audit_head, audit_node
from app.audit.tree import TILE, Tree
from app.audit.witness import Witness
from app.database import Database
from app.errors import Integrity, PortcullisError, StartupRefused
from app.keys.service import Keyring

_BATCH = 2_000
_REMEDY = (
    "restore a newer copy of the database. If the loss is known and written down, move the witness file away; "
    "auditors keep the old one"
)


def check(database: Database, keyring: Keyring, project_id: int) -> Iterator[str]:
    """What is wrong with a project's log, one sentence each; nothing when all is well. Memory does not grow with the log."""
    key = _key(database, keyring, project_id)
    with database.read() as tx:
        # Read before the entries: what is appended meanwhile is not asked about.
        newest = tx.execute(sa.select(sa.func.max(audit_head.c.size)).where(audit_head.c.project_id == project_id)).scalar()
        heads = _heads(tx, project_id, key, newest or 0)
        due = next(heads, None)
        frontier, nodes = merkle.Frontier(), _Nodes(tx, project_id)
        for each in entries(tx, project_id):
            if each.index != frontier.size:
                yield f"entries {frontier.size} to {each.index - 1} are missing"
                return
            computed = merkle.leaf_hash(each.body)
            if computed != each.leaf:
                yield f"entry {each.index} was changed: its leaf hash is another"
            frontier.append(computed)
            yield from nodes.grown(computed)
            while due is not None and (isinstance(due, str) or due.size == frontier.size):
                if isinstance(due, str):
                    yield due
                elif not hmac.compare_digest(due.root, frontier.root()):
                    yield f"the checkpoint of {due.size} entries has another root than they have"
                due = next(heads, None)
        while due is not None:
            yield due if isinstance(due, str) else f"a checkpoint covers {due.size} entries, and {frontier.size} are there"
            due = next(heads, None)


class _Nodes:
    """Compares the stored roots of tiles with those of the entries, as the entries go by."""

    def __init__(self, tx: Connection, project_id: int) -> None:
        self._tx = tx
        self._project_id = project_id
        self._open: list[list[bytes]] = [[]]
        self._done: list[int] = [0]

    def grown(self, leaf: bytes) -> Iterator[str]:
        """One more leaf, and what is wrong with the tiles that it fills."""
        tier, carried = 0, leaf
        while True:
            self._open[tier].append(carried)
            if len(self._open[tier]) < TILE:
                return
            carried = merkle.perfect(self._open[tier])
            self._open[tier] = []
            tier, index = tier + 1, self._done[tier]
            self._done[tier - 1] += 1
            if tier == len(self._open):
                self._open.append([])
                self._done.append(0)
            mine = (audit_node.c.project_id == self._project_id, audit_node.c.tier == tier, audit_node.c.idx == index)
            stored = self._tx.execute(sa.select(audit_node.c.hash).where(*mine)).scalar()
            if stored is None or bytes(stored) != carried:
                yield f"tile {index} of tier {tier} is {'missing' if stored is None else 'another'}"


def refuse_older(database: Database, keyring: Keyring, witness: Witness) -> None:
    """Raises `StartupRefused` unless every log extends the newest checkpoint that its witness saw.

    A database that was restored from an old copy would serve people who were erased since.
    """
    newest: dict[str, tuple[Checkpoint, str]] = {}
    for note in witness.notes():
        try:
            seen = parse(note.partition("\n\n")[0] + "\n")
        except BadCheckpoint:
            raise _not_ours("the witness file holds what is no checkpoint") from None
        if seen.origin not in newest or newest[seen.origin][0].size < seen.size:
            newest[seen.origin] = seen, note
    for name, (seen, note) in newest.items():
        _refuse_one(database, keyring, name, seen, note)


def _refuse_one(database: Database, keyring: Keyring, name: str, seen: Checkpoint, note: str) -> None:
    digits = name.removeprefix("portcullis/").removesuffix("/audit")
    project_id = int(digits) if digits.isascii() and digits.isdigit() else -1
    try:
        open_note(note, [_key(database, keyring, project_id)])
        with database.read() as tx:
            held = size_of(tx, project_id)
            extends = held >= seen.size and Tree(tx, project_id).root(seen.size) == seen.root
    except (BadNote, Integrity):
        raise _not_ours(f"the witness saw a log of {name} that this database did not sign") from None
    if not extends:
        raise _not_ours(f"the witness saw {seen.size} entries of {name}, and this database has {held}, or others: it is older")


def _not_ours(message: str) -> StartupRefused:
    return StartupRefused(message, field="PORTCULLIS_WITNESS", remedy=_REMEDY)


def _key(database: Database, keyring: Keyring, project_id: int) -> str:
    try:
        with database.read() as tx:
            return verifier_key(origin(project_id), keyring.of(tx, project_id).signing)
    except PortcullisError:
        raise Integrity("the key that signs the audit log cannot be opened", remedy="look at `portcullis keys`") from None


def _heads(tx: Connection, project_id: int, key: str, newest: int) -> Iterator[Checkpoint | str]:
    """The signed checkpoints in order of size; a sentence in place of one that does not verify."""
    rows = sa.select(audit_head).where(audit_head.c.project_id == project_id, audit_head.c.size <= newest)
    size = 0
    while found := tx.execute(rows.where(audit_head.c.size > size).order_by(audit_head.c.size).limit(_BATCH)).all():
        for row in found:
            try:
                said = parse(open_note(row.note, [key]))
            except (BadNote, BadCheckpoint):
                yield f"the checkpoint of {row.size} entries does not verify"
                continue
            if (said.origin, said.size, said.root) != (origin(project_id), row.size, bytes(row.root)):
                yield f"the checkpoint of {row.size} entries was signed for something else"
                continue
            yield said
        size = found[-1].size
