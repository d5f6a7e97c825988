"""The dictionary: what readers and ingest go by, the entries, and every change of them with its audit entry.

A change is in force in every process for each batch and each read that begins after it is acknowledged: both ask for the
version in their own transaction, and what a version says is kept in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.access.roles import Permission
from app.audit.entry import AuditAction, Entry as AuditEntry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, InvalidInput, NotAllowed, NotFound
from app.lexicon.model import Approval, Change, Editor, Entry, Key, Kind, Settings, Standards, State, type_names
from app.lexicon.names import checked_change, checked_key, protected
from app.lexicon.reading import Entrance, Reading, Row, entrance_of, reading_of
from app.lexicon.sightings import BLANK, Sightings
from app.lexicon.standards import checked_standards
from app.lexicon.tables import lexicon_entry, lexicon_project, lexicon_volume
from app.lexicon.telling import differences, said, told

_KEPT = 64
_VERSION = sa.select(lexicon_project.c.version).where(lexicon_project.c.project_id == sa.bindparam("project_id"))
_KEY = tuple(column.name for column in lexicon_entry.primary_key.columns)

Fence = Callable[[Connection, int], None]
"""Waits for every ingest transaction of a project under way, and keeps new ones out until the end of this one."""


class Lexicon:
    """The dictionaries of every project. What a version says is kept by (project, version), which never changes."""

    def __init__(
        self, database: Database, audit: AuditLog, clock: Callable[[], int], fence: Fence, sightings: Sightings | None = None
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._fence = fence
        self._kept: dict[int, tuple[int, Reading, Entrance]] = {}
        self.sightings = sightings or Sightings(database)

    # --- what others go by -------------------------------------------------------------------------------------------

    def reading(self, tx: Connection, project_id: int) -> Reading:
        """What readers go by, as of this transaction: one look-up of a version, and memory."""
        return self._at(tx, project_id, tx.execute(_VERSION, {"project_id": project_id}).scalar())[1]

    def entrance(self, tx: Connection, project_id: int) -> Entrance:
        """What ingest goes by, as of this transaction, which holds the project's fence."""
        return self.entrance_at(tx, project_id, tx.execute(_VERSION, {"project_id": project_id}).scalar())

    def entrance_at(self, tx: Connection, project_id: int, version: int | None) -> Entrance:
        """The same, of the version that the caller has read in this transaction; None where there is no dictionary."""
        return self._at(tx, project_id, version)[2]

    def _at(self, tx: Connection, project_id: int, version: int | None) -> tuple[int, Reading, Entrance]:
        if version is None:
            return _EMPTY
        held = self._kept.get(project_id)
        if held is None or held[0] != version:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            # Read in one snapshot or not, what is kept is never older than the version it is kept under.
            held = self._kept[project_id] = self._compile(tx, project_id, version)
        return held

    def _compile(self, tx: Connection, project_id: int, version: int) -> tuple[int, Reading, Entrance]:
        settings = self.settings(tx, project_id)
        columns = (*(lexicon_entry.c[name] for name in _KEY[1:]), lexicon_entry.c.state, lexicon_entry.c.merged_into)
        wanted = sa.select(*columns, lexicon_entry.c.classified).where(lexicon_entry.c.project_id == project_id)
        telling = sa.or_(
            lexicon_entry.c.state.in_((State.HIDDEN, State.BLOCKED)),
            lexicon_entry.c.merged_into.is_not(None),
            lexicon_entry.c.classified,
        )
        approves = Approval.OFF not in (settings.new_events, settings.new_properties)
        approves = approves or settings.new_events is not settings.new_properties
        if approves:
            telling = sa.or_(telling, sa.and_(lexicon_entry.c.event == "", lexicon_entry.c.state != State.PENDING))
        found = [
            Row(Key(Kind(row.kind), row.name, row.event), row.state, row.merged_into, row.classified)
            for row in tx.execute(wanted.where(telling))
        ]
        return version, reading_of(version, found), entrance_of(settings.new_events, settings.new_properties, found)

    # --- the project as a whole --------------------------------------------------------------------------------------

    def settings(self, tx: Connection, project_id: int) -> Settings:
        """The settings of a project; those of one that never changed them are the defaults."""
        row = tx.execute(sa.select(lexicon_project).where(lexicon_project.c.project_id == project_id)).first()
        if row is None:
            return Settings()
        return Settings(
            version=row.version,
            new_events=Approval(row.new_events),
            new_properties=Approval(row.new_properties),
            approval_since_ms=row.approval_since_ms,
            standards=Standards(**json.loads(row.standards)),
            digest=row.digest,
        )

    def change_settings(
        self,
        tx: Connection,
        project_id: int,
        by: Editor,
        *,
        new_events: Approval | None = None,
        new_properties: Approval | None = None,
        standards: Standards | None = None,
    ) -> Settings:
        """Say what becomes of new names, and what entries must have. Raises `InvalidInput`, and `NotAllowed` for who may not.

        Every name seen so far is known from then on; only later ones wait.
        """
        approving = new_events is not None or new_properties is not None
        _require(by, Permission.LEXICON_BLOCK if approving else Permission.LEXICON_WRITE)
        self.enter(tx, project_id, fenced=approving)
        before = self.settings(tx, project_id)
        after = replace(
            before,
            new_events=new_events or before.new_events,
            new_properties=new_properties or before.new_properties,
            standards=checked_standards(standards) if standards else before.standards,
        )
        was_off = (before.new_events, before.new_properties) == (Approval.OFF, Approval.OFF)
        is_off = (after.new_events, after.new_properties) == (Approval.OFF, Approval.OFF)
        since = self._clock() if was_off and not is_off else before.approval_since_ms
        after = replace(after, approval_since_ms=None if is_off else since)
        values = {
            "new_events": after.new_events.value,
            "new_properties": after.new_properties.value,
            "approval_since_ms": after.approval_since_ms,
            "standards": json.dumps(asdict(after.standards)),
        }
        tx.execute(sa.update(lexicon_project).where(lexicon_project.c.project_id == project_id).values(values))
        facts = differences(said(before), said(after))
        if facts:
            self._stage(tx, AuditAction.LEXICON_SETTINGS_CHANGED, project_id, by, facts)
        return self.settings(tx, project_id)

    # --- entries -----------------------------------------------------------------------------------------------------

    def entry(self, tx: Connection, project_id: int, key: Key) -> Entry:
        """One entry. Raises `NotFound`."""
        row = tx.execute(sa.select(lexicon_entry).where(_is(project_id, key))).first()
        if row is None:
            raise NotFound("no such entry", field="name", remedy="list them with GET /v1/lexicon/entries")
        return entry_of(row)

    def entries(
        self,
        tx: Connection,
        project_id: int,
        kinds: Collection[Kind],
        *,
        event: str | None = "",
        state: State | None = None,
        described: bool | None = None,
        after: tuple[str, str, str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """Entries by kind, event and name, streamed. `event` empty: those that stand within none; None: all of them."""
        columns = (lexicon_entry.c.kind, lexicon_entry.c.event, lexicon_entry.c.name)
        wanted = sa.select(lexicon_entry).where(lexicon_entry.c.project_id == project_id, lexicon_entry.c.kind.in_(kinds))
        if event is not None:
            wanted = wanted.where(lexicon_entry.c.event == event)
        if state is not None:
            wanted = wanted.where(lexicon_entry.c.state == state)
        if described is not None:
            wanted = wanted.where(lexicon_entry.c.described == described)
        if after is not None:
            wanted = wanted.where(sa.tuple_(*columns) > after)
        for row in tx.execute(wanted.order_by(*columns).limit(limit).execution_options(yield_per=_PAGE)):
            yield entry_of(row)

    def volumes(self, tx: Connection, project_id: int, keys: Collection[Key], from_day: str) -> dict[Key, tuple[int, int]]:
        """How often these came since a UTC day, and how often the dictionary refused them."""
        v = lexicon_volume.c
        wanted = sa.tuple_(v.kind, v.name).in_([(key.kind.value, key.name) for key in keys])
        rows = sa.select(v.kind, v.name, sa.func.sum(v.n), sa.func.sum(v.refused)).where(v.project_id == project_id, wanted)
        found = tx.execute(rows.where(v.day >= from_day).group_by(v.kind, v.name))
        return {Key(Kind(kind), name): (int(n), int(refused)) for kind, name, n, refused in found}

    def days(self, tx: Connection, project_id: int, key: Key, from_day: str) -> list[tuple[str, int, int]]:
        """The same of one name, by UTC day in order."""
        v = lexicon_volume.c
        rows = sa.select(v.day, v.n, v.refused).where(v.project_id == project_id, v.kind == key.kind, v.name == key.name)
        return [(day, int(n), int(refused)) for day, n, refused in tx.execute(rows.where(v.day >= from_day).order_by(v.day))]

    def change(self, tx: Connection, project_id: int, by: Editor, changes: Mapping[Key, Change]) -> int:
        """Change entries, and make those that are not there yet. Returns how many were changed; one that says the same
        already is none. Each is an audit entry with what was before and after.

        Raises `InvalidInput`, `Conflict` for a merge that leads in a circle, and `NotAllowed` for who may not.
        """
        for key, change in changes.items():
            checked_key(key)
            checked_change(change)
        # Only what makes ingest stricter must wait for batches under way; describing holds nobody up.
        self.enter(tx, project_id, fenced=any(each.state is State.BLOCKED for each in changes.values()))
        keys = sorted(changes)
        done = 0
        for at in range(0, len(keys), _PAGE):
            held = held_of(tx, project_id, keys[at : at + _PAGE])
            for key in keys[at : at + _PAGE]:
                done += self._change_one(tx, project_id, by, held.get(key, Entry(key)), changes[key])
        return done

    def _change_one(self, tx: Connection, project_id: int, by: Editor, before: Entry, change: Change) -> bool:
        key = before.key
        after = replace(before, **change.given(), described=True)
        if after == before:
            return False
        self._permit(tx, project_id, by, before, after)
        values = {**_columns(after), "changed_ms": self._clock(), "changed_by": by.id}
        insert: Any = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(lexicon_entry)
        made = {**dict(zip(_KEY, (project_id, key.kind.value, key.event, key.name), strict=True)), **BLANK, "types": 0, **values}
        tx.execute(insert.values(made).on_conflict_do_update(index_elements=_KEY, set_=values))
        facts = {**_where(key), **differences(told(before), told(after))}
        self._stage(tx, AuditAction.LEXICON_CHANGED, project_id, by, facts)
        return True

    def _permit(self, tx: Connection, project_id: int, by: Editor, before: Entry, after: Entry) -> None:
        """Raises for what this editor may not do, and for what nobody may."""
        needed = set()
        if before.classified != after.classified:
            needed.add(Permission.LEXICON_CLASSIFY)
        if before.merged_into != after.merged_into:
            needed.add(Permission.LEXICON_BLOCK)
            self._check_merge(tx, project_id, after)
        if before.state is not after.state:
            blocks = State.BLOCKED in (before.state, after.state)
            needed.add(Permission.LEXICON_BLOCK if blocks else Permission.LEXICON_WRITE)
        if _described(before) != _described(after):
            needed.add(Permission.LEXICON_WRITE)
        _require(by, *needed)
        if after.state is State.PENDING and before.state is not State.PENDING:
            raise InvalidInput("nobody makes an entry pending", field="state", remedy="send visible, hidden or blocked")
        if after.state is State.BLOCKED and protected(after.key):
            raise InvalidInput("ingest itself needs this name", field="name", remedy="hide it instead")

    def _check_merge(self, tx: Connection, project_id: int, entry: Entry) -> None:
        target = entry.merged_into
        if target is None:
            return
        key = entry.key
        if key.kind not in (Kind.EVENT, Kind.EVENT_PROPERTY) or key.event or protected(key) or key.name.startswith("$mp_"):
            raise InvalidInput(
                "only events, and properties of all events, can be merged",
                field="merged_into",
                remedy="leave profile properties, autocaptured events and the SDKs' own names apart",
            )
        found = tx.execute(sa.select(lexicon_entry.c.merged_into).where(_is(project_id, key._replace(name=target)))).first()
        if found is None:
            raise NotFound("there is no entry to merge into", field="merged_into", remedy="describe it first, or check its name")
        mine = sa.and_(lexicon_entry.c.project_id == project_id, lexicon_entry.c.kind == key.kind, lexicon_entry.c.event == "")
        is_target = tx.execute(
            sa.select(lexicon_entry.c.name).where(mine, lexicon_entry.c.merged_into == key.name).limit(1)
        ).first()
        if target == key.name or found.merged_into is not None or is_target is not None:
            raise Conflict(
                "a merge has two levels and no circle", field="merged_into", remedy="merge each name into the last one"
            )

    def forget(self, tx: Connection, project_id: int, by: Editor, keys: Collection[Key]) -> int:
        """Take back what was said of these entries; what was seen of them stays. Returns how many had been described.

        What was blocked or merged is so no longer, which wants the permission of saying so. A mark of classified stays.
        """
        self.enter(tx, project_id, fenced=False)
        done = 0
        for key in sorted(keys):
            row = tx.execute(sa.select(lexicon_entry).where(_is(project_id, key), lexicon_entry.c.described)).first()
            if row is None:
                continue
            before = entry_of(row)
            seen = {name: getattr(before, name) for name in ("types", "first_ms", "last_ms")}
            blank = Entry(key, classified=before.classified, **seen)
            self._permit(tx, project_id, by, before, blank)
            if before.first_ms is None and not before.classified:
                tx.execute(sa.delete(lexicon_entry).where(_is(project_id, key)))
            else:
                values = {**_columns(blank), "changed_ms": self._clock(), "changed_by": by.id}
                tx.execute(sa.update(lexicon_entry).where(_is(project_id, key)).values(values))
            facts = {**_where(key), **differences(told(before), told(blank))}
            self._stage(tx, AuditAction.LEXICON_DELETED, project_id, by, facts)
            done += 1
        return done

    # --- within ------------------------------------------------------------------------------------------------------

    def enter(self, tx: Connection, project_id: int, *, fenced: bool) -> None:
        """Begin to change the dictionary; `fenced` when ingest must not go on by the old one. Whoever changes several things
        in one transaction, of which one is fenced, says so first."""
        # A batch that was judged by the old version must be acknowledged before the new one is in force. The fence comes
        # first, as in every transaction that takes it.
        if fenced:
            self._fence(tx, project_id)
        hold_project(tx, project_id)
        mine = lexicon_project.c.project_id == project_id
        tx.execute(sa.update(lexicon_project).where(mine).values(version=lexicon_project.c.version + 1))

    def _stage(self, tx: Connection, action: AuditAction, project_id: int, by: Editor, facts: Mapping[str, str]) -> None:
        self._audit.stage(tx, AuditEntry(action, project_id, by.id, self._clock(), facts=facts))


_PAGE = 500
_EMPTY = (0, Reading(), Entrance())


def hold_project(tx: Connection, project_id: int) -> None:
    """Make the project's row where there is none; with it, one change of a dictionary at a time."""
    insert: Any = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(lexicon_project)
    made = {
        "project_id": project_id,
        "version": 0,
        "new_events": Approval.OFF.value,
        "new_properties": Approval.OFF.value,
        "standards": "{}",
        "digest_attempts": 0,
        "window_ms": 0,
        "window_requests": 0,
        "window_entities": 0,
    }
    tx.execute(insert.values(made).on_conflict_do_nothing())
    tx.execute(sa.select(lexicon_project.c.version).where(lexicon_project.c.project_id == project_id).with_for_update())


def held_of(tx: Connection, project_id: int, keys: Collection[Key]) -> dict[Key, Entry]:
    """These entries, as far as they are there."""
    columns = (lexicon_entry.c.kind, lexicon_entry.c.name, lexicon_entry.c.event)
    wanted = sa.tuple_(*columns).in_([tuple(map(str, key)) for key in keys])
    rows = tx.execute(sa.select(lexicon_entry).where(lexicon_entry.c.project_id == project_id, wanted))
    return {found.key: found for found in map(entry_of, rows)}


def entry_of(row: Any) -> Entry:
    """An entry from its row."""
    return Entry(
        key=Key(Kind(row.kind), row.name, row.event),
        state=State(row.state),
        merged_into=row.merged_into,
        classified=row.classified,
        verified=row.verified,
        display_name=row.display_name,
        description=row.description,
        tags=tuple(json.loads(row.tags)),
        owners=tuple(json.loads(row.owners)),
        teams=tuple(json.loads(row.teams)),
        document=json.loads(row.document) if row.document else {},
        described=row.described,
        types=type_names(row.types),
        first_ms=row.first_ms,
        last_ms=row.last_ms,
        changed_ms=row.changed_ms,
        changed_by=row.changed_by,
    )


def _described(entry: Entry) -> Entry:
    """The entry without what has a permission of its own."""
    return replace(entry, state=State.VISIBLE, merged_into=None, classified=False, described=True)


def _where(key: Key) -> dict[str, str]:
    return {"kind": key.kind.value, "name": key.name, **({"event": key.event} if key.event else {})}


def _columns(entry: Entry) -> dict[str, Any]:
    lists = {name: json.dumps(getattr(entry, name), ensure_ascii=False) for name in ("tags", "owners", "teams")}
    plain = ("merged_into", "classified", "verified", "display_name", "description", "described")
    document = json.dumps(entry.document, ensure_ascii=False) if entry.document else None
    return {"state": entry.state.value, "document": document, **lists, **{name: getattr(entry, name) for name in plain}}


def _is(project_id: int, key: Key) -> sa.ColumnElement[bool]:
    return sa.and_(
        lexicon_entry.c.project_id == project_id,
        lexicon_entry.c.kind == key.kind,
        lexicon_entry.c.event == key.event,
        lexicon_entry.c.name == key.name,
    )


def _require(by: Editor, *needed: Permission) -> None:
    missing = sorted(each.value for each in needed if each not in by.permissions)
    if missing:
        raise NotAllowed(
            f"this credential does not hold {', '.join(missing)}", remedy="use a credential whose role holds the permission"
        )
