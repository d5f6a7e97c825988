"""What waits for a collector and a data deletion covers: found, deleted, rewritten, and kept from leaving.

A parcel that is covered waits while the deletion can be undone, as that of a restricted person does; a property that is
being deleted does not leave. All in the caller's transaction; times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.upstream.outbox import Change, Kind, Parcel
from app.upstream.tables import outgoing
from app.where.evaluate import Subject
from app.where.tree import About

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHANGE = msgspec.json.Decoder(Change)


@dataclass(frozen=True, slots=True)
class Queued:
    """One parcel that waits, parked or not. `body` is the JSON text of an event's properties, or of a `Change`."""

    id: int
    kind: Kind
    time_ms: int
    name: str = field(repr=False)
    body: str = field(repr=False)
    queued_ms: int

    @property
    def about(self) -> About:
        """Whether it is an event, or changes a profile."""
        return About.EVENT if self.kind is Kind.EVENT else About.PROFILE

    def as_subject(self) -> Subject:
        """An event as an expression sees it."""
        return Subject(msgspec.json.decode(self.body), self.time_ms, self.name, received_ms=self.queued_ms)

    def without(self, names: frozenset[str]) -> str | None:
        """Its body without these properties, all else byte for byte, or None when nothing is left of a change.

        What takes a property away (`$unset`) may go on: it says no value.
        """
        if self.kind is Kind.EVENT:
            return without(self.body, names) or self.body
        change = _CHANGE.decode(self.body)
        if bytes(change.operand[:1]) != b"{":
            return self.body
        rest = without(bytes(change.operand).decode(), names)
        if rest is None:
            return self.body
        changed = msgspec.structs.replace(change, operand=msgspec.Raw(rest.encode()))
        return None if rest == "{}" else msgspec.json.encode(changed).decode()


def queued(tx: Connection, project_id: int, about: About, after: int, up_to_ms: int, most: int) -> list[Queued]:
    """The first of these parcels beyond the id `after` that were queued up to this moment, in order and locked where the
    engine can."""
    mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.id > after, outgoing.c.queued_ms <= up_to_ms)
    of_kind = outgoing.c.kind == Kind.EVENT.value if about is About.EVENT else outgoing.c.kind != Kind.EVENT.value
    return list(_found(tx, sa.select(outgoing).where(mine, of_kind).order_by(outgoing.c.id).limit(most).with_for_update()))


def rewrite(tx: Connection, project_id: int, bodies: Mapping[int, str]) -> None:
    """Put new bodies into parcels that wait, by id."""
    for queued_id, body in bodies.items():
        mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.id == queued_id)
        tx.execute(sa.update(outgoing).where(mine).values(body=body))


def leaving(
    tx: Connection, sight: Sight, vanishing: Mapping[About, Mapping[str, int]], parcels: Sequence[Parcel]
) -> Sequence[Parcel]:
    """Those of these parcels that may leave now, and without the properties that are being deleted.

    `sight` is that of the service itself; `vanishing` says up to which moment of arrival each property goes.
    """
    if (sight.events is None and not any(vanishing.values())) or not parcels:
        return parcels
    mine = sa.and_(outgoing.c.project_id == sight.project_id, outgoing.c.id.in_([each.id for each in parcels]))
    found = {each.id: each for each in _found(tx, sa.select(outgoing).where(mine))}
    left = []
    for each in parcels:
        as_queued = found[each.id]
        names = frozenset(name for name, up_to in vanishing[as_queued.about].items() if as_queued.queued_ms <= up_to)
        body = as_queued.without(names)
        if body is not None and (as_queued.about is About.PROFILE or sight.shows(as_queued.as_subject())):
            left.append(each if body == each.body else replace(each, body=body))
    return left


def without(text: str, names: frozenset[str]) -> str | None:
    """The JSON text of properties without these, the others byte for byte; None when none of them is there."""
    members = _MEMBERS.decode(text)
    kept = {name: value for name, value in members.items() if name not in names}
    return None if len(kept) == len(members) else msgspec.json.encode(kept).decode()


def _found(tx: Connection, wanted: sa.Select[tuple[object, ...]]) -> Iterator[Queued]:
    return (Queued(row.id, Kind(row.kind), row.time_ms, row.name, row.body, row.queued_ms) for row in tx.execute(wanted))
