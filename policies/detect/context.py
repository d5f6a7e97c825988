"""Context: the words that say what a number beside them is, in texts and in the names of properties."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import re2

BEFORE = 48
"""How many characters before a span are read for a context word."""

AFTER = 24
"""How many characters after it."""

_NUMBER = re.compile(r"[0-9]{4}")
_LONG_WORD = re.compile(r"[^\W\d_]{4}|[0-9]{2}[T:][0-9]{2}|\n")
_COMPOUND = 6
_GAPS = re.compile(r"[ _.\-]+")


MAX_WORDS = 1_000
"""How many context words of one form are looked for in one text; a text with more is context everywhere."""


class Words:
    """The context words of one form, in the shapes that texts, names and the wide pass need."""

    __slots__ = ("_pattern", "name_pattern", "text_pattern")

    def __init__(self, words: Iterable[str]) -> None:
        """Compile. A word that begins with ``=`` counts in names only; gaps in a word match any usual gap."""
        listed = sorted({word.strip().lower() for word in words if word.strip(" =")})
        spoken = [word for word in listed if word[0] != "="]
        self.text_pattern = "|".join(map(_wide, spoken))
        self.name_pattern = "|".join(_named(word.lstrip("=")) for word in listed)
        options = re2.Options()
        options.longest_match = True
        options.log_errors = False
        # Over bytes, because the engine counts the characters before every match of a text.
        self._pattern = re2.compile("|".join(map(_exact, spoken)).encode(), options) if spoken else None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the words stand in a text, in order; at most ``MAX_WORDS`` of them."""
        if self._pattern is None:
            return
        encoded = text.encode("utf-8", "surrogatepass")
        simple = len(encoded) == len(text)
        last = chars = 0
        for match in islice(self._pattern.finditer(encoded), MAX_WORDS):
            start, end = match.span()
            if not simple:
                chars += len(encoded[last:start].decode("utf-8", "surrogatepass"))
                last, start = start, chars
                end = chars + len(encoded[last:end].decode("utf-8", "surrogatepass"))
            if _is_whole(text, start, end):
                yield start, end


def is_near(text: str, words: Sequence[tuple[int, int]], start: int, end: int, adjacent: int) -> bool:
    """Whether one of the words stands near the span; with ``adjacent`` 1, with no other number and word in between, with
    2, with no other number."""
    if len(words) >= MAX_WORDS:
        return True
    at = bisect_left(words, (start - BEFORE, 0))
    while at < len(words) and words[at][0] < end + AFTER:
        first, last = words[at]
        between = text[last:start] if last <= start else text[end:first]
        if not (adjacent and _parted(between, adjacent)):
            return True
        at += 1
    return False


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no ASCII letter follows a short word, an English plural aside; long ones may begin a compound."""
    if end - start >= _COMPOUND or not _ascii_letter(text[end - 1]):
        return True
    rest = text[end : end + 3].lower()
    for ending in ("es", "s"):
        if rest.startswith(ending):
            rest = rest[len(ending) :]
            break
    return not (rest[:1].isascii() and rest[:1].isalpha())


def _parted(between: str, adjacent: int) -> bool:
    """Whether another number and a word stand in between; numbers alone are a list of the same kind."""
    return _NUMBER.search(between) is not None and (adjacent == 2 or _LONG_WORD.search(between) is not None)


def _letters(char: str) -> str:
    if char.isascii():
        return char if char.isalnum() else f"\\{char}"
    return f"(?:{char}|{char.upper()})"


def _exact(word: str) -> str:
    """For text of any case, as RE2: no ASCII letter stands before a word that begins with one."""
    return (r"(?:^|[^A-Za-z])" if _ascii_letter(word[0]) else "") + f"(?i:{_body(word)})"


def _wide(word: str) -> str:
    """The same for bytes; an escape of a JSON text may touch it."""
    before = r"(?:^|[^A-Za-z]|\\(?:[nrtbf]|u00[01][0-9A-Fa-f]))" if _ascii_letter(word[0]) else ""
    # What ``_is_whole`` measures has a character before the word and may have wider gaps; never bind what it lets go.
    longest = 1 + len(word) + len(_GAPS.findall(word))
    bounded = _ascii_letter(word[-1]) and longest < _COMPOUND
    return f"(?i:{before}{_body(word)}" + (r"(?:s|es)?(?:[^A-Za-z]|$))" if bounded else ")")


def _named(word: str) -> str:
    """For folded dotted paths. Long words may be glued to others, as in ``customerbirthdate``."""
    parts = [part for part in _GAPS.split(word) if part]
    body = r"[ _.\-$]{0,2}".join("".join(map(_letters, part)) for part in parts)
    glued = sum(map(len, parts)) >= 6 or not word[0].isascii()
    return body if glued else rf"(?:^|[^a-z]){body}(?:s|[0-9])?(?:[^a-z]|$)"


def _body(word: str) -> str:
    if _odd(word):
        return "".join(map(_letters, word))
    return r"[ _.\-]{1,2}".join("".join(map(_letters, part)) for part in _GAPS.split(word))


def _odd(word: str) -> bool:
    """Words with their own punctuation at an end, such as ``t.c.`` or ``ss#``, are taken as they are."""
    return _GAPS.split(word)[-1] == "" or "#" in word or ":" in word


def _ascii_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


# What numbers are called when they are no one's.
_ELSE = (
    "order|invoice|ref|reference|part|sku|ticket|case|tracking|serial|item|batch|lot|catalog|product|po|bestellung|bestellnummer|bestellnr|auftrag|auftragsnummer|rechnung|rechnungsnummer|facture|заказ|заказа|注文番号|订单|订单号|주문번호|commande|pedido|ordine|"
    "isbn|isbn-10|isbn-13|issn|ean|upc|gtin|imei|barcode|awb"
)
_CODES = "isbn|isbn-10|isbn-13|issn|ean|ean-13|ean13|upc|gtin|imei|barcode"
_BEHIND = "no|nr|num|number|id|code"
_SIGNS = " .:#=_-\n"
_ELSE_BEFORE = re.compile(rf"(?:{_ELSE})[ _\-]{{0,2}}(?:{_BEHIND})?[ .:#=_\-]{{0,4}}$")
_CODE_BEFORE = re.compile(rf"(?<![a-z])(?:{_CODES})[ _\-]{{0,2}}(?:no|nr|number|code)?[ .:#=_\-]{{0,4}}$")
# How such a word ends: the quick look before each pattern, which would be tried at every character.
_ENDS = frozenset(word[-2:] for word in f"{_ELSE}|{_CODES}|{_BEHIND}".split("|"))


def is_something_else(text: str, start: int) -> bool:
    """Whether the word just before says that a number is an order, a part, a book and the like."""
    before = text[max(0, start - 32) : start].lower()
    return before.rstrip(_SIGNS)[-2:] in _ENDS and _ELSE_BEFORE.search(before) is not None


def is_bar_code(text: str, start: int) -> bool:
    """Whether the word just before says that a number is printed on a product."""
    before = text[max(0, start - 32) : start].lower()
    return before.rstrip(_SIGNS)[-2:] in _ENDS and _CODE_BEFORE.search(before) is not None
