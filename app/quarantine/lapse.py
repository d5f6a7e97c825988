"""Held records whose time is over by the retention of the policy in force. All in the caller's transaction.

An event is as old as it happened, an update of a profile as it arrived. What is held is deleted whole where a rule would delete
the event or take a property out of it: nobody has decided that the rest may stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.keys.service import ProjectKeys
from app.quarantine import holding
from app.quarantine.holding import Held
from app.quarantine.tables import quarantined
from policies.model import Scope
from policies.retention import Expiry

RETENTION_OVER = "retention_over"
"""The reason why a held record is not released: what it says has had its time."""


@dataclass(frozen=True, slots=True)
class Page:
    """What became of some held records: `after` is where the next ones begin, None at the end; `removed` counts the
    deleted by the digest of the rule."""

    after: tuple[int, str] | None
    removed: Counter[str]


def lapsed(rules: Sequence[Expiry], held: Held, now_ms: int) -> Expiry | None:
    """The first rule by which this record has had its time, or None."""
    event = held.scope is Scope.EVENT
    at_ms = held.time_ms if event else held.received_ms
    return next((each for each in rules if at_ms < each.before_ms(now_ms) and _concerns(each, held, event)), None)


def _concerns(rule: Expiry, held: Held, event: bool) -> bool:
    if rule.whole:
        return event and rule.covers(held.name)
    return rule.without(held.scope, held.name if event else "", held.properties)[1] > 0


def remove_page(
    tx: Connection, keys: ProjectKeys, rules: Sequence[Expiry], after: tuple[int, str] | None, now_ms: int, limit: int
) -> Page:
    """Delete what has lapsed among the next `limit` held records beyond `after`, (arrival, id), in that order."""
    key = (quarantined.c.received_ms, quarantined.c.id)
    mine = quarantined.c.project_id == keys.project_id
    wanted = sa.select(*key).where(mine).order_by(*key).limit(limit)
    ends = tx.execute(wanted if after is None else wanted.where(sa.tuple_(*key) > after)).all()
    if not ends:
        return Page(None, Counter())
    these = sa.select(quarantined).where(mine, quarantined.c.id.in_([each.id for each in ends])).order_by(*key)
    found = [(held.id, lapsed(rules, held, now_ms)) for held in holding.opened(tx, keys, these.with_for_update())]
    gone = {held_id: rule.digest for held_id, rule in found if rule is not None}
    if gone:
        holding.remove(tx, keys.project_id, gone)
    end = (ends[-1].received_ms, ends[-1].id) if len(ends) == limit else None
    return Page(end, Counter(gone.values()))
