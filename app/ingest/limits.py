"""How much one request, one record and one value may hold. The figures are the ones Mixpanel publishes
(wire reference section 7), so that a client that is within them there is within them here.

Pure: no clock, no I/O. Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.events.profile_update import MOST_PROPERTIES

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


# Compared by identity: rules derived from limits are remembered, and hashing twenty fields for each event
# would cost more than the lookup saves.
@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Bounds of the ingestion endpoints. Every default is the published figure unless its line says
    otherwise."""

    body_bytes: int = 10_485_760
    """Longest body as it arrives, compressed or not."""
    inflated_bytes: int = 10_485_760
    """Longest body after gzip is undone; inflation stops one byte beyond."""
    form_fields: int = 64
    """Fields of one form or query. Ours: the widest real sender uses five."""
    records: int = 2_000
    """Events, profile updates or group updates in one request."""
    record_bytes: int = 1_048_576
    """One record as JSON text; a longer one is refused before it is decoded."""
    properties: int = 255
    """Properties of one event, without `token` and `time`."""
    profile_properties: int = MOST_PROPERTIES
    """Properties that one operation on a profile or group may name."""
    nested_keys: int = 255
    """Keys of one object inside a property."""
    array_items: int = 255
    """Elements of one list."""
    depth: int = 3
    """Lists and objects inside one another below a property; refused beyond this on strict import."""
    hard_depth: int = 20
    """The same for every other sender. Ours: the published 3 would lose whole events that clients send
    today."""
    string_bytes: int = 255
    """A longer string is cut to this many UTF-8 bytes on a code-point boundary (the sources say bytes in one
    place and characters in another: section 24, row 8)."""
    name_characters: int = 255
    """A longer event or property name is cut to this many code points."""
    identifier_bytes: int = 255
    """Longest id of a person, device or group. Longer is refused, not cut: a cut could make two people
    one."""
    event_value_bytes: int = 8_192
    """One list or object in an event, as JSON."""
    profile_value_bytes: int = 262_144
    """One list or object in a profile or group, as JSON."""
    track_past_ms: int = 5 * _DAY_MS
    """`/track` passes over an event older than this and answers success."""
    future_ms: int = _HOUR_MS
    """Up to here ahead of the server a time becomes the server's; beyond it the record is refused."""
    earliest_ms: int = 365 * _DAY_MS
    """1971-01-01T00:00:00Z, the first moment `/import` takes."""
