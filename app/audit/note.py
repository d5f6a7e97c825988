"""Signed notes (C2SP signed-note, Ed25519): a text, a blank line, one signature line a key.

Stock Go and Rust tools verify them. Standard library and `cryptography` only, so that `verify.py` can run alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

_ED25519 = b"\x01"
_KEY_ID = 4
_DASH = "\u2014 "
_MAX_SIGNATURES = 100


class BadNote(ValueError):
    """The note is not in form, or no signature of a known key stands under it."""


def verifier_key(name: str, key: Ed25519PrivateKey) -> str:
    """The public key in text form, `name+id+key`, to hand to whoever verifies."""
    public = key.public_key().public_bytes_raw()
    return f"{name}+{_key_id(name, public).hex()}+{base64.b64encode(_ED25519 + public).decode()}"


def sign(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """`text` (which ends in a newline) with a signature line by `name` under it."""
    if not text.endswith("\n"):
        raise BadNote("the text of a note ends in a newline")
    signature = _key_id(name, key.public_key().public_bytes_raw()) + key.sign(text.encode())
    return f"{text}\n{_DASH}{name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, keys: list[str]) -> str:
    """The text of a note that a known key signed. Raises `BadNote`.

    A signature line of an unknown key is passed over, as the specification wants for key rotation; a line that claims
    a known key and does not verify condemns the note.
    """
    if any(ord(c) < 32 and c != "\n" for c in note):
        raise BadNote("the note holds a control character")
    split = note.rfind("\n\n")
    if split < 0 or not note.endswith("\n"):
        raise BadNote("the note has no signature block")
    text, lines = note[: split + 1], note[split + 2 :].split("\n")[:-1]
    if not 0 < len(lines) <= _MAX_SIGNATURES:
        raise BadNote("the note has no signature, or too many")
    known = dict(_parse_key(key) for key in keys)
    if not sum(_verified(line, text, known) for line in lines):
        raise BadNote("no signature by a key you gave stands under the note")
    return text


def _verified(line: str, text: str, known: dict[tuple[str, bytes], Ed25519PublicKey]) -> bool:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator:
        raise BadNote("a signature line is not in form")
    raw = _decode(encoded)
    key = known.get((name, raw[:_KEY_ID]))
    if key is None:
        return False
    try:
        key.verify(raw[_KEY_ID:], text.encode())
    except InvalidSignature:
        raise BadNote("a signature does not verify: the note was changed") from None
    return True


def _parse_key(text: str) -> tuple[tuple[str, bytes], Ed25519PublicKey]:
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    raw = _decode(encoded)
    if len(raw) != 33 or raw[:1] != _ED25519 or _key_id(name, raw[1:]).hex() != key_id:
        raise BadNote("the verifier key is not in form")
    return (name, _key_id(name, raw[1:])), Ed25519PublicKey.from_public_bytes(raw[1:])


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:_KEY_ID]


def _decode(text: str) -> bytes:
    # Python's decoder accepts padding bits that are not zero: the same signature in two spellings.
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote("a line is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise BadNote("a line is not canonical base64")
    return raw
