"""What deletions take out of sight, and the same for what is not in the event store. In the caller's transaction."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.sight import Purpose
from app.deletions.model import PENDING, Deletion, Extent, State, Step
from app.deletions.tables import data_deletion
from app.sight.service import Narrowing, Viewer
from app.where.tree import About, conjunction

_PENDING = (
    sa.select(data_deletion.c.extent, data_deletion.c.received_up_to_ms)
    .where(data_deletion.c.project_id == sa.bindparam("of_project"), data_deletion.c.state.in_([each.value for each in PENDING]))
    .order_by(data_deletion.c.number)
)


def by_deletions(tx: Connection, viewer: Viewer) -> Narrowing:
    """The rule of sight: nobody sees what is about to be erased.

    People's own copies are told what is still held of them (GDPR article 15), until it is gone.
    """
    if viewer.purpose is Purpose.OWN_COPY:
        return Narrowing()
    found = standing(tx, viewer.project.id)
    properties = [each for each, _ in found if not each.whole]
    of_profiles = frozenset(each.property_name or "" for each in properties if each.about is About.PROFILE)
    return Narrowing(
        events=conjunction(*(each.hiding(up_to_ms) for each, up_to_ms in found if each.whole)),
        withheld_of_events=frozenset(each.property_name or "" for each in properties if each.about is About.EVENT),
        withheld_of_profiles=of_profiles,
        withheld_of_groups=of_profiles,
    )


def standing(tx: Connection, project_id: int) -> list[tuple[Extent, int]]:
    """What every deletion covers that is hidden or being erased, and up to which moment of arrival."""
    rows = tx.execute(_PENDING, {"of_project": project_id})
    return [(Extent.read(json.loads(row.extent)), row.received_up_to_ms) for row in rows]


def vanishing(tx: Connection, project_id: int) -> dict[About, dict[str, int]]:
    """The properties that are being deleted, of events and of profiles, each with the last moment of arrival that this covers."""
    found: dict[About, dict[str, int]] = {about: {} for about in About}
    for each, up_to_ms in standing(tx, project_id):
        if each.property_name is not None:
            names = found[each.about]
            names[each.property_name] = max(up_to_ms, names.get(each.property_name, 0))
    return found


def as_deletion(row: Any) -> Deletion:
    """A row of the table as the value that the rest of the code passes around."""
    fields = {name: getattr(row, name) for name in Deletion.__dataclass_fields__}
    fields |= {"state": State(row.state), "step": Step(row.step), "extent": Extent.read(json.loads(row.extent))}
    return Deletion(**{**fields, "marks": json.loads(row.marks), "counts": json.loads(row.counts)})
