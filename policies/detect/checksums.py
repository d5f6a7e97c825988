"""Check digits that several kinds of numbers share. All take ASCII digits, check digit included."""

from __future__ import annotations

from collections.abc import Sequence

# The code of a digit to that of the sum of the digits of its double.
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
# Letters to the numbers that stand for them in MOD 97-10: A is 10.
_NUMBERS = {code: str(code - 55) for code in range(65, 91)}
# Verhoeff (1969): the dihedral group of order ten, and the permutation of its eight turns.
_PRODUCT = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_TURNS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def luhn(digits: str) -> bool:
    """The Luhn check (ISO/IEC 7812-1, annex B). All zeros pass it."""
    codes = digits.encode()
    return (sum(codes[-1::-2]) + sum(codes[-2::-2].translate(_DOUBLED)) - 48 * len(codes)) % 10 == 0


def verhoeff(digits: str) -> bool:
    """The Verhoeff check, which catches every swap of neighbours."""
    state = 0
    for place, char in enumerate(reversed(digits)):
        state = _PRODUCT[state][_TURNS[place % 8][ord(char) - 48]]
    return state == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of the digits, each times its weight."""
    return sum((ord(char) - 48) * weight for char, weight in zip(digits, weights, strict=False))


def mod_11_10(digits: str) -> bool:
    """ISO/IEC 7064, MOD 11,10."""
    product = 10
    for char in digits[:-1]:
        product = ((product + ord(char) - 48) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == ord(digits[-1]) - 48


def mod_97(text: str) -> bool:
    """ISO/IEC 7064, MOD 97-10, as ISO 13616 applies it to an IBAN: letters and digits in capitals."""
    return int((text[4:] + text[:4]).translate(_NUMBERS)) % 97 == 1


def is_day(year: int, month: int, day: int) -> bool:
    """Whether the calendar has such a day; year 0 stands for a year without its century."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return False
    if month == 2:
        return day <= (29 if year % 4 == 0 else 28)
    return day <= (30 if month in {4, 6, 9, 11} else 31)
