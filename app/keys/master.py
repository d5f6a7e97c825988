"""The master key: where it comes from, and what is refused.

Environment (`PORTCULLIS_MASTER_KEY`) or file (`PORTCULLIS_MASTER_KEY_FILE`); for the embedded default a file in the data
folder, made on first start. It wraps project keys and is never written to the database.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.errors import StartupRefused
from app.keys.sealing import KEY_BYTES, seal, unseal
from app.settings import Settings

_HOW = "make one with `portcullis keys generate` and keep it out of the database and its backups"
# Keys that stand in examples. Whoever copies one would share it with every reader.
_EXAMPLES = frozenset({bytes(range(32)), b"0123456789abcdef0123456789abcdef", b"change-me-change-me-change-me-32"})


class MasterKey:
    """Wraps and unwraps keys, and derives the pepper under which credentials are hashed."""

    __slots__ = ("_aead", "pepper")

    def __init__(self, key: bytes) -> None:
        _refuse_weak(key)
        self._aead = AESGCM(HKDF(SHA256(), KEY_BYTES, None, b"portcullis wrap v1").derive(key))
        self.pepper = HKDF(SHA256(), KEY_BYTES, None, b"portcullis pepper v1").derive(key)

    def wrap(self, key: bytes, label: str) -> bytes:
        """`key` sealed under the master key; `label` names project, purpose and version."""
        return seal(self._aead, key, label)

    def unwrap(self, wrapped: bytes, label: str) -> bytes:
        """The key. Raises `Integrity` when this is not the master key that wrapped it."""
        return unseal(self._aead, wrapped, label)


def load_master_key(settings: Settings) -> MasterKey:
    """The master key that the settings name. Raises `StartupRefused` with the remedy."""
    if settings.master_key:
        return MasterKey(decode_key(settings.master_key, "PORTCULLIS_MASTER_KEY"))
    if settings.master_key_file:
        return MasterKey(_read(settings.master_key_file))
    if settings.embedded:
        return MasterKey(_read_or_create(settings.data_dir / "master.key"))
    raise StartupRefused("no master key is set", field="PORTCULLIS_MASTER_KEY", remedy=_HOW)


def generate_key() -> str:
    """A fresh master key in the text form that the settings take."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def decode_key(text: str, field: str) -> bytes:
    """32 bytes from base64 text. Raises `StartupRefused` naming `field`."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise StartupRefused(f"{field} is not base64", field=field, remedy=_HOW) from None
    if len(key) != KEY_BYTES:
        raise StartupRefused(f"{field} holds {len(key)} bytes, not {KEY_BYTES}", field=field, remedy=_HOW)
    return key


def _refuse_weak(key: bytes) -> None:
    if key in _EXAMPLES or len(set(key)) < 12:
        raise StartupRefused("the master key is an example or has too little entropy", remedy=_HOW)


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except OSError as fault:
        raise StartupRefused(f"the master key file cannot be read ({type(fault).__name__})", remedy=_HOW) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StartupRefused("the master key file is readable by others", remedy=f"chmod 600 {path}")
    return decode_key(text, "the master key file")


def _read_or_create(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(handle, "w") as file:
        file.write(generate_key() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return _read(path)
