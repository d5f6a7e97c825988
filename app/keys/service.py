"""Project keys: one wrapped key per purpose and version, and what each is for.

    master key
     └─ per project:  lookup      HMAC of an id, the key of the register
                      pseudonym   `p1.…` values that policy writes in place of personal ones
                      token       `t1.…` values, which whoever holds the permission can have revealed
                      dedup       64-bit digests of (event, time, subject, $insert_id)
                      subject     wraps one random key a person, under which the id and `e1.…` values are sealed
                      archive     wraps one random key a retrieval archive
                      signing     Ed25519 seed: certificates
Purposes have separate keys, so that equal values in two places or two projects share nothing (ENISA 2019, section 5).

A key is `primary`, `bridge` (an older pseudonym key beside the primary one, for a time) or `retired` (nothing new is made
under it). Only pseudonym and token keys rotate: the others name or wrap what is already stored.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import unicodedata
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.errors import Unavailable
from app.keys.master import MasterKey
from app.keys.sealing import KEY_BYTES, seal, unseal
from app.keys.tables import wrapped_key
from policies.canonical import FORM, FORMS
from policies.cipher import TokenKey
from policies.context import CheckContext
from policies.pseudonym import PseudonymKey

LOOKUP_BYTES = 16


class Purpose(StrEnum):
    """What a project key is for."""

    LOOKUP = "lookup"
    PSEUDONYM = "pseudonym"
    TOKEN = "token"  # noqa: S105 - the name of a purpose
    DEDUP = "dedup"
    SUBJECT = "subject"
    ARCHIVE = "archive"
    SIGNING = "signing"


class KeyState(StrEnum):
    """What a version of a key is still used for."""

    PRIMARY = "primary"
    BRIDGE = "bridge"
    RETIRED = "retired"


ROTATING = (Purpose.PSEUDONYM, Purpose.TOKEN)
"""The purposes whose keys can be rotated."""


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a key, without the key."""

    purpose: Purpose
    version: int
    state: KeyState
    created_ms: int
    bridge_until_ms: int | None
    form: int


class WrappedKey(NamedTuple):
    """One row of wrapped keys: what `KEY_COLUMNS` select, in their order."""

    purpose: str
    version: int
    state: str
    wrapped: bytes
    bridge_until_ms: int | None
    form: int


KEY_COLUMNS = tuple(wrapped_key.c[name] for name in WrappedKey._fields)
"""What `Keyring.unwrapped` works from, for whoever reads it together with something else."""


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """The unwrapped keys of one project, and the few operations that use them.

    `bridges` are older pseudonym keys with the end of their bridge period, `retired` those without one; `tokens` is None
    only for a project of an earlier release, until `Keyring.complete` has been called for it.
    """

    project_id: int
    lookup: bytes = field(repr=False)
    pseudonym: PseudonymKey = field(repr=False)
    dedup: bytes = field(repr=False)
    subject: AESGCM = field(repr=False)
    archive: AESGCM = field(repr=False)
    signing: Ed25519PrivateKey = field(repr=False)
    bridges: tuple[tuple[PseudonymKey, int], ...] = field(default=(), repr=False)
    retired: tuple[PseudonymKey, ...] = field(default=(), repr=False)
    tokens: TokenKey | None = field(default=None, repr=False)

    def check_context(self, now_ms: int, *, identifiers: Literal["sealed", "exposed"] = "sealed") -> CheckContext:
        """What a check needs of these keys at this moment. What the request itself said is added by the caller.

        A bridge ends by the clock: whether somebody has marked the key as retired by then makes no difference. For a
        caller who stores elsewhere (`exposed`) there is none: we keep no pairs of what we do not keep.
        """
        bridge = tuple(key for key, until_ms in self.bridges if until_ms > now_ms and identifiers == "sealed")
        older = (*self.retired, *(key for key, _ in self.bridges if key not in bridge))
        return CheckContext(self.pseudonym, identifiers=identifiers, bridge=bridge, older=older, tokens=self.tokens)

    @property
    def has_older_pseudonyms(self) -> bool:
        """Whether stored values may carry pseudonyms of an older key."""
        return bool(self.bridges or self.retired)

    def lookup_of(self, identifier: str) -> bytes:
        """The register key of an id: HMAC-SHA-256 over its NFC form, cut to 128 bits."""
        text = identifier if identifier.isascii() else unicodedata.normalize("NFC", identifier)
        return hmac.digest(self.lookup, text.encode("utf-8", "replace"), "sha256")[:LOOKUP_BYTES]

    def form_of(self, form: str) -> bytes:
        """The digest that spellings of one id share; `form` is what `app.identity.forms` makes of an id."""
        # No id begins like this: they hold no NUL. So a form and an id never have the same digest.
        return hmac.digest(self.lookup, b"form\0" + form.encode("utf-8", "replace"), "sha256")[:LOOKUP_BYTES]

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
        return AESGCM(self.subject_secret(uid, wrapped))

    def subject_secret(self, uid: int, wrapped: bytes) -> bytes:
        """The same key as 32 bytes, for values under `encrypt`, which use a key derived from it. Raises `Integrity`."""
        return unseal(self.subject, wrapped, f"subject|{self.project_id}|{uid}")

    def new_archive_key(self, request_id: str) -> tuple[AESGCM, bytes]:
        """A fresh key for one retrieval archive, and its wrapped form."""
        key = os.urandom(KEY_BYTES)
        return AESGCM(key), seal(self.archive, key, f"archive|{self.project_id}|{request_id}")

    def archive_key(self, request_id: str, wrapped: bytes) -> AESGCM:
        """The key of one retrieval archive."""
        return AESGCM(unseal(self.archive, wrapped, f"archive|{self.project_id}|{request_id}"))


class Keyring:
    """Creates, rotates and unwraps project keys.

    Unwrapped keys stay in memory for as long as the rows they came from are unchanged. Those are read in every
    transaction, like the policy version: what one process rotates, every process uses from the next commit on.
    """

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self._held: dict[int, tuple[list[WrappedKey], ProjectKeys]] = {}

    def create(self, tx: Connection, project_id: int, now_ms: int) -> None:
        """Make version 1 of every purpose for a new project."""
        for purpose in Purpose:
            self._insert(tx, project_id, purpose, 1, now_ms)

    def complete(self, tx: Connection, project_id: int, now_ms: int) -> bool:
        """Make the token key of a project of an earlier release. False when it has one, or another process made it."""
        made = self._row(project_id, Purpose.TOKEN, 1, now_ms)
        insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
        added = insert(wrapped_key).on_conflict_do_nothing().values(made).returning(wrapped_key.c.version)
        return tx.execute(added).first() is not None

    def rotate(self, tx: Connection, project_id: int, purpose: Purpose, now_ms: int, bridge_until_ms: int | None) -> int:
        """Make a new version primary and return it. The older one stays a bridge until then, or is retired at once.

        The caller holds the project's fence and has made sure that no bridge is open. Raises `Unavailable` for a
        project without such a key.
        """
        mine = sa.and_(wrapped_key.c.project_id == project_id, wrapped_key.c.purpose == purpose.value)
        newest = tx.execute(sa.select(sa.func.max(wrapped_key.c.version)).where(mine)).scalar()
        if newest is None:
            raise _no_key([purpose.value])
        state = KeyState.RETIRED if bridge_until_ms is None else KeyState.BRIDGE
        primary = sa.and_(mine, wrapped_key.c.state == KeyState.PRIMARY.value)
        tx.execute(sa.update(wrapped_key).where(primary).values(state=state.value, bridge_until_ms=bridge_until_ms))
        self._insert(tx, project_id, purpose, newest + 1, now_ms)
        return int(newest) + 1

    def retire(self, tx: Connection, project_id: int, now_ms: int) -> list[KeyVersion]:
        """Mark keys whose bridge period is over as retired. Returns those that this call marked."""
        over = sa.and_(
            wrapped_key.c.project_id == project_id,
            wrapped_key.c.state == KeyState.BRIDGE.value,
            wrapped_key.c.bridge_until_ms <= now_ms,
        )
        done = sa.update(wrapped_key).where(over).values(state=KeyState.RETIRED.value).returning(*_VERSION_COLUMNS)
        return sorted((_version(row) for row in tx.execute(done)), key=lambda each: each.version)

    @staticmethod
    def versions(tx: Connection, project_id: int) -> list[KeyVersion]:
        """Every key of a project by purpose and version."""
        rows = sa.select(*_VERSION_COLUMNS).where(wrapped_key.c.project_id == project_id)
        return [_version(row) for row in tx.execute(rows.order_by(wrapped_key.c.purpose, wrapped_key.c.version))]

    def of(self, tx: Connection, project_id: int) -> ProjectKeys:
        """The keys of a project. Raises `Unavailable` when one is missing: nothing passes without its keys."""
        return self.unwrapped(project_id, [WrappedKey(*row) for row in tx.execute(_ALL_OF_A_PROJECT, {"project_id": project_id})])

    def unwrapped(self, project_id: int, rows: list[WrappedKey]) -> ProjectKeys:
        """The same from all rows of the project, by purpose and the newest version first, read by the caller just now."""
        held = self._held.get(project_id)
        # Whole rows are compared, bytes and all: a rotation that was rolled back may have had the same version.
        if held is None or held[0] != rows:
            held = self._held[project_id] = rows, self._unwrap(project_id, rows)
        return held[1]

    def _insert(self, tx: Connection, project_id: int, purpose: Purpose, version: int, now_ms: int) -> None:
        tx.execute(sa.insert(wrapped_key).values(self._row(project_id, purpose, version, now_ms)))

    def _row(self, project_id: int, purpose: Purpose, version: int, now_ms: int) -> dict[str, Any]:
        return {
            "project_id": project_id,
            "purpose": purpose.value,
            "version": version,
            "state": KeyState.PRIMARY.value,
            "wrapped": self._master.wrap(os.urandom(KEY_BYTES), f"project|{project_id}|{purpose}|{version}"),
            "created_ms": now_ms,
            "form": FORM,
        }

    def _unwrap(self, project_id: int, rows: list[WrappedKey]) -> ProjectKeys:
        keys = {
            (row.purpose, row.version): self._master.unwrap(row.wrapped, f"project|{project_id}|{row.purpose}|{row.version}")
            for row in rows
        }
        primary = {row.purpose: keys[row.purpose, row.version] for row in rows if row.state == KeyState.PRIMARY.value}
        missing = sorted(p.value for p in Purpose if p is not Purpose.TOKEN and p.value not in primary)
        if missing:
            raise _no_key(missing)
        pseudonyms = {row: _pseudonym_key(row, keys) for row in rows if row.purpose == Purpose.PSEUDONYM.value}
        return ProjectKeys(
            project_id,
            lookup=primary[Purpose.LOOKUP],
            pseudonym=next(key for row, key in pseudonyms.items() if row.state == KeyState.PRIMARY.value),
            dedup=primary[Purpose.DEDUP],
            subject=AESGCM(primary[Purpose.SUBJECT]),
            archive=AESGCM(primary[Purpose.ARCHIVE]),
            signing=Ed25519PrivateKey.from_private_bytes(primary[Purpose.SIGNING]),
            # A bridge without an end would never have been written; it counts as over.
            bridges=tuple(
                (key, row.bridge_until_ms or 0) for row, key in pseudonyms.items() if row.state == KeyState.BRIDGE.value
            ),
            retired=tuple(key for row, key in pseudonyms.items() if row.state == KeyState.RETIRED.value),
            tokens=_token_key([row for row in rows if row.purpose == Purpose.TOKEN.value], keys),
        )


# Made once: it runs for every batch, and making it costs more than running it.
_ALL_OF_A_PROJECT = (
    sa.select(*KEY_COLUMNS)
    .where(wrapped_key.c.project_id == sa.bindparam("project_id"))
    .order_by(wrapped_key.c.purpose, wrapped_key.c.version.desc())
)
_VERSION_COLUMNS = tuple(wrapped_key.c[name] for name in ("purpose", "version", "state", "created_ms", "bridge_until_ms", "form"))


def _version(row: Any) -> KeyVersion:
    return KeyVersion(Purpose(row.purpose), row.version, KeyState(row.state), row.created_ms, row.bridge_until_ms, row.form)


def _pseudonym_key(row: WrappedKey, keys: dict[tuple[str, int], bytes]) -> PseudonymKey:
    if row.form not in FORMS:
        raise Unavailable(
            f"pseudonym key {row.version} is for a canonical form that this release cannot write",
            remedy="run the release that made it, or a newer one",
        )
    return PseudonymKey(row.version, keys[row.purpose, row.version], row.form)


def _token_key(rows: list[WrappedKey], keys: dict[tuple[str, int], bytes]) -> TokenKey | None:
    """The primary token key (rows come newest first) with the versions before it; None when the project has none."""
    if not rows:
        return None
    newest, *older = (TokenKey(row.version, keys[row.purpose, row.version]) for row in rows)
    return replace(newest, older=tuple(older))


def _no_key(purposes: list[str]) -> Unavailable:
    return Unavailable(
        f"the project has no primary key for: {', '.join(purposes)}",
        remedy="restore the table of wrapped keys from a backup; `portcullis keys status` lists what is there",
    )
