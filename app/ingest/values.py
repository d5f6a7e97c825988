"""What one property may hold, and how it is brought into a form that a store can keep (wire reference
section 7).

Pure. Text leaves as valid UTF-8 without NUL, numbers finite and within 64 bits, ids as strings, times as
milliseconds. A value that cannot be kept raises `Unfit` with a reason that never holds the value.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from app.ingest.limits import Limits
from policies.text import unpadded


class Unfit(Exception):
    """A value that cannot be kept. The text says why; whoever knows the value's name adds it."""


@dataclass(frozen=True, slots=True)
class ValueRules:
    """What holds for the values of one record. `value_bytes` bounds a list or object as JSON, `depth` the
    lists and objects inside one another; `strict` refuses NUL instead of replacing it."""

    limits: Limits
    value_bytes: int
    depth: int
    strict: bool = False


_NUMERIC = re.compile(r"\s*-?[0-9]{1,18}(?:\.[0-9]{0,18})?\s*")
_FIRST_MS = 1e11
"""From here on a number is milliseconds: as seconds it would be the year 5138."""


def epoch_ms(value: Any) -> int | None:
    """Milliseconds since the epoch from seconds or milliseconds, as int, float or numeric text; else None.

    Magnitudes beyond any calendar come back as they are, so that the caller's window refuses them."""
    if isinstance(value, str) and _NUMERIC.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return round(value if abs(value) >= _FIRST_MS else value * 1000)


_UTF8 = "string should be valid utf8"
_NUL = "string should not contain the NUL character"
_SHORT = 255
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


def clean_value(value: Any, rules: ValueRules) -> Any:
    """The value of one property, with long strings cut. Raises `Unfit` for what is over a published limit or
    is no JSON."""
    kind = type(value)
    if kind is str:
        # Nearly every value is short plain text; the long way would cost three calls more.
        if len(value) <= _SHORT <= rules.limits.string_bytes and value.isascii() and "\0" not in value:
            return value
        return _string(value, rules)
    if kind is dict or kind is list:
        kept = _container(value, 1, rules)
        if len(msgspec.json.encode(kept)) > rules.value_bytes:
            raise Unfit(f"a list or object should be at most {rules.value_bytes} bytes as JSON")
        return kept
    return _scalar(value)


def _finite(value: int | float) -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise Unfit("number should be finite")
    return value


def _scalar(value: Any) -> Any:
    if type(value) is int and not _INT_MIN <= value <= _INT_MAX:
        raise Unfit("number should fit in 64 bits")
    if isinstance(value, bool | int | float):
        return _finite(value)
    if value is None:
        return None
    raise Unfit("should be a JSON value")


def _container(value: Any, depth: int, rules: ValueRules) -> Any:
    if type(value) is str:
        return _string(value, rules)
    if not isinstance(value, dict | list):
        return _scalar(value)
    if depth > rules.depth:
        raise Unfit(f"should be nested at most {rules.depth} deep")
    if isinstance(value, list):
        if len(value) > rules.limits.array_items:
            raise Unfit(f"list should have at most {rules.limits.array_items} elements")
        return [_container(item, depth + 1, rules) for item in value]
    if len(value) > rules.limits.nested_keys:
        raise Unfit(f"object should have at most {rules.limits.nested_keys} keys")
    return {clean_name(key, rules): _container(item, depth + 1, rules) for key, item in value.items()}


def clean_text(text: str, rules: ValueRules) -> str:
    """`text` as a store can hold it. NUL, which PostgreSQL cannot, is refused on strict import and replaced
    by U+FFFD elsewhere, so that a browser does not lose the event."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unfit(_UTF8) from None
    if "\0" not in text:
        return text
    if rules.strict:
        raise Unfit(_NUL)
    return text.replace("\0", "\ufffd")


def _string(text: str, rules: ValueRules) -> str:
    text = clean_text(text, rules)
    if len(text) * 4 <= rules.limits.string_bytes or (len(text) <= rules.limits.string_bytes and text.isascii()):
        return text
    return _cut(text, rules.limits.string_bytes)


_BETWEEN = re.compile(r"[\s,;|<>\"'(){}\[\]&?#]")
_SIGNS = re.compile(r"@|%40|eyJ")
_NUMBER = re.compile(r"[0-9](?:[^0-9]?[0-9]){5}")
_NUMBER_BEFORE = re.compile(r"[0-9+][0-9 .\-/()]{0,40}$")
_NUMBER_AFTER = re.compile(r"[ .\-/()]{0,2}[0-9]")


def _cut(text: str, most: int) -> str:
    """The begin of a text, at most this many bytes of UTF-8.

    Half an address or a number looks harmless to the policy that reads the text next, so one that the cut would go
    through is left out whole."""
    kept = text.encode()[:most].decode(errors="ignore")
    after = text[len(kept) : len(kept) + most]
    if _NUMBER_AFTER.match(after):
        kept = _NUMBER_BEFORE.sub("", kept)
    start = max((match.end() for match in _BETWEEN.finditer(kept)), default=0)
    ending = _BETWEEN.search(after)
    word = kept[start:] + (after[: ending.start()] if ending else after)
    return kept[:start] if _SIGNS.search(word) or (start and _NUMBER.search(word)) else kept


def clean_name(text: str, rules: ValueRules) -> str:
    """An event or property name, cut to the published length. Raises `Unfit`.

    Padding goes before the cut, so that the policy, which reads the name next, still sees what it was."""
    if len(text) <= rules.limits.name_characters and text.isascii() and "\0" not in text:
        return text
    text, most = clean_text(text, rules), rules.limits.name_characters
    return text if len(text) <= most else unpadded(text)[:most]


def clean_identifier(value: Any, rules: ValueRules) -> str:
    """An id as text: `7` and `7.0` are "7", `true` is "true". Never cut, because a cut could make two people
    one. Raises `Unfit`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float):
        # Python refuses to write out an integer of more than 4,300 digits.
        if isinstance(value, int) and value.bit_length() > 8 * rules.limits.identifier_bytes:
            raise Unfit(f"should be at most {rules.limits.identifier_bytes} bytes")
        value = str(_finite(value))
    if not isinstance(value, str):
        raise Unfit("should be a string")
    text = clean_text(value, rules)
    if len(text.encode()) > rules.limits.identifier_bytes:
        raise Unfit(f"should be at most {rules.limits.identifier_bytes} bytes")
    return text


def clean_identifiers(value: Any, rules: ValueRules) -> list[str]:
    """A list of ids, each as text. Raises `Unfit`."""
    if not isinstance(value, list):
        raise Unfit("should be a list of strings")
    if len(value) > rules.limits.array_items:
        raise Unfit(f"should have at most {rules.limits.array_items} elements")
    return [clean_identifier(item, rules) for item in value]
