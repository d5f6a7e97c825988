"""Everything held about the people of an access request, as records to write down: streamed, a few hundred people at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Project
from app.access.sight import Sight
from app.audit.entry import iso
from app.bootstrap import Services
from app.events.port import EventQuery, EventRow
from app.identity import register, signals
from app.identity.register import Revealed
from app.identity.tables import pseudonym_bridge
from app.keys.service import ProjectKeys
from app.quarantine import holding
from app.query.batches import batches
from app.query.legible import Legible
from app.query.render import OpenEvent, event_view, open_event, profile_view, uids_of
from app.sight import people
from app.subjects.model import SubjectRequest
from policies.model import Scope

_UIDS_AT_ONCE = 500
_ROWS_AT_ONCE = 1_000
_DAY_MS = 86_400_000
# CCPA section 1798.130(a)(2)(B): the twelve months before the request.
_CCPA_LOOK_BACK_MS = 365 * _DAY_MS


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one request may see, read through one transaction."""

    services: Services
    tx: Connection
    project: Project
    uids: list[int]
    request: SubjectRequest

    def events(self) -> Iterator[dict[str, Any]]:
        """Events of these people, oldest first within each few hundred people."""
        store = self.services.stores.of(self.project.store_url)
        earliest = self.request.created_ms - _CCPA_LOOK_BACK_MS if self.request.compliance_type == "CCPA" else None
        for uids in self._few_people():
            rows = store.scan(self.tx, self._sight(), EventQuery(from_ms=earliest, uids=uids))
            for batch in self._open_batches(rows):
                revealed = self._in_sight(uids_of(batch))
                for event in batch:
                    shown = event_view(event, revealed)
                    if shown is not None:
                        yield shown

    def profiles(self) -> Iterator[dict[str, Any]]:
        """Profiles of these people."""
        store = self.services.stores.of(self.project.store_url)
        for uids in self._few_people():
            found = sorted(store.read_profiles(self.tx, self._sight(), uids), key=lambda row: row.uid)
            revealed = self._in_sight({row.uid for row in found})
            for row in self._legible().rows(self.tx, found):
                shown = profile_view(row, revealed)
                if shown is not None:
                    yield shown

    def held_events(self) -> Iterator[dict[str, Any]]:
        """Events and profile updates of these people that wait in quarantine, opened."""
        for uids in self._few_people():
            held = list(holding.held_of(self.tx, self._keys(), uids))
            revealed = self._reveal({uid for each in held for uid in each.uids})
            texts = [(each.uid, msgspec.json.encode(holding.with_ids(each, revealed)).decode()) for each in held]
            for each, text in zip(held, self._legible().texts(self.tx, texts), strict=True):
                properties = msgspec.json.decode(text)
                name = "event" if each.scope is Scope.EVENT else "operation"
                yield {"reason": each.reason, name: each.name, "time_ms": each.time_ms, "properties": properties}

    def identifiers(self) -> Iterator[dict[str, Any]]:
        """Every id that means one of these people, and what they decided."""
        for uids in self._few_people():
            for _, each in sorted(self._reveal(set(uids)).items()):
                decided = {"state": each.state.value, "refused_purposes": sorted(each.refused)}
                yield {"distinct_id": each.identifier, "canonical_id": each.canonical, **decided}

    def signals(self) -> Iterator[dict[str, Any]]:
        """The browser signals of these people that were honoured: that nothing was kept, and when."""
        for uids in self._few_people():
            revealed = self._reveal(set(uids))
            for each in signals.of_people(self.tx, self.project.id, {shown.person for shown in revealed.values()}):
                if each.uid in revealed:
                    times = {"first": iso(each.first_ms), "last": iso(each.last_ms)}
                    yield {"distinct_id": revealed[each.uid].identifier, "signal": each.signal, "n": each.n, **times}

    def bridges(self) -> Iterator[dict[str, Any]]:
        """Pairs of pseudonyms of these people's values that were noted over a rotation of the key."""
        columns = (pseudonym_bridge.c.older, pseudonym_bridge.c.newer)
        for uids in self._few_people():
            mine = sa.and_(pseudonym_bridge.c.project_id == self.project.id, pseudonym_bridge.c.uid.in_(uids))
            for row in self.tx.execute(sa.select(*columns).where(mine).order_by(pseudonym_bridge.c.uid, *columns)).all():
                yield {"older": row.older, "newer": row.newer}

    def categories(self) -> dict[str, Any]:
        """Names of what is held, without values (disclosure type Categories)."""
        names: dict[str, set[str]] = {}
        for event in self.events():
            names.setdefault(event["event"], set()).update(event["properties"])
        profile = {name for each in self.profiles() for name in each["$properties"]}
        return {"events": {name: sorted(names[name]) for name in sorted(names)}, "profile": sorted(profile)}

    def sources(self) -> dict[str, int]:
        """By what means events were collected (disclosure type Sources): the library that sent them, and how many."""
        return dict(Counter(str(each["properties"].get("mp_lib", "unknown")) for each in self.events()))

    def _few_people(self) -> Iterator[list[int]]:
        for start in range(0, len(self.uids), _UIDS_AT_ONCE):
            yield self.uids[start : start + _UIDS_AT_ONCE]

    def _legible(self) -> Legible:
        # The copy is for the people themselves: what was encrypted for their sake is in clear in it.
        return Legible(self.services.keyring, self._sight())

    def _sight(self) -> Sight:
        return self.services.sights.own_copy(self.tx, self.project)

    def _open_batches(self, rows: Iterator[EventRow]) -> Iterator[list[OpenEvent]]:
        legible = self._legible()
        for batch in batches(rows, _ROWS_AT_ONCE):
            yield [open_event(row) for row in legible.rows(self.tx, batch)]

    def _keys(self) -> ProjectKeys:
        return self.services.keyring.of(self.tx, self.project.id)

    def _reveal(self, uids: set[int]) -> Mapping[int, Revealed]:
        # What the register itself says of people: their ids are theirs to know, restricted or not.
        return register.reveal(self.tx, self._keys(), uids)

    def _in_sight(self, uids: set[int]) -> Mapping[int, Revealed]:
        store = self.services.stores.of(self.project.store_url)
        return people.revealed(self.tx, store, self._keys(), self._sight(), uids)
