"""What the values of the language are, and how one becomes another. Every store computes exactly this.

A value is a text, a number (IEEE double), a truth value, a list, an object, or undefined (None): an absent property and a
null are undefined. Arithmetic is defined between 1e-150 and 1e150 in magnitude: a larger operand is undefined and a
smaller one is zero, so that no engine meets an overflow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime

Value = str | float | bool | list[object] | dict[str, object] | None

LARGEST, SMALLEST = 1e150, 1e-150
NUMBER_TEXT = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?"
"""JSON's numbers, the exponent of three digits at most; without anchors."""
NUMBER_TEXT_LENGTH = 40
WIDEST = 1e300
# The days that exist, spelled out, because a cast of any other fails in PostgreSQL.
_DAY = (
    r"([0-9]{4}-(((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01]))|((0[469]|11)-(0[1-9]|[12][0-9]|30))|(02-(0[1-9]|1[0-9]|2[0-8])))"
    r"|([0-9][0-9](0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
)
DATE_TEXT = _DAY + r"([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z?)?"
"""A day, or a day and a time in UTC; without anchors. The year 0000 is no year."""
_NUMBER = re.compile(NUMBER_TEXT)
_DATE = re.compile(DATE_TEXT)
_WHOLE, _FINE = 1e15, 9e9


def number(value: Value) -> float | None:
    """`number(x)`: a text as JSON writes numbers, 1 and 0 for true and false."""
    if isinstance(value, str):
        return _parsed(value)
    return float(value) if isinstance(value, bool | int | float) else None


def _parsed(text: str) -> float | None:
    if len(text) > NUMBER_TEXT_LENGTH or not _NUMBER.fullmatch(text):
        return None
    found = float(text)
    if abs(found) > WIDEST:
        return None
    return found if abs(found) >= 1 / WIDEST else 0.0


def boolean(value: Value) -> bool | None:
    """`boolean(x)`: a text unless empty, a number unless zero."""
    return bool(value) if isinstance(value, str | bool | int | float) else None


def string(value: Value) -> str | None:
    """`string(x)`: whole numbers whole, others with six decimals at most; undefined from 1e15 on."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _written(float(value)) if isinstance(value, int | float) else None


def _written(value: float) -> str | None:
    if abs(value) >= _WHOLE:
        return None
    if value == math.floor(value):
        return str(int(value))
    if abs(value) >= _FINE:
        return str(math.floor(value + 0.5))
    whole, fine = divmod(math.floor(abs(value) * 1e6 + 0.5), 1_000_000)
    sign = "-" if value < 0 and (whole or fine) else ""
    return f"{sign}{whole}.{fine:06d}".rstrip("0").rstrip(".")


def epoch(value: Value) -> float | None:
    """`datetime(x)`: Unix seconds of `yyyy-mm-dd` or `yyyy-mm-ddThh:mm:ss` in UTC; a number is Unix seconds already."""
    if isinstance(value, str):
        if not _DATE.fullmatch(value) or value.startswith("0000"):
            return None
        return datetime.fromisoformat(value.removesuffix("Z")).replace(tzinfo=UTC).timestamp()
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def operand(value: Value) -> float | None:
    """A number as arithmetic takes it; undefined for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > LARGEST:
        return None
    return float(value) if abs(value) >= SMALLEST else 0.0


def floor(value: float | None) -> float | None:
    """The largest whole number up to it."""
    return None if value is None else float(math.floor(value))


def ceil(value: float | None) -> float | None:
    """The smallest whole number from it on."""
    return None if value is None else float(math.ceil(value))


def modulo(left: float | None, right: float | None) -> float | None:
    """The rest of a division, with the sign of the divisor; of operands as `operand` gives them."""
    if left is None or not right:
        return None
    return left - right * float(math.floor(left / right))


def equal(left: Value, right: Value) -> bool:
    """`==`: false unless both are texts, numbers or truth values alike; undefined, lists and objects equal nothing."""
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return float(left) == float(right)
    return isinstance(left, str) and isinstance(right, str) and left == right


SQL_FUNCTIONS: tuple[tuple[str, int, Callable[..., Value]], ...] = (
    ("where_operand", 1, operand),
    ("where_floor", 1, floor),
    ("where_ceil", 1, ceil),
    ("where_modulo", 2, modulo),
    ("where_number", 1, number),
    ("where_epoch", 1, epoch),
    ("where_string", 1, string),
)
"""What SQLite is taught, by name and number of arguments. PostgreSQL computes the same by itself."""
