"""Held records as the principal who opens them may see them, and where a page of them begins."""

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


def after(cursor: str | None) -> tuple[int, str] | None:
    """The arrival and id that a cursor stands for. Raises `NotFound` for one that we did not make."""
    if cursor is None:
        return None
    received, _, held_id = cursor.partition(".")
    if not (received.isascii() and received.isdigit() and len(received) < 19 and held_id):
        raise NotFound("no such page", field="cursor", remedy="send the cursor of the page before, or none")
    return int(received), held_id
