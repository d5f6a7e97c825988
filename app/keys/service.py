"""Project keys: one wrapped key per purpose and version, and what each is for.

    master key
     └─ per project:  lookup      HMAC of an id, the key of the register
                      pseudonym   `p1.…` values that policy writes in place of personal ones
                      dedup       64-bit digests of (event, time, subject, $insert_id)
                      subject     wraps one random key a person, under which the id itself is sealed
                      archive     wraps one random key a retrieval archive
                      signing     Ed25519 seed: certificates
Purposes have separate keys, so that equal values in two places or two projects share nothing (ENISA 2019, section 5).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.engine import Connection

from app.errors import Unavailable
from app.keys.master import MasterKey
from app.keys.sealing import KEY_BYTES, seal, unseal
from app.keys.tables import wrapped_key
from policies.pseudonym import PseudonymKey

LOOKUP_BYTES = 16


class Purpose(StrEnum):
    """What a project key is for."""

    LOOKUP = "lookup"
    PSEUDONYM = "pseudonym"
    DEDUP = "dedup"
    SUBJECT = "subject"
    ARCHIVE = "archive"
    SIGNING = "signing"


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """The unwrapped keys of one project, and the few operations that use them."""

    project_id: int
    lookup: bytes = field(repr=False)
    pseudonym: PseudonymKey = field(repr=False)
    dedup: bytes = field(repr=False)
    subject: AESGCM = field(repr=False)
    archive: AESGCM = field(repr=False)
    signing: Ed25519PrivateKey = field(repr=False)

    def lookup_of(self, identifier: str) -> bytes:
        """The register key of an id: HMAC-SHA-256 over its NFC form, cut to 128 bits."""
        text = identifier if identifier.isascii() else unicodedata.normalize("NFC", identifier)
        return hmac.digest(self.lookup, text.encode("utf-8", "replace"), "sha256")[:LOOKUP_BYTES]

    def dedup_of(self, name: str, time_ms: int, uid: int, insert_id: str | None) -> int:
        """63-bit digest of the deduplication tuple (wire section 7); random when the sender gave no `$insert_id`."""
        if not insert_id:
            return secrets.randbits(63)
        text = f"{name}\0{time_ms}\0{uid}\0{insert_id}".encode("utf-8", "replace")
        digest = hashlib.blake2b(text, key=self.dedup, digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    def new_subject_key(self, uid: int) -> tuple[AESGCM, bytes]:
        """A fresh key for one person, and its wrapped form for the register."""
        key = os.urandom(KEY_BYTES)
        return AESGCM(key), seal(self.subject, key, f"subject|{self.project_id}|{uid}")

    def subject_key(self, uid: int, wrapped: bytes) -> AESGCM:
        """The key of one person. Raises `Integrity` for a wrapped key of somebody else."""
        return AESGCM(unseal(self.subject, wrapped, f"subject|{self.project_id}|{uid}"))

    def new_archive_key(self, request_id: str) -> tuple[AESGCM, bytes]:
        """A fresh key for one retrieval archive, and its wrapped form."""
        key = os.urandom(KEY_BYTES)
        return AESGCM(key), seal(self.archive, key, f"archive|{self.project_id}|{request_id}")

    def archive_key(self, request_id: str, wrapped: bytes) -> AESGCM:
        """The key of one retrieval archive."""
        return AESGCM(unseal(self.archive, wrapped, f"archive|{self.project_id}|{request_id}"))


class Keyring:
    """Creates and unwraps project keys. Unwrapped keys stay in memory for the life of the process."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self._held: dict[int, ProjectKeys] = {}

    def create(self, tx: Connection, project_id: int, now_ms: int) -> None:
        """Make version 1 of every purpose for a new project."""
        for purpose in Purpose:
            label = f"project|{project_id}|{purpose}|1"
            row = {
                "project_id": project_id,
                "purpose": purpose.value,
                "version": 1,
                "state": "primary",
                "wrapped": self._master.wrap(os.urandom(KEY_BYTES), label),
                "created_ms": now_ms,
            }
            tx.execute(sa.insert(wrapped_key).values(row))

    def of(self, tx: Connection, project_id: int) -> ProjectKeys:
        """The keys of a project. Raises `Unavailable` when one is missing: nothing passes without its keys."""
        held = self._held.get(project_id)
        if held is None:
            held = self._held[project_id] = self._unwrap(tx, project_id)
        return held

    def _unwrap(self, tx: Connection, project_id: int) -> ProjectKeys:
        rows = tx.execute(
            sa.select(wrapped_key).where(wrapped_key.c.project_id == project_id, wrapped_key.c.state == "primary")
        ).all()
        keys = {
            row.purpose: self._master.unwrap(row.wrapped, f"project|{project_id}|{row.purpose}|{row.version}") for row in rows
        }
        versions = {row.purpose: row.version for row in rows}
        missing = sorted(p.value for p in Purpose if p.value not in keys)
        if missing:
            raise Unavailable(f"the project has no primary key for: {', '.join(missing)}")
        return ProjectKeys(
            project_id,
            lookup=keys[Purpose.LOOKUP],
            pseudonym=PseudonymKey(versions[Purpose.PSEUDONYM], keys[Purpose.PSEUDONYM]),
            dedup=keys[Purpose.DEDUP],
            subject=AESGCM(keys[Purpose.SUBJECT]),
            archive=AESGCM(keys[Purpose.ARCHIVE]),
            signing=Ed25519PrivateKey.from_private_bytes(keys[Purpose.SIGNING]),
        )
