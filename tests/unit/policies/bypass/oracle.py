"""Whether a planted value can be read in what the gate let through, in any spelling.

Written without a line of the engine, and naively on purpose: it decodes everything that looks as if it could be
decoded, makes every character plain, throws separators away, and looks for the needle. It may cry wolf; it must not
be blind, and the positive control of the corpus shows that it is not.
"""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

# Letters of other scripts that a reader takes for Latin ones.
_ALIKE = dict(
    zip(
        "аеорсухіјѕһԁԛԝвкмнтАВЕКМНОРСТУХІЈЅαβεηικμνορτυχγωΑΒΕΗΙΚΜΝΟΡΤΥΧΖ",
        "aeopcyxijshdqwbkmhtABEKMHOPCTYXIJSaBenikuvoptuxywABEHIKMNOPTYXZ",
        strict=True,
    )
)
_TOKEN = re.compile(r"[0-9A-Za-z+/_\-]{8,}")
_ESCAPE = re.compile(r"\\u\{?([0-9A-Fa-f]{4})\}?|\\x([0-9A-Fa-f]{2})")
_ROUNDS = 12
_SMALL = 400_000


def readable(needles: Iterable[str], kept: Any, deep: bool = True) -> bool:
    """Whether any needle (lower-case letters and digits) can be read in ``kept``, a JSON-like value of any depth."""
    texts = list(strings(kept))
    forms = {_plain("".join(texts))}
    for text in dict.fromkeys(texts):
        forms.update(_plain(form) for form in (_decoded(text) if deep and len(text) <= _SMALL else (text,)))
    forms.add(_plain(_encoded(kept)))
    wanted = tuple(needles)
    return any(needle in form for form in forms for needle in wanted)


def strings(value: Any) -> Iterator[str]:
    """Every name and every scalar, as text, in order; a stack, because values may be a hundred thousand deep."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            for key, item in reversed(one.items()):
                stack += [item, key]
        elif isinstance(one, list | tuple):
            stack.extend(reversed(one))
        elif isinstance(one, bytes):
            yield one.decode("latin-1")
        elif isinstance(one, int) and one.bit_length() > 8192:
            yield hex(one)
        else:
            yield str(one)


def _encoded(kept: Any) -> str:
    try:
        return msgspec.json.encode(kept).decode()
    except (UnicodeEncodeError, OverflowError, RecursionError, TypeError):
        return ""


def _decoded(text: str) -> set[str]:
    """The text and everything that can be decoded from it, a dozen layers down."""
    seen = {text}
    fresh = [text]
    for _ in range(_ROUNDS):
        fresh = [form for each in fresh for form in _peeled(each) if form not in seen]
        if not fresh:
            break
        seen.update(fresh)
    return seen


def _peeled(text: str) -> Iterator[str]:
    if not text.isascii():
        yield "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    if "%" in text:
        yield unquote(text, errors="replace")
    if "&" in text:
        yield html.unescape(text)
    if "\\" in text:
        yield _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    if any(mark in text for mark in '{["'):
        try:
            bare = text.strip("\ufeff\u200b\xa0\u2028\x00 \t\r\n\x0b")
            value = json.loads(bare, strict=False, object_pairs_hook=_listed)
        except (ValueError, RecursionError):
            pass
        else:
            yield from strings(value)
    for token in _TOKEN.findall(text):
        plain = token.replace("-", "+").replace("_", "/")
        try:
            yield base64.b64decode(plain + "=" * (-len(plain) % 4)).decode()
        except ValueError:
            continue


def _listed(pairs: list[tuple[str, Any]]) -> list[Any]:
    """All pairs of an object, those of one name too."""
    return [list(pair) for pair in pairs]


def _plain(text: str) -> str:
    """Lower-case letters and digits only, each in its plainest form."""
    if text.isascii():
        return re.sub(r"[^0-9a-z]+", "", text.lower())
    flat = unicodedata.normalize("NFKD", text)
    return "".join(_ALIKE.get(char, char).casefold() for char in flat if char.isalnum()).translate(_DIGITS)


_DIGITS = {code: str(unicodedata.decimal(chr(code))) for code in range(0x80, 0x20000) if unicodedata.category(chr(code)) == "Nd"}
