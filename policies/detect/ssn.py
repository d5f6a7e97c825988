"""United States Social Security numbers: the areas, groups and serials that the SSA can have issued (20 CFR 422.103,
randomised since 2011)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policies.detect.context import is_something_else
from policies.detect.kinds import BEGIN, END, NOT_AFTER, NOT_BEFORE, Candidate, Form, digits_of, numbers_judged
from policies.detect.national import form
from policies.model import Detector

_WORDS = (
    "ssn",
    "social security",
    "soc sec",
    "social sec",
    "ss#",
    "ss #",
    "ss no",
    "itin",
    "taxpayer id",
    "tin",
    "ssn4",
    "socialsecurity",
)
_DASHED = re.compile(rf"{NOT_AFTER}(?<![0-9][.\-/])[0-8][0-9]{{2}}-[0-9]{{2}}-[0-9]{{4}}{NOT_BEFORE}(?![.\-/][0-9])")


def is_ssn(digits: str) -> bool:
    """Whether nine digits can be a number that was issued."""
    return digits[:3] not in {"000", "666"} and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def is_itin(digits: str) -> bool:
    """Whether nine digits can be an Individual Taxpayer Identification Number (IRS, groups in use)."""
    return digits[0] == "9" and 50 <= int(digits[3:5]) <= 99 and int(digits[3:5]) not in (66, 67, 68, 69, 89, 93)


def _dashed(text: str) -> Iterator[Candidate]:
    def judge(match: re.Match[str]) -> str | None:
        digits = digits_of(match.group())
        if not is_ssn(digits) or is_something_else(text, match.start()):
            return None
        return digits

    return numbers_judged(_DASHED, text, judge)


def _any(digits: str) -> bool:
    return is_ssn(digits) or is_itin(digits)


SSN_FORMS = (
    Form(Detector.SSN, _dashed, rf"{BEGIN}[0-8][0-9]{{2}}-[0-9]{{2}}-[0-9]{{4}}{END}", 0.85, _WORDS, 0.98, sole=False),
    form(r"[0-9]{3}[ .\-/]?[0-9]{2}[ .\-/]?[0-9]{4}", _any, ",".join(_WORDS), 0.2, 0.85, Detector.SSN),
)
"""Dashed, which stands alone, and any other way of writing it."""
