"""Data deletions as work: whose turn it is, which one comes next, and how far it got. All in the caller's transaction.

One process at a time carries out the deletions of a project, one after the other. It renews the turn first of all in each
transaction of its own, so that one who was taken for dead can change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.deletions.model import PENDING, Deletion, State, Step
from app.deletions.pending import as_deletion
from app.deletions.tables import data_deletion, deletion_turn
from app.turns import Turns

TURNS = Turns(deletion_turn)
"""The right to carry out the deletions of a project."""

_FIRST_WAIT_MS, _LONGEST_WAIT_MS = 2_000, 600_000
_IS_PENDING = data_deletion.c.state.in_([each.value for each in PENDING])


def due(tx: Connection, now_ms: int) -> list[int]:
    """The projects that have something to carry out and whose turn is nobody's."""
    of_project = data_deletion.c.project_id == deletion_turn.c.project_id
    return TURNS.due(tx, now_ms, sa.exists().where(of_project, _IS_PENDING, data_deletion.c.due_ms <= now_ms))


def next_of(tx: Connection, project_id: int, now_ms: int) -> Deletion | None:
    """The deletion to carry out now, or None.

    A property goes only after events that an earlier deletion hides by a condition: it may be what the condition asks for,
    and without it they would show again.
    """
    mine = sa.select(data_deletion).where(data_deletion.c.project_id == project_id, _IS_PENDING)
    conditional = False
    for row in tx.execute(mine.order_by(data_deletion.c.number)).all():
        found = as_deletion(row)
        if found.due_ms <= now_ms and (found.extent.whole or not conditional):
            return found
        conditional = conditional or found.extent.where is not None
    return None


def look(tx: Connection, deletion_id: str) -> Deletion:
    """The deletion as this transaction sees it."""
    return as_deletion(tx.execute(sa.select(data_deletion).where(data_deletion.c.id == deletion_id)).one())


def begin(tx: Connection, deletion_id: str) -> bool:
    """From now on it cannot be undone. False when it was undone, True when it goes on, however often."""
    values = {"state": State.ERASING.value}
    return tx.execute(sa.update(data_deletion).where(data_deletion.c.id == deletion_id, _IS_PENDING).values(values)).rowcount == 1


def progress(tx: Connection, deletion_id: str, place: str, mark: int, removed: int) -> None:
    """How far the work in one place got, and how many records it removed since the last time."""
    found = look(tx, deletion_id)
    name = f"deleted.{place}"
    counts = {**found.counts, name: found.counts.get(name, 0) + removed}
    _set(
        tx,
        deletion_id,
        marks={**found.marks, place: mark},
        counts=counts,
        removed=data_deletion.c.removed + removed,
        failures=0,
        error_code=None,
    )


def advance(tx: Connection, deletion_id: str, step: Step, counts: Mapping[str, int] | None = None, **values: Any) -> None:
    """Record that the work up to `step` is done, in the transaction of its effect. Marks begin anew."""
    found = look(tx, deletion_id)
    merged = {**found.counts, **(counts or {})}
    _set(tx, deletion_id, step=step.value, marks={}, counts=merged, failures=0, error_code=None, **values)


def finish(tx: Connection, deletion_id: str, certificate: str, now_ms: int) -> None:
    """It is done."""
    advance(tx, deletion_id, Step.FINISHED, certificate=certificate, state=State.DONE.value, finished_ms=now_ms)


def fail(tx: Connection, deletion_id: str, error_code: str, now_ms: int) -> None:
    """It will be tried again: after 2 s, then twice as long each time, 10 min at most. What it covers stays hidden."""
    failures = look(tx, deletion_id).failures + 1
    wait_ms = min(_FIRST_WAIT_MS << min(failures - 1, 20), _LONGEST_WAIT_MS)
    _set(tx, deletion_id, failures=failures, error_code=error_code, due_ms=now_ms + wait_ms)


def _set(tx: Connection, deletion_id: str, **values: Any) -> None:
    for name in ("marks", "counts"):
        if name in values:
            values[name] = json.dumps(values[name], sort_keys=True)
    tx.execute(sa.update(data_deletion).where(data_deletion.c.id == deletion_id).values(**values))
