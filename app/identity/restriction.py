"""Restriction of processing (GDPR article 18) in the register: a restricted person is kept, and neither read nor processed.

A restricted row remembers the state that it had, and whoever opts out meanwhile is opted out when the restriction ends.
All of it in the caller's transaction, under the caller's exclusive fence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.identity.register import LEAVING, chunks, gravest
from app.identity.tables import register
from policies.model import SubjectState

_RESTRICTED = SubjectState.RESTRICTED.value


def restrict(tx: Connection, project_id: int, uids: Sequence[int]) -> int:
    """Restrict these ids; returns how many were not restricted before. Nobody who is being erased is changed."""
    free = [each.value for each in SubjectState if each is not SubjectState.RESTRICTED and each not in LEAVING]
    changed = 0
    for chunk in chunks(sorted(uids)):
        rows = sa.and_(_of(project_id, chunk), register.c.state.in_(free))
        change = sa.update(register).where(rows).values(restricted_from=register.c.state, state=_RESTRICTED)
        changed += tx.execute(change).rowcount
    return changed


def opt_out_later(tx: Connection, project_id: int, uids: Collection[int]) -> None:
    """Whoever of these is restricted will be opted out when that ends."""
    for chunk in chunks(sorted(uids)):
        rows = sa.and_(_of(project_id, chunk), register.c.state == _RESTRICTED)
        tx.execute(sa.update(register).where(rows).values(restricted_from=SubjectState.OPTED_OUT.value))


def lift(tx: Connection, project_id: int, uids: Collection[int]) -> int:
    """End the restriction of these ids; returns how many were restricted.

    An id that was linked to a restricted person meanwhile takes the gravest state that one of the person's ids had. A row
    that an erasure hides, and that would be restricted again if it were cancelled, would then be what it was before.
    """
    lifted = 0
    for chunk in chunks(sorted(uids)):
        lifted += _lift_some(tx, project_id, chunk)
        hidden = sa.and_(_of(project_id, chunk), register.c.state != _RESTRICTED, register.c.prior_state == _RESTRICTED)
        before = sa.func.coalesce(register.c.restricted_from, SubjectState.ACTIVE.value)
        tx.execute(sa.update(register).where(hidden).values(prior_state=before, restricted_from=None))
    return lifted


def _lift_some(tx: Connection, project_id: int, uids: list[int]) -> int:
    columns = (register.c.uid, register.c.person, register.c.restricted_from)
    rows = tx.execute(sa.select(*columns).where(_of(project_id, uids), register.c.state == _RESTRICTED)).all()
    before: dict[int, list[SubjectState]] = defaultdict(list)
    for row in rows:
        before[row.person].append(SubjectState(row.restricted_from or SubjectState.ACTIVE.value))
    by_state: dict[SubjectState, list[int]] = defaultdict(list)
    for row in rows:
        by_state[gravest(before[row.person])].append(row.uid)
    for state, some in by_state.items():
        change = sa.update(register).where(_of(project_id, some)).values(state=state.value, restricted_from=None)
        tx.execute(change)
    return len(rows)


def _of(project_id: int, uids: Sequence[int]) -> sa.ColumnElement[bool]:
    return sa.and_(register.c.project_id == project_id, register.c.uid.in_(uids))
