"""Which names and texts may stand in the dictionary: none that hold personal data, because they are kept and shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from app.errors import InvalidInput
from app.lexicon.model import Change, Key, Kind
from policies.classify import HOUSEKEEPING, IDENTITY_EVENTS
from policies.detect import Scanner
from policies.model import Detector, DetectorTerms

UNNAMED = "<key>"
"""Stands for every name that cannot have an entry."""
LONGEST_NAME = 255
_LONGEST_TEXT = 5_000
_MOST_WORDS = 100


def nameable(name: str) -> bool:
    """Whether a name can have an entry: short, printable, and nothing personal in it."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and name != UNNAMED and not _scanner().find(name)


def checked_key(key: Key) -> Key:
    """The key. Raises `InvalidInput` for a name that cannot have an entry."""
    if not nameable(key.name):
        raise InvalidInput(
            f"a name has 1 to {LONGEST_NAME} printable characters and holds no personal data",
            field="name",
            remedy="give the event or property another name where it is sent",
        )
    if key.event and (key.kind is not Kind.EVENT_PROPERTY or not nameable(key.event)):
        raise InvalidInput("only an event property stands within an event", field="event", remedy="leave it out")
    if key.kind is Kind.PROFILE and key.name != "$user":
        raise InvalidInput("the one profile entity is $user", field="name", remedy="use $user")
    return key


def protected(key: Key) -> bool:
    """Whether ingest itself needs the name, so that it can be neither blocked nor merged."""
    return key.kind is Kind.PROFILE or key.name in (IDENTITY_EVENTS if key.kind is Kind.EVENT else HOUSEKEEPING)


def checked_change(change: Change) -> Change:
    """The change. Raises `InvalidInput` naming the field whose text is too long or holds personal data."""
    for name, value in change.given().items():
        if isinstance(value, str) and name in ("display_name", "description"):
            _text(name, value, LONGEST_NAME if name == "display_name" else _LONGEST_TEXT)
        elif name in ("tags", "teams", "owners"):
            _words(name, value)
    return change


def _words(name: str, values: Sequence[str]) -> None:
    if len(values) > _MOST_WORDS or len(set(values)) != len(values):
        raise InvalidInput(f"{name} has at most {_MOST_WORDS} words, each once", field=name, remedy="send fewer")
    for each in values:
        if name != "owners":
            _text(name, each, LONGEST_NAME)
        elif not (3 <= len(each) <= LONGEST_NAME and each.isprintable() and "@" in each):
            raise InvalidInput("an owner is a mail address", field=name, remedy="send addresses; name teams under `teams`")


def _text(field: str, text: str, longest: int) -> None:
    if not 0 < len(text) <= longest:
        raise InvalidInput(f"{field} has 1 to {longest} characters", field=field, remedy="send a shorter text, or null")
    if "\x00" in text or _scanner().find(text):
        raise InvalidInput(
            f"{field} holds what looks like personal data, and the dictionary is shown to everybody",
            field=field,
            remedy="describe the property without an example of it",
        )


def personal(text: str) -> bool:
    """Whether a detector finds anything in a text."""
    return bool(_scanner().find(text))


@cache
def _scanner() -> Scanner:
    return Scanner({detector: DetectorTerms() for detector in Detector}, "US")
