"""The Schemas API as published: list, get, create or replace, bulk upload, delete, within its allowances (wire section 16)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.database import Database
from app.errors import InvalidInput, NotFound, TooManyRequests
from app.lexicon.documents import Bulk, Upload, changes_of, drops, key_of, schema_of
from app.lexicon.model import USER, Editor, Entry, Kind
from app.lexicon.service import Lexicon, entry_of, hold_project
from app.lexicon.tables import lexicon_entry, lexicon_project

_MINUTE_MS = 60_000
_PAGE = 500
_OF_EVENTS = (Kind.EVENT, Kind.EVENT_PROPERTY)
_OF_PROFILES = (Kind.PROFILE, Kind.PROFILE_PROPERTY)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a project may do: requests and entities a minute, entities deleted a request."""

    requests: int = 5
    entities: int = 4_000
    deletions: int = 3_000


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload did. `left_out`: something was not kept, such as examples."""

    added: int
    deleted: int
    left_out: bool


class PublishedSchemas:
    """Schemas of every project. Stateless but for its dependencies."""

    def __init__(
        self, database: Database, lexicon: Lexicon, clock: Callable[[], int], allowance: Allowance | None = None
    ) -> None:
        self._database = database
        self._lexicon = lexicon
        self._clock = clock
        self._allowance = allowance or Allowance()

    def spend(self, project_id: int, entities: int = 0) -> None:
        """Count one request. Raises `TooManyRequests` when the minute's allowance is used up, and then counts nothing."""
        now, mine = self._clock(), lexicon_project.c.project_id == project_id
        with self._database.write() as tx:
            hold_project(tx, project_id)
            row = tx.execute(sa.select(lexicon_project).where(mine)).one()
            fresh = now - row.window_ms >= _MINUTE_MS
            requests = 1 + (0 if fresh else row.window_requests)
            total = entities + (0 if fresh else row.window_entities)
            if requests > self._allowance.requests or total > self._allowance.entities:
                wait = _MINUTE_MS if fresh else _MINUTE_MS - (now - row.window_ms)
                raise TooManyRequests(
                    f"at most {self._allowance.requests} requests and {self._allowance.entities} entities a minute",
                    retry_after=max(1, -(-wait // 1_000)),
                    remedy="send entities together in one bulk upload",
                )
            values = {"window_ms": now if fresh else row.window_ms, "window_requests": requests, "window_entities": total}
            tx.execute(sa.update(lexicon_project).where(mine).values(values))

    # --- reading -----------------------------------------------------------------------------------------------------

    def listed(self, project_id: int, entity_type: str | None = None, name: str | None = None) -> Iterator[dict[str, Any]]:
        """`{entityType, name, schemaJson}` of every entity that has a schema, streamed by name."""
        _check(entity_type, name)
        with self._database.read() as tx:
            if entity_type in (None, "event"):
                yield from (_listed("event", each) for each in _events(tx, project_id, name) if each.described)
            if entity_type in (None, "profile") and name in (None, USER):
                found = _profile(tx, project_id)
                if found.described:
                    yield _listed("profile", found)

    def one(self, project_id: int, entity_type: str, name: str) -> dict[str, Any]:
        """The schema itself. Raises `NotFound`."""
        for each in self.listed(project_id, entity_type, key_of(entity_type, name).name):
            schema: dict[str, Any] = each["schemaJson"]
            return schema
        raise NotFound("no schema of this entity", field="name", remedy="list them with GET …/schemas")

    # --- changing ----------------------------------------------------------------------------------------------------

    def upload(self, project_id: int, by: Editor, bulk: Bulk) -> Uploaded:
        """Create or replace entities, all of them or none. Raises as `Lexicon.change` does."""
        with self._database.write() as tx:
            self._lexicon.enter(tx, project_id, fenced=any(drops(each.schema_json) for each in bulk.entries))
            deleted = self._delete(tx, project_id, by, None, None) if bulk.truncate else 0
            left_out = [self._replaced(tx, project_id, by, at, each) for at, each in enumerate(bulk.entries)]
        return Uploaded(len(bulk.entries), deleted, any(left_out))

    def _replaced(self, tx: Connection, project_id: int, by: Editor, at: int, sent: Upload) -> bool:
        try:
            return self._replace(tx, project_id, by, sent)
        except InvalidInput as wrong:
            where = f"entries[{at}]"
            raise InvalidInput(f"{where}: {wrong.message}", field=f"{where}.{wrong.field}", remedy=wrong.remedy) from None

    def _replace(self, tx: Connection, project_id: int, by: Editor, sent: Upload) -> bool:
        entity = key_of(sent.entity_type, sent.name)
        found = next(_events(tx, project_id, entity.name), None) if entity.kind is Kind.EVENT else _profile(tx, project_id)
        held = {each.key: each for each in found.entries} if found else {}
        changes, left_out = changes_of(entity, sent.schema_json, held)
        gone = [key for key, each in held.items() if each.described and key not in changes]
        if gone:
            self._lexicon.forget(tx, project_id, by, gone)
        self._lexicon.change(tx, project_id, by, changes)
        return left_out

    def delete(self, project_id: int, by: Editor, entity_type: str | None = None, name: str | None = None) -> int:
        """Take back what was said: of all entities, of one type, or of one. Returns of how many entities."""
        _check(entity_type, name)
        with self._database.write() as tx:
            return self._delete(tx, project_id, by, entity_type, name)

    def _delete(self, tx: Connection, project_id: int, by: Editor, entity_type: str | None, name: str | None) -> int:
        entities: list[_Entity] = []
        if entity_type in (None, "event"):
            entities += (each for each in _events(tx, project_id, name) if each.described)
        if entity_type in (None, "profile") and name in (None, USER):
            entities += [found] if (found := _profile(tx, project_id)).described else []
        if len(entities) > self._allowance.deletions:
            raise InvalidInput(
                f"more than {self._allowance.deletions} schemas at once", field="entityType", remedy="delete them by name"
            )
        keys = [each.key for one in entities for each in one.entries if each.described]
        self._lexicon.forget(tx, project_id, by, keys)
        return len(entities)


@dataclass(frozen=True, slots=True)
class _Entity:
    name: str
    entries: Sequence[Entry]

    @property
    def described(self) -> bool:
        return any(each.described for each in self.entries)


def _listed(entity_type: str, found: _Entity) -> dict[str, Any]:
    own = next((each for each in found.entries if each.key.kind in (Kind.EVENT, Kind.PROFILE)), None)
    properties = [each for each in found.entries if each is not own and each.described]
    return {"entityType": entity_type, "name": found.name, "schemaJson": schema_of(own, properties)}


def _events(tx: Connection, project_id: int, name: str | None) -> Iterator[_Entity]:
    """Events with the properties that stand within them, one after the other."""
    of = sa.case((lexicon_entry.c.kind == Kind.EVENT.value, lexicon_entry.c.name), else_=lexicon_entry.c.event).label("entity")
    wanted = sa.select(lexicon_entry, of).where(lexicon_entry.c.project_id == project_id, lexicon_entry.c.kind.in_(_OF_EVENTS))
    wanted = wanted.where(of != "" if name is None else of == name)
    rows = tx.execute(wanted.order_by(of, lexicon_entry.c.kind, lexicon_entry.c.name).execution_options(yield_per=_PAGE))
    for entity, group in groupby(rows, key=lambda row: row.entity):
        yield _Entity(str(entity), [entry_of(row) for row in group])


def _profile(tx: Connection, project_id: int) -> _Entity:
    wanted = sa.select(lexicon_entry).where(lexicon_entry.c.project_id == project_id, lexicon_entry.c.kind.in_(_OF_PROFILES))
    rows = tx.execute(wanted.order_by(lexicon_entry.c.kind, lexicon_entry.c.name))
    return _Entity(USER, [entry_of(row) for row in rows])


def _check(entity_type: str | None, name: str | None) -> None:
    if entity_type is not None:
        key_of(entity_type, name or USER)
