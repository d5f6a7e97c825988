"""Held events and profile updates as sealed rows: written, found, opened, put back. All in the caller's transaction."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.engine import Connection

from app.events.port import EventRow
from app.identity import personal, register
from app.identity.derive import DEVICE_PREFIX
from app.identity.register import Revealed
from app.keys.sealing import seal, unseal
from app.keys.service import ProjectKeys
from app.quarantine.tables import quarantined
from policies.model import ActionKind, Decision, Remark, Scope

_NOBODY = 0
_ROWS_AT_ONCE = 200
_UID_PROPERTIES = ("$user_id", "$device_id")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record to hold: its row and its remarks. `stray` is an id that an event names and that its row does not keep.

    The row of a profile update names the operation and holds its operand; `uid` is that of the profile. `literal` says that
    the update is for this id and no other of its person, `seen` that it counts as a sign of life; `group_key`
    is the kind of group of which the profile is, empty for a person's.
    """

    row: EventRow
    remarks: Sequence[Remark]
    stray: str | None = None
    scope: Scope = Scope.EVENT
    literal: bool = False
    seen: bool = True
    group_key: str = ""


class _Body(msgspec.Struct, frozen=True):
    """What is sealed. `held_by` is empty for what an earlier release held. `stray` is the register key of an id that the
    event names and does not keep: no id, and enough to ask later whether its person has opted out."""

    event: str
    time_ms: int
    properties: dict[str, Any]
    held_by: tuple[Remark, ...] = ()
    stray: bytes | None = None
    literal: bool = False
    seen: bool = True
    group_key: str = ""

    def __repr__(self) -> str:
        return "<_Body>"


@dataclass(frozen=True, slots=True)
class Held:
    """One held record, opened. `properties` is the cleaned form with uids where ids stood; `held_by` the remarks that
    held it; `literal`, `seen` and `group_key` as in `Arrival`."""

    id: str
    uid: int
    dedup: int
    reason: str
    received_ms: int
    expires_ms: int
    policy_version: int
    scope: Scope
    name: str = field(repr=False)
    time_ms: int
    properties: Mapping[str, Any] = field(repr=False)
    held_by: tuple[Remark, ...]
    stray: bytes | None = field(default=None, repr=False)
    literal: bool = False
    seen: bool = True
    group_key: str = ""

    @property
    def uids(self) -> frozenset[int]:
        """Everybody whom the record names."""
        if self.scope is not Scope.EVENT:
            return frozenset({self.uid})
        named = (self.properties.get(name) for name in _UID_PROPERTIES)
        return frozenset(uid for uid in (self.uid, *named) if isinstance(uid, int) and uid != _NOBODY)


def holds(remarks: Sequence[Remark]) -> tuple[Remark, ...]:
    """Those of a decision's remarks that hold the record."""
    return tuple(each for each in remarks if each.action == ActionKind.QUARANTINE)


def hold(tx: Connection, keys: ProjectKeys, events: Sequence[Arrival], now_ms: int, ttl_ms: int) -> None:
    """Seal and keep these events until `ttl_ms` from now. One that is held already, by its digest, is replaced."""
    latest: dict[int, Arrival] = {}
    for arrival in events:
        latest.pop(arrival.row.dedup, None)
        latest[arrival.row.dedup] = arrival
    if not latest:
        return
    again = sa.and_(quarantined.c.project_id == keys.project_id, quarantined.c.dedup.in_(list(latest)))
    tx.execute(sa.delete(quarantined).where(again))
    sealers = _keys_of(tx, keys, {arrival.row.uid for arrival in latest.values()})
    # What arrives at one moment is told apart by its id: in ascending order it is also the order of arrival.
    ids = sorted(secrets.token_hex(16) for _ in latest)
    arrivals = list(zip(ids, latest.values(), strict=True))
    # Some at a time: the sealed forms of a whole batch would be the batch once more.
    for start in range(0, len(arrivals), _ROWS_AT_ONCE):
        some = arrivals[start : start + _ROWS_AT_ONCE]
        rows = [_row(keys, sealers[each.row.uid], identity, each, now_ms + ttl_ms) for identity, each in some]
        tx.execute(sa.insert(quarantined), rows)


def _row(keys: ProjectKeys, key: AESGCM, identity: str, arrival: Arrival, expires_ms: int) -> dict[str, Any]:
    row, held_by = arrival.row, holds(arrival.remarks)
    body = _body(row.name, row.time_ms, msgspec.Raw(row.properties.encode()), held_by)
    body |= {"literal": arrival.literal, "seen": arrival.seen, "group_key": arrival.group_key}
    body["stray"] = None if arrival.stray is None else keys.lookup_of(arrival.stray)
    return {
        "project_id": keys.project_id,
        "id": identity,
        "uid": row.uid,
        "sealed": _sealed(key, identity, body),
        "reason": reason_of(held_by),
        "received_ms": row.received_ms,
        "expires_ms": expires_ms,
        "scope": arrival.scope.value,
        "name": row.name,
        "dedup": row.dedup,
        "policy_version": row.policy_version,
    }


def reason_of(remarks: Sequence[Remark]) -> str:
    """The reason code by which a held event is listed: that of the first remark that held it."""
    return remarks[0].reason if remarks else "unknown"


def hold_again(tx: Connection, keys: ProjectKeys, held: Held, remarks: tuple[Remark, ...], version: int) -> None:
    """The event stays, and from now on says that it is these remarks of policy `version` that hold it."""
    key = _keys_of(tx, keys, {held.uid})[held.uid]
    body = _body(held.name, held.time_ms, held.properties, remarks)
    body |= {"stray": held.stray, "literal": held.literal, "seen": held.seen, "group_key": held.group_key}
    sealed = _sealed(key, held.id, body)
    values = {"sealed": sealed, "reason": reason_of(remarks), "policy_version": version}
    tx.execute(sa.update(quarantined).where(_these(keys.project_id, [held.id])).values(values))


def opened(tx: Connection, keys: ProjectKeys, wanted: sa.Select[Any]) -> Iterator[Held]:
    """Open the rows of a selection from the table. What has no key any more belongs to an erased person: left out."""
    rows = tx.execute(wanted).all()
    sealers = _keys_of(tx, keys, {row.uid for row in rows})
    for row in rows:
        if row.uid in sealers:
            body = msgspec.json.decode(unseal(sealers[row.uid], row.sealed, f"quarantine|{row.id}"), type=_Body)
            yield Held(
                id=row.id,
                uid=row.uid,
                dedup=row.dedup,
                reason=row.reason,
                received_ms=row.received_ms,
                expires_ms=row.expires_ms,
                policy_version=row.policy_version,
                scope=Scope(row.scope),
                name=body.event,
                time_ms=body.time_ms,
                properties=body.properties,
                held_by=body.held_by,
                stray=body.stray,
                literal=body.literal,
                seen=body.seen,
                group_key=body.group_key,
            )


def held_of(tx: Connection, keys: ProjectKeys, uids: Collection[int]) -> Iterator[Held]:
    """What is held of these people, oldest first."""
    mine = sa.and_(quarantined.c.project_id == keys.project_id, quarantined.c.uid.in_(list(uids)))
    yield from opened(tx, keys, sa.select(quarantined).where(mine).order_by(quarantined.c.received_ms, quarantined.c.id))


def event_row(held: Held, decision: Decision, version: int) -> EventRow:
    """A held event as it is stored once policy `version` lets it pass."""
    return EventRow(
        time_ms=held.time_ms,
        dedup=held.dedup,
        uid=held.uid,
        name=decision.name or "",
        properties=msgspec.json.encode(decision.properties).decode(),
        policy_version=version,
        received_ms=held.received_ms,
    )


def remove(tx: Connection, project_id: int, ids: Collection[str]) -> int:
    """Delete rows by id. Returns how many there were."""
    return tx.execute(sa.delete(quarantined).where(_these(project_id, ids))).rowcount


def remove_updates(tx: Connection, project_id: int, people: Collection[int]) -> int:
    """Delete what is held for the profiles of these people. Returns how many updates that were."""
    uids = {*people, *register.linked(tx, project_id, people)}
    theirs = sa.and_(quarantined.c.project_id == project_id, quarantined.c.uid.in_(uids))
    return tx.execute(sa.delete(quarantined).where(theirs, quarantined.c.scope != Scope.EVENT.value)).rowcount


def with_ids(held: Held, revealed: Mapping[int, Revealed]) -> dict[str, Any]:
    """The properties with ids in place of uids, for a reader who may see them; an id of a hidden person is left out."""
    shown = dict(held.properties)
    if held.scope is not Scope.EVENT:
        return shown
    for name in _UID_PROPERTIES:
        found = revealed.get(shown.pop(name, _NOBODY))
        if found is not None and not found.hidden:
            shown[name] = found.identifier.removeprefix(DEVICE_PREFIX) if name == "$device_id" else found.identifier
    return shown


def _these(project_id: int, ids: Collection[str]) -> sa.ColumnElement[bool]:
    return sa.and_(quarantined.c.project_id == project_id, quarantined.c.id.in_(list(ids)))


def _body(name: str, time_ms: int, properties: Any, held_by: tuple[Remark, ...]) -> dict[str, Any]:
    return {"event": name, "time_ms": time_ms, "properties": properties, "held_by": held_by}


def _sealed(key: AESGCM, identity: str, body: Mapping[str, Any]) -> bytes:
    return seal(key, msgspec.json.encode(body), f"quarantine|{identity}")


def _keys_of(tx: Connection, keys: ProjectKeys, uids: Collection[int]) -> dict[int, AESGCM]:
    """The key that seals what is held of each of these people; nobody's is the project's."""
    wrapped = personal.subject_key_rows(tx, keys.project_id, [uid for uid in uids if uid != _NOBODY])
    return {_NOBODY: keys.subject, **{uid: keys.subject_key(uid, key) for uid, key in wrapped.items()}}
