"""What an action does to a value: pseudonym, mask, truncation, placeholder.

Pseudonyms are HMAC-SHA-256 under a key of their own for every purpose, so that two purposes cannot be joined.
The text form is ``p<version>.`` and 32 characters of lower-case base32: a 128-bit tag and a 32-bit check
under the same key. The check lets the gate recognise its own pseudonyms without a table, so that a record
checked twice is not hashed twice, while text that merely looks like a pseudonym is hashed like any other.
"""

from __future__ import annotations

import base64
import hmac as stdlib_hmac
import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from policies.model import Hash, Mask, Quarantine, Redact, Truncate
from policies.text import canonical

_TAG = 16
_CHECK = 4
_CODE = 32  # base32 characters of 20 bytes, no padding needed
PSEUDONYM_CODE = re.compile(rf"p[1-9][0-9]*\.[a-z2-7]{{{_CODE}}}")
"""The text form of a pseudonym of any key and version. Form alone proves nothing; ``PseudonymKey.is_own``
does."""
_VALUE_LABEL = b"\x00"
_CHECK_LABEL = b"\x01"
_MAX_PURPOSES = 256

CHANGING = (Hash, Mask, Truncate, Redact, Quarantine)
Changing: TypeAlias = Hash | Mask | Truncate | Redact | Quarantine
"""The actions that replace a value instead of removing or keeping it."""


@dataclass(frozen=True, slots=True)
class PseudonymKey:
    """One version of a project's pseudonym key: 32 secret bytes, never shown."""

    version: int
    key: bytes = field(repr=False)
    _purposes: dict[str, HMAC] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError for a key that is not 32 bytes or a version below 1."""
        if len(self.key) != 32 or self.version < 1:
            raise ValueError("a pseudonym key has 32 bytes and a version of at least 1")

    def pseudonym(self, purpose: str, text: str) -> str:
        """The pseudonym of ``text`` in its canonical form; a pseudonym of this key and purpose is returned as
        it is."""
        if self.is_own(purpose, text):
            return text
        # A lone surrogate cannot be encoded, and must not stop the check.
        message = canonical(text).encode("utf-8", "surrogatepass")
        tag = self._mac(purpose, _VALUE_LABEL + message)[:_TAG]
        check = self._mac(purpose, _CHECK_LABEL + tag)[:_CHECK]
        return f"p{self.version}.{base64.b32encode(tag + check).decode().lower()}"

    def is_own(self, purpose: str, text: str) -> bool:
        """Whether ``text`` was made by this key for this purpose. Its check is compared in constant time."""
        prefix = f"p{self.version}."
        if len(text) != len(prefix) + _CODE or not text.startswith(prefix):
            return False
        code = text[len(prefix) :]
        if code != code.lower() or not code.isascii():
            return False
        try:
            raw = base64.b32decode(code.upper())
        except ValueError:
            return False
        return stdlib_hmac.compare_digest(raw[_TAG:], self._mac(purpose, _CHECK_LABEL + raw[:_TAG])[:_CHECK])

    def _mac(self, purpose: str, message: bytes) -> bytes:
        mac = self._keyed(purpose).copy()
        mac.update(message)
        return mac.finalize()

    def _keyed(self, purpose: str) -> HMAC:
        # A keyed state that is copied costs a third of keying anew for every value.
        keyed = self._purposes.get(purpose)
        if keyed is None:
            subkey = HKDFExpand(SHA256(), 32, b"portcullis pseudonym\x00" + purpose.encode()).derive(self.key)
            keyed = HMAC(subkey, SHA256())
            if len(self._purposes) >= _MAX_PURPOSES:
                self._purposes.clear()
            self._purposes[purpose] = keyed
        return keyed


def written(value: str | float) -> str:
    """A scalar as text: whole floats like integers, so that a change of type does not break a join."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        # Python refuses to write integers of more than 4,300 digits in decimal.
        return str(value) if value.bit_length() <= 8192 else hex(value)
    return str(value)


def placeholder(category: str) -> str:
    """The typed placeholder of a category: ``[email]`` for ``user.contact.email``."""
    return f"[{category.rpartition('.')[2]}]"


def changed(action: Changing, category: str, value: Any, key: PseudonymKey) -> Any:
    """What ``action`` leaves of one scalar. Booleans and null say nothing about a person and stay as they
    are."""
    if value is None or isinstance(value, bool):
        return value
    match action:
        case Hash():
            return key.pseudonym(action.purpose or category, written(value))
        case Mask():
            return _masked(written(value), action.keep_first, action.keep_last)
        case Truncate():
            text = written(value)
            return value if len(text) <= action.length else text[: action.length]
        case Redact() | Quarantine():
            return placeholder(category)


def _masked(text: str, first: int, last: int) -> str:
    if len(text) <= first + last:
        # Too short to hide anything behind the kept ends.
        return "*" * len(text)
    return text[:first] + "*" * (len(text) - first - last) + text[len(text) - last :]
