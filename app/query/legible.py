"""What stored texts become for a reader: older pseudonyms in their newest form, and encrypted values in clear for those
who may see them. Works on the JSON as it is stored, so that a row without either costs one look.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.events.port import EventRow, ProfileRow
from app.identity import bridges, personal
from app.keys.service import Keyring
from policies.cipher import NotOurs, decrypted

_R = TypeVar("_R", EventRow, ProfileRow)
_MARK = '"e1.'
# A whole JSON string that is not a name; with backslashes before both quotes it stands in a JSON text inside a string.
_VALUE = re.compile(r'(?<!\\)(\\*)"(e1\.[A-Za-z0-9_-]{23,})\1"(?!\s*:)')


class Legible:
    """The rows of one read as its reader sees them. `opened` counts the encrypted values that were opened.

    The keys are asked for again with every batch: a rotation must not split a long export in two.
    """

    def __init__(self, keyring: Keyring, sight: Sight) -> None:
        self._keyring = keyring
        self.sight = sight
        self.opened = 0

    def rows(self, tx: Connection, rows: Sequence[_R]) -> list[_R]:
        """The same rows, in order, with what this reader may see in their properties."""
        shown = self.texts(tx, [(row.uid, row.properties) for row in rows])
        return [row if row.properties is text else replace(row, properties=text) for row, text in zip(rows, shown, strict=True)]

    def texts(self, tx: Connection, owned: Sequence[tuple[int, str]]) -> list[str]:
        """The same for JSON texts, each with the uid that it belongs to."""
        keys = self._keyring.of(tx, self.sight.project_id)
        forms = bridges.newest_forms(tx, keys, (text for _, text in owned))
        texts = [bridges.with_newest(text, forms) for _, text in owned]
        sealed = {uid for (uid, _), text in zip(owned, texts, strict=True) if self.sight.opens_values and _MARK in text}
        if not sealed:
            return texts
        secrets = personal.secrets_of(tx, keys, sealed)
        return [self._opened(text, secrets.get(uid, ())) for (uid, _), text in zip(owned, texts, strict=True)]

    def _opened(self, text: str, secrets: Sequence[bytes]) -> str:
        if not secrets:
            return text
        shown, n = with_values(text, secrets)
        self.opened += n
        return shown


def with_values(text: str, secrets: Sequence[bytes]) -> tuple[str, int]:
    """A JSON text with each value that one of these keys encrypted in clear, and how many those were. Pure.

    What no key opens stays as it is: it was somebody else's, or merely looks like a ciphertext.
    """
    opened = 0

    def clear(match: re.Match[str]) -> str:
        nonlocal opened
        for secret in secrets:
            try:
                value = json.dumps(decrypted(secret, match[2]), ensure_ascii=False)
            except NotOurs:
                continue
            opened += 1
            return _nested(value, len(match[1]))
        return match[0]

    # The mark of a nested text is `\"e1.`, which holds the plain one.
    return (_VALUE.sub(clear, text), opened) if _MARK in text else (text, 0)


def _nested(value: str, backslashes: int) -> str:
    """JSON as it stands in a string inside strings: a quote there has 1, 3, 7 ... backslashes."""
    for _ in range((backslashes + 1).bit_length() - 1):
        value = json.dumps(value, ensure_ascii=False)[1:-1]
    return value
