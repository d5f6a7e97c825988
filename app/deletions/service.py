"""Data deletions as their officer sees them: preview, create, list, look, undo. `jobs.deletion` carries them out.

Accepting one is one transaction under the project's exclusive fence: the row that hides what it covers from every read, the
horizon up to which that was received, and the audit entry. The counting that comes before it holds no fence.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.access.service import Principal, Project
from app.audit.entry import AuditAction, Entry, iso
from app.audit.service import AuditLog
from app.database import Database
from app.deletions.model import PENDING, Deletion, Extent, State, Step
from app.deletions.pending import as_deletion
from app.deletions.survey import Survey, Surveyor
from app.deletions.tables import data_deletion, deletion_turn
from app.errors import Conflict, InvalidInput, NotFound
from app.events import horizon, retention
from app.events.placement import EventStores
from app.events.port import EventQuery, ProfileQuery
from app.identity import fence
from app.sight.impersonal import refuse_personal, refuse_personal_text
from app.sight.service import Sights
from app.where.tree import About, Not, Property, walk

MOST_PENDING = 50
_DAY_MS = 86_400_000
_BUDGET_S = 10.0
_NO_IDS = "to delete what belongs to a person, make an erasure request"


class DataDeletions:
    """Data deletions of every project. Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        stores: EventStores,
        audit: AuditLog,
        clock: Callable[[], int],
        sights: Sights,
        undo_days: int,
        budget_s: float = _BUDGET_S,
    ) -> None:
        self._database = database
        self._stores = stores
        self._audit = audit
        self._clock = clock
        self._sights = sights
        self._undo_ms = undo_days * _DAY_MS
        self._budget_s = budget_s

    def preview(self, project: Project, extent: Extent, *, actor: str, reader: Principal | None = None) -> Survey:
        """Count what a deletion would cover now, and change nothing. The look stands in the audit log.

        Raises `InvalidInput` for one that names a person, `Conflict` for one that asks for a property that is being deleted,
        and `NotAllowed` for a condition on what the `reader` may not see: the counts would tell the value. None is the operator.
        """
        found = self._survey(project, extent, reader)
        with self._database.write() as tx:
            entry = Entry(
                AuditAction.DELETION_PREVIEWED, project.id, actor, self._clock(), counts=_counts(found), facts=_facts(extent)
            )
            self._audit.stage(tx, entry)
        return found

    def create(
        self,
        project: Project,
        extent: Extent,
        reason: str,
        reference: str | None = None,
        *,
        actor: str,
        reader: Principal | None = None,
        confirm: bool = False,
    ) -> Deletion:
        """Hide what was received until now and is covered, from every read and at once, to be erased when the time to undo is
        over. Raises what `preview` does, and `Conflict` for one that covers nothing or everything unless `confirm`, and for
        one too many."""
        found = self._survey(project, extent, reader)
        if not confirm:
            _refuse_pointless(extent, found)
        with self._database.write() as tx:
            fence.enter_exclusive(tx, project.id)
            made = self._insert(tx, project.id, extent, found, reason, reference, actor)
            self._refuse_unreadable(tx, project, extent)
            facts = {**_facts(extent), "reason": reason, "undo_until": iso(made.undo_until_ms)}
            facts |= {"reference": reference} if reference else {}
            self._stage(tx, AuditAction.DELETION_CREATED, made, actor, _counts(found), facts)
        return made

    def undo(self, project_id: int, deletion_id: str, *, actor: str) -> Deletion:
        """Show again what a deletion hides. Raises `NotFound`, and `Conflict` when the time to undo is over."""
        with self._database.write() as tx:
            before, now = _own(tx, project_id, deletion_id), self._clock()
            values = {"state": State.UNDONE.value, "undone_by": actor, "finished_ms": now}
            hidden = sa.and_(data_deletion.c.id == deletion_id, data_deletion.c.state == State.HIDDEN.value)
            in_time = sa.and_(hidden, data_deletion.c.undo_until_ms > now)
            if tx.execute(sa.update(data_deletion).where(in_time).values(values)).rowcount != 1:
                over = "its time to be undone is over" if before.state is State.HIDDEN else f"it is {before.state.value} already"
                raise Conflict(f"this deletion cannot be undone: {over}", field="id")
            # Retention left alone what was hidden, and goes back for it.
            retention.note_late(tx, project_id, before.extent.from_ms or 0, now)
            self._stage(tx, AuditAction.DELETION_UNDONE, before, actor)
            return _own(tx, project_id, deletion_id)

    def status(self, project_id: int, deletion_id: str) -> Deletion:
        """One deletion of the project. Raises `NotFound`."""
        with self._database.read() as tx:
            return _own(tx, project_id, deletion_id)

    def of(self, project_id: int, limit: int = 100) -> list[Deletion]:
        """The newest deletions of the project."""
        mine = sa.select(data_deletion).where(data_deletion.c.project_id == project_id)
        with self._database.read() as tx:
            rows = tx.execute(mine.order_by(data_deletion.c.number.desc()).limit(limit))
            return [as_deletion(row) for row in rows]

    # --- what stands between -----------------------------------------------------------------------------------------

    def _survey(self, project: Project, extent: Extent, reader: Principal | None) -> Survey:
        covered, condition = extent.covered(), extent.condition()
        for name, texts in (("events", extent.events or ()), ("property", (extent.property_name or "",))):
            for text in texts:
                refuse_personal_text(text, name)
        if condition is not None:
            refuse_personal(condition, "where", _NO_IDS)
        with self._database.read() as tx:
            sight = self._sights.internal(tx, project)
            desk = None if reader is None else self._sights.desk(tx, reader)
        for node in walk(covered) if covered is not None else ():
            if isinstance(node, Property) and node.name in sight.withheld(extent.about):
                field_name = "where" if extent.whole else "property"
                raise Conflict(
                    "this property is being deleted from history", field=field_name, remedy="wait for that deletion, or undo it"
                )
        if desk is not None and extent.whole:
            desk.admit(condition, extent.about)
        return Surveyor(self._database, self._stores.of(project.store_url), project, sight, self._budget_s).of(extent)

    def _insert(
        self, tx: Connection, project_id: int, extent: Extent, found: Survey, reason: str, reference: str | None, actor: str
    ) -> Deletion:
        mine, now = data_deletion.c.project_id == project_id, self._clock()
        pending = sa.func.sum(sa.case((data_deletion.c.state.in_([each.value for each in PENDING]), 1), else_=0))
        newest, open_ = tx.execute(sa.select(sa.func.max(data_deletion.c.number), pending).where(mine)).one()
        if (open_ or 0) >= MOST_PENDING:
            raise Conflict(
                f"{MOST_PENDING} deletions of this project are not carried out yet", remedy="wait for one, or undo one"
            )
        values = {
            "id": str(uuid.uuid4()),
            "project_id": project_id,
            "number": (newest or 0) + 1,
            "state": State.HIDDEN.value,
            "step": Step.SURVEY.value,
            "extent": json.dumps(extent.written(), sort_keys=True),
            "reason": reason,
            "reference": reference,
            "created_ms": now,
            "created_by": actor,
            "received_up_to_ms": horizon.draw(tx, project_id, now),
            "undo_until_ms": now + self._undo_ms,
            "matched": found.matched,
            "people": found.people,
            "complete": found.complete,
            "marks": "{}",
            "counts": "{}",
            "removed": 0,
            "failures": 0,
            "due_ms": now + self._undo_ms,
        }
        insert: Any = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(deletion_turn)
        turn = {"project_id": project_id, "due_ms": 0, "lease_until_ms": 0, "holder": ""}
        tx.execute(insert.values(turn).on_conflict_do_nothing())
        return as_deletion(tx.execute(sa.insert(data_deletion).values(values).returning(*data_deletion.columns)).one())

    def _refuse_unreadable(self, tx: Connection, project: Project, extent: Extent) -> None:
        """From now on every read compiles this condition, and what readers ask beside it: there must be room for both."""
        if extent.condition() is None:
            return
        store, sight = self._stores.of(project.store_url), self._sights.internal(tx, project)
        try:
            if extent.about is About.EVENT and extent.whole:
                asked = Not(Not(sight.events)) if sight.events is not None else None
                list(store.scan(tx, sight, EventQuery(from_ms=0, to_ms=0, where=asked)))
            else:
                store.count_profiles(tx, sight, ProfileQuery(uids=[]))
        except InvalidInput:
            raise InvalidInput(
                "this condition is too large for the event store beside what is hidden already",
                field="where",
                remedy="write a simpler condition, or wait until other deletions are carried out",
            ) from None

    def _stage(
        self,
        tx: Connection,
        action: AuditAction,
        of: Deletion,
        actor: str,
        counts: dict[str, int] | None = None,
        facts: dict[str, str] | None = None,
    ) -> None:
        obj = f"data-deletion/{of.id}"
        entry = Entry(action, of.project_id, actor, self._clock(), obj=obj, counts=counts or {}, facts=facts or {})
        self._audit.stage(tx, entry)


def _own(tx: Connection, project_id: int, deletion_id: str) -> Deletion:
    mine = sa.and_(data_deletion.c.id == deletion_id, data_deletion.c.project_id == project_id)
    row = tx.execute(sa.select(data_deletion).where(mine)).first()
    if row is None:
        raise NotFound("no such data deletion", field="id", remedy="list them with GET /v1/data-deletions")
    return as_deletion(row)


def _refuse_pointless(extent: Extent, found: Survey) -> None:
    what = "profile" if extent.about is About.PROFILE else "event"
    said = {
        "nothing": f"this deletion covers no {what}",
        "everything": f"this deletion covers all {found.matched} {what}s that there are",
        "unknown": "the time was up before anything was found that this deletion covers",
    }.get(found.matches)
    if said is not None:
        remedy = 'look at the preview and mend it, or send "confirm": true to delete so all the same'
        raise Conflict(said, field="confirm", remedy=remedy)


def _counts(found: Survey) -> dict[str, int]:
    return {"matched": found.matched, "people": found.people}


def _facts(extent: Extent) -> dict[str, str]:
    facts = {"target": extent.target.value}
    facts |= {} if extent.from_ms is None else {"from": iso(extent.from_ms)}
    facts |= {} if extent.to_ms is None else {"to": iso(extent.to_ms)}
    facts |= {} if extent.where is None else {"filtered": "where"}
    return facts
