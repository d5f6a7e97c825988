"""Which ids an event names, which of them is its subject, and which two of them it says are one person (wire section 10).

A device is written `$device:<id>`, so that a device and a user of the same spelling stay two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.access.modes import IdentityMode

DEVICE_PREFIX = "$device:"
VERBS: Mapping[IdentityMode, frozenset[str]] = {
    IdentityMode.SIMPLIFIED: frozenset(),
    IdentityMode.ORIGINAL: frozenset({"$identify", "$create_alias", "$merge"}),
    IdentityMode.LEGACY: frozenset({"$create_alias"}),
}
"""The events that say which ids are one person, by mode. A verb that the mode does not heed is passed over."""

# What a verb says stands in the register, sealed; in the event itself it would be an id in clear.
_VERB_PROPERTIES = frozenset({"$identified_id", "$anon_id", "$anon_distinct_id", "alias", "$distinct_ids"})


class ClaimKind(StrEnum):
    """By what an event says that two ids are one person."""

    DEVICE = "device"
    IDENTIFY = "identify"
    ALIAS = "alias"
    MERGE = "merge"
    LEGACY_ALIAS = "legacy_alias"


@dataclass(frozen=True, slots=True)
class Claim:
    """That `join` is one more id of the person of `keep`."""

    kind: ClaimKind
    keep: str = field(repr=False)
    join: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EventIds:
    """The ids of one event. `subject` is whose event it is, or None for an event that belongs to nobody.

    `stray` is a `distinct_id` that is neither the user nor the device: it is not kept, and yet it names somebody.
    """

    subject: str | None = field(repr=False)
    user: str | None = field(repr=False)
    device: str | None = field(repr=False)
    stray: str | None = field(default=None, repr=False)
    claim: Claim | None = None

    def all(self) -> tuple[str, ...]:
        """Every id that the register keeps, without repeats."""
        claimed = (self.claim.keep, self.claim.join) if self.claim else ()
        named = (self.subject, self.user, self.device, *claimed)
        return tuple(dict.fromkeys(each for each in named if each))

    def judged(self) -> tuple[str, ...]:
        """Every id named, kept or not: each of them can refuse the event."""
        return self.all() if self.stray is None else (*self.all(), self.stray)


def event_ids(properties: Mapping[str, Any], mode: IdentityMode = IdentityMode.SIMPLIFIED, name: str | None = None) -> EventIds:
    """The ids of an event called `name` in a project of this mode.

    Simplified: `$user_id` before `$device_id` before `distinct_id`, and both of the first two together are a claim.
    Otherwise `distinct_id` goes first, and only a verb claims anything.
    """
    user = text_id(properties.get("$user_id"))
    device = _device(text_id(properties.get("$device_id")))
    distinct = text_id(properties.get("distinct_id"))
    if mode is not IdentityMode.SIMPLIFIED:
        return _by_distinct_id(properties, mode, name, EventIds(distinct or user or device, user, device))
    if user is None and device is None and distinct is not None:
        if distinct.startswith(DEVICE_PREFIX):
            device = distinct
        else:
            user = distinct
    stray = None if distinct in (user, device) else distinct
    claim = Claim(ClaimKind.DEVICE, user, device) if user and device else None
    return EventIds(subject=user or device, user=user, device=device, stray=stray, claim=claim)


def _by_distinct_id(properties: Mapping[str, Any], mode: IdentityMode, name: str | None, ids: EventIds) -> EventIds:
    if name not in VERBS[mode]:
        return ids
    claim = _CLAIMS[name](properties, ids.subject)
    if claim is None:
        return ids
    if mode is IdentityMode.LEGACY:
        claim = Claim(ClaimKind.LEGACY_ALIAS, claim.keep, claim.join)
    stray = ids.subject if ids.subject not in (None, claim.keep, claim.join) else None
    return EventIds(claim.keep, ids.user, ids.device, stray, claim)


def _identify(properties: Mapping[str, Any], subject: str | None) -> Claim | None:
    # The documented names, and those that browsers send (wire section 24, row 18).
    identified = text_id(properties.get("$identified_id")) or subject
    anonymous = text_id(properties.get("$anon_id")) or text_id(properties.get("$anon_distinct_id"))
    return _claim(ClaimKind.IDENTIFY, identified, anonymous)


def _alias(properties: Mapping[str, Any], subject: str | None) -> Claim | None:
    return _claim(ClaimKind.ALIAS, subject, text_id(properties.get("alias")))


def _merge(properties: Mapping[str, Any], _subject: str | None) -> Claim | None:
    named = properties.get("$distinct_ids")
    ids = [text_id(each) for each in named] if isinstance(named, list) else []
    return _claim(ClaimKind.MERGE, *ids) if len(ids) == 2 else None


_CLAIMS = {"$identify": _identify, "$create_alias": _alias, "$merge": _merge}


def _claim(kind: ClaimKind, keep: str | None, join: str | None) -> Claim | None:
    return Claim(kind, keep, join) if keep and join and keep != join else None


def without_claim(properties: Mapping[str, Any], mode: IdentityMode, name: str) -> Mapping[str, Any]:
    """The properties of an event as the gate is to see them: of a verb, without what the register takes from it."""
    if name not in VERBS[mode]:
        return properties
    return {key: value for key, value in properties.items() if key not in _VERB_PROPERTIES}


def text_id(value: object) -> str | None:
    """An id as text: numbers are written out, empty and missing are None, anything else is not an id."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int) else None


def _device(value: str | None) -> str | None:
    return None if value is None else DEVICE_PREFIX + value.removeprefix(DEVICE_PREFIX)
