"""Legal holds: data that must be kept although its person asked for its erasure (GDPR article 17(3)).

A hold names people, and what of them is kept: all events or those of some names, and the profile. Everything else of them is
erased; what is kept stays hidden from every read, refused at ingest, and untouched by retention. Such an erasure ends as
`partial`, or `refused` where everything is kept, and is never certified; when the hold is lifted it goes on by itself.

Whom a hold covers must not change under an erasure that runs: placing and lifting ask that it is paused first.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.doorbell import Doorbell
from app.errors import Conflict, NotFound
from app.events import retention
from app.identity import fence
from app.identity.closure import closure
from app.identity.register import chunks
from app.identity.tables import register
from app.keys.service import Keyring
from app.subjects import workflow
from app.subjects.model import Outcome, RequestState, Step
from app.subjects.queue import as_request
from app.subjects.tables import hold_subject, legal_hold, subject_request
from app.subjects.workflow import Event


class Basis(StrEnum):
    """Why data is kept: the letters of GDPR article 17(3)."""

    EXPRESSION = "art17_3_a_expression"
    LEGAL_OBLIGATION = "art17_3_b_legal_obligation"
    PUBLIC_HEALTH = "art17_3_c_public_health"
    ARCHIVING = "art17_3_d_archiving"
    LEGAL_CLAIMS = "art17_3_e_legal_claims"


@dataclass(frozen=True, slots=True)
class Scope:
    """What is kept: events of these names, None for all and empty for none; and whether the profile is."""

    events: frozenset[str] | None
    profile: bool

    def keeps(self, event: str | None) -> bool:
        """Whether it keeps an event of this name, or with None the profile."""
        return self.profile if event is None else self.events is None or event in self.events

    def joined(self, other: Scope) -> Scope:
        """What two holds keep together."""
        events = None if self.events is None or other.events is None else self.events | other.events
        return Scope(events, self.profile or other.profile)


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. Times are Unix milliseconds; `people` counts ids that live. `review_ms` is when to ask whether it stands."""

    id: str
    basis: Basis
    reference: str | None
    scope: Scope
    people: int
    placed_by: str
    placed_ms: int
    review_ms: int
    lifted_by: str | None
    lifted_ms: int | None


class Holds:
    """Places, tells and lifts. Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self, database: Database, keyring: Keyring, audit: AuditLog, doorbell: Doorbell, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._doorbell = doorbell
        self._clock = clock

    def place(
        self, by: Principal, identifiers: Sequence[str], basis: Basis, reference: str | None, scope: Scope, review_ms: int
    ) -> Hold:
        """Hold what is named of these people and of every id that means them, those under an erasure included.

        Raises `NotFound` where an id means nobody, and `Conflict` while an erasure of one of them runs.
        """
        with self._database.write() as tx:
            fence.enter_exclusive(tx, by.project.id)
            uids = self._everyone(tx, by, identifiers)
            self._begin_again(tx, by, uids, None)
            values = {
                "id": str(uuid.uuid4()),
                "project_id": by.project.id,
                "basis": basis.value,
                "reference": reference,
                "events": json.dumps(None if scope.events is None else sorted(scope.events)),
                "profile": scope.profile,
                "placed_by": by.id,
                "placed_ms": self._clock(),
                "review_ms": review_ms,
            }
            row = tx.execute(sa.insert(legal_hold).values(values).returning(*legal_hold.columns)).one()
            rows = [{"hold_id": row.id, "uid": uid, "project_id": by.project.id} for uid in sorted(uids)]
            tx.execute(sa.insert(hold_subject), rows)
            hold = _as_hold(row, len(uids))
            self._stage(tx, by, AuditAction.HOLD_PLACED, hold)
        return hold

    def lift(self, by: Principal, hold_id: str) -> Hold:
        """End a hold. Erasures that it kept from being complete go on; retention looks again at what it passed over.

        Raises `NotFound`, and `Conflict` for one that is lifted, or while an erasure of one of its people runs.
        """
        with self._database.write() as tx:
            fence.enter_exclusive(tx, by.project.id)
            mine = sa.and_(legal_hold.c.id == hold_id, legal_hold.c.project_id == by.project.id)
            row = tx.execute(sa.select(legal_hold).where(mine)).first()
            if row is None:
                raise NotFound("no such legal hold", field="id", remedy="use an id of GET /v1/holds")
            if row.lifted_ms is not None:
                raise Conflict("the hold was lifted before")
            uids = set(tx.execute(sa.select(hold_subject.c.uid).where(hold_subject.c.hold_id == hold_id)).scalars())
            values = {"lifted_by": by.id, "lifted_ms": self._clock()}
            row = tx.execute(sa.update(legal_hold).where(mine).values(values).returning(*legal_hold.columns)).one()
            reopened = self._begin_again(tx, by, uids, Event.REOPEN)
            retention.note_late(tx, by.project.id, 0, self._clock())
            retention.reopen_profiles(tx, by.project.id, [0])
            hold = _as_hold(row, len(uids))
            self._stage(tx, by, AuditAction.HOLD_LIFTED, hold)
        for request_id in reopened:
            self._doorbell.ring(request_id)
        return hold

    def all(self, by: Principal) -> list[Hold]:
        """The holds of the project, newest first, lifted ones included."""
        people = sa.select(sa.func.count()).where(hold_subject.c.hold_id == legal_hold.c.id).scalar_subquery()
        rows = sa.select(legal_hold, people.label("people")).where(legal_hold.c.project_id == by.project.id)
        with self._database.read() as tx:
            return [_as_hold(row, row.people) for row in tx.execute(rows.order_by(legal_hold.c.placed_ms.desc()).limit(1_000))]

    def _everyone(self, tx: Connection, by: Principal, identifiers: Sequence[str]) -> set[int]:
        found = closure(tx, self._keyring.of(tx, by.project.id), identifiers)
        leaving = {row.uid for row in found.rows.values() if row.uid is not None}
        if found.unknown or not (leaving or found.uids):
            remedy = "hold people of whom something is kept; see POST /v1/subjects/closure for whom an id means"
            raise NotFound("one of these ids means nobody here", field="distinct_ids", remedy=remedy)
        # The closure leaves out who is being erased: they are found by their heads.
        heads = sa.select(register.c.person).where(register.c.project_id == by.project.id, register.c.uid.in_(leaving))
        linked = sa.select(register.c.uid).where(register.c.project_id == by.project.id, register.c.person.in_(heads))
        return {*found.uids, *tx.execute(linked).scalars()}

    def _begin_again(self, tx: Connection, by: Principal, uids: Collection[int], reopen: Event | None) -> list[str]:
        """Let erasures of these people that do not run begin with the survey again; `reopen` those that ended as partial."""
        reopened = []
        for request in _erasures_of(tx, by.project.id, uids):
            if request.state is RequestState.RUNNING:
                remedy = f"pause it first, and resume it afterwards: POST /v1/requests/{request.id}/pause"
                raise Conflict("an erasure of one of these people is running", remedy=remedy)
            values: dict[str, Any] = {"step": Step.START.value}
            if reopen and request.outcome in (Outcome.PARTIAL, Outcome.REFUSED):
                state = workflow.after(request, reopen)
                values |= {
                    "state": state.value,
                    "next_due_ms": self._clock(),
                    "outcome": None,
                    "finished_ms": None,
                    "attempts": 0,
                }
                reopened.append(request.id)
                entry = Entry(AuditAction.REQUEST_REOPENED, by.project.id, by.id, self._clock(), obj=request.id)
                self._audit.stage(tx, entry)
            tx.execute(sa.update(subject_request).where(subject_request.c.id == request.id).values(values))
        return reopened

    def _stage(self, tx: Connection, by: Principal, action: AuditAction, hold: Hold) -> None:
        kept = "all" if hold.scope.events is None else str(len(hold.scope.events))
        facts = {"basis": hold.basis.value, "events": kept, "profile": "kept" if hold.scope.profile else "not_kept"}
        entry = Entry(action, by.project.id, by.id, self._clock(), obj=hold.id, counts={"ids": hold.people}, facts=facts)
        self._audit.stage(tx, entry)


def _erasures_of(tx: Connection, project_id: int, uids: Collection[int]) -> list[Any]:
    ids: set[str] = set()
    for chunk in chunks(sorted(uids)):
        rows = sa.select(register.c.request_id).where(register.c.project_id == project_id, register.c.uid.in_(chunk))
        ids.update(tx.execute(rows.where(register.c.request_id.is_not(None))).scalars())
    # Locked: a worker that is about to begin waits, and surveys what is held by then.
    rows = sa.select(subject_request).where(subject_request.c.id.in_(ids)).order_by(subject_request.c.id).with_for_update()
    return [as_request(row) for row in tx.execute(rows)]


# --- who is held -----------------------------------------------------------------------------------------------------


def scopes_of(tx: Connection, project_id: int, uids: Collection[int]) -> dict[int, Scope]:
    """What is kept of those of these ids whose person is held by now; the others are left out.

    A person is held as a whole: an id that was linked to them after the hold was placed is held with them.
    """
    if not uids or not _any(tx, project_id):
        return {}
    found: dict[int, Scope] = {}
    mine, theirs = register.alias("mine"), register.alias("theirs")
    for chunk in chunks(sorted(uids)):
        rows = (
            sa.select(mine.c.uid, legal_hold.c.events, legal_hold.c.profile)
            .join(theirs, sa.and_(theirs.c.project_id == mine.c.project_id, theirs.c.person == mine.c.person))
            .join(hold_subject, sa.and_(hold_subject.c.project_id == theirs.c.project_id, hold_subject.c.uid == theirs.c.uid))
            .join(legal_hold, legal_hold.c.id == hold_subject.c.hold_id)
            .where(mine.c.project_id == project_id, mine.c.uid.in_(chunk), legal_hold.c.lifted_ms.is_(None))
            .distinct()
        )
        for uid, events, profile in tx.execute(rows):
            scope = _scope(events, profile)
            found[uid] = found[uid].joined(scope) if uid in found else scope
    return found


def _any(tx: Connection, project_id: int) -> bool:
    one = sa.select(legal_hold.c.id).where(legal_hold.c.project_id == project_id, legal_hold.c.lifted_ms.is_(None)).limit(1)
    return tx.execute(one).first() is not None


def _scope(events: str, profile: bool) -> Scope:
    names = json.loads(events)
    return Scope(None if names is None else frozenset(names), profile)


def _as_hold(row: Any, people: int) -> Hold:
    return Hold(
        row.id,
        Basis(row.basis),
        row.reference,
        _scope(row.events, row.profile),
        people,
        row.placed_by,
        row.placed_ms,
        row.review_ms,
        row.lifted_by,
        row.lifted_ms,
    )
