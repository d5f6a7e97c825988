"""A record that is in no store, such as one that waits in quarantine, as a principal sees it."""

from __future__ import annotations

import msgspec
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.events.port import EventRow, EventStore
from app.sight import people
from app.where.evaluate import Subject, matches
from app.where.tree import About, IdField
from policies.model import Scope


def record_in_sight(tx: Connection, store: EventStore, sight: Sight, row: EventRow, scope: Scope) -> str | None:
    """The JSON text of its properties without what is withheld, or None when it is out of sight.

    The reference evaluator says what a store would. Of an update only its person is asked about: it is no profile yet.
    """
    bits = -1
    if scope is Scope.EVENT:
        properties = msgspec.json.decode(row.properties)
        held = {name: properties.get(name.value) for name in (IdField.USER, IdField.DEVICE)}
        uids = {name: uid for name, uid in held.items() if isinstance(uid, int)} | {IdField.SUBJECT: row.uid}
        subject = Subject(properties, row.time_ms, row.name, uids, received_ms=row.received_ms)
        base = sight.demanded(About.EVENT)
        if base is not None and not matches(base, subject):
            return None
        if sight.windows:
            bits = sum(1 << n for n, each in enumerate(sight.windows) if each.events is None or matches(each.events, subject))
    bits &= people.windows_of(tx, store, sight, {row.uid}).get(row.uid, 0)
    return sight.shown(row.properties, scope, row.name, bits) if bits else None
