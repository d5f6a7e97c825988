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
# When one record names several ids, the state that forbids most decides.
_SEVERITY = {
    SubjectState.ACTIVE: 0,
    SubjectState.OPTED_IN: 1,
    SubjectState.OPTED_OUT: 2,
    SubjectState.RESTRICTED: 3,
    SubjectState.ERASING: 4,
    SubjectState.ERASED: 5,
}
_LEAVING = (SubjectState.ERASING, SubjectState.ERASED)
# Nothing is held against a person in these states, and only ids in them may still be linked to somebody.
ACCEPTED = (SubjectState.ACTIVE, SubjectState.OPTED_IN)
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """One id of the register. `uid` and `person` are None once the row is a tombstone.

    `refused` are the purposes that the person refused one by one.
    """

    uid: int | None
    person: int | None
    state: SubjectState
    request_id: str | None = None
    refused: frozenset[str] = _NONE

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
    state: SubjectState = SubjectState.ACTIVE
    refused: frozenset[str] = _NONE


def resolve(tx: Connection, keys: ProjectKeys, identifiers: Iterable[str]) -> dict[str, Row]:
    """The rows of those ids that the register knows. One indexed look-up for them all, and none for no ids."""
    by_lookup = {keys.lookup_of(each): each for each in identifiers}
    found: dict[str, Row] = {}
    for chunk in _chunks(list(by_lookup)):
        rows = tx.execute(_BY_LOOKUP, {"of_project": keys.project_id, "lookups": chunk})
        for lookup, uid, person, state, request_id, refused in rows:
            found[by_lookup[bytes(lookup)]] = Row(uid, person, SubjectState(state), request_id, _read(refused))
    return found


def rows_of_lookups(tx: Connection, project_id: int, lookups: Collection[bytes]) -> dict[bytes, Row]:
    """The rows of the ids that have these register keys (`ProjectKeys.lookup_of`); unknown ones are left out."""
    return {bytes(lookup): row for lookup, row in _rows(tx, project_id, register.c.lookup, lookups)}


def rows_of(tx: Connection, project_id: int, uids: Collection[int]) -> dict[int, Row]:
    """The rows of these uids. One that is left out belongs to nobody any more: the caller treats it as erased."""
    return dict(_rows(tx, project_id, register.c.uid, uids))


def _rows(tx: Connection, project_id: int, by: sa.Column[Any], wanted: Collection[Any]) -> Iterable[tuple[Any, Row]]:
    names = ("uid", "person", "state", "request_id", "refused_purposes")
    columns = [by.label("wanted"), *(register.c[name] for name in names)]
    for chunk in _chunks(list(wanted)):
        rows = sa.select(*columns).where(register.c.project_id == project_id, by.in_(chunk))
        for key, uid, person, state, request_id, refused in tx.execute(rows):
            yield key, Row(uid, person, SubjectState(state), request_id, _read(refused))


# Made once: it stands in the path of every request, and making it costs more than running it.
_BY_LOOKUP = sa.select(
    *(register.c[name] for name in ("lookup", "uid", "person", "state", "request_id", "refused_purposes"))
).where(register.c.project_id == sa.bindparam("of_project"), register.c.lookup.in_(sa.bindparam("lookups", expanding=True)))


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


def link(tx: Connection, keys: ProjectKeys, device: Row, user: Row) -> tuple[Row, Row]:
    """Make `device` belong to the person of `user`, once: a device that has a person keeps it (wire section 10).

    The device takes the person's state, so an opt-out of the user holds for what the device sends alone. What was decided
    on the device before anybody signed in holds for the person: an opt-in where the user decided nothing, and every refused
    purpose. Returns both rows as they are now.
    """
    if device.person != device.uid or user.person is None or device.person == user.person:
        return device, user
    if device.state not in ACCEPTED or user.state in _LEAVING or _has_members(tx, keys.project_id, device):
        return device, user
    if device.refused or device.state is SubjectState.OPTED_IN:
        user = _locked(tx, keys.project_id, user)
    undecided = user.state is SubjectState.ACTIVE
    now = replace(user, state=device.state if undecided else user.state, refused=user.refused | device.refused)
    if now != user:
        _decide(tx, keys.project_id, register.c.person == user.person, now)
    _decide(tx, keys.project_id, register.c.uid == device.uid, now)
    return replace(device, person=now.person, state=now.state, refused=now.refused), now


def _locked(tx: Connection, project_id: int, user: Row) -> Row:
    """The row with what its person decided by now: two batches that add to it must not overwrite each other."""
    columns = (register.c.state, register.c.refused_purposes)
    canonical = sa.select(*columns).where(register.c.project_id == project_id, register.c.uid == user.person)
    found = tx.execute(canonical.with_for_update()).first()
    return user if found is None else replace(user, state=SubjectState(found.state), refused=_read(found.refused_purposes))


def _decide(tx: Connection, project_id: int, rows: sa.ColumnElement[bool], like: Row) -> None:
    values = {"person": like.person, "state": like.state.value, "refused_purposes": _written(like.refused)}
    tx.execute(sa.update(register).where(register.c.project_id == project_id, rows).values(values))


def _written(purposes: Collection[str]) -> str | None:
    return "\n".join(sorted(purposes)) or None


def _read(purposes: str | None) -> frozenset[str]:
    return frozenset(purposes.split("\n")) if purposes else _NONE


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


def opt_in(tx: Connection, project_id: int, people: Collection[int]) -> int:
    """Record the consent of people who decided nothing; returns how many people that changed.

    Whoever opted out, is restricted or erased stays so: only an officer lifts that.
    """
    changed: set[int] = set()
    for chunk in _chunks(sorted(people)):
        undecided = sa.and_(
            register.c.project_id == project_id,
            register.c.person.in_(chunk),
            register.c.state == SubjectState.ACTIVE.value,
        )
        consent = sa.update(register).where(undecided).values(state=SubjectState.OPTED_IN.value)
        changed.update(tx.execute(consent.returning(register.c.person)).scalars())
    return len(changed)


def set_refused(tx: Connection, project_id: int, people: Collection[int], refused: Collection[str]) -> int:
    """Set the purposes that these people refuse, in every row of each; returns how many ids that changed."""
    changed = 0
    for chunk in _chunks(sorted(people)):
        rows = sa.and_(register.c.project_id == project_id, register.c.person.in_(chunk))
        changed += tx.execute(sa.update(register).where(rows).values(refused_purposes=_written(refused))).rowcount
    return changed


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


_FORGOTTEN = ("uid", "person", "prior_state", "sealed_id", "wrapped_key", "audit_ref", "refused_purposes")


def entomb(tx: Connection, project_id: int, uids: Sequence[int]) -> int:
    """Turn rows into tombstones: the digest stays, the person's key, id, uid and audit reference are destroyed."""
    emptied = dict.fromkeys(_FORGOTTEN)
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
            state=SubjectState(row.state),
            refused=_read(row.refused_purposes),
        )
        for uid, row in rows.items()
    }


def audit_ref(tx: Connection, project_id: int, uid: int) -> str | None:
    """The random reference under which the audit log names this person."""
    row = sa.select(register.c.audit_ref).where(register.c.project_id == project_id, register.c.uid == uid)
    found: str | None = tx.execute(row).scalar()
    return found


def gravest(states: Iterable[SubjectState]) -> SubjectState:
    """The state that forbids most among these; ACTIVE when there is none."""
    return max(states, key=_SEVERITY.__getitem__, default=SubjectState.ACTIVE)


def subject_key_rows(tx: Connection, project_id: int, uids: Collection[int]) -> dict[int, bytes]:
    """The wrapped keys of these ids; tombstones have none and are left out."""
    found: dict[int, bytes] = {}
    for chunk in _chunks(list(uids)):
        rows = sa.select(register.c.uid, register.c.wrapped_key).where(
            register.c.project_id == project_id, register.c.uid.in_(chunk), register.c.wrapped_key.is_not(None)
        )
        found.update((uid, bytes(wrapped)) for uid, wrapped in tx.execute(rows))
    return found


def _rows_by_uid(tx: Connection, project_id: int, uids: Iterable[int]) -> dict[int, Any]:
    columns = [register.c[name] for name in ("uid", "person", "state", "sealed_id", "wrapped_key", "refused_purposes")]
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
