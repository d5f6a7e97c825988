"""The one form in which a value is pseudonymised, so that spellings of one value get one pseudonym.

By type, which the category names: addresses of people and names fold their case, because people write them either way;
phone numbers become E.164; everything else, account numbers above all, keeps its case, because there it tells people
apart. All are trimmed and in NFKC (UAX #15).

A change of this form is a change of every pseudonym. So the form has a number, and each pseudonym key keeps the one it
was made for: a release that brings another form leaves existing keys as they are, and the next rotation, with its
bridge, is what changes the pseudonyms.
"""

from __future__ import annotations

import unicodedata

import phonenumbers

FORM = 1
"""The newest form, which new pseudonym keys are made for."""
FORMS = frozenset({FORM})
"""Every form that this release can still write."""

_FOLDED = ("user.contact", "user.name", "user.demographic", "user.location", "user.social")
_PHONE = "user.contact.phone_number"


def canonical(category: str, text: str, region: str, form: int = FORM) -> str:
    """``text`` as a value of the fideslang key ``category``; ``region`` is that of national phone numbers.

    Raises ValueError for a form that this release cannot write.
    """
    if form not in FORMS:
        raise ValueError("an unknown canonical form")
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
