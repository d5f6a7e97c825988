"""Stored rows as a reader sees them (wire sections 13 and 14). Pure, and the one place where uids become ids again.

Rows carry uids; `revealed` is what `app.identity.register.reveal` answered for them. A uid that is not in it, or is
hidden, is never shown: a row of such a person renders as None and the caller leaves it out.

    events = [open_event(row) for row in rows]
    revealed = register.reveal(tx, keys, uids_of(events))
    lines = [line for each in events if (line := event_line(each, revealed)) is not None]
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
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
_ONE = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.Encoder().encode
# How `app.ingest.append` writes a row: the uids first, without a space.
_BEGIN = re.compile(r'\{(?:"\$user_id":([0-9]{1,19})(?:,|(?=\})))?(?:"\$device_id":([0-9]{1,19})(?:,|(?=\})))?')
# What must not stand in the rest of such a row as it is: a name of ours or an id, in whatever spelling, or a line break.
_TELLING = ('"time"', '"distinct_id"', '"$distinct_id_before_identity"', '"$user_id"', '"$device_id"', "\\u", "\n", "\r")


class OpenEvent(msgspec.Struct, frozen=True, gc=False):
    """An event whose id properties are taken out: `user` and `device` are the uids that they hold, 0 for none; `rest` is
    the JSON text of what else it has, without the braces."""

    row: EventRow
    user: int
    device: int
    rest: str

    def __repr__(self) -> str:
        return f"OpenEvent(row={self.row!r}, user={self.user}, device={self.device})"


def open_event(row: EventRow) -> OpenEvent:
    """Take the ids out of the stored properties. Raises `msgspec.DecodeError` for text that is not a JSON object.

    A row as the gate writes it is cut and not taken apart, which costs a fifth; whatever else stands in a store goes the
    long way, to the same end.
    """
    text = row.properties
    begin = _BEGIN.match(text)
    if begin is not None and text[-1] == "}":
        rest = text[begin.end() : -1]
        # A loop and no generator: it runs for every event that anybody reads.
        for telling in _TELLING:
            if telling in rest:
                break
        else:
            _ONE.decode(text)
            user, device = begin.groups()
            return OpenEvent(row, _uid(user), _uid(device), rest)
    properties = _properties(text)
    user, device = (_uid(bytes(properties.pop(name, b"")).decode()) for name in _STORED_UIDS)
    kept = {name: value for name, value in properties.items() if name not in _OURS}
    return OpenEvent(row, user, device, _encode(kept).decode()[1:-1])


def uids_of(events: Iterable[OpenEvent]) -> set[int]:
    """Every uid that must be revealed to show these events."""
    found = {uid for event in events for uid in (event.row.uid, event.user, event.device)}
    found.discard(_NOBODY)
    return found


def event_view(event: OpenEvent, revealed: Mapping[int, Revealed], *, time_in_ms: bool = False) -> dict[str, Any] | None:
    """`{"event": …, "properties": {…}}` as `msgspec.json.encode` takes it, or None when nobody may see it.

    `time` is Unix time in whole seconds, or milliseconds. An event of uid 0 belongs to nobody: its `distinct_id` is "".
    """
    ours = _ours(event, revealed, time_in_ms)
    if ours is None:
        return None
    return {"event": event.row.name, "properties": {**ours, **_PROPERTIES.decode(f"{{{event.rest}}}")}}


def event_line(event: OpenEvent, revealed: Mapping[int, Revealed], *, time_in_ms: bool = False) -> bytes | None:
    """One line of an export, UTF-8 JSON without its newline, or None when nobody may see the event."""
    ours = _ours(event, revealed, time_in_ms)
    if ours is None:
        return None
    rest = b"," + event.rest.encode() if event.rest else b""
    return b'{"event":%b,"properties":%b%b}}' % (_encode(event.row.name), _encode(ours)[:-1], rest)


def _ours(event: OpenEvent, revealed: Mapping[int, Revealed], time_in_ms: bool) -> dict[str, Any] | None:
    """The properties that are written here and not by the sender, or None when nobody may see the event."""
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
    if event.user and (named := _shown(revealed, event.user)):
        properties["$user_id"] = named.identifier
    if event.device and (named := _shown(revealed, event.device)):
        properties["$device_id"] = named.identifier.removeprefix(DEVICE_PREFIX)
    return properties


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


def _uid(text: str | None) -> int:
    # Anything but a whole number is not a uid, so it is no id that the register vouches for: it is not shown.
    if not text:
        return _NOBODY
    uid = int(text) if len(text) < 20 and text.isascii() and text.isdigit() else _NOBODY
    return uid if uid < _UID_END else _NOBODY


def _last_seen(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
