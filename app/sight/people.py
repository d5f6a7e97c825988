"""Who of the people behind some rows is in sight. Asked just before rows are shown, so that whoever is hidden by then is not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence

from msgspec.structs import replace
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.events.port import EventRow, EventStore
from app.identity import register
from app.identity.register import Revealed, Row
from app.keys.service import ProjectKeys
from policies.model import Scope

NOBODY = 0
"""The uid of what belongs to nobody."""


def in_sight(tx: Connection, store: EventStore, sight: Sight, uids: Collection[int]) -> dict[int, Row]:
    """The rows of those of these uids whose people this reader may see. `NOBODY` is never among them: see `shows_nobody`."""
    known = register.rows_of(tx, sight.project_id, {uid for uid in uids if uid != NOBODY})
    shown = {uid: row for uid, row in known.items() if not row.hidden}
    if sight.profiles is None and (not sight.windows or _open(sight)):
        return shown
    windows = _windows(tx, store, sight, shown)
    return {uid: row for uid, row in shown.items() if windows[uid]}


def _open(sight: Sight) -> int:
    """The windows that show whoever did a thing, by their bits; all of them when there are none."""
    if not sight.windows:
        return -1
    return sum(1 << n for n, window in enumerate(sight.windows) if window.profiles is None)


def _windows(tx: Connection, store: EventStore, sight: Sight, rows: Mapping[int, Row]) -> dict[int, int]:
    """Through which windows each of these people is seen, by bits. The profile may be the person's or the id's own."""
    wanted = {uid for found, row in rows.items() for uid in (found, row.person) if uid is not None}
    seen = {row.uid: row.windows for row in store.read_profiles(tx, sight, sorted(wanted))}
    found: dict[int, int] = {}
    for uid, row in rows.items():
        mine = [seen[each] for each in (uid, row.person) if each in seen]
        found[uid] = 0 if sight.profiles is not None and not mine else _open(sight)
        for bits in mine:
            found[uid] |= bits
    return found


def windows_of(tx: Connection, store: EventStore, sight: Sight, uids: Collection[int]) -> dict[int, int]:
    """Through which windows each of these people, and `NOBODY`, is seen, by bits: 0 is not at all, -1 where none narrows."""
    known = register.rows_of(tx, sight.project_id, {uid for uid in uids if uid != NOBODY})
    nobody = _open(sight) if sight.profiles is None else 0
    if sight.profiles is None and all(window.profiles is None for window in sight.windows):
        return {NOBODY: nobody, **dict.fromkeys(known, _open(sight))}
    return {NOBODY: nobody, **_windows(tx, store, sight, known)}


def through(tx: Connection, store: EventStore, sight: Sight, rows: Sequence[EventRow]) -> list[EventRow]:
    """These events as far as a window shows both them and their people, without what it withholds.

    A store knows of an event and not of whose it is: only here is it known that the one window which shows the event is not
    the one which shows the person.
    """
    if all(window.profiles is None for window in sight.windows):
        return list(rows)
    windows = windows_of(tx, store, sight, {row.uid for row in rows})
    found: list[EventRow] = []
    for row in rows:
        bits = row.windows & windows.get(row.uid, 0)
        if bits == row.windows:
            found.append(row)
        elif bits:
            found.append(replace(row, windows=bits, properties=sight.narrowed(row.properties, Scope.EVENT, bits)))
    return found


def shows_nobody(sight: Sight) -> bool:
    """Whether what belongs to nobody is in sight: a view of certain profiles leaves it out."""
    return sight.profiles is None and bool(_open(sight))


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
    if sight.profiles is None and _open(sight):
        return found
    seen = in_sight(tx, store, sight, found.keys())
    return {uid: each for uid, each in found.items() if uid in seen}
