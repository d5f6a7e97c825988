"""Who of the people behind some rows is in sight. Asked just before rows are shown, so that whoever is hidden by then is not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping

from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.events.port import EventStore
from app.identity import register
from app.identity.register import Revealed, Row
from app.keys.service import ProjectKeys

NOBODY = 0
"""The uid of what belongs to nobody."""


def in_sight(tx: Connection, store: EventStore, sight: Sight, uids: Collection[int]) -> dict[int, Row]:
    """The rows of those of these uids whose people this reader may see. `NOBODY` is never among them: see `shows_nobody`."""
    known = register.rows_of(tx, sight.project_id, {uid for uid in uids if uid != NOBODY})
    shown = {uid: row for uid, row in known.items() if not row.hidden}
    if sight.profiles is None:
        return shown
    wanted = {uid for found, row in shown.items() for uid in (found, row.person) if uid is not None}
    seen = {row.uid for row in store.read_profiles(tx, sight, sorted(wanted))}
    return {uid: row for uid, row in shown.items() if uid in seen or row.person in seen}


def shows_nobody(sight: Sight) -> bool:
    """Whether what belongs to nobody is in sight: a view of certain profiles leaves it out."""
    return sight.profiles is None


def revealed(
    tx: Connection,
    store: EventStore,
    keys: ProjectKeys,
    sight: Sight,
    uids: Collection[int],
    opened: MutableMapping[int, str] | None = None,
) -> Mapping[int, Revealed]:
    """The ids behind these uids, of people in sight only. `opened` are those that this read has met (`register.reveal`)."""
    found = {uid: each for uid, each in register.reveal(tx, keys, uids, opened).items() if not each.hidden}
    if sight.profiles is None:
        return found
    seen = in_sight(tx, store, sight, found.keys())
    return {uid: each for uid, each in found.items() if uid in seen}
