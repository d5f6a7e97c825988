"""What a request about some people would reach, before anybody confirms it: their closure, and what is held of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Project
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database, data_map
from app.events.placement import EventStores
from app.identity import register
from app.identity.closure import Closure, closure, pseudonyms_of
from app.identity.derive import DEVICE_PREFIX
from app.identity.groups import named_group
from app.keys.service import Keyring, ProjectKeys
from app.quarantine.tables import quarantined
from app.subjects.effects import archives_of
from app.subjects.holds import scopes_of
from app.upstream.tables import upstream

MOST_SHOWN = 1_000
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Shown:
    """One id of a closure, as a reader sees it who may see ids. `means` says why it is in the closure, `kind` what it is:
    a user (which is any id but the others), a device, a legacy alias or a group."""

    identifier: str = field(repr=False)
    canonical: str = field(repr=False)
    kind: str
    means: str
    state: str
    pseudonyms: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Preview:
    """A closure in figures. `places` counts rows in every place of the data map, `archives` copies that an erasure would destroy.
    `recipients` are the hosts to which this project forwards, `legal_holds` counts ids of whom something would be kept.
    `unknown` are positions of ids that mean nobody here; `erased` counts those asked for that are
    erased. `members` is None for a reader who may not see ids; `more` says how many are left out of it."""

    people: int
    ids: int
    events: int
    profiles: int
    held: int
    places: Mapping[str, int]
    archives: int
    recipients: tuple[str, ...]
    legal_holds: int
    unknown: tuple[int, ...]
    erased: int
    members: Sequence[Shown] | None
    more: int


class Previews:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self, database: Database, keyring: Keyring, stores: EventStores, audit: AuditLog, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._stores = stores
        self._audit = audit
        self._clock = clock

    def of(self, project: Project, identifiers: Sequence[str], *, actor: str, show_ids: bool) -> Preview:
        """The preview. Its audit entry, committed with it, counts and names nobody, and says whether ids were shown."""
        with self._database.write() as tx:
            keys = self._keyring.of(tx, project.id)
            found = closure(tx, keys, identifiers)
            events, profiles, held = self._counts(tx, project, found.uids)
            members = _shown(tx, keys, found) if show_ids else None
            places, archives = _places(tx, project.id, found.uids), len(archives_of(tx, project.id, found.uids))
            recipients, kept = _recipients(tx, project.id), len(scopes_of(tx, project.id, found.uids))
            counts = {"named": len(identifiers), "people": len(found.people), "ids": len(found.members)}
            facts = {"ids": "shown" if show_ids else "withheld"}
            entry = Entry(AuditAction.SUBJECTS_PREVIEWED, project.id, actor, self._clock(), counts=counts, facts=facts)
            self._audit.stage(tx, entry)
        missing = set(found.unknown)
        return Preview(
            people=len(found.people),
            ids=len(found.members),
            events=events,
            profiles=profiles,
            held=held,
            places=places,
            archives=archives,
            recipients=recipients,
            legal_holds=kept,
            unknown=tuple(at for at, each in enumerate(identifiers) if each in missing),
            erased=found.erased,
            members=members,
            more=max(len(found.members) - MOST_SHOWN, 0) if show_ids else 0,
        )

    def _counts(self, tx: Connection, project: Project, uids: list[int]) -> tuple[int, int, int]:
        store, events, profiles, held = self._stores.of(project.store_url), 0, 0, 0
        for start in range(0, len(uids), _AT_ONCE):
            some = uids[start : start + _AT_ONCE]
            events += store.count_subjects(tx, project.id, "event", some)
            profiles += store.count_subjects(tx, project.id, "profile", some)
            mine = sa.and_(quarantined.c.project_id == project.id, quarantined.c.uid.in_(some))
            held += int(tx.execute(sa.select(sa.func.count()).select_from(quarantined).where(mine)).scalar_one())
        return events, profiles, held


def _places(tx: Connection, project_id: int, uids: list[int]) -> dict[str, int]:
    """Rows of these ids in each place that has any."""
    found: Counter[str] = Counter()
    for start in range(0, len(uids), _AT_ONCE):
        for place in data_map():
            mine = sa.and_(place.table.c.project_id == project_id, place.subject.in_(uids[start : start + _AT_ONCE]))
            found[place.name] += int(tx.execute(sa.select(sa.func.count()).select_from(place.table).where(mine)).scalar_one())
    return {name: n for name, n in sorted(found.items()) if n}


def _recipients(tx: Connection, project_id: int) -> tuple[str, ...]:
    bases = tx.execute(sa.select(upstream.c.base).where(upstream.c.project_id == project_id)).scalars()
    return tuple(urlsplit(each).hostname or "" for each in bases)


def _shown(tx: Connection, keys: ProjectKeys, found: Closure) -> list[Shown]:
    members = found.members[:MOST_SHOWN]
    revealed = register.reveal(tx, keys, [each.uid for each in members])
    shown = []
    for each in members:
        name, canonical = revealed[each.uid].identifier, revealed[each.uid].canonical
        codes = pseudonyms_of(keys, name)
        group = named_group(name)
        identifier = group.id if group else name
        head = named_group(canonical)
        kind = "group" if group else _kind(name, aliased=each.row.read_as is not None)
        shown.append(Shown(identifier, head.id if head else canonical, kind, each.means.value, each.row.state.value, codes))
    return sorted(shown, key=lambda each: (each.canonical, each.kind, each.identifier))


def _kind(name: str, *, aliased: bool) -> str:
    if name.startswith(DEVICE_PREFIX):
        return "device"
    return "alias" if aliased else "user"
