"""Stored rows as a reader sees them (wire sections 13 and 14). Pure, and the one place where uids become ids again.

Rows carry uids; `revealed` is what `app.identity.register.reveal` answered for them. A uid that is not in it, or is
hidden, is never shown: a row of such a person renders as None and the caller leaves it out.

    events = [open_event(row) for row in rows]
    revealed = register.reveal(tx, keys, uids_of(events))
    lines = [line for each in events if (line := event_line(each, revealed)) is not None]
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.events.port import EventRow, ProfileRow
from app.identity.derive import DEVICE_PREFIX
from app.identity.groups import named_group
from app.identity.register import Revealed

_NOBODY = 0
_UID_END = 1 << 63
_STORED_UIDS = ("$user_id", "$device_id")
_BEFORE_IDENTITY = "$distinct_id_before_identity"
# Written here and nowhere else: a property of that name in the store is what some other server wrote.
_OURS = frozenset({"time", "distinct_id", _BEFORE_IDENTITY})
# Values stay the bytes that they are in the store: faster than decoding them, and no number changes its form.
_PROPERTIES = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event with its properties apart, and the uids that its id properties hold."""

    row: EventRow
    properties: Mapping[str, Any] = field(repr=False)
    id_uids: Mapping[str, int]


def open_event(row: EventRow) -> OpenEvent:
    """Take the stored properties apart. Raises `msgspec.DecodeError` for text that is not a JSON object."""
    properties = _properties(row.properties)
    ids = {name: _stored_uid(properties.pop(name)) for name in _STORED_UIDS if name in properties}
    return OpenEvent(row, properties, {name: uid for name, uid in ids.items() if uid != _NOBODY})


def uids_of(events: Iterable[OpenEvent]) -> set[int]:
    """Every uid that must be revealed to show these events."""
    found: set[int] = set()
    for event in events:
        found.add(event.row.uid)
        found.update(event.id_uids.values())
    found.discard(_NOBODY)
    return found


def event_view(event: OpenEvent, revealed: Mapping[int, Revealed], *, time_in_ms: bool = False) -> dict[str, Any] | None:
    """`{"event": …, "properties": {…}}` as `msgspec.json.encode` takes it, or None when nobody may see it.

    `time` is Unix time in whole seconds, or milliseconds. An event of uid 0 belongs to nobody: its `distinct_id` is "".
    """
    row = event.row
    subject = _shown(revealed, row.uid)
    if subject is None and row.uid != _NOBODY:
        return None
    properties: dict[str, Any] = {
        "time": row.time_ms if time_in_ms else row.time_ms // 1000,
        "distinct_id": subject.canonical if subject else "",
    }
    if subject and subject.identifier != subject.canonical:
        properties[_BEFORE_IDENTITY] = subject.identifier
    for name, uid in event.id_uids.items():
        if named := _shown(revealed, uid):
            properties[name] = named.identifier.removeprefix(DEVICE_PREFIX) if name == "$device_id" else named.identifier
    properties.update((name, value) for name, value in event.properties.items() if name not in _OURS)
    return {"event": row.name, "properties": properties}


def event_line(event: OpenEvent, revealed: Mapping[int, Revealed], *, time_in_ms: bool = False) -> bytes | None:
    """One line of an export, UTF-8 JSON without its newline, or None when nobody may see the event."""
    view = event_view(event, revealed, time_in_ms=time_in_ms)
    return None if view is None else msgspec.json.encode(view)


def profile_view(row: ProfileRow, revealed: Mapping[int, Revealed], only: Collection[str] | None = None) -> dict[str, Any] | None:
    """`{"$distinct_id": …, "$properties": {…}}` as `msgspec.json.encode` takes it, or None when nobody may see it.

    `only` names the properties to show; None shows all. The id is the one that the profile is kept under: for a person
    that is the canonical id, and for a device written to on its own (`$ignore_alias`) it is the device, so that a
    deletion which follows from this answer meets the same profile.
    """
    subject = _shown(revealed, row.uid)
    if subject is None:
        return None
    properties: dict[str, Any] = _properties(row.properties)
    if row.last_seen_ms is not None:
        properties["$last_seen"] = _last_seen(row.last_seen_ms)
    if only is not None:
        properties = {name: value for name, value in properties.items() if name in only}
    group = named_group(subject.identifier) if row.group_key else None
    return {"$distinct_id": group.id if group else subject.identifier, "$properties": properties}


def _shown(revealed: Mapping[int, Revealed], uid: int) -> Revealed | None:
    found = revealed.get(uid)
    return None if found is None or found.hidden else found


def _properties(text: str) -> dict[str, Any]:
    # JSON allows a line break between tokens only, where a space means the same; in a line of an export it would not.
    return dict(_PROPERTIES.decode(text.replace("\n", " ").replace("\r", " ")))


def _stored_uid(value: msgspec.Raw) -> int:
    # Anything but a whole number is not a uid, so it is no id that the register vouches for: it is not shown.
    text = bytes(value)
    uid = int(text) if text.isdigit() and len(text) < 20 else _NOBODY
    return uid if uid < _UID_END else _NOBODY


def _last_seen(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
