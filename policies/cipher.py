"""Reversible forms of a value: encrypted under a person's key, or a token under a project's key.

Both are AES-256-SIV (RFC 5297): deterministic, so that the check needs no source of randomness and the same value of
the same person stays countable, and authenticated, so that our own output is recognised and never treated twice. Each
purpose has a 64-byte key of its own, made by HKDF-Expand (RFC 5869) from 32 random bytes; the text form, with its
version, is associated data. Values are written as JSON first, so that a number comes back as a number (text that is not
Unicode comes back with question marks), and padded, so that a length does not tell yes from no.

What determinism shows: who sees two ciphertexts under one key can tell whether their values are equal, and how many
blocks of 16 bytes each has. The key of ``encrypt`` is one person's, that of a token is its project's and purpose's.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

ENCRYPTED_CODE = re.compile(r"e1\.[A-Za-z0-9_-]{23,}")
"""The text form of a value under ``encrypt``."""
TOKEN_CODE = re.compile(r"t[1-9][0-9]*\.[A-Za-z0-9_-]{23,}")
"""The text form of a token of any key and version."""
_SIV_KEY = 64
_BLOCK = 16
_MAX_PURPOSES = 256


class NotOurs(Exception):
    """Text that this key did not make, or that was altered."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One version of a project's token key: 32 secret bytes, never shown; ``older`` are the versions before it.

    New tokens are made under this version; those of older ones stay readable, and are renewed when they come in again.
    """

    version: int
    key: bytes = field(repr=False)
    older: tuple[TokenKey, ...] = field(default=(), repr=False)
    _purposes: dict[str, AESSIV] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError for a key that is not 32 bytes or a version below 1."""
        if len(self.key) != 32 or self.version < 1:
            raise ValueError("a token key has 32 bytes and a version of at least 1")

    def token(self, purpose: str, value: Any) -> str:
        """The token of a JSON scalar.

        A token of this key and purpose is returned as it is; one of an older version becomes that of its value.
        """
        if isinstance(value, str) and TOKEN_CODE.fullmatch(value):
            for older in self.older:
                try:
                    value = older.reveal(purpose, value)
                    break
                except NotOurs:
                    continue
        return _sealed(f"t{self.version}.", self._cipher(purpose), value)

    def reveal(self, purpose: str, token: str) -> Any:
        """The value behind a token of this or an older version. Raises NotOurs."""
        version = token[1:].partition(".")[0]
        for key in (self, *self.older):
            if str(key.version) == version:
                return _opened(f"t{key.version}.", key._cipher(purpose), token)
        raise NotOurs

    def _cipher(self, purpose: str) -> AESSIV:
        cipher = self._purposes.get(purpose)
        if cipher is None:
            cipher = _cipher(self.key, b"portcullis token\x00" + purpose.encode())
            if len(self._purposes) >= _MAX_PURPOSES:
                self._purposes.clear()
            self._purposes[purpose] = cipher
        return cipher


def encrypted(subject_key: bytes, value: Any) -> str:
    """A JSON scalar under a person's 32-byte key; what this key encrypted is returned as it is."""
    return _sealed("e1.", _cipher(subject_key, b"portcullis encrypt"), value)


def decrypted(subject_key: bytes, text: str) -> Any:
    """The value that ``encrypted`` was given. Raises NotOurs."""
    return _opened("e1.", _cipher(subject_key, b"portcullis encrypt"), text)


def _cipher(key: bytes, label: bytes) -> AESSIV:
    return AESSIV(HKDFExpand(SHA256(), _SIV_KEY, label).derive(key))


def _sealed(prefix: str, cipher: AESSIV, value: Any) -> str:
    if isinstance(value, str) and value.startswith(prefix):
        try:
            _opened(prefix, cipher, value)
        except NotOurs:
            pass
        else:
            return value
    text = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
    return prefix + _code(cipher.encrypt(_padded(msgspec.json.encode(text)), [prefix.encode()]))


def _opened(prefix: str, cipher: AESSIV, text: str) -> Any:
    code = text[len(prefix) :]
    if not text.startswith(prefix) or not code.isascii():
        raise NotOurs
    try:
        sealed = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
        # Python's decoder passes over the last bits of a code, so one ciphertext would have several spellings.
        if _code(sealed) != code:
            raise NotOurs
        return msgspec.json.decode(cipher.decrypt(sealed, [prefix.encode()]))
    except (ValueError, InvalidTag):
        raise NotOurs from None


def _code(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _padded(text: bytes) -> bytes:
    # JSON may end in blanks, so what is padded is still the same value.
    return text + b" " * (-len(text) % _BLOCK)
