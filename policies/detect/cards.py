"""Payment card numbers: ISO/IEC 7812 lengths, the Luhn check, and the ranges issuers really use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, pairwise

from policies.detect.checksums import luhn
from policies.detect.context import is_bar_code
from policies.detect.kinds import Candidate, Form
from policies.model import Detector
from policies.text import in_hexadecimal

# Prefix range (inclusive, compared at its own length) and allowed lengths.
_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (4, 4, frozenset({13, 16, 19})),  # Visa
    (51, 55, frozenset({16})),  # Mastercard
    (2221, 2720, frozenset({16})),  # Mastercard, second range
    (34, 34, frozenset({15})),  # American Express
    (37, 37, frozenset({15})),
    (300, 305, frozenset({14, 16, 19})),  # Diners Club
    (36, 36, frozenset({14, 16, 19})),
    (38, 39, frozenset({14, 16, 19})),
    (6011, 6011, frozenset({16, 17, 18, 19})),  # Discover
    (644, 649, frozenset({16, 17, 18, 19})),
    (65, 65, frozenset({16, 17, 18, 19})),
    (3528, 3589, frozenset({16, 17, 18, 19})),  # JCB
    (62, 62, frozenset({16, 17, 18, 19})),  # UnionPay
    (2200, 2204, frozenset({16, 17, 18, 19})),  # Mir
    (60, 60, frozenset({16})),  # RuPay
    (81, 82, frozenset({16})),
    (508, 508, frozenset({16})),
    (5018, 5018, frozenset(range(13, 20))),  # Maestro
    (5020, 5020, frozenset(range(13, 20))),
    (5038, 5038, frozenset(range(13, 20))),
    (5893, 5893, frozenset(range(13, 20))),
    (6304, 6304, frozenset(range(13, 20))),
    (6759, 6763, frozenset(range(13, 20))),
)

# How the digits of a card are grouped when other digits stand right beside it.
_GROUPINGS = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 1), (4, 4, 4, 4, 3), (6, 13)})
# Neither pattern can fail once it has begun, so the standard engine is linear on any text.
_RUN = re.compile(r"[0-9]+(?:[ ._\-/]{1,3}[0-9]+)*")
_GROUP = re.compile(r"[0-9]+")
_NOT_DIGIT = re.compile(r"[^0-9]+")
_FEW = 40
_MAX_GROUPS = 19
_AHEAD = 100


def _lengths_by_prefix() -> list[frozenset[int]]:
    """The lengths of cards that begin with each four digits."""
    found: list[frozenset[int]] = [frozenset()] * 10_000
    for low, high, lengths in _ISSUERS:
        width = 10 ** (4 - len(str(low)))
        for prefix in range(low * width, (high + 1) * width):
            found[prefix] |= lengths
    return found


_LENGTHS = _lengths_by_prefix()


def is_card(digits: str) -> bool:
    """Whether ASCII digits are a card number: 13 to 19 of them, of an issuer, with a check digit."""
    return len(digits) >= 13 and len(digits) in _LENGTHS[int(digits[:4])] and luhn(digits)


def card_spans(text: str) -> Iterator[Candidate]:
    """Start, end and digits of every card number in ``text``, with spaces, dashes, dots or underscores
    inside; without digits what might have begun one."""
    for run in _RUN.finditer(text):
        start, end = run.span()
        if end - start < 13 or (end - start <= _FEW and len(_NOT_DIGIT.sub("", run.group())) < 13):
            continue
        groups: list[tuple[int, int]] = []
        rest = _GROUP.finditer(text, run.start(), run.end())
        first = 0
        while True:
            if len(groups) - first <= _MAX_GROUPS:
                groups += [match.span() for match in islice(rest, _AHEAD)]
            if first >= len(groups):
                break
            taken = _longest(text, groups, first)
            start, end = groups[first][0], groups[first + max(taken, 1) - 1][1]
            yield start, end, "".join(text[a:b] for a, b in groups[first : first + taken]) if taken else None
            first += taken or 1


def _longest(text: str, groups: list[tuple[int, int]], first: int) -> int:
    """How many groups from ``first`` on make one card: the longest that does, or 0."""
    begin = groups[first][0]
    # The digits after a decimal point are no card, however many they are.
    if text[begin - 1 : begin] == "." and text[begin - 2 : begin - 1].isdigit():
        return 0
    for lengths in reversed(_fitting(groups, first)):
        taken = len(lengths)
        # Inside a longer run of digits only the usual groupings count, else dates and ids would combine into
        # cards.
        if taken > 1 and lengths not in _GROUPINGS and not (first == 0 and taken == len(groups) and _is_even(text, groups)):
            continue
        digits = "".join(text[a:b] for a, b in groups[first : first + taken])
        end = groups[first + taken - 1][1]
        if is_card(digits) and not _is_touched(text, begin, end) and not is_bar_code(text, begin):
            return taken
    return 0


def _is_touched(text: str, begin: int, end: int) -> bool:
    """Whether the digits are a piece of something in hexadecimal; the letter of a magnetic stripe (ISO/IEC 7813, track 1)
    is none."""
    return in_hexadecimal(text, begin, end) and text[max(0, begin - 2) : begin].upper() != "%B"


def _fitting(groups: list[tuple[int, int]], first: int) -> list[tuple[int, ...]]:
    """The sizes of the next groups, for every number of groups with 13 to 19 digits together."""
    found: list[tuple[int, ...]] = []
    sizes: tuple[int, ...] = ()
    total = 0
    for start, end in groups[first : first + _MAX_GROUPS]:
        total += end - start
        if total > 19:
            break
        sizes = (*sizes, end - start)
        if total >= 13:
            found.append(sizes)
    return found


def _is_even(text: str, groups: list[tuple[int, int]]) -> bool:
    """Whether one separator stands between all groups."""
    return len({text[a[1] : b[0]] for a, b in pairwise(groups)}) <= 1


_GAP = r"[ ._\-/]{0,3}"

CARD_FORMS = (
    Form(
        Detector.CARD,
        card_spans,
        rf"(?:^\.?|[^0-9.]|[^0-9]\.)(?:[3-6]{_GAP}\d|2{_GAP}[2-7]|8{_GAP}[12])(?:{_GAP}\d){{11}}",
        0.95,
        sole=False,
    ),
)
"""Payment cards, bare or grouped."""
