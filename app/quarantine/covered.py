"""Held records and data deletions: which are out of sight, and a page at a time for whoever deletes what is covered.

All in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.keys.service import ProjectKeys
from app.quarantine import holding
from app.quarantine.holding import Held
from app.quarantine.tables import quarantined
from app.where.evaluate import Subject
from app.where.tree import About
from policies.model import Scope

BEING_DELETED = "being_deleted"
"""The reason why a held event is not released: a data deletion covers it."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some held records, opened; `after` is where the next ones begin, None at the end."""

    held: list[Held]
    after: tuple[int, str] | None


def page(tx: Connection, keys: ProjectKeys, after: tuple[int, str] | None, received_up_to_ms: int, limit: int) -> Page:
    """The next held records beyond `after`, (arrival, id), that arrived up to this moment, locked where the engine can."""
    key = (quarantined.c.received_ms, quarantined.c.id)
    mine = sa.and_(quarantined.c.project_id == keys.project_id, quarantined.c.received_ms <= received_up_to_ms)
    wanted = sa.select(*key).where(mine).order_by(*key).limit(limit)
    ends = tx.execute(wanted if after is None else wanted.where(sa.tuple_(*key) > after)).all()
    if not ends:
        return Page([], None)
    these = sa.select(quarantined).where(mine, quarantined.c.id.in_([each.id for each in ends])).order_by(*key)
    held = list(holding.opened(tx, keys, these.with_for_update()))
    return Page(held, (ends[-1].received_ms, ends[-1].id) if len(ends) == limit else None)


def as_subject(held: Held) -> Subject:
    """A held event as an expression sees it."""
    return Subject(held.properties, held.time_ms, held.name, received_ms=held.received_ms)


def shown(sight: Sight, held: Held) -> bool:
    """Whether a held record is in sight. Of updates of profiles no rule says anything."""
    return held.scope is not Scope.EVENT or sight.shows(as_subject(held))


def without_withheld(sight: Sight, held: Held) -> Held:
    """The record without the properties that are withheld from everybody."""
    names = sight.withheld(About.EVENT if held.scope is Scope.EVENT else About.PROFILE)
    if names.isdisjoint(held.properties):
        return held
    return replace(held, properties={name: value for name, value in held.properties.items() if name not in names})
