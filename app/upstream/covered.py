"""What waits for a collector and a data deletion covers: found, deleted, rewritten, and kept from leaving.

A parcel that is covered waits while the deletion can be undone, as that of a restricted person does; a property that is
being deleted does not leave. All in the caller's transaction; times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.upstream.outbox import Parcel
from app.upstream.tables import outgoing
from app.where.evaluate import Subject

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Queued:
    """One event that waits, parked or not. `body` is the JSON text of its properties."""

    id: int
    time_ms: int
    name: str = field(repr=False)
    body: str = field(repr=False)
    queued_ms: int

    def as_subject(self) -> Subject:
        """As an expression sees it."""
        return Subject(msgspec.json.decode(self.body), self.time_ms, self.name, received_ms=self.queued_ms)


def queued(tx: Connection, project_id: int, after: int, up_to_ms: int, most: int) -> list[Queued]:
    """The first events beyond the id `after` that were queued up to this moment, in order and locked where the engine can."""
    mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.id > after, outgoing.c.queued_ms <= up_to_ms)
    return _found(tx, sa.select(outgoing).where(mine).order_by(outgoing.c.id).limit(most).with_for_update())


def rewrite(tx: Connection, project_id: int, bodies: Mapping[int, str]) -> None:
    """Put new properties into events that wait, by id."""
    for queued_id, body in bodies.items():
        mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.id == queued_id)
        tx.execute(sa.update(outgoing).where(mine).values(body=body))


def leaving(tx: Connection, sight: Sight, vanishing: Mapping[str, int], parcels: Sequence[Parcel]) -> Sequence[Parcel]:
    """Those of these events that may leave now, and without the properties that are being deleted.

    `sight` is that of the service itself; `vanishing` says up to which moment of arrival each property goes.
    """
    if (sight.events is None and not vanishing) or not parcels:
        return parcels
    mine = sa.and_(outgoing.c.project_id == sight.project_id, outgoing.c.id.in_([each.id for each in parcels]))
    found = {each.id: each for each in _found(tx, sa.select(outgoing).where(mine))}
    return [_stripped(each, found[each.id], vanishing) for each in parcels if sight.shows(found[each.id].as_subject())]


def _stripped(parcel: Parcel, as_queued: Queued, vanishing: Mapping[str, int]) -> Parcel:
    names = frozenset(name for name, up_to_ms in vanishing.items() if as_queued.queued_ms <= up_to_ms)
    text = without(parcel.body, names) if names else None
    return parcel if text is None else replace(parcel, body=text)


def without(text: str, names: frozenset[str]) -> str | None:
    """The JSON text of properties without these, the others byte for byte; None when none of them is there."""
    members = _MEMBERS.decode(text)
    kept = {name: value for name, value in members.items() if name not in names}
    return None if len(kept) == len(members) else msgspec.json.encode(kept).decode()


def _found(tx: Connection, wanted: sa.Select[tuple[object, ...]]) -> list[Queued]:
    return [Queued(row.id, row.time_ms, row.name, row.body, row.queued_ms) for row in tx.execute(wanted)]
