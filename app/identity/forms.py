"""Spellings of one id. Two ids of one form are two ids in every read, and one person wherever somebody decides.

The form is the policy's canonical form (`policies.canonical`), by what the id is: an e-mail address folds its case, an
international phone number becomes E.164, and everything else, account numbers above all, keeps its case, because there it
tells people apart. All are trimmed and in NFKC. A device stays a device. A group id that is somebody's address has the form
of the address: erasing the person reaches it.
"""

from __future__ import annotations

import re

from app.identity.derive import DEVICE_PREFIX
from app.identity.groups import named_group
from policies.canonical import canonical

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PLAIN = "user.unique_id"
_PHONE = re.compile(r"[+\uff0b][\d\s()./\u2010-\u2015-]{7,30}")
NO_REGION = "ZZ"
"""The digits after a plus say the country; for a number without one no country is guessed."""


def form_of(identifier: str) -> str:
    """The form that every spelling of this id shares. Pure; never raises."""
    prefix, bare = "", identifier
    if (group := named_group(identifier)) is not None:
        if category_of(group.id) == _PLAIN:
            return identifier
        bare = group.id
    elif identifier.startswith(DEVICE_PREFIX):
        prefix, bare = DEVICE_PREFIX, identifier[len(DEVICE_PREFIX) :]
    return prefix + canonical(_PLAIN if prefix else category_of(bare), bare, NO_REGION)


def category_of(identifier: str) -> str:
    """What an id is to the policy's canonical form: a fideslang key."""
    bare = identifier.strip()
    if _EMAIL.fullmatch(bare):
        return "user.contact.email"
    return "user.contact.phone_number" if _PHONE.fullmatch(bare) else _PLAIN
