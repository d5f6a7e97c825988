"""Plain forms of text: the same characters however they were dressed up.

Used for matching property names and for a second look at values, so that full-width digits, zero-width
characters, foreign digits, exotic dashes or percent-encoding hide nothing.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Literal
from urllib.parse import unquote

# Invisible characters that are not in the format category (Cf), and the ideographic full stop that browsers
# read as a dot.
_INVISIBLE = (
    0x034F,
    0x115F,
    0x1160,
    0x17B4,
    0x17B5,
    0x3164,
    0xFFA0,
    *range(0xFE00, 0xFE10),
    *range(0xE0000, 0xE1000),
)
_LAST_DIGIT_BLOCK = min(0x20000, sys.maxunicode)


@cache
def _table() -> dict[int, str | None]:
    """Every decimal digit to ASCII, every dash to ``-``, everything invisible to nothing."""
    table: dict[int, str | None] = dict.fromkeys(_INVISIBLE)
    for code in range(0x80, _LAST_DIGIT_BLOCK):
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Nd":
            table[code] = str(unicodedata.decimal(char))
        elif category == "Pd":
            table[code] = "-"
        elif category == "Cf":
            table[code] = None
    table[0x2212] = "-"
    table[0x3002] = "."
    return table


# Characters beyond ASCII that ``fold`` leaves as they are, wherever they stand: letters of the common scripts, quotes,
# ideographs, syllables. All others ask for a closer look.
_PLAIN = re.compile(
    "[\\x00-\\x7f\\xa1-\\xa7\\xa9\\xab\\xac\\xae\\xb0\\xb1\\xb6\\xb7\\xbb\\xbf-\\u0131\\u0134-\\u013e\\u0141-\\u0148\\u014a-\\u017e\\u0384-\\u03cf"
    "\\u0400-\\u0481\\u048a-\\u0559\\u0561-\\u0586\\u05d0-\\u05ea\\u0620-\\u064a\\u0904-\\u0939\\u0e01-\\u0e32\\u2018-\\u2023\\u20ac\\u3005-\\u3007"
    "\\u3041-\\u3096\\u30a1-\\u30fe\\u3400-\\u9fff\\uac00-\\ud7a3\\U0001f300-\\U0001f6ff\\U0001f900-\\U0001f9ff]*"
)
_MIXED = re.compile(
    r"[A-Za-z][\u0370-\u03ff\u0400-\u052f]|[\u0370-\u03ff\u0400-\u052f][A-Za-z0-9@]|[0-9@][\u0370-\u03ff\u0400-\u052f]"
)
_WORD = re.compile(r"[A-Za-z\u0370-\u03ff\u0400-\u052f]+")
# Letters of Cyrillic and Greek that look like one of ASCII (UTS #39, confusables).
_LOOKALIKES = str.maketrans(
    "аАвВеЕкКмМнНоОрРсСтТуУхХіІјЈѕЅһԁԛԝӏҮαΑΒεΕΗιΙκΚΜνΝοΟρΡτΤυΥχΧΖγ",
    "aABBeEkKmMHHoOpPcCtTyYxXiIjJsShdqwlYaABeEHiIkKMvNoOpPtTuYxXZy",
)
_ASCII_NEAR = re.compile(r"[A-Za-z]")


_BEYOND = re.compile("[\U00010000-\U0010ffff]")


@cache
def _pile(last: int) -> re.Pattern[str]:
    """More marks on one letter than any language puts there (UAX #15, section 13: thirty). A class within the first
    plane is a table for the engine, and one beyond it a list, which is read for every character."""
    marks = "".join(char for char in map(chr, range(0x300, last)) if unicodedata.combining(char))
    # The first of them stands alone so that the engine skips to it.
    return re.compile(f"[{marks}][{marks}]{{30,}}")


def _normal(form: Literal["NFKC", "NFKD"], text: str) -> str:
    """The text in a normal form. Marks beyond the thirtieth go first: sorting them takes the square of their number."""
    if len(text) > 60:
        text = _pile(0x1F000 if _BEYOND.search(text) else 0x10000).sub(_thirty, text)
    return unicodedata.normalize(form, text)


def _thirty(match: re.Match[str]) -> str:
    return match.group()[:30]


def _translated(text: str, table: Mapping[int, str | None]) -> str:
    """``text.translate(table)``. A long text of few characters is quicker with one replacement for each of them."""
    if len(text) > 256:
        affected = [char for char in set(text) if ord(char) in table]
        if len(affected) <= 32:
            for char in affected:
                text = text.replace(char, table[ord(char)] or "")
            return text
    return text.translate(table)


def needs_folding(text: str) -> bool:
    """Whether ``fold`` could change anything; a quick look that may say yes in vain."""
    return not text.isascii() and (_PLAIN.fullmatch(text) is None or _MIXED.search(text) is not None)


def skeleton(text: str) -> str:
    """The text with Cyrillic and Greek letters that look like ASCII ones replaced, in words that mix scripts only: a
    word of one script is what it seems (UTS #39 in spirit)."""
    return text if text.isascii() or not _MIXED.search(text) else _WORD.sub(_unmixed, text)


def _unmixed(match: re.Match[str]) -> str:
    word = match.group()
    return word if word.isascii() or not _ASCII_NEAR.search(word) else word.translate(_LOOKALIKES)


def fold(text: str) -> str:
    """NFKC with digits in ASCII, dashes as ``-``, invisible characters removed and look-alike letters of mixed words in
    ASCII (UAX #15, UTS #39 and #46 in spirit)."""
    if not needs_folding(text):
        return text
    return skeleton(_translated(_normal("NFKC", text), _table()))


def folded_name(name: str) -> str:
    """The form in which property and event names are compared: folded and casefolded."""
    if name.isascii():
        return (name if name.isprintable() else name.translate(_UNSEEN)).strip().lower()
    bare = _translated(_normal("NFKD", name), _UNSEEN)
    plain = fold(bare)
    if _ASCII_NEAR.search(plain):
        # A name is one word for this purpose: a foreign letter between underscores is no word of its own.
        plain = plain.translate(_LOOKALIKES)
    return _normal("NFKC", _translated(plain.casefold(), _UNSEEN)).strip()


# What nobody sees in a name and `fold` leaves, because in a value it may mean something: control characters, what the
# wire puts in place of NUL, a blank that is no space, and marks over and through Latin letters.
_UNSEEN: dict[int, None] = dict.fromkeys(
    [
        *(code for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc" and not 9 <= code <= 13),
        *(*range(0x300, 0x370), *range(0x1AB0, 0x1B00), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x2100), *range(0xFE20, 0xFE30)),
        *(0x2800, 0xFFFC, 0xFFFD),
    ]
)


_GAP = re.compile(r"[\s_\-]{3,}")
_RUN = re.compile(r"([^\w\s])\1{2,}")


def unpadded(name: str) -> str:
    """A name without what makes it longer and changes nothing about what it is called: invisible characters, signs at
    its ends, runs of them inside. What is then cut to a length begins with the name."""
    bare = name if name.isascii() and name.isprintable() else _translated(_translated(name, _UNSEEN), _hidden())
    return _RUN.sub(r"\1", _GAP.sub("_", bare)).strip(" ._-\t\r\n")


@cache
def _hidden() -> dict[int, str | None]:
    return {code: None for code, plain in _table().items() if plain is None}


# Where a word starts inside a name written like userEmail or IPAddress.
_HUMP = re.compile(r"(?<=[a-z0-9ß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-ZÀ-ÖØ-Þ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])")
_BETWEEN_WORDS = re.compile(r"[ _\-]+")


def worded_name(name: str) -> str:
    """A folded name with ``_`` between its words, however they were set apart: ``userEmail``, ``User-Email``,
    ``user email``."""
    if name.isascii() and name.islower() and not (" " in name or "-" in name or "__" in name):
        return name
    plain = fold(name)
    return _BETWEEN_WORDS.sub("_", folded_name(plain if plain == plain.lower() else _HUMP.sub("_", plain)))


def joined_name(folded: str) -> str:
    """A folded name without anything between its words. A name of nothing but separators stays as it is."""
    return folded.replace("_", "").replace("-", "").replace(" ", "") or folded


def canonical(text: str) -> str:
    """The form in which values are pseudonymised: NFKC, casefolded and trimmed, so that spellings of one
    value join."""
    if text.isascii():
        return text.strip().lower()
    return _normal("NFKC", _normal("NFKC", text).casefold()).strip()


def views(text: str) -> list[str]:
    """The text as written and every further plain form of it that differs: folded, then percent-decoded up to
    3 times."""
    found = [text]
    for _ in range(4):
        plain = fold(found[-1])
        if plain != found[-1]:
            found.append(plain)
        if "%" not in plain:
            break
        decoded = unquote(plain, errors="replace")
        if decoded == plain:
            break
        found.append(decoded)
    return found


def in_hexadecimal(text: str, start: int, end: int) -> bool:
    """Whether the span is part of something like a hash: ASCII letters or digits touch it, all of them hexadecimal.
    A word such as ``card`` or ``ext`` may touch it."""
    if not (text[max(0, start - 1) : start].isalnum() or text[end : end + 1].isalnum()):
        return False
    return _is_hexadecimal(text[max(0, start - 24) : start][::-1]) or _is_hexadecimal(text[end : end + 24])


def _is_hexadecimal(neighbours: str) -> bool:
    letters = ""
    for char in neighbours:
        if not (char.isascii() and char.isalnum()):
            break
        letters += char
    return bool(letters) and all(char in "0123456789abcdefABCDEF" for char in letters)
