"""Which ids an event names, and which of them is its subject (wire section 10, simplified identity).

A device is written `$device:<id>`, so that a device and a user of the same spelling stay two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEVICE_PREFIX = "$device:"
GROUP_PREFIX = "$group:"
ID_PROPERTIES = ("distinct_id", "$user_id", "$device_id")


@dataclass(frozen=True, slots=True)
class EventIds:
    """The ids of one event. `subject` is whose event it is, or None for an event that belongs to nobody.

    `stray` is a `distinct_id` that is neither the user nor the device: it is not kept, and yet it names somebody.
    """

    subject: str | None = field(repr=False)
    user: str | None = field(repr=False)
    device: str | None = field(repr=False)
    stray: str | None = field(default=None, repr=False)

    def all(self) -> tuple[str, ...]:
        """Every id that the register keeps, without repeats."""
        named = (self.subject, self.user, self.device)
        return tuple(dict.fromkeys(each for each in named if each))

    def judged(self) -> tuple[str, ...]:
        """Every id named, kept or not: each of them can refuse the event."""
        return self.all() if self.stray is None else (*self.all(), self.stray)


def event_ids(properties: Mapping[str, Any]) -> EventIds:
    """The ids of an event: `$user_id` before `$device_id` before `distinct_id`."""
    user = text_id(properties.get("$user_id"))
    device = _device(text_id(properties.get("$device_id")))
    distinct = text_id(properties.get("distinct_id"))
    if user is None and device is None and distinct is not None:
        if distinct.startswith(DEVICE_PREFIX):
            device = distinct
        else:
            user = distinct
    stray = None if distinct in (user, device) else distinct
    return EventIds(subject=user or device, user=user, device=device, stray=stray)


def group_identifier(group_key: str, group_id: str) -> str:
    """How the register spells a group: `$group:<key>:<id>`, a colon or a percent sign of the key escaped.

    So a group is opted out, erased and retrieved like a person, under this spelling.
    """
    return f"{GROUP_PREFIX}{_escaped(group_key)}:{group_id}"


def group_id_of(group_key: str, identifier: str) -> str:
    """The id of a group of this key, from what the register calls it."""
    return identifier.removeprefix(f"{GROUP_PREFIX}{_escaped(group_key)}:")


def _escaped(group_key: str) -> str:
    return group_key.replace("%", "%25").replace(":", "%3A")


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
