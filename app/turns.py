"""Whose turn it is to work on a project: a row a project that says when it is due, and who has it until when.

Any number of processes may ask. Whoever has the turn renews it first of all in each transaction of a run, so that one who
was taken for dead can change nothing. All of it in the caller's transaction; times are Unix milliseconds.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.errors import PortcullisError

_FIRST_DELAY_MS, _LONGEST_DELAY_MS = 1_000, 600_000


def backoff_ms(attempts: int) -> int:
    """Until work that failed so many times is tried again: a second, doubled at each attempt up to ten minutes, less up to a
    half by chance. What failed together must not come back together."""
    longest: int = min(_FIRST_DELAY_MS << min(attempts, 20), _LONGEST_DELAY_MS)
    return longest - random.randrange(longest // 2)  # noqa: S311 - spreads load, hides nothing


class LostTurn(PortcullisError):
    """Another process took over, because this one gave no sign of life for too long. Nothing of the batch remains."""

    code = "turn_lost"


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to work on one project, until the lease runs out."""

    project_id: int
    holder: str


class Turns:
    """The turns that stand in one table, which has the columns of `app.database.turn_columns`."""

    def __init__(self, table: sa.Table) -> None:
        self._table = table
        self._c = table.c

    def due(self, tx: Connection, now_ms: int, *conditions: sa.ColumnElement[bool]) -> list[int]:
        """The projects whose turn has come and is nobody's, the one that waits longest first."""
        rows = sa.select(self._c.project_id).where(self._free(now_ms), *conditions)
        return list(tx.execute(rows.order_by(self._c.due_ms, self._c.project_id)).scalars())

    def claim(self, tx: Connection, project_id: int, now_ms: int, lease_ms: int) -> Turn | None:
        """Take the turn, or None when somebody else has it."""
        turn = Turn(project_id, secrets.token_hex(8))
        values = {"holder": turn.holder, "lease_until_ms": now_ms + lease_ms}
        mine = sa.and_(self._c.project_id == project_id, self._free(now_ms))
        return turn if tx.execute(sa.update(self._table).where(mine).values(values)).rowcount else None

    def renew(self, tx: Connection, turn: Turn, now_ms: int, lease_ms: int) -> None:
        """Hold the turn for longer. Raises `LostTurn` when somebody else took it."""
        if tx.execute(self._of(turn).values(lease_until_ms=now_ms + lease_ms)).rowcount != 1:
            raise LostTurn("another process took the turn over")

    def give_back(self, tx: Connection, turn: Turn, due_ms: int, **more: Any) -> None:
        """Let the turn go until `due_ms`; `more` goes into other columns of the row. Nothing happens to a lost one."""
        tx.execute(self._of(turn).values(lease_until_ms=0, holder="", due_ms=due_ms, **more))

    def _free(self, now_ms: int) -> sa.ColumnElement[bool]:
        return sa.and_(self._c.due_ms <= now_ms, self._c.lease_until_ms <= now_ms)

    def _of(self, turn: Turn) -> sa.Update:
        return sa.update(self._table).where(self._c.project_id == turn.project_id, self._c.holder == turn.holder)
