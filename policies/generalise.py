"""Coarser values: intervals of numbers, bands of ages, parts of dates, areas of postal codes.

What cannot be read as the expected kind of value is None here: the caller puts the placeholder there, because a value
that was not understood was not made coarser either.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from datetime import UTC, date, datetime
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from policies.model import DateUnit, Generalise

_NUMBER = re.compile(r"[-+]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?(?:[T ].*)?", re.DOTALL)
_BASIC_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
# What a calendar of the years 1 to 9999 can say, in Unix seconds.
_EARLIEST_S = -62_135_596_800
_LATEST_S = 253_402_300_799
_YEARS = range(1000, 10_000)
_FIRST_DAY, _LAST_DAY = 1900_01_01, 2100_12_31
_LARGEST_BITS = 64
_LARGEST_CODE = 10**10
# Up to here a float is a whole number exactly.
_EXACT = 2**53
_BETWEEN = " -.\t\xa0\u2010\u2011\u2012\u2013"
_MILLISECONDS_FROM = 100_000_000_000
# US postal areas of fewer than 20,000 people, by their first three digits: 45 CFR 164.514(b)(2)(i)(B) with the 2000
# census, as the guidance of the Department of Health and Human Services lists them.
_SMALL_US_AREAS = frozenset(
    ["036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890", "893"]
)


def generalised(action: Generalise, value: str | float, time_ms: int, region: str, born: bool = False) -> str | float | None:
    """``value`` as coarse as ``action`` says. ``time_ms`` is the moment at which an age counts; ``region`` the country
    of postal codes; ``born`` says that the value is a date of birth, so that a bare number is no age."""
    if action.bucket is not None:
        number = _number(value)
        return None if number is None else _bucket(number, action.bucket)
    if action.bands:
        if value in _labels(action.bands):
            return value
        number = None if born else _number(value)
        age = number if number is not None else _age(value, time_ms)
        return None if age is None else _band(age, action.bands)
    if action.date is not None:
        found = _date(value)
        return None if found is None else _part(found, action.date)
    return None if action.postal is None else _area(value, action.postal, region)


def _number(value: str | float) -> Fraction | None:
    """The exact number that was written; None for what is none, or is so large that stores would disagree on it."""
    if isinstance(value, str):
        text = value.strip()
        return Fraction(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, int):
        return Fraction(value) if value.bit_length() <= _LARGEST_BITS else None
    # By its digits: the binary 0.3 lies a little below three tenths.
    return Fraction(repr(value)) if math.isfinite(value) else None


def _bucket(number: Fraction, width: float) -> float:
    step = Fraction(repr(width))
    nearest = round(number / step) * step
    # A start of an interval stays what it is, although a float can fall just below the number it stands for.
    start = nearest if float(nearest) == float(number) else math.floor(number / step) * step
    return int(start) if start.denominator == 1 and abs(start) <= _EXACT and float(width).is_integer() else float(start)


def _band(number: Fraction, bounds: tuple[float, ...]) -> str:
    return _labels(bounds)[bisect_right(bounds, number)]


@lru_cache(maxsize=256)
def _labels(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """The names of the bands, from below the first bound to above the last. The cache holds bounds of policies only."""
    return (
        f"<{_plain(bounds[0])}",
        *(
            f"{_plain(low)}-{_plain(high - 1)}" if _whole(low) and _whole(high) else f"{_plain(low)}-<{_plain(high)}"
            for low, high in pairwise(bounds)
        ),
        f"{_plain(bounds[-1])}+",
    )


def _whole(number: float) -> bool:
    return float(number).is_integer()


def _plain(number: float) -> str:
    return str(int(number)) if _whole(number) else repr(number)


def _age(value: str | float, time_ms: int) -> Fraction | None:
    """Years lived at ``time_ms``; None without a time, or before birth. Who was born on 29 February has a birthday on
    1 March of other years."""
    born = _date(value)
    if born is None or not 0 < time_ms // 1000 <= _LATEST_S:
        return None
    at = datetime.fromtimestamp(time_ms // 1000, UTC).date()
    year, month, day = born
    age = at.year - year - ((at.month, at.day) < (month or 1, day or 1))
    return Fraction(age) if age >= 0 else None


def _date(value: str | float) -> tuple[int, int | None, int | None] | None:
    """Year, month and day, the latter two None when not given, of an ISO 8601 text, a year or a Unix time."""
    if not isinstance(value, str):
        return _year_or_time(value)
    text = value.strip()
    match = _DATE.fullmatch(text) or _BASIC_DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = (None if part is None else int(part) for part in match.groups())
    return _valid(year or 0, month, day)


def _valid(year: int, month: int | None, day: int | None) -> tuple[int, int | None, int | None] | None:
    try:
        date(year, month or 1, day or 1)
    except ValueError:
        return None
    return year, month, day


def _year_or_time(value: float) -> tuple[int, int | None, int | None] | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if 0 < value < _YEARS.stop and value == int(value):
        # Nobody sends a moment of the first three hours of 1970; what is too small for a year is no date.
        return (int(value), None, None) if value in _YEARS else None
    if _FIRST_DAY <= value <= _LAST_DAY and value == int(value):
        # 20260615, which as a Unix time would be a day of August 1970.
        written = str(int(value))
        return _valid(int(written[:4]), int(written[4:6]), int(written[6:]))
    # Whole numbers only, because Python cannot divide an integer beyond any float by a fraction.
    seconds = int(value) // 1000 if abs(value) >= _MILLISECONDS_FROM else int(value)
    if not _EARLIEST_S <= seconds <= _LATEST_S:
        return None
    at = datetime.fromtimestamp(seconds, UTC)
    return at.year, at.month, at.day


def _part(found: tuple[int, int | None, int | None], unit: DateUnit) -> str:
    year, month, day = found
    parts = [f"{year:04d}", None if month is None else f"{month:02d}", None if day is None else f"{day:02d}"]
    wanted = {DateUnit.YEAR: 1, DateUnit.MONTH: 2, DateUnit.DAY: 3}[unit]
    return "-".join(part for part in parts[:wanted] if part is not None)


def _area(value: str | float, length: int, region: str) -> str | None:
    if isinstance(value, str):
        text = value
    elif 0 <= value < _LARGEST_CODE and value == int(value):
        # A number has lost its leading zeros: 2134 is 02134, Boston.
        text = str(int(value)).zfill(5 if region == "US" else 1)
    else:
        return None
    code = "".join(char for char in text.upper() if char not in _BETWEEN)
    if not 1 <= len(code) <= 10 or not (code.isascii() and code.isalnum()) or not any(map(str.isdigit, code)):
        # Without a digit it is a word, save for the areas of a few countries that this already cut to their letters.
        return code if 1 <= len(code) <= min(length, 3) and code.isascii() and code.isalpha() else None
    area = code[:length]
    return "000" if region == "US" and length == 3 and area in _SMALL_US_AREAS else area
