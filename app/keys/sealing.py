"""Authenticated encryption with one layout: version byte, 96-bit random nonce, AES-256-GCM ciphertext and tag.

The associated data says what the bytes are and whose, so that a sealed value moved to another row does not open.
(NIST SP 800-38D; random nonces are good for 2^32 messages a key, far above what one person's key sees.)
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import Integrity

KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE = 12


def seal(key: AESGCM, plaintext: bytes, label: str) -> bytes:
    """Encrypt `plaintext` so that only `key` with the same `label` opens it."""
    nonce = os.urandom(_NONCE)
    return _VERSION + nonce + key.encrypt(nonce, plaintext, label.encode())


def unseal(key: AESGCM, sealed: bytes, label: str) -> bytes:
    """The plaintext. Raises `Integrity` for other bytes, another key or another label."""
    if sealed[:1] != _VERSION:
        raise Integrity("sealed bytes have an unknown layout")
    try:
        return key.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], label.encode())
    except InvalidTag:
        raise Integrity("sealed bytes do not open under this key") from None
