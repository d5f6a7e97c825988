"""Sessions of a profile query: what keeps its pages the same while they are read, in any order and in parallel.

A session remembers where each page ends, as `profile.seq`, and nobody's id. What it selects is bound to it by its own
name: half of the id is random, the other half a keyed digest over that and the ids asked for.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.errors import InvalidInput
from app.events.port import ProfileRow
from app.keys.service import ProjectKeys
from app.query.batches import batches
from app.query.tables import query_session

PAGE_SIZE = 1_000
LIFETIME_MS = 3_600_000
_NONCE = 32


@dataclass(frozen=True, slots=True)
class Session:
    """One query in pages. `total` profiles were visible when it was made; `bounds` is the last `seq` of each page."""

    id: str = field(repr=False)
    total: int
    bounds: tuple[int, ...]

    def page(self, number: int) -> tuple[int, int]:
        """The range (after, up to] of `seq` of a page, counted from 0. Raises `InvalidInput` outside of the session.

        The page after the last is empty and not an error, nor is page 0 of nothing: a reader who stops at the first
        short page asks for it whenever the last one is full.
        """
        if number > len(self.bounds):
            raise InvalidInput("request for page in uncached query for params", field="page", remedy=_ASK_AGAIN)
        after = self.bounds[number - 1] if number else 0
        return after, self.bounds[number] if number < len(self.bounds) else after


_ASK_AGAIN = "ask for page 0 and use the session_id and total of its answer, within the hour and with the same params"


def name_session(keys: ProjectKeys, ids: Collection[str] | None) -> str:
    """A fresh session id for a query of these ids, None for all."""
    nonce = secrets.token_hex(_NONCE // 2)
    return nonce + _seal(keys, nonce, ids)


def measure(rows: Iterable[ProfileRow], visible: Callable[[Sequence[int]], Collection[int]]) -> tuple[int, tuple[int, ...]]:
    """How many of `rows` (in order of `seq`) are visible, and where their pages end."""
    total, last, bounds = 0, 0, []
    for batch in batches(rows, PAGE_SIZE):
        shown = visible([row.uid for row in batch])
        for row in batch:
            if row.uid in shown:
                total, last = total + 1, row.seq
                if total % PAGE_SIZE == 0:
                    bounds.append(last)
    if total % PAGE_SIZE:
        bounds.append(last)
    return total, tuple(bounds)


def keep(tx: Connection, project_id: int, session: Session, now_ms: int) -> None:
    """Remember a session for an hour, and forget those whose hour is over."""
    tx.execute(sa.delete(query_session).where(query_session.c.expires_ms <= now_ms))
    tx.execute(
        sa.insert(query_session).values(
            project_id=project_id,
            id=session.id,
            expires_ms=now_ms + LIFETIME_MS,
            total=session.total,
            bounds=json.dumps(session.bounds),
        )
    )


def find(tx: Connection, keys: ProjectKeys, session_id: str | None, ids: Collection[str] | None, now_ms: int) -> Session:
    """A session of this project that lives and was made for these ids. Raises `InvalidInput`, always the same."""
    live = sa.select(query_session.c.total, query_session.c.bounds).where(
        query_session.c.project_id == keys.project_id,
        query_session.c.id == session_id,
        query_session.c.expires_ms > now_ms,
    )
    if session_id and _is_for(keys, session_id, ids) and (row := tx.execute(live).first()):
        return Session(session_id, row.total, tuple(json.loads(row.bounds)))
    raise InvalidInput("request for page in uncached query for params", field="session_id", remedy=_ASK_AGAIN)


def _is_for(keys: ProjectKeys, session_id: str, ids: Collection[str] | None) -> bool:
    nonce, sealed = session_id[:_NONCE], session_id[_NONCE:]
    return hmac.compare_digest(sealed.encode("utf-8", "replace"), _seal(keys, nonce, ids).encode())


def _seal(keys: ProjectKeys, nonce: str, ids: Collection[str] | None) -> str:
    asked = "all" if ids is None else json.dumps(sorted(ids))
    return keys.lookup_of(f"query session {nonce} {asked}").hex()
