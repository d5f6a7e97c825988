"""What every step of a re-import works with: one slice of it, and where the pass under way stands."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.access.service import Project, project_by_id
from app.audit.entry import AuditAction
from app.bootstrap import Services
from app.events.port import EventRow, EventStore
from app.identity import register
from app.reimport import staging
from app.reimport.chosen import gate_of
from app.reimport.model import Reimport, Scope, State
from app.reimport.staging import Keys, Standing
from policies.model import Record, Scope as RecordScope, SubjectState
from policies.sanitise import Sanitiser

NOBODY = 0


@dataclass
class Work:
    """One slice of one re-import. `of` is the row as it was claimed."""

    services: Services
    of: Reimport
    ends: float

    def over(self) -> bool:
        """Whether the slice has lasted long enough."""
        return time.monotonic() >= self.ends

    @cached_property
    def project(self) -> Project:
        """The project, read once a slice."""
        with self.services.database.read() as tx:
            return project_by_id(tx, self.of.project_id)

    @cached_property
    def store(self) -> EventStore:
        """Where its events are."""
        return self.services.stores.of(self.project.store_url)

    @cached_property
    def keys(self) -> Keys:
        """The opened keys of this re-import."""
        with self.services.database.read() as tx:
            return staging.keys_of(self.services.keyring.of(tx, self.of.project_id), self.of)

    @cached_property
    def sanitiser(self) -> Sanitiser:
        """The chosen policy. Raises `Conflict` when it is not the one that was chosen."""
        with self.services.database.read() as tx:
            gate = gate_of(self.services.rulebook, tx, self.of.project_id, self.of.terms)
        return Sanitiser(gate, unlink=self.of.scope is not Scope.PROPERTY)

    @cached_property
    def standing(self) -> Standing:
        """Where the pass stands; what a step changes in it is stored by `effect`."""
        return staging.standing_of(self.of, self.keys.sealing)

    @contextmanager
    def effect(self, done: int = 0) -> Iterator[Connection]:
        """The transaction of one window: it ends with the standing, and `done` more records. Raises `LostClaim`."""
        queue = self.services.reimports.queue
        with self.services.database.write() as tx:
            queue.hold(tx, self.of)
            yield tx
            sealed = staging.sealed_standing(self.of, self.keys.sealing, self.standing)
            queue.progress(tx, self.of, done, standing=sealed)

    def move(self, tx: Connection, state: State, *, restarts: int | None = None, **values: Any) -> None:
        """Go on to another state in this transaction, with a new standing; `restarts` are kept unless given."""
        fresh = Standing(restarts=self.standing.restarts if restarts is None else restarts)
        ended = state in (State.DONE, State.ROLLED_BACK, State.CANCELLED, State.FAILED)
        sealed = None if ended else staging.sealed_standing(self.of, self.keys.sealing, fresh)
        self.services.reimports.queue.move(tx, self.of, state, **{"standing": sealed, **values})

    def undo(self, tx: Connection, code: str, ending: State = State.ROLLED_BACK) -> None:
        """Take everything back, and say why."""
        facts = {"ending": ending.value, "error": code}
        self.move(tx, State.UNDOING, ending=ending.value, error_code=code)
        self.tell(tx, AuditAction.REIMPORT_UNDONE, facts=facts)

    def tell(self, tx: Connection, action: AuditAction, **more: Any) -> None:
        """The audit entry of a step."""
        self.services.reimports.queue.tell(tx, self.of, action, **more)


def open_row(row: EventRow) -> tuple[dict[str, Any], bool, bool]:
    """The properties of a stored event without the uids in them, and whether it named a user and a device."""
    properties: dict[str, Any] = msgspec.json.decode(row.properties)
    user, device = properties.pop("$user_id", NOBODY), properties.pop("$device_id", NOBODY)
    return properties, bool(user), bool(device)


def as_record(scope: RecordScope, name: str, properties: dict[str, Any], time_ms: int) -> Record:
    """A stored record as policy judges it here. Consent is not asked again: it was when the record came, and a person who
    is made anonymous has no more to say about it."""
    return Record(scope, name, properties, SubjectState.OPTED_IN, time_ms)


def ids_of(services: Services, tx: Connection, project_id: int, uids: Collection[int]) -> dict[int, set[str]]:
    """Every id of the people behind these uids, by person and by uid, to look for them in what is left."""
    found: dict[int, set[str]] = {}
    for uid, each in register.reveal(tx, services.keyring.of(tx, project_id), [uid for uid in uids if uid != NOBODY]).items():
        found.setdefault(each.person, set()).update((each.identifier, each.canonical))
        found[uid] = found[each.person]
    return found
