"""What an action leaves of one scalar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from policies.canonical import canonical
from policies.cipher import encrypted
from policies.context import CheckContext
from policies.generalise import generalised
from policies.model import (
    Action,
    ActionKind,
    Encrypt,
    Generalise,
    Hash,
    Mask,
    Quarantine,
    Record,
    Redact,
    Replace,
    Tokenise,
    Truncate,
)
from policies.pseudonym import in_period

CHANGING = (Hash, Mask, Truncate, Generalise, Replace, Redact, Quarantine, Encrypt, Tokenise)
Changing: TypeAlias = Hash | Mask | Truncate | Generalise | Replace | Redact | Quarantine | Encrypt | Tokenise
"""The actions that replace a value instead of removing or keeping it."""

FINAL: Final = frozenset(
    {
        ActionKind.HASH,
        ActionKind.GENERALISE,
        ActionKind.REPLACE,
        ActionKind.REDACT,
        ActionKind.QUARANTINE,
        ActionKind.ENCRYPT,
        ActionKind.TOKENISE,
    }
)
"""What these actions leave is a pseudonym, a token, a placeholder or a coarse value: there is nothing to detect in it."""

NO_KEY = "[encrypted]"
"""What stands for a value under ``encrypt`` or ``tokenise`` whose key the caller did not have."""

_DATE_OF_BIRTH = "user.demographic.date_of_birth"

# Yes and no say too little to be worth a pseudonym, and have no characters to keep.
_NOT_FOR_BOOLEANS = (Hash, Mask, Truncate, Generalise)


class Transformer:
    """The actions as they apply to one record. Notes what the caller must know besides the values."""

    __slots__ = ("_context", "_record", "_region", "bridges", "needs_key")

    def __init__(self, context: CheckContext, record: Record, region: str) -> None:
        """Take the keys, the record for its time and its person's key, and the region of phone numbers."""
        self._context = context
        self._record = record
        self._region = region
        self.bridges: list[tuple[str, str]] = []
        self.needs_key = False

    def changed(self, action: Changing, category: str, value: Any) -> Any:
        """What ``action`` leaves of a scalar of the fideslang key ``category``. Null says nothing and stays."""
        if value is None or (isinstance(value, bool) and isinstance(action, _NOT_FOR_BOOLEANS)):
            return value
        changed: Any
        match action:
            case Hash():
                purpose = in_period(action.purpose or category, action.period, self._record.time_ms)
                changed = self.pseudonym(purpose, written(value), category)
            case Mask():
                changed = _masked(written(value), action.keep_first, action.keep_last)
            case Truncate():
                text = written(value)
                changed = value if len(text) <= action.length else text[: action.length]
            case Generalise():
                born = category == _DATE_OF_BIRTH
                changed = generalised(action, value, self._record.time_ms, self._region, born)
                changed = placeholder(category) if changed is None else changed
            case Replace():
                changed = action.value
            case Redact() | Quarantine():
                changed = placeholder(category)
            case Encrypt():
                changed = self._encrypted(value)
            case Tokenise():
                changed = self._tokenised(action.purpose or category, value)
        return changed

    def piece(self, action: Changing, category: str, value: Any) -> Any:
        """The same of a scalar that is a piece of a value (``is_spread``): one that is as short as what the action would
        leave of the whole says something that the whole would not have said any more."""
        changed = self.changed(action, category, value)
        limit = _kept(action)
        if limit is None or value is None or isinstance(value, bool):
            return changed
        if len(written(value)) >= limit and (changed != value or isinstance(value, str)):
            return changed
        return placeholder(category)[:limit] if isinstance(action, Truncate) else placeholder(category)

    def pseudonym(self, purpose: str, text: str, category: str) -> str:
        """The pseudonym of ``text`` under the current key; what this or an older key made is returned as it is.

        An older pseudonym is never hashed again: that would be the pseudonym of a pseudonym, which joins with nothing.
        It stays, and whoever reads it is shown its newer form where a bridge is known. While older keys are within
        their bridge period, their pseudonyms of the same value are noted.
        """
        current = self._context.pseudonyms
        known = (current, *self._context.bridge, *self._context.older)
        if any(key.is_own(purpose, text) for key in known):
            return text
        found = current.pseudonym(purpose, canonical(category, text, self._region, current.form))
        for older in self._context.bridge:
            before = older.pseudonym(purpose, canonical(category, text, self._region, older.form))
            self.bridges.append((before, found))
        return found

    def _encrypted(self, value: Any) -> str:
        key = self._record.subject_key
        if key is None:
            self.needs_key = True
            return NO_KEY
        return NO_KEY if value == NO_KEY else encrypted(key, value)

    def _tokenised(self, purpose: str, value: Any) -> str:
        tokens = self._context.tokens
        return NO_KEY if tokens is None or value == NO_KEY else tokens.token(purpose, value)


def is_spread(action: Action, value: Any) -> bool:
    """Whether ``action`` keeps the begin of a value and ``value`` is a list or mapping that holds more than that, as in
    ``[1985, 4, 12]`` under ``truncate``: its parts are then taken for pieces of one value."""
    limit = _kept(action)
    if limit is None:
        return False
    stack, pieces, length = [value], 0, 0
    while stack and (pieces < 2 or length <= limit):
        one = stack.pop()
        if isinstance(one, Mapping):
            stack += one.values()
        elif isinstance(one, list | tuple):
            stack += one
        elif isinstance(one, str | int | float) and not isinstance(one, bool):
            pieces += 1
            length += len(written(one)) + (pieces > 1)
    return pieces > 1 and length > limit


def _kept(action: Action) -> int | None:
    """How many characters at the begin of a value the action keeps, if that is what it does."""
    if isinstance(action, Truncate):
        return action.length
    return action.postal if isinstance(action, Generalise) else None


def written(value: str | float) -> str:
    """A scalar as text: whole floats like integers, so that a change of type does not break a join."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        # Python refuses to write integers of more than 4,300 digits in decimal.
        return str(value) if value.bit_length() <= 8192 else hex(value)
    return str(value)


def placeholder(category: str) -> str:
    """The typed placeholder of a category: ``[email]`` for ``user.contact.email``."""
    return f"[{category.rpartition('.')[2]}]"


def _masked(text: str, first: int, last: int) -> str:
    if len(text) <= first + last:
        # Too short to hide anything behind the kept ends.
        return "*" * len(text)
    return text[:first] + "*" * (len(text) - first - last) + text[len(text) - last :]
