"""Names and values written as ``name=value`` in a text: the query or fragment of a URL (RFC 3986, sections 3.4, 3.5), a form
(WHATWG URL, application/x-www-form-urlencoded), a cookie (RFC 6265)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, unquote

from policies.classify import Classifier

MAX_PAIRS: Final = 255
"""How many names are judged in one text; one with more is removed."""

_LAYERS: Final = 3
_MAX_CACHED = 16_384
_LONGEST = 4 * 256 + 64
_DELIMITERS = (b"?", b"&", b"#", b";", b'"')
_NAME = re.compile(r"(?:\A|[?&#;])\s*+([^\s?&#;=\"'<>]{1,256}+)=")
_BLANK = re.compile(r"\s|\Z")
_QUOTED = r'"[^"]*"?|'
_WORD = re.compile(_QUOTED + r"[^\s&#;\"<>]*")
# Where nothing but the address or form stands in a text, a blank is part of a value that somebody forgot to encode.
_ALL = re.compile(_QUOTED + r"[^&#;\"<>\r\n]*")


class TooManyPairs(Exception):
    """A text with more names than are worth judging. Never leaves this package."""


def rewritten(text: str, treated: Callable[[str, str], Any]) -> str:
    """The text with the value of every pair replaced by what ``treated`` makes of name and value, both decoded; the same
    text where that is the value each time. Where only the text without percent-encoding holds a pair that changes, that
    form is what remains. Raises TooManyPairs, and what ``treated`` raises."""
    plain = text = _replaced(text, treated)
    for _ in range(_LAYERS):
        if "%" not in plain:
            break
        plain = unquote(plain, errors="replace")
        changed = _replaced(plain, treated)
        if changed != plain:
            plain = text = changed
    return text


def _replaced(text: str, treated: Callable[[str, str], Any]) -> str:
    parts: list[str] = []
    position, seen = 0, set()
    for name, start, end in _pairs(text):
        seen.add(name)
        if len(seen) > MAX_PAIRS:
            raise TooManyPairs
        # A pair inside a value that was replaced went with it.
        if start >= position:
            value = _decoded(text[start:end])
            result = treated(_plain_name(name), value)
            if result != value:
                parts += text[position:start], quote(str(result), safe="[]")
                position = end
    return "".join(parts) + text[position:]


def _plain_name(written: str) -> str:
    """The dotted name that a pair has for whoever decodes it: ``user%5Bemail%5D`` is ``user.email``."""
    return _decoded(written).replace("+", " ").replace("[]", "").replace("[", ".").replace("]", "")


def _decoded(written: str) -> str:
    for _ in range(_LAYERS):
        if "%" not in written:
            break
        written = unquote(written, errors="replace")
    return written


def _pairs(text: str) -> Iterator[tuple[str, int, int]]:
    """The name of every pair in a text, as written, and where its value begins and ends. A value may hold further
    pairs, which come next."""
    blank = -1
    for match in _NAME.finditer(text):
        if blank < 0 and (first := _BLANK.search(text)):
            blank = first.start()
        value = (_ALL if match.start(1) <= blank else _WORD).match(text, match.end())
        if value is not None and value.group():
            yield match.group(1), *value.span()


class Queries:
    """Which texts hold a pair that some rule may change: the cheap question before the walk judges each of them. Safe to
    share between threads; remembers keyed hashes of harmless names, and no text."""

    __slots__ = ("_classifier", "_harmless")

    def __init__(self, classifier: Classifier) -> None:
        """Start with nothing seen."""
        self._classifier = classifier
        self._harmless: set[int] = set()

    def any(self, encoded: bytes) -> bool:
        """Whether a text within a JSON text may hold such a pair; also where it has more new names than are worth a
        look."""
        harmless, left = self._harmless, MAX_PAIRS
        for piece in encoded.split(b"=")[:-1]:
            if hash(piece[piece.rfind(b"?") + 1 :]) in harmless:
                continue
            name = piece[-_LONGEST:]
            name = name[max(map(name.rfind, _DELIMITERS)) + 1 :]
            if hash(name) in harmless:
                continue
            left -= 1
            if not left or not self._learned(name):
                return True
        return False

    def _learned(self, name: bytes) -> bool:
        """Whether no rule of any scope and event changes what has this name."""
        written = name.decode("utf-8", "replace").strip()
        if "\\" in written or (" " not in written and self._classifier.changes(_plain_name(written))):
            return False
        if len(self._harmless) >= _MAX_CACHED:
            self._harmless.clear()
        self._harmless.add(hash(name))
        return True
