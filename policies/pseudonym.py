"""Keyed pseudonyms: HMAC-SHA-256 under a project's key, separated by purpose and, where asked, by period (GDPR Article
4(5)).

The text form is ``p<version>.`` and 32 characters of lower-case base32: a 128-bit tag and a 32-bit check under the same
key. The check lets the gate recognise its own pseudonyms without a table, so that a record checked twice is not hashed
twice, while text that merely looks like a pseudonym is hashed like any other.
"""

from __future__ import annotations

import base64
import hmac as stdlib_hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from policies.canonical import FORM, FORMS
from policies.model import Period

_TAG = 16
_CHECK = 4
_CODE = 32  # base32 characters of 20 bytes, no padding needed
PSEUDONYM_CODE = re.compile(rf"p[1-9][0-9]*\.[a-z2-7]{{{_CODE}}}")
"""The text form of a pseudonym of any key and version. Form alone proves nothing; ``PseudonymKey.is_own`` does."""
_VALUE_LABEL = b"\x00"
_CHECK_LABEL = b"\x01"
_MAX_PURPOSES = 256


@dataclass(frozen=True, slots=True)
class PseudonymKey:
    """One version of a project's pseudonym key: 32 secret bytes, never shown, for one canonical form of values."""

    version: int
    key: bytes = field(repr=False)
    form: int = FORM
    _purposes: dict[str, HMAC] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError for a key that is not 32 bytes, a version below 1 or a form that nobody can write."""
        if len(self.key) != 32 or self.version < 1:
            raise ValueError("a pseudonym key has 32 bytes and a version of at least 1")
        if self.form not in FORMS:
            raise ValueError("a pseudonym key is for a canonical form that this release can write")

    def pseudonym(self, purpose: str, form: str) -> str:
        """The pseudonym of ``form``, which is a value in its canonical form (``policies.canonical``)."""
        # A lone surrogate cannot be encoded, and must not stop the check.
        tag = self._mac(purpose, _VALUE_LABEL + form.encode("utf-8", "surrogatepass"))[:_TAG]
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
            subkey = HKDFExpand(SHA256(), 32, _label(self.form) + purpose.encode()).derive(self.key)
            keyed = HMAC(subkey, SHA256())
            if len(self._purposes) >= _MAX_PURPOSES:
                self._purposes.clear()
            self._purposes[purpose] = keyed
        return keyed


def _label(form: int) -> bytes:
    # The form is part of the label, so that one key can never give two values of two forms the same pseudonym.
    return b"portcullis pseudonym\x00" if form == 1 else b"portcullis pseudonym, form %d\x00" % form


def in_period(purpose: str, period: Period | None, time_ms: int) -> str:
    """The purpose under which a value of this time is hashed: another one for each period, in UTC."""
    if period is None:
        return purpose
    # Outside of what a calendar can say, one period holds everything: the check must not stop.
    seconds = min(max(time_ms // 1000, 0), 253_402_300_799)
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{purpose}\x00{period.value}\x00{_LABELS[period](at)}"


_LABELS = {
    Period.DAY: lambda at: f"{at:%Y-%m-%d}",
    Period.WEEK: lambda at: f"{at:%G-W%V}",
    Period.MONTH: lambda at: f"{at:%Y-%m}",
    Period.QUARTER: lambda at: f"{at.year}-Q{(at.month + 2) // 3}",
    Period.YEAR: lambda at: f"{at.year}",
}
