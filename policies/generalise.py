"""Coarser values: intervals of numbers, bands of ages, parts of dates, areas of postal codes.

What cannot be read as the expected kind of value is None here: the caller puts the placeholder there, because a value
that was not understood was not made coarser either.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from itertools import pairwise

from policies.model import DateUnit, Generalise

_NUMBER = re.compile(r"[-+]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?(?:[T ].*)?", re.DOTALL)
_LATEST_S = 253_402_300_799
_MILLISECONDS_FROM = 100_000_000_000
# US postal areas of fewer than 20,000 people, by their first three digits: 45 CFR 164.514(b)(2)(i)(B) with the 2000
# census, as the guidance of the Department of Health and Human Services lists them.
_SMALL_US_AREAS = frozenset(
    ["036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890", "893"]
)


def generalised(action: Generalise, value: str | float, time_ms: int, region: str) -> str | float | None:
    """``value`` as coarse as ``action`` says. ``time_ms`` is the moment at which an age counts; ``region`` the country
    of postal codes."""
    if action.bucket is not None:
        number = _number(value)
        return None if number is None else _bucket(number, action.bucket)
    if action.bands:
        number = _number(value)
        age = number if number is not None else _age(value, time_ms)
        return None if age is None else _band(age, action.bands)
    if action.date is not None:
        found = _date(value)
        return None if found is None else _part(found, action.date)
    return None if action.postal is None else _area(str(value), action.postal, region)


def _number(value: str | float) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return None
        value = float(text)
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _bucket(number: float, width: float) -> float:
    # Rounded, because 3 * 0.1 is not 0.3; whole widths give whole numbers.
    start = round(math.floor(number / width) * width, 10)
    return int(start) if float(width).is_integer() else start


def _band(number: float, bounds: tuple[float, ...]) -> str:
    if number < bounds[0]:
        return f"<{bounds[0]:g}"
    for low, high in pairwise(bounds):
        if number < high:
            whole = float(low).is_integer() and float(high).is_integer()
            return f"{low:g}-{high - 1:g}" if whole else f"{low:g}-<{high:g}"
    return f"{bounds[-1]:g}+"


def _age(value: str | float, time_ms: int) -> float | None:
    born = _date(value)
    if born is None or not 0 <= time_ms // 1000 <= _LATEST_S:
        return None
    at = datetime.fromtimestamp(time_ms // 1000, UTC).date()
    year, month, day = born
    return at.year - year - ((at.month, at.day) < (month or 1, day or 1))


def _date(value: str | float) -> tuple[int, int | None, int | None] | None:
    """Year, month and day, the latter two None when not given, of an ISO 8601 text or a Unix time."""
    if not isinstance(value, str):
        seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if not -_LATEST_S // 4 <= seconds <= _LATEST_S:
            return None
        at = datetime.fromtimestamp(int(seconds), UTC)
        return at.year, at.month, at.day
    match = _DATE.fullmatch(value.strip())
    if match is None:
        return None
    year, month, day = (None if part is None else int(part) for part in match.groups())
    try:
        date(year or 0, month or 1, day or 1)
    except ValueError:
        return None
    return year or 0, month, day


def _part(found: tuple[int, int | None, int | None], unit: DateUnit) -> str:
    year, month, day = found
    parts = [f"{year:04d}", None if month is None else f"{month:02d}", None if day is None else f"{day:02d}"]
    wanted = {DateUnit.YEAR: 1, DateUnit.MONTH: 2, DateUnit.DAY: 3}[unit]
    return "-".join(part for part in parts[:wanted] if part is not None)


def _area(text: str, length: int, region: str) -> str | None:
    code = "".join(char for char in text.upper() if char.isalnum())
    if not 2 <= len(code) <= 10 or not code.isascii():
        return None
    area = code[:length]
    return "000" if region == "US" and length == 3 and area in _SMALL_US_AREAS else area
