"""How a project tells which ids are one person, and whose days its dates mean."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from zoneinfo import available_timezones

from app.errors import InvalidInput


class IdentityMode(StrEnum):
    """The identity model of a project (wire section 10); `docs/identity.md` says what each one does."""

    SIMPLIFIED = "simplified"
    ORIGINAL = "original"
    LEGACY = "legacy"


def refuse_zone(name: str) -> None:
    """Raises `InvalidInput` unless `name` is a time zone of the IANA database."""
    if name not in _zones():
        remedy = "send a name of the IANA database, such as UTC or Europe/Berlin"
        raise InvalidInput("time_zone is not a time zone", field="time_zone", remedy=remedy)


@cache
def _zones() -> frozenset[str]:
    # Reading the folder takes a tenth of a second. Of the machine itself ("localtime") a project must not depend.
    return frozenset(available_timezones() - {"localtime", "Factory"})
