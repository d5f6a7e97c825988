"""What waits for a collector and a data deletion covers: found, deleted, rewritten, and kept from leaving.

A parcel that is covered waits while the deletion can be undone, as that of a restricted person does; a property that is
being deleted does not leave. All in the caller's transaction; times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.sight import Sight
from app.upstream.outbox import Change, Kind, Parcel, as_parcel
from app.upstream.tables import outgoing
from app.where.evaluate import Subject
from app.where.tree import About

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHANGE = msgspec.json.Decoder(Change)


def as_subject(event: Parcel) -> Subject:
    """An event as an expression sees it."""
    return Subject(msgspec.json.decode(event.body), event.time_ms, event.name, received_ms=event.queued_ms)


def stripped(parcel: Parcel, names: frozenset[str]) -> str | None:
    """Its body without these properties, all else byte for byte, or None when nothing is left of a change.

    What takes a property away (`$unset`) may go on: it says no value.
    """
    if parcel.kind is Kind.EVENT:
        return without(parcel.body, names) or parcel.body
    change = _CHANGE.decode(parcel.body)
    if bytes(change.operand[:1]) != b"{":
        return parcel.body
    rest = without(bytes(change.operand).decode(), names)
    if rest is None:
        return parcel.body
    changed = msgspec.structs.replace(change, operand=msgspec.Raw(rest.encode()))
    return None if rest == "{}" else msgspec.json.encode(changed).decode()


def queued(tx: Connection, project_id: int, about: About, after: int, up_to_ms: int, most: int) -> list[Parcel]:
    """The first of these parcels beyond the id `after` that were queued up to this moment, in order and locked where the
    engine can."""
    mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.id > after, outgoing.c.queued_ms <= up_to_ms)
    of_kind = outgoing.c.kind == Kind.EVENT.value if about is About.EVENT else outgoing.c.kind != Kind.EVENT.value
    wanted = sa.select(outgoing).where(mine, of_kind).order_by(outgoing.c.id).limit(most).with_for_update()
    return [as_parcel(row) for row in tx.execute(wanted)]


def rewrite(tx: Connection, project_id: int, bodies: Mapping[int, str]) -> None:
    """Put new bodies into parcels that wait, by id."""
    for queued_id, body in bodies.items():
        mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.id == queued_id)
        tx.execute(sa.update(outgoing).where(mine).values(body=body))


def leaving(sight: Sight, vanishing: Mapping[About, Mapping[str, int]], parcels: Sequence[Parcel]) -> Sequence[Parcel]:
    """Those of these parcels that may leave now, and without the properties that are being deleted.

    `sight` is that of the service itself; `vanishing` says up to which moment of arrival each property goes.
    """
    if sight.events is None and not any(vanishing.values()):
        return parcels
    left = []
    for each in parcels:
        about = About.EVENT if each.kind is Kind.EVENT else About.PROFILE
        body = stripped(each, frozenset(name for name, up_to_ms in vanishing[about].items() if each.queued_ms <= up_to_ms))
        if body is not None and (about is About.PROFILE or sight.shows(as_subject(each))):
            left.append(each if body == each.body else replace(each, body=body))
    return left


def without(text: str, names: frozenset[str]) -> str | None:
    """The JSON text of properties without these, the others byte for byte; None when none of them is there."""
    members = _MEMBERS.decode(text)
    kept = {name: value for name, value in members.items() if name not in names}
    return None if len(kept) == len(members) else msgspec.json.encode(kept).decode()
