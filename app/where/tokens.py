"""An expression cut into words, each with the column it stands at, counted from 1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from app.errors import InvalidInput

_WORD = re.compile(
    r"""(?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)(?![\w.])
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>==|!=|>=|<=|[-+*/%<>=()\[\],])""",
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_SIMPLE_ESCAPE = re.compile(r"\\'")


class Kind(StrEnum):
    """What a word is, in the words of an error."""

    NUMBER = "a number"
    TEXT = "a text"
    NAME = "a name"
    SIGN = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Word:
    """`text` of a quoted text is what it stands for. Names are as written."""

    kind: Kind
    text: str = field(repr=False)
    at: int


def trouble(field_name: str, at: int, message: str, remedy: str | None = None) -> InvalidInput:
    """The error of an expression: it points at a column and never quotes what stands there."""
    return InvalidInput(f"{field_name}, column {at}: {message}", field=field_name, remedy=remedy)


def words(text: str, field_name: str) -> Iterator[Word]:
    """The words in order, END last. Raises `InvalidInput` at the column of what is none."""
    place = _after_space(text, 0)
    while place < len(text):
        match = _WORD.match(text, place)
        if match is None:
            raise trouble(field_name, place + 1, _unreadable(text[place]))
        kind = Kind[str(match.lastgroup).upper()]
        found = match[0]
        yield Word(kind, _unquoted(found, field_name, place + 1) if kind is Kind.TEXT else found, place + 1)
        place = _after_space(text, match.end())
    yield Word(Kind.END, "", len(text) + 1)


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _unreadable(character: str) -> str:
    if character in "\"'":
        return "a text begins here and does not end; close it with the same quote"
    return "a number that is none" if character.isdigit() else "a sign that is not of the language"


def _unquoted(quoted: str, field_name: str, at: int) -> str:
    body = quoted[1:-1]
    if "\\" not in body:
        found = body
    else:
        # JSON's escapes in either kind of quote, and the other quote as it is.
        inner = _SIMPLE_ESCAPE.sub("'", body)
        if quoted[0] == "'":
            inner = re.sub(r'(?<!\\)"', r"\"", inner)
        try:
            found = msgspec.json.decode(f'"{inner}"', type=str)
        except (msgspec.DecodeError, UnicodeError):
            raise trouble(field_name, at, "an escape in this text is none of JSON's", 'write \\" and \\\\') from None
    if "\0" in found or any("\ud800" <= each <= "\udfff" for each in found):
        raise trouble(field_name, at, "no stored text holds such a character", "leave NUL and surrogates out")
    return found
