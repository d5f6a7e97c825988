"""The keys of people, for values under `encrypt`.

A value is encrypted under the key of the *person's* row: the row whose uid is what the rows of all their ids point at. So
a device and the user it belongs to have equal ciphertexts for equal values. Before a device is linked it is a person of
its own and its values are under its own key; linking leaves that row and its key in place. Only a verb (`linking`) moves a
row that others point at, and marks it: it led them. So the value of any row opens under its person's key, its own, or that
of a row that once led. All these rows are in the closure that an erasure entombs, which destroys every one of these keys,
and with them the values, wherever copies of them are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.identity.register import Row, chunks
from app.identity.tables import register
from app.keys.service import ProjectKeys
from policies.model import SubjectState

_CHUNK = 5_000
_COLUMNS = (register.c.uid, register.c.person, register.c.state, register.c.wrapped_key)


def secrets_of(tx: Connection, keys: ProjectKeys, uids: Iterable[int]) -> dict[int, tuple[bytes, ...]]:
    """For each uid the 32-byte keys its values may be under, its person's first. Hidden and erased people have none."""
    rows = _rows(tx, keys.project_id, register.c.uid, set(uids))
    heads = {row.person for row in rows.values()}
    everyone = rows | _rows(tx, keys.project_id, register.c.uid, heads - rows.keys())
    led = _rows(tx, keys.project_id, register.c.person, heads, register.c.led.is_(True)) if heads else {}
    former: dict[int, list[int]] = defaultdict(list)
    for uid, row in led.items():
        former[row.person].append(uid)
    everyone |= led
    # Each key is unwrapped once, however many ids of the person are asked for.
    held = {uid: keys.subject_secret(uid, row.wrapped_key) for uid, row in everyone.items() if row.wrapped_key}
    return {
        uid: tuple(held[each] for each in dict.fromkeys((row.person, uid, *former[row.person])) if each in held)
        for uid, row in rows.items()
        if not Row(uid, row.person, SubjectState(row.state)).hidden
    }


def _rows(tx: Connection, project_id: int, by: sa.Column[Any], ids: set[int], *more: sa.ColumnElement[bool]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for chunk in _chunks(sorted(ids)):
        wanted = sa.select(*_COLUMNS).where(register.c.project_id == project_id, by.in_(chunk), *more)
        found.update((row.uid, row) for row in tx.execute(wanted))
    return found


def _chunks(items: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def subject_key_rows(tx: Connection, project_id: int, uids: Collection[int]) -> dict[int, bytes]:
    """The wrapped keys of these ids; tombstones have none and are left out."""
    found: dict[int, bytes] = {}
    for chunk in chunks(list(uids)):
        rows = sa.select(register.c.uid, register.c.wrapped_key).where(
            register.c.project_id == project_id, register.c.uid.in_(chunk), register.c.wrapped_key.is_not(None)
        )
        found.update((uid, bytes(wrapped)) for uid, wrapped in tx.execute(rows))
    return found
