"""Phone numbers in text: candidates by pattern, judged by the numbering plans of the phonenumbers library.

An international number (``+``) counts when its length is possible in its country. A national number counts
when it is valid in the default region and grouped the way people there write it; bare digits never count,
because order numbers, timestamps and counters look just the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers

from policies.cover import Cover
from policies.text import in_hexadecimal

# Every pattern here is short and bounded, so that the standard engine is linear on any text and far cheaper
# per match.
_INTERNATIONAL = re.compile(r"\+[ ]?\(?[0-9](?:[ .\-/()]{0,3}[0-9]){6,19}")
_NATIONAL = re.compile(r"\(?[0-9]{1,8}(?:[ .\-/()]{1,3}[0-9]{1,8})+")
_GROUP = re.compile(r"[0-9]+")
_DATE = re.compile(
    r"(?:19|20)[0-9][0-9][ .\-/](?:0?[1-9]|1[0-2])[ .\-/](?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[.\-/](?:0?[1-9]|[12][0-9]|3[01])[.\-/](?:19|20)[0-9][0-9]"
)
_DECIMAL = re.compile(r"[+\-]?[0-9]+\.[0-9]+")
_NANP = 1
_MAX_GROUPS = 7
# Judging a candidate costs tens of microseconds. A text with more candidates than this is no ordinary text;
# the rest of its candidates then count as numbers, so that flooding the gate neither stalls it nor slips
# anything through.
_MAX_JUDGED = 200


class PhoneReader:
    """Finds phone numbers as people of one default region write them."""

    __slots__ = ("_code", "_prefix", "_region")

    def __init__(self, region: str) -> None:
        """Take an ISO 3166 code that ``is_region`` accepts, and load the numbering plans now rather than at a
        check."""
        phonenumbers.PhoneMetadata.load_all()
        self._region = region
        self._code = phonenumbers.country_code_for_region(region)
        self._prefix = phonenumbers.ndd_prefix_for_region(region, True) or ""

    def find(self, text: str, covered: Cover) -> Iterator[tuple[int, int, str]]:
        """Start, end and E.164 form of every number in what is not covered yet. Covers dates, which are
        none."""
        judged = 0
        for match in _INTERNATIONAL.finditer(text) if "+" in text else ():
            judged += 1
            found = self._international(text, match.start(), match.end(), judged)
            if found and covered.is_free(found[0], found[1]):
                yield found
        candidates = [one for one in _candidates(text) if self._plausible(one[2])]
        for match in _DATE.finditer(text) if candidates else ():
            covered.take(*match.span())
        for start, end, pieces in candidates:
            if covered.is_free(start, end):
                judged += 1
                found = self._national(text, start, end, pieces, judged)
                if found:
                    yield found

    def _international(self, text: str, start: int, end: int, judged: int) -> tuple[int, int, str] | None:
        groups = [one.end() for one in _GROUP.finditer(text, start, end)]
        # ``+37.7749`` is a coordinate, not a number with a dot in it.
        if _DECIMAL.fullmatch(text[start:end]):
            return None
        for stop in reversed(groups):
            candidate = text[start:stop]
            if sum(char.isdigit() for char in candidate) < 8:
                return None
            if judged > _MAX_JUDGED:
                return start, stop, candidate
            number = _parsed(candidate, None)
            if number is not None and _possible(number):
                return start, stop, _e164(number)
        return None

    def _plausible(self, pieces: tuple[str, ...]) -> bool:
        """The grouping test that needs no numbering plan."""
        lengths = tuple(map(len, pieces))
        if self._code == _NANP:
            return lengths == (3, 3, 4) or (lengths == (1, 3, 3, 4) and pieces[0] == "1")
        return 7 <= sum(lengths) <= 13

    def _national(self, text: str, start: int, end: int, pieces: tuple[str, ...], judged: int) -> tuple[int, int, str] | None:
        # An opening bracket belongs to the number: otherwise it would be left standing alone.
        if text[start - 1 : start] == "(" and ")" in text[start:end]:
            start -= 1
        if judged > _MAX_JUDGED:
            return start, end, text[start:end]
        number = _parsed(text[start:end], self._region)
        if number is None or not phonenumbers.is_valid_number(number):
            return None
        return (start, end, _e164(number)) if self._usual(pieces, number) else None

    def _usual(self, pieces: tuple[str, ...], number: phonenumbers.PhoneNumber) -> bool:
        """Whether people of the region would group this number so."""
        if self._code == _NANP or (self._prefix and pieces[0].startswith(self._prefix)):
            return True
        form = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        usual = tuple(one.group() for one in _GROUP.finditer(form))
        if pieces == usual or pieces == (usual[0].removeprefix(self._prefix), *usual[1:]):
            return True
        return not self._prefix and len(pieces) >= 3


def is_region(code: str) -> bool:
    """Whether numbering plans exist for this ISO 3166 two-letter code."""
    return code in phonenumbers.SUPPORTED_REGIONS


def _candidates(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    for match in _NATIONAL.finditer(text):
        yield from _windows(text, [one.span() for one in _GROUP.finditer(text, match.start(), match.end())])


def _windows(text: str, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Every run of 2 to 7 neighbouring groups, longest first from each start."""
    for first in range(len(groups)):
        for count in range(min(_MAX_GROUPS, len(groups) - first), 1, -1):
            chosen = groups[first : first + count]
            start, end = chosen[0][0], chosen[-1][1]
            if not in_hexadecimal(text, start, end) and text[start - 1 : start] != "+":
                yield start, end, tuple(text[a:b] for a, b in chosen)


def _parsed(candidate: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(candidate, region)
    except phonenumbers.NumberParseException:
        return None


def _possible(number: phonenumbers.PhoneNumber) -> bool:
    return phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
