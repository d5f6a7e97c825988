"""The operations on the register. All of them run in the caller's transaction, under the caller's fence."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.identity.tables import register
from app.keys.sealing import seal, unseal
from app.keys.service import ProjectKeys
from policies.model import SubjectState

_T = TypeVar("_T")

# Below the bound-parameter limits of both engines (32,766 and 65,535), with room for the other parameters.
_CHUNK = 5_000
_HIDDEN = (SubjectState.RESTRICTED, SubjectState.ERASING, SubjectState.ERASED)
_LEAVING = (SubjectState.ERASING, SubjectState.ERASED)


@dataclass(frozen=True, slots=True)
class Row:
    """One id of the register. `uid` and `person` are None once the row is a tombstone."""

    uid: int | None
    person: int | None
    state: SubjectState
    request_id: str | None = None

    @property
    def hidden(self) -> bool:
        """True when no read may show what belongs to this id."""
        return self.state in _HIDDEN


@dataclass(frozen=True, slots=True)
class Revealed:
    """An id put back for a reader who may see it. `canonical` is the id of the person, which may be another."""

    identifier: str = field(repr=False)
    canonical: str = field(repr=False)
    person: int
    hidden: bool


def resolve(tx: Connection, keys: ProjectKeys, identifiers: Iterable[str]) -> dict[str, Row]:
    """The rows of those ids that the register knows. One indexed look-up a batch."""
    by_lookup = {keys.lookup_of(each): each for each in identifiers}
    found: dict[str, Row] = {}
    columns = (register.c.lookup, register.c.uid, register.c.person, register.c.state, register.c.request_id)
    for chunk in _chunks(list(by_lookup)):
        rows = sa.select(*columns).where(register.c.project_id == keys.project_id, register.c.lookup.in_(chunk))
        for lookup, uid, person, state, request_id in tx.execute(rows):
            found[by_lookup[bytes(lookup)]] = Row(uid, person, SubjectState(state), request_id)
    return found


def enrol(
    tx: Connection,
    keys: ProjectKeys,
    identifiers: Iterable[str],
    now_ms: int,
    *,
    state: SubjectState = SubjectState.ACTIVE,
) -> dict[str, Row]:
    """Rows for ids that the register did not know. Where another transaction was first, its row is the answer."""
    # Sorted by key, so that two batches that enrol the same ids wait for each other in one order and never deadlock.
    wanted = sorted((keys.lookup_of(each), each) for each in set(identifiers))
    if not wanted:
        return {}
    rows = [_new_row(keys, lookup, identifier, now_ms, state) for lookup, identifier in wanted]
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    done = tx.execute(insert(register).on_conflict_do_nothing(), rows)
    if done.rowcount == len(rows):
        return {identifier: Row(row["uid"], row["uid"], state) for (_, identifier), row in zip(wanted, rows, strict=True)}
    return resolve(tx, keys, [identifier for _, identifier in wanted])


def _new_row(keys: ProjectKeys, lookup: bytes, identifier: str, now_ms: int, state: SubjectState) -> dict[str, Any]:
    uid = secrets.randbits(62) + 1
    key, wrapped = keys.new_subject_key(uid)
    return {
        "project_id": keys.project_id,
        "lookup": lookup,
        "uid": uid,
        "person": uid,
        "state": state.value,
        "sealed_id": seal(key, identifier.encode("utf-8", "replace"), f"id|{uid}"),
        "wrapped_key": wrapped,
        "audit_ref": secrets.token_hex(16),
        "created_ms": now_ms,
    }


def link(tx: Connection, keys: ProjectKeys, device: Row, user: Row) -> Row:
    """Make `device` belong to the person of `user`, once: a device that has a person keeps it (wire section 10).

    The device takes the person's state, so an opt-out of the user holds for what the device sends alone.
    """
    if device.person != device.uid or user.person is None or device.person == user.person:
        return device
    if device.state is not SubjectState.ACTIVE or user.state in _LEAVING or _has_members(tx, keys.project_id, device):
        return device
    linked = replace(device, person=user.person, state=user.state)
    tx.execute(
        sa.update(register)
        .where(register.c.project_id == keys.project_id, register.c.uid == device.uid)
        .values(person=user.person, state=user.state.value)
    )
    return linked


def _has_members(tx: Connection, project_id: int, row: Row) -> bool:
    others = sa.select(register.c.uid).where(
        register.c.project_id == project_id, register.c.person == row.person, register.c.uid != row.uid
    )
    return tx.execute(others.limit(1)).first() is not None


def closure(tx: Connection, project_id: int, people: Collection[int]) -> list[int]:
    """Every uid that means one of these people: users, devices and aliases alike, in uid order."""
    found: set[int] = set()
    for chunk in _chunks(list(people)):
        members = sa.select(register.c.uid).where(register.c.project_id == project_id, register.c.person.in_(chunk))
        found.update(tx.execute(members).scalars())
    return sorted(found)


def set_state(
    tx: Connection, project_id: int, uids: Sequence[int], state: SubjectState, *, request_id: str | None = None
) -> None:
    """Set the state of these rows. With a `request_id`, remember the state before for a cancellation."""
    values: dict[str, Any] = {"state": state.value}
    if request_id is not None:
        values |= {"prior_state": register.c.state, "request_id": request_id}
    for chunk in _chunks(uids):
        tx.execute(sa.update(register).where(register.c.project_id == project_id, register.c.uid.in_(chunk)).values(values))


def restore_state(tx: Connection, project_id: int, request_id: str) -> int:
    """Undo `set_state` of a cancelled request. Returns the number of rows."""
    values = {"state": register.c.prior_state, "prior_state": None, "request_id": None}
    of_request = sa.and_(register.c.project_id == project_id, register.c.request_id == request_id)
    return tx.execute(sa.update(register).where(of_request, register.c.uid.is_not(None)).values(values)).rowcount


def uids_of_request(tx: Connection, project_id: int, request_id: str, limit: int) -> list[int]:
    """Some uids that a request is erasing, in uid order; empty once all are tombstones."""
    rows = sa.select(register.c.uid).where(
        register.c.project_id == project_id, register.c.request_id == request_id, register.c.uid.is_not(None)
    )
    return list(tx.execute(rows.order_by(register.c.uid).limit(limit)).scalars())


def entomb(tx: Connection, project_id: int, uids: Sequence[int]) -> int:
    """Turn rows into tombstones: the digest stays, the person's key, id, uid and audit reference are destroyed."""
    emptied = dict.fromkeys(("uid", "person", "prior_state", "sealed_id", "wrapped_key", "audit_ref"))
    rows = sa.and_(register.c.project_id == project_id, register.c.uid.in_(list(uids)))
    return tx.execute(sa.update(register).where(rows).values(state=SubjectState.ERASED.value, **emptied)).rowcount


def forget_tombstones(tx: Connection, keys: ProjectKeys, identifiers: Iterable[str]) -> int:
    """Lift the tombstones of these ids after a recorded re-consent; what was erased does not come back."""
    lookups = [keys.lookup_of(each) for each in identifiers]
    rows = sa.and_(
        register.c.project_id == keys.project_id,
        register.c.lookup.in_(lookups),
        register.c.state == SubjectState.ERASED.value,
    )
    return tx.execute(sa.delete(register).where(rows)).rowcount


def reveal(tx: Connection, keys: ProjectKeys, uids: Collection[int]) -> Mapping[int, Revealed]:
    """The ids behind these uids. A uid without a row is left out: the caller must treat it as hidden."""
    rows = _rows_by_uid(tx, keys.project_id, uids)
    missing = {row.person for row in rows.values()} - rows.keys()
    people = rows | _rows_by_uid(tx, keys.project_id, missing)
    names = {uid: _open(keys, row) for uid, row in people.items()}
    return {
        uid: Revealed(
            identifier=names[uid],
            canonical=names.get(row.person, names[uid]),
            person=row.person,
            hidden=SubjectState(row.state) in _HIDDEN,
        )
        for uid, row in rows.items()
    }


def audit_ref(tx: Connection, project_id: int, uid: int) -> str | None:
    """The random reference under which the audit log names this person."""
    row = sa.select(register.c.audit_ref).where(register.c.project_id == project_id, register.c.uid == uid)
    found: str | None = tx.execute(row).scalar()
    return found


def subject_key_row(tx: Connection, project_id: int, uid: int) -> bytes | None:
    """The wrapped key of one id, or None for a tombstone."""
    row = sa.select(register.c.wrapped_key).where(register.c.project_id == project_id, register.c.uid == uid)
    found: bytes | None = tx.execute(row).scalar()
    return found


def _rows_by_uid(tx: Connection, project_id: int, uids: Iterable[int]) -> dict[int, Any]:
    columns = (register.c.uid, register.c.person, register.c.state, register.c.sealed_id, register.c.wrapped_key)
    found: dict[int, Any] = {}
    for chunk in _chunks(list(uids)):
        rows = sa.select(*columns).where(register.c.project_id == project_id, register.c.uid.in_(chunk))
        found.update((row.uid, row) for row in tx.execute(rows))
    return found


def _open(keys: ProjectKeys, row: Any) -> str:
    key = keys.subject_key(row.uid, row.wrapped_key)
    return unseal(key, row.sealed_id, f"id|{row.uid}").decode()


def _chunks(items: Sequence[_T]) -> Iterable[list[_T]]:
    for start in range(0, len(items), _CHUNK):
        yield list(items[start : start + _CHUNK])
