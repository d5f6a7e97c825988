"""Drop filters one at a time (wire section 17): looked at on stored events first, then a policy version like any other.

There is one mechanism that refuses, the policy; here is only a short way to write it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.access.sight import Sight
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, NotFound
from app.events.placement import EventStores
from app.events.port import EventQuery
from app.rulebook.service import PolicyVersion, Rulebook
from app.sight import people
from app.sight.service import Sights
from app.where.tree import About
from policies.amend import read_filter, with_filter, without_filter
from policies.filters import CompiledFilter
from policies.model import DropFilter

_DAY_MS = 86_400_000
_PAGE = 500
_MOST_NAMES = 100
_REMEDY = "write it into the policy's text under `events.drop`, and add that as a version"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a filter would have refused: `caught` of `records` events of these days, and of which names the most.

    `complete` is False when the time was up; then the newest events were looked at.
    """

    records: int
    caught: int
    events: tuple[tuple[str, int], ...]
    complete: bool


class DropFilters:
    """Drop filters of every project. Stateless but for its dependencies."""

    def __init__(
        self,
        database: Database,
        stores: EventStores,
        rulebook: Rulebook,
        audit: AuditLog,
        clock: Callable[[], int],
        sights: Sights,
        budget_s: float = 2.0,
    ) -> None:
        self._database = database
        self._stores = stores
        self._rulebook = rulebook
        self._audit = audit
        self._clock = clock
        self._sights = sights
        self._budget_s = budget_s

    def of(self, project_id: int) -> tuple[int, tuple[DropFilter, ...]]:
        """The version in force and its filters. Raises `Unavailable` without one."""
        with self._database.read() as tx:
            active = self._rulebook.active(tx, project_id)
        return active.version, active.written.drop_filters

    def preview(self, by: Principal, written: dict[str, Any], days: int) -> Preview:
        """Ask the filter about stored events, newest first, for a bounded time. The look stands in the audit log.

        Events are compared as they are stored: what policy changed in them, the filter would have seen unchanged. Raises
        `NotAllowed` for a filter of what this principal may not see; and whatever is withheld from them is not compared.
        """
        read = read_filter(written)
        asked, project = CompiledFilter(read), by.project
        with self._database.read() as tx:
            refuse_withheld(self._sights.desk(tx, by), read)
        store, from_ms = self._stores.of(project.store_url), self._clock() - days * _DAY_MS
        until, after, records = time.monotonic() + self._budget_s, None, 0
        caught: Counter[str] = Counter()
        whole = True
        while True:
            page = EventQuery(from_ms=from_ms, after=after, limit=_PAGE, newest_first=True)
            with self._database.read() as tx:
                sight = self._sights.desk(tx, by)
                rows = list(store.scan(tx, sight, page))
                shown = set(people.in_sight(tx, store, sight, {row.uid for row in rows}))
                shown |= {people.NOBODY} if people.shows_nobody(sight) else set()
                seen = people.through(tx, store, sight, [row for row in rows if row.uid in shown])
            records += len(seen)
            caught.update(
                row.name for row in seen if asked.applies_to(row.name) and asked.catches(msgspec.json.decode(row.properties))
            )
            if len(rows) < _PAGE:
                break
            after = (rows[-1].time_ms, rows[-1].dedup)
            if time.monotonic() > until:
                whole = False
                break
        self._tell(project.id, by.id, records, caught.total())
        return Preview(records, caught.total(), tuple(caught.most_common(_MOST_NAMES)), whole)

    def _tell(self, project_id: int, actor: str, records: int, caught: int) -> None:
        counts = {"records": records, "caught": caught}
        with self._database.write() as tx:
            self._audit.stage(tx, Entry(AuditAction.FILTER_PREVIEWED, project_id, actor, self._clock(), counts=counts))

    def admit(self, by: Principal, version: int) -> None:
        """Raises `NotAllowed` when a version has a filter of what this principal may not see: counts of it would tell."""
        with self._database.read() as tx:
            sight = self._sights.desk(tx, by)
            for each in self._rulebook.gate(tx, by.project.id, version).written.drop_filters:
                refuse_withheld(sight, each)

    def add(self, project_id: int, written: dict[str, Any], *, actor: str) -> PolicyVersion:
        """Put a version in force that is the active one with this filter.

        Raises `policies.errors.PolicyInvalid`, and `Conflict` when the text leaves no room for it or the
        policy's own cases do not hold with it.
        """
        with self._database.write() as tx:
            try:
                text = with_filter(self._text(tx, project_id), written)
            except KeyError:
                raise Conflict("a drop filter has this id", field="id", remedy="choose another id, or remove that one") from None
            return self._put_in_force(tx, project_id, text, actor)

    def remove(self, project_id: int, filter_id: str, *, actor: str) -> PolicyVersion:
        """Put a version in force without the filter of this id. Raises `NotFound`, and `Conflict` as `add` does."""
        with self._database.write() as tx:
            try:
                text = without_filter(self._text(tx, project_id), filter_id)
            except KeyError:
                raise NotFound("no such drop filter", field="id", remedy="list them with GET /v1/drop-filters") from None
            return self._put_in_force(tx, project_id, text, actor)

    def _text(self, tx: Connection, project_id: int) -> str:
        return self._rulebook.version(tx, project_id, self._rulebook.active(tx, project_id).version).text

    def _put_in_force(self, tx: Connection, project_id: int, text: str | None, actor: str) -> PolicyVersion:
        if text is None:
            raise Conflict("the policy is written in a way that no filter can be put in or taken out", remedy=_REMEDY)
        made = self._rulebook.add(tx, project_id, text, author=actor)
        return self._rulebook.activate(tx, project_id, made.version, actor=actor)


def refuse_withheld(sight: Sight, written: DropFilter) -> None:
    """Raises `NotAllowed` when a filter compares a property that is withheld."""
    for each in written.where:
        for part in each.property.replace("[]", "").split("."):
            sight.admit_name(part, About.EVENT, f"drop filter {written.id}", "where")
