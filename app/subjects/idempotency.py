"""`Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header): a request that is sent again is accepted once.

The key is written in the transaction that makes the request, so there is never one without the other. Of two that arrive at
once the second waits for the first. Key and body are kept as keyed digests, because both may hold an e-mail address.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.errors import Conflict, InvalidInput
from app.keys.service import ProjectKeys
from app.subjects.tables import idempotency

LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Once:
    """The key that a caller sent, and the words of the body that it belongs to."""

    key: str = field(repr=False)
    body: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Raises `InvalidInput` for a key that cannot be one."""
        if not (0 < len(self.key) <= LONGEST_KEY and self.key.isascii() and self.key.isprintable()):
            remedy = f"send 1 to {LONGEST_KEY} printable ASCII characters, for example a random UUID"
            raise InvalidInput("the idempotency key cannot be used", field="Idempotency-Key", remedy=remedy)

    def part(self, number: int, body: bytes) -> Once:
        """The key of one part of an upload."""
        made = sha256(f"{self.key}\0{number}".encode()).hexdigest()
        return Once(made, body)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was answered before: the request, and the positions of ids that nobody had seen."""

    request_id: str
    unknown: tuple[int, ...]


def take(tx: Connection, keys: ProjectKeys, once: Once, request_id: str, now_ms: int) -> Earlier | None:
    """Take the key for `request_id`. Where it was taken before, what was answered then.

    Raises `Conflict` when the key came with another body.
    """
    key_digest, fingerprint = _digest(keys, b"key", once.key.encode()), _digest(keys, b"body", once.body)
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    values = {
        "project_id": keys.project_id,
        "key_digest": key_digest,
        "fingerprint": fingerprint,
        "request_id": request_id,
        "unknown": "[]",
        "created_ms": now_ms,
    }
    taking = insert(idempotency).on_conflict_do_nothing().values(values).returning(idempotency.c.key_digest)
    if tx.execute(taking).first() is not None:
        return None
    found = tx.execute(sa.select(idempotency).where(_of(keys.project_id, key_digest))).one()
    if not hmac.compare_digest(bytes(found.fingerprint), fingerprint):
        raise Conflict(
            "this idempotency key was used for another request", remedy="send a new Idempotency-Key with a new request"
        )
    return Earlier(found.request_id, tuple(json.loads(found.unknown)))


def keep(tx: Connection, keys: ProjectKeys, once: Once, unknown: Sequence[int]) -> None:
    """Note what is answered, in the transaction that took the key."""
    mine = _of(keys.project_id, _digest(keys, b"key", once.key.encode()))
    tx.execute(sa.update(idempotency).where(mine).values(unknown=json.dumps(list(unknown))))


def _of(project_id: int, key_digest: bytes) -> sa.ColumnElement[bool]:
    return sa.and_(idempotency.c.project_id == project_id, idempotency.c.key_digest == key_digest)


def _digest(keys: ProjectKeys, what: bytes, text: bytes) -> bytes:
    # Ids hold no NUL, so no digest of an id in the register is ever one of these.
    return hmac.digest(keys.lookup, b"idempotency\0" + what + b"\0" + text, "sha256")
