"""A held record as the principal who opens it may see it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.errors import NotFound
from app.events.port import EventRow, EventStore
from app.quarantine.holding import Held
from app.sight.desk import record_in_sight


def as_seen(tx: Connection, store: EventStore, sight: Sight, held: Held) -> Held:
    """The record without what is withheld. Raises `NotFound` for one that no data view of the principal shows."""
    text = msgspec.json.encode(held.properties).decode()
    row = EventRow(held.time_ms, held.dedup, held.uid, held.name, text, held.policy_version, held.received_ms)
    shown = record_in_sight(tx, store, sight, row, held.scope)
    if shown is None:
        raise unknown()
    return held if shown is text else replace(held, properties=msgspec.json.decode(shown))


def unknown() -> NotFound:
    """The same for what is not there and for what may not be seen."""
    return NotFound("no such held event", field="id", remedy="list them with GET /v1/quarantine")
