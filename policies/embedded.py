"""JSON texts inside strings: read as a lenient reader would, so that nothing hides in them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import re2

from policies.classify import Classifier, Governing, Place
from policies.detect import BLANK, JSON_STARTS

_ENCODED_STARTS: Final = ("%7B", "%7b", "%5B", "%5b", "%22", "%25")
# What "{", "[" and a quote become in Base64, with what may follow them in a JSON text.
_BASE64_STARTS: Final = ("ey", "ew", "W3", "Wy", "Ww", "W1", "Ij", "In")
# What any of these texts begins with; most texts do not.
_FIRST: Final = frozenset({*BLANK, *JSON_STARTS, *(start[0] for start in (*_ENCODED_STARTS, *_BASE64_STARTS))})
# A name with its quotes, escaped or not or written as HTML, or the begin of an object. RE2, because a text that does not
# parse is the place to look for what takes long.
_NAME = re2.compile(r"\\*(?:[\"']|&quot;|&#34;)([^\"'&:{}\[\],]{1,256}?)\\*(?:[\"']|&quot;|&#34;)\s*:\s*(\{?)")
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")
_MAX_NAMES = 1_000
_MAX_OUTER = 16


class Unreadable(Exception):
    """A text like JSON that no reader could make sense of, with more names in it than are worth judging."""


@dataclass(slots=True)
class Parsed:
    """What a JSON text holds, and what is wrong with it."""

    value: Any = None
    duplicates: bool = False
    too_deep: bool = False


def json_text(text: str) -> str | None:
    """The text if it begins like JSON, or what it is the percent-encoded or Base64 form of if that does; else None."""
    if text[:1] not in _FIRST:
        return None
    bare = text.lstrip(BLANK)
    if bare[:1] in JSON_STARTS:
        return bare
    for _ in range(3):
        if not bare.startswith(_ENCODED_STARTS):
            break
        bare = unquote(bare).lstrip(BLANK)
    else:
        return bare if bare[:1] in JSON_STARTS else None
    if bare.startswith(_BASE64_STARTS):
        bare = _from_base64(bare)
    return bare if bare[:1] in JSON_STARTS else None


def _from_base64(text: str) -> str:
    code = text.rstrip(BLANK + "=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), validate=True).decode().lstrip(BLANK)
    except ValueError:
        return ""


def parsed_text(text: str) -> Parsed | None:
    """The JSON text that a string is, or None. Only containers and strings can hide anything."""
    parsed = Parsed()

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        parsed.duplicates = parsed.duplicates or len(found) != len(pairs)
        return found

    try:
        parsed.value = json.loads(text.strip(BLANK), strict=False, object_pairs_hook=unique)
    except RecursionError:
        parsed.too_deep = True
    except ValueError:
        return None
    return parsed


def governed_part(classifier: Classifier, place: Place, text: str, leaves_alone: Callable[[Place], bool]) -> Governing | None:
    """The first rule that changes what stands under one of the names in a text which begins like JSON and does not
    parse: one that was cut, that something follows, that a program printed. Raises Unreadable."""
    outer = [place]
    for count, match in enumerate(_NAME.finditer(text)):
        if count >= _MAX_NAMES or len(outer) > _MAX_OUTER:
            raise Unreadable
        name, opens = match.groups()
        name = _ESCAPE.sub(lambda escape: chr(int(escape.group(1), 16)), name) if "\\" in name else name
        for parent in tuple(outer):
            below = classifier.place(parent, name)
            if not leaves_alone(below):
                return below.governing
            if opens and below not in outer and len(outer) <= _MAX_OUTER:
                outer.append(below)
    return None


def written_again(value: Any) -> str:
    """The value as a JSON text, also where it holds what UTF-8 or 64 bits cannot."""
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, separators=(",", ":"))
