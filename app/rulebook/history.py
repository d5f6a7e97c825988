"""What was put in force, one row an act. The rows form a stack: an activation is put on top, a rollback takes the top off."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.rulebook.tables import policy_activation as rows


class Act(StrEnum):
    """How a version came to be in force."""

    ACTIVATED = "activated"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Activation:
    """One act. `actor` is the id of a principal; `reason` is there when it was forced or given."""

    seq: int
    version: int
    act: Act
    actor: str
    reason: str | None
    at_ms: int
    below: int | None


def note(tx: Connection, project_id: int, version: int, act: Act, actor: str, reason: str | None, at_ms: int) -> None:
    """Add a row. The caller holds the project's row, so that no two rows get one number."""
    top = newest(tx, project_id)
    below = top.seq if top else None
    if act is Act.ROLLED_BACK:
        beneath = _at(tx, project_id, top.below) if top else None
        below = beneath.below if beneath else None
    values = {"version": version, "below": below, "act": act.value, "actor": actor, "reason": reason, "at_ms": at_ms}
    tx.execute(sa.insert(rows).values(project_id=project_id, seq=top.seq + 1 if top else 1, **values))


def newest(tx: Connection, project_id: int) -> Activation | None:
    """The act by which the active version is in force."""
    found = recent(tx, project_id, 1)
    return found[0] if found else None


def below(tx: Connection, project_id: int) -> Activation | None:
    """The act whose version a rollback puts in force, or None when there is nothing to go back to."""
    top = newest(tx, project_id)
    return _at(tx, project_id, top.below) if top else None


def recent(tx: Connection, project_id: int, limit: int) -> list[Activation]:
    """The last acts, newest first."""
    found = sa.select(rows).where(rows.c.project_id == project_id).order_by(rows.c.seq.desc()).limit(limit)
    return [_activation(row) for row in tx.execute(found)]


def _at(tx: Connection, project_id: int, seq: int | None) -> Activation | None:
    if seq is None:
        return None
    row = tx.execute(sa.select(rows).where(rows.c.project_id == project_id, rows.c.seq == seq)).first()
    return _activation(row) if row else None


def _activation(row: sa.Row[Any]) -> Activation:
    return Activation(row.seq, row.version, Act(row.act), row.actor, row.reason, row.at_ms, row.below)
