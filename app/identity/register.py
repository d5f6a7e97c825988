"""The operations on the register. All of them run in the caller's transaction, under the caller's fence."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.identity.forms import form_of
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
LEAVING = (SubjectState.ERASING, SubjectState.ERASED)
"""States from which nobody comes back, and in which nobody is linked to anybody."""
ACCEPTED = (SubjectState.ACTIVE, SubjectState.OPTED_IN)
"""States in which nothing is held against a person."""
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """One id of the register. `uid` and `person` are None once the row is a tombstone.

    `refused` are the purposes that the person refused one by one. `read_as` is the uid under whose id events of this one are
    read when that is not the person's: from then on a legacy alias sends for somebody else, and what it sent stays its own.
    """

    uid: int | None
    person: int | None
    state: SubjectState
    request_id: str | None = None
    refused: frozenset[str] = _NONE
    read_as: int | None = None

    @property
    def target(self) -> int | None:
        """The uid under which what this id sends is stored: its own, or for a legacy alias that of its person."""
        return self.uid if self.read_as is None else self.person

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
    # More than one spelling of an id may have one key: the two forms of an accent do.
    by_lookup: dict[bytes, list[str]] = {}
    for each in identifiers:
        by_lookup.setdefault(keys.lookup_of(each), []).append(each)
    found: dict[str, Row] = {}
    for lookup, row in _rows(tx, keys.project_id, "lookup", by_lookup):
        for each in by_lookup[bytes(lookup)]:
            found[each] = row
    return found


def standing_of_forms(tx: Connection, keys: ProjectKeys, identifiers: Iterable[str]) -> dict[str, Row]:
    """What holds for ids that the register does not know, because it holds for another spelling of them.

    Only those for whom something does. The row has no uid: nobody is enrolled here. Consent is not taken over, because
    consent is given and not inferred.
    """
    by_form: dict[bytes, list[str]] = {}
    for each in identifiers:
        by_form.setdefault(keys.form_of(form_of(each)), []).append(each)
    found: dict[str, Row] = {}
    held: dict[bytes, list[Row]] = {}
    for form, row in _rows(tx, keys.project_id, "form", by_form):
        held.setdefault(bytes(form), []).append(row)
    for form, rows in held.items():
        state, refused = gravest(row.state for row in rows), _NONE.union(*(row.refused for row in rows))
        state = SubjectState.ACTIVE if state in ACCEPTED else state
        if refused or state is not SubjectState.ACTIVE:
            found.update(dict.fromkeys(by_form[form], Row(None, None, state, refused=refused)))
    return found


def rows_of_lookups(tx: Connection, project_id: int, lookups: Collection[bytes]) -> dict[bytes, Row]:
    """The rows of the ids that have these register keys (`ProjectKeys.lookup_of`); unknown ones are left out."""
    return {bytes(lookup): row for lookup, row in _rows(tx, project_id, "lookup", lookups)}


def rows_of(tx: Connection, project_id: int, uids: Collection[int]) -> dict[int, Row]:
    """The rows of these uids. One that is left out belongs to nobody any more: the caller treats it as erased."""
    return dict(_rows(tx, project_id, "uid", uids))


def _rows(tx: Connection, project_id: int, by: str, wanted: Collection[Any]) -> Iterable[tuple[Any, Row]]:
    for chunk in chunks(list(wanted)):
        for key, *values in tx.execute(_BY[by], {"of_project": project_id, "wanted": chunk}):
            yield key, row_of(*values)


def row_of(uid: int | None, person: int | None, state: str, request_id: str | None, refused: str | None, as_: int | None) -> Row:
    """A row from the values of `ROW_COLUMNS`."""
    return Row(uid, person, _STATES[state], request_id, read_purposes(refused), as_)


_STATES = {each.value: each for each in SubjectState}
ROW_COLUMNS = tuple(register.c[name] for name in ("uid", "person", "state", "request_id", "refused_purposes", "read_as"))
"""The columns that make a `Row`, in the order of `row_of`."""
# Made once: they stand in the path of every request, and making one costs more than running it.
_BY = {
    name: sa.select(register.c[name].label("key"), *ROW_COLUMNS).where(
        register.c.project_id == sa.bindparam("of_project"),
        register.c[name].in_(sa.bindparam("wanted", expanding=True)),
    )
    for name in ("lookup", "form", "uid")
}


def enrol(
    tx: Connection,
    keys: ProjectKeys,
    identifiers: Iterable[str],
    now_ms: int,
    *,
    inherited: Mapping[str, Row] | None = None,
) -> dict[str, Row]:
    """Rows for ids that the register did not know. Where another transaction was first, its row is the answer.

    `inherited` is what `standing_of_forms` said of some of them: a new spelling of somebody who opted out is opted out.
    Ids of whom it says that they are erased must not be enrolled.
    """
    # Sorted by key, so that two batches that enrol the same ids wait for each other in one order and never deadlock.
    wanted = sorted((keys.lookup_of(each), each) for each in set(identifiers))
    if not wanted:
        return {}
    like = inherited or {}
    rows = [_new_row(keys, lookup, each, now_ms, like.get(each, _NOTHING_HELD)) for lookup, each in wanted]
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    done = tx.execute(insert(register).on_conflict_do_nothing(), rows)
    if done.rowcount == len(rows):
        made = zip(wanted, rows, strict=True)
        return {each: replace(like.get(each, _NOTHING_HELD), uid=row["uid"], person=row["uid"]) for (_, each), row in made}
    return resolve(tx, keys, [identifier for _, identifier in wanted])


_NOTHING_HELD = Row(None, None, SubjectState.ACTIVE)


def _new_row(keys: ProjectKeys, lookup: bytes, identifier: str, now_ms: int, like: Row) -> dict[str, Any]:
    uid = secrets.randbits(62) + 1
    key, wrapped = keys.new_subject_key(uid)
    return {
        "project_id": keys.project_id,
        "lookup": lookup,
        "uid": uid,
        "person": uid,
        "state": like.state.value,
        "refused_purposes": written_purposes(like.refused),
        "form": keys.form_of(form_of(identifier)),
        "sealed_id": seal(key, identifier.encode("utf-8", "replace"), f"id|{uid}"),
        "wrapped_key": wrapped,
        "audit_ref": secrets.token_hex(16),
        "created_ms": now_ms,
    }


def written_purposes(purposes: Collection[str]) -> str | None:
    """Refused purposes as the register keeps them."""
    return "\n".join(sorted(purposes)) or None


def read_purposes(purposes: str | None) -> frozenset[str]:
    """The same back."""
    return frozenset(purposes.split("\n")) if purposes else _NONE


def linked(tx: Connection, project_id: int, people: Collection[int]) -> list[int]:
    """Every uid that is linked to one of these people: whose profile updates reach theirs. Their identity closure is more."""
    found: set[int] = set()
    for chunk in chunks(list(people)):
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
    for chunk in chunks(uids):
        tx.execute(sa.update(register).where(register.c.project_id == project_id, register.c.uid.in_(chunk)).values(values))


def opt_in(tx: Connection, project_id: int, people: Collection[int]) -> int:
    """Record the consent of people who decided nothing; returns how many people that changed.

    Whoever opted out, is restricted or erased stays so: only an officer lifts that.
    """
    changed: set[int] = set()
    for chunk in chunks(sorted(people)):
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
    for chunk in chunks(sorted(people)):
        rows = sa.and_(register.c.project_id == project_id, register.c.person.in_(chunk))
        changed += tx.execute(sa.update(register).where(rows).values(refused_purposes=written_purposes(refused))).rowcount
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


_FORGOTTEN = (
    *("uid", "person", "prior_state", "restricted_from", "sealed_id", "wrapped_key", "audit_ref", "refused_purposes"),
    *("read_as", "led"),
)


def entomb(tx: Connection, project_id: int, uids: Sequence[int]) -> int:
    """Turn rows into tombstones: the digest stays, the person's key, id, uid and audit reference are destroyed."""
    emptied = dict.fromkeys(_FORGOTTEN)
    rows = sa.and_(register.c.project_id == project_id, register.c.uid.in_(list(uids)))
    return tx.execute(sa.update(register).where(rows).values(state=SubjectState.ERASED.value, **emptied)).rowcount


def forget_tombstones(tx: Connection, keys: ProjectKeys, identifiers: Iterable[str]) -> int:
    """Lift the tombstones of these ids, in every spelling, after a recorded re-consent; what was erased does not come back.

    Returns how many there were.
    """
    wanted = list(identifiers)
    lookups, forms = [keys.lookup_of(each) for each in wanted], [keys.form_of(form_of(each)) for each in wanted]
    rows = sa.and_(
        register.c.project_id == keys.project_id,
        sa.or_(register.c.lookup.in_(lookups), register.c.form.in_(forms)),
        register.c.state == SubjectState.ERASED.value,
    )
    return tx.execute(sa.delete(register).where(rows)).rowcount


def reveal(tx: Connection, keys: ProjectKeys, uids: Collection[int]) -> Mapping[int, Revealed]:
    """The ids behind these uids. A uid without a row is left out: the caller must treat it as hidden."""
    rows = _rows_by_uid(tx, keys.project_id, uids)
    missing = {row.read_as or row.person for row in rows.values()} - rows.keys()
    people = rows | _rows_by_uid(tx, keys.project_id, missing)
    names = {uid: _open(keys, row) for uid, row in people.items()}
    return {
        uid: Revealed(
            identifier=names[uid],
            canonical=names.get(row.read_as or row.person, names[uid]),
            person=row.person,
            hidden=SubjectState(row.state) in _HIDDEN,
            state=SubjectState(row.state),
            refused=read_purposes(row.refused_purposes),
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
    for chunk in chunks(list(uids)):
        rows = sa.select(register.c.uid, register.c.wrapped_key).where(
            register.c.project_id == project_id, register.c.uid.in_(chunk), register.c.wrapped_key.is_not(None)
        )
        found.update((uid, bytes(wrapped)) for uid, wrapped in tx.execute(rows))
    return found


def _rows_by_uid(tx: Connection, project_id: int, uids: Iterable[int]) -> dict[int, Any]:
    columns = [register.c[name] for name in ("uid", "person", "state", "sealed_id", "wrapped_key", "refused_purposes", "read_as")]
    found: dict[int, Any] = {}
    for chunk in chunks(list(uids)):
        rows = sa.select(*columns).where(register.c.project_id == project_id, register.c.uid.in_(chunk))
        found.update((row.uid, row) for row in tx.execute(rows))
    return found


def _open(keys: ProjectKeys, row: Any) -> str:
    key = keys.subject_key(row.uid, row.wrapped_key)
    return unseal(key, row.sealed_id, f"id|{row.uid}").decode()


def chunks(items: Sequence[_T]) -> Iterable[list[_T]]:
    """The items in lists that are short enough for the parameters of one statement on either engine."""
    for start in range(0, len(items), _CHUNK):
        yield list(items[start : start + _CHUNK])
