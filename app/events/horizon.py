"""What was received before a data deletion, and what after: told apart by the moment of arrival, exactly.

A deletion covers what was received up to its horizon; ingest gives everything later a later moment. Clocks of several
servers need not agree, nor move: a deletion is drawn some seconds ahead of the clock, under the exclusive fence, and a batch
that comes before those seconds are over is received just beyond it. In the caller's transaction; times are Unix milliseconds.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.events.tables import event_horizon

CLOCKS_DIFFER_MS = 5_000
"""How far the clocks of two servers may be apart without an event being taken for younger than a deletion that follows it."""

_OF = sa.select(event_horizon.c.received_ms).where(event_horizon.c.project_id == sa.bindparam("of_project"))


def draw(tx: Connection, project_id: int, now_ms: int) -> int:
    """Draw a new horizon, behind which is everything received until now. Under the exclusive fence."""
    last = tx.execute(_OF, {"of_project": project_id}).scalar()
    drawn = now_ms + CLOCKS_DIFFER_MS if last is None else max(now_ms + CLOCKS_DIFFER_MS, last + 1)
    insert: Any = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(event_horizon)
    statement = insert.values(project_id=project_id, received_ms=drawn)
    tx.execute(statement.on_conflict_do_update(index_elements=["project_id"], set_={"received_ms": drawn}))
    return drawn


def received(tx: Connection, project_id: int, now_ms: int) -> int:
    """The moment at which a batch is received that arrives now: beyond the horizon. Under the shared fence."""
    drawn = tx.execute(_OF, {"of_project": project_id}).scalar()
    return now_ms if drawn is None else max(now_ms, drawn + 1)
