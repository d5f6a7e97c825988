"""The one form in which a value is pseudonymised, so that spellings of one value get one pseudonym. Version 1.

By type, which the category names: addresses of people and names fold their case, because people write them either way;
phone numbers become E.164; everything else, account numbers above all, keeps its case, because there it tells people
apart. All are trimmed and in NFKC (UAX #15). A change of this form is a change of every pseudonym, so it needs a new
version of the pseudonym key.
"""

from __future__ import annotations

import unicodedata

import phonenumbers

_FOLDED = ("user.contact", "user.name", "user.demographic", "user.location", "user.social")
_PHONE = "user.contact.phone_number"


def canonical(category: str, text: str, region: str) -> str:
    """``text`` as a value of the fideslang key ``category``; ``region`` is that of national phone numbers."""
    plain = text.strip() if text.isascii() else unicodedata.normalize("NFKC", text).strip()
    if category == _PHONE:
        return _e164(plain, region) or plain.casefold()
    if not category.startswith(_FOLDED):
        return plain
    return plain.lower() if plain.isascii() else unicodedata.normalize("NFKC", plain.casefold())


def _e164(text: str, region: str) -> str | None:
    if len(text) > 40:
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
