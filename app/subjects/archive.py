"""Sealed archives: how the answer to an access request is kept, and how it is read back.

A ZIP file is cut into pieces of 256 KiB, each sealed under the archive's own key with a label of request, position and
whether it is the last. So a piece that is changed, missing, moved, taken from another archive or cut off at the end does
not open. There is only ciphertext at rest; destroying the key, at expiry or when a person in it is erased, destroys all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.engine import Connection

from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, Gone, Integrity, PortcullisError
from app.keys.sealing import seal, unseal
from app.keys.service import Keyring
from app.subjects.model import SubjectRequest
from app.subjects.tables import archive, archive_chunk

CHUNK_BYTES = 256 * 1024


class ArchiveRevoked(PortcullisError):
    """The archive's key was destroyed while the archive was being written: a person in it is being erased."""

    code = "archive_revoked"


# --- writing ---------------------------------------------------------------------------------------------------------


def begin(tx: Connection, request: SubjectRequest, wrapped_key: bytes, expires_ms: int) -> None:
    """Make room for the archive of `request`; what an earlier attempt left is deleted.

    The caller holds the project's fence: an erasure that is accepted later must find this row.
    """
    tx.execute(sa.delete(archive_chunk).where(archive_chunk.c.request_id == request.id))
    tx.execute(sa.delete(archive).where(archive.c.request_id == request.id))
    tx.execute(
        sa.insert(archive).values(
            request_id=request.id,
            project_id=request.project_id,
            wrapped_key=wrapped_key,
            ready=False,
            size=0,
            chunks=0,
            expires_ms=expires_ms,
        )
    )


class ArchiveWriter:
    """A file to write to, without seek or tell, that keeps at most one piece in memory and seals it when it is full.

    `effect` opens the transaction of one piece, in which the caller has made sure that the work is still its own.
    """

    def __init__(self, request_id: str, key: AESGCM, effect: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._request_id = request_id
        self._key = key
        self._effect = effect
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self._size = 0
        self._chunks = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take some bytes. Raises `ArchiveRevoked` as soon as the key is gone."""
        self._buffer += data
        # The last piece is sealed as the last, so a full one waits here until something follows it.
        while len(self._buffer) > CHUNK_BYTES:
            piece = bytes(self._buffer[:CHUNK_BYTES])
            del self._buffer[:CHUNK_BYTES]
            with self._effect() as tx:
                self._store(tx, piece, final=False)
        return len(data)

    def flush(self) -> None:
        """Nothing to do: a piece is written when it is full."""

    def finish(self, tx: Connection, expires_ms: int) -> None:
        """Store the last piece and make the archive readable, in the transaction that ends the request."""
        self._store(tx, bytes(self._buffer), final=True)
        values = {
            "ready": True,
            "size": self._size,
            "chunks": self._chunks,
            "sha256": self._hash.hexdigest(),
            "expires_ms": expires_ms,
        }
        alive = sa.and_(archive.c.request_id == self._request_id, archive.c.wrapped_key.is_not(None))
        if tx.execute(sa.update(archive).where(alive).values(values)).rowcount != 1:
            raise ArchiveRevoked("the key of the archive was destroyed")

    def _store(self, tx: Connection, piece: bytes, *, final: bool) -> None:
        _require_key(tx, self._request_id)
        sealed = seal(self._key, piece, _label(self._request_id, self._chunks, final=final))
        row = {"request_id": self._request_id, "seq": self._chunks, "ciphertext": sealed}
        tx.execute(sa.insert(archive_chunk).values(row))
        self._hash.update(piece)
        self._size += len(piece)
        self._chunks += 1


def _require_key(tx: Connection, request_id: str) -> None:
    alive = sa.select(archive.c.request_id).where(archive.c.request_id == request_id, archive.c.wrapped_key.is_not(None))
    if tx.execute(alive.with_for_update(read=True)).first() is None:
        raise ArchiveRevoked("the key of the archive was destroyed")


def _label(request_id: str, seq: int, *, final: bool) -> str:
    return f"archive|{request_id}|{seq}|{'last' if final else 'more'}"


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the archive's row says, and its opened key."""

    chunks: int
    size: int
    sha256: str
    key: AESGCM = field(repr=False)


def open_archive(
    database: Database,
    keyring: Keyring,
    audit: AuditLog,
    clock: Callable[[], int],
    request: SubjectRequest,
    actor: str,
) -> Iterator[bytes] | None:
    """The ZIP file of an access request in pieces, decrypted as they are read; None when it never had an archive.

    The download is an audit entry before the first byte leaves, and the first piece is already open when this returns.
    Raises `Conflict` while it is being written, `Gone` when it has expired or its key was destroyed, and `Integrity`,
    also midway, when a piece is missing or was changed: whoever serves it must then break the connection.
    """
    with database.write() as tx:
        kept = _kept(tx, keyring, request, clock())
        if kept is None:
            return None
        first = _piece(tx, request.id, kept, 0)
        counts = {"bytes": kept.size, "chunks": kept.chunks}
        entry = Entry(AuditAction.ARCHIVE_DOWNLOADED, request.project_id, actor, clock(), obj=request.id, counts=counts)
        audit.stage(tx, entry)
    return _pieces(database, request.id, kept, first)


def _kept(tx: Connection, keyring: Keyring, request: SubjectRequest, now_ms: int) -> _Kept | None:
    row = tx.execute(sa.select(archive).where(archive.c.request_id == request.id)).first()
    if row is None:
        return None
    if row.wrapped_key is None or row.expires_ms <= now_ms:
        raise Gone("the archive has expired, or a person in it was erased", remedy="submit a new access request")
    if not row.ready:
        raise Conflict("the archive is being written", remedy="ask again once the request is done")
    key = keyring.of(tx, request.project_id).archive_key(request.id, row.wrapped_key)
    return _Kept(row.chunks, row.size, row.sha256, key)


def _pieces(database: Database, request_id: str, kept: _Kept, first: bytes) -> Iterator[bytes]:
    seen, size = hashlib.sha256(), 0
    for seq in range(kept.chunks):
        piece = first
        if seq:
            # Short transactions: an open one would hold the bytes of an erased person back from a purge.
            with database.read() as tx:
                piece = _piece(tx, request_id, kept, seq)
        seen.update(piece)
        size += len(piece)
        if seq == kept.chunks - 1 and (size != kept.size or seen.hexdigest() != kept.sha256):
            raise Integrity("the archive is not the one that was written")
        yield piece


def _piece(tx: Connection, request_id: str, kept: _Kept, seq: int) -> bytes:
    wanted = sa.select(archive_chunk.c.ciphertext).where(archive_chunk.c.request_id == request_id, archive_chunk.c.seq == seq)
    sealed = tx.execute(wanted).scalar()
    if sealed is None:
        raise Integrity("a piece of the archive is missing")
    return unseal(kept.key, sealed, _label(request_id, seq, final=seq == kept.chunks - 1))
