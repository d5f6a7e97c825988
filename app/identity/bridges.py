"""Bridges over a rotation of the pseudonym key: which older pseudonym stands for which newer one, and whose value it is.

A pair is noted when a value passes the gate within the bridge period, because only then both pseudonyms of it are known.
It belongs to the person whose record carried the value and is erased with them. Readers are shown the newer pseudonym
wherever an older one with a bridge is stored, whoever's record it stands in: a pseudonym says which value, not whose. A
value that nobody sent within the period has no bridge and keeps its older pseudonym.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.identity.tables import pseudonym_bridge
from app.keys.service import ProjectKeys
from policies.pseudonym import PSEUDONYM_CODE

MOST_PER_PERSON = 1_000
"""How many pairs one person can have a rotation: someone who sends ever new values must not fill the table."""
_CHUNK = 5_000
_MOST_ROTATIONS = 32


def keep(tx: Connection, keys: ProjectKeys, pairs: Mapping[int, Iterable[tuple[str, str]]], now_ms: int) -> int:
    """Note pairs (older, newer) by the uid of their person. Known ones are left alone, and so are those over the bound.

    Returns how many were left out because their person has too many.
    """
    by_uid = {uid: dict(found) for uid, found in pairs.items() if found}
    if not by_uid:
        return 0
    taken = _counts(tx, keys, sorted(by_uid))
    rows: list[dict[str, Any]] = []
    left_out = 0
    for uid, found in sorted(by_uid.items()):
        room = max(MOST_PER_PERSON - taken.get(uid, 0), 0)
        chosen = sorted(found.items())[:room]
        left_out += len(found) - len(chosen)
        row = {"project_id": keys.project_id, "uid": uid, "created_ms": now_ms}
        rows += [{**row, "older": older, "newer": newer} for older, newer in chosen]
    if rows:
        insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
        tx.execute(insert(pseudonym_bridge).on_conflict_do_nothing(), rows)
    return left_out


def newest_forms(tx: Connection, keys: ProjectKeys, texts: Iterable[str]) -> dict[str, str]:
    """For each older pseudonym in these texts that has a bridge, the newest one. Costs nothing before the first rotation."""
    if not keys.has_older_pseudonyms:
        return {}
    current = f"p{keys.pseudonym.version}."
    found: dict[str, str] = {}
    wanted = {code for text in texts for code in PSEUDONYM_CODE.findall(text) if not code.startswith(current)}
    # One rotation a round: what was bridged twice leads from the first key over the second to the third.
    for _ in range(_MOST_ROTATIONS):
        if not wanted:
            break
        step = dict(_steps(tx, keys.project_id, sorted(wanted)))
        found |= step
        wanted = {newer for newer in step.values() if not newer.startswith(current)} - found.keys()
    return {older: _last(found, older) for older in found}


def with_newest(text: str, forms: Mapping[str, str]) -> str:
    """The text with older pseudonyms in their newest forms. Pure."""
    return PSEUDONYM_CODE.sub(lambda match: forms.get(match[0], match[0]), text) if forms else text


def _counts(tx: Connection, keys: ProjectKeys, uids: list[int]) -> dict[int, int]:
    """How many pairs of the rotation under way these people have."""
    found: dict[int, int] = {}
    for chunk in _chunks(uids):
        mine = sa.and_(
            pseudonym_bridge.c.project_id == keys.project_id,
            pseudonym_bridge.c.uid.in_(chunk),
            pseudonym_bridge.c.newer.startswith(f"p{keys.pseudonym.version}."),
        )
        columns = (pseudonym_bridge.c.uid, sa.func.count())
        found.update((uid, n) for uid, n in tx.execute(sa.select(*columns).where(mine).group_by(pseudonym_bridge.c.uid)))
    return found


def _steps(tx: Connection, project_id: int, older: list[str]) -> Iterator[tuple[str, str]]:
    for chunk in _chunks(older):
        pairs = sa.select(pseudonym_bridge.c.older, pseudonym_bridge.c.newer).where(
            pseudonym_bridge.c.project_id == project_id, pseudonym_bridge.c.older.in_(chunk)
        )
        yield from ((row.older, row.newer) for row in tx.execute(pairs.distinct()))


def _last(found: Mapping[str, str], older: str) -> str:
    for _ in range(_MOST_ROTATIONS):
        if older not in found:
            break
        older = found[older]
    return older


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
