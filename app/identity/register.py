"""The operations on the register. All of them run in the caller's transaction, under the caller's fence."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.database import Holds
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


# Structs, because every batch and every read makes them by the thousand.
class Row(msgspec.Struct, frozen=True):
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


class Revealed(msgspec.Struct, frozen=True):
    """An id put back for a reader who may see it. `canonical` is the id of the person, which may be another."""

    identifier: str
    canonical: str
    person: int
    hidden: bool
    state: SubjectState = SubjectState.ACTIVE
    refused: frozenset[str] = _NONE

    def __repr__(self) -> str:
        return f"Revealed(person={self.person}, hidden={self.hidden}, state={self.state.value!r})"


def resolve(tx: Connection, keys: ProjectKeys, identifiers: Iterable[str]) -> dict[str, Row]:
    """The rows of those ids that the register knows. One indexed look-up for them all, and none for no ids."""
    by_lookup = _by(keys.lookup_of, identifiers)
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
    by_form = _by(lambda each: keys.form_of(form_of(each)), identifiers)
    return _held_by_forms(_rows(tx, keys.project_id, "form", by_form), by_form)


def _by(digest: Callable[[str], bytes], identifiers: Iterable[str]) -> dict[bytes, list[str]]:
    # More than one spelling of an id may have one digest: the two forms of an accent do.
    found: dict[bytes, list[str]] = {}
    for each in identifiers:
        found.setdefault(digest(each), []).append(each)
    return found


def _held_by_forms(alike: Iterable[tuple[bytes, Row]], by_form: Mapping[bytes, list[str]]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    held: dict[bytes, list[Row]] = {}
    for form, row in alike:
        held.setdefault(bytes(form), []).append(row)
    for form, rows in held.items():
        state, refused = gravest(row.state for row in rows), _NONE.union(*(row.refused for row in rows))
        state = SubjectState.ACTIVE if state in ACCEPTED else state
        if refused or state is not SubjectState.ACTIVE:
            found.update(dict.fromkeys(by_form[form], Row(None, None, state, refused=refused)))
    return found


def acquainted(tx: Connection, keys: ProjectKeys, identifiers: Collection[str]) -> tuple[dict[str, Row], dict[str, Row]]:
    """`resolve`, and `standing_of_forms` of those ids that it leaves out; few ids cost one statement and not two."""
    if len(identifiers) > _FEW:
        known = resolve(tx, keys, identifiers)
        return known, standing_of_forms(tx, keys, set(identifiers) - known.keys())
    by_lookup, by_form = _by(keys.lookup_of, identifiers), _by(lambda each: keys.form_of(form_of(each)), identifiers)
    if not by_lookup:
        return {}, {}
    asked = {"of_project": keys.project_id, "lookups": list(by_lookup), "forms": list(by_form)}
    found = [(of, bytes(key), row_of(*values)) for of, key, *values in tx.execute(_BOTH, asked)]
    known = {each: row for of, key, row in found if of == "lookup" for each in by_lookup[key]}
    alike = ((key, row) for of, key, row in found if of == "form")
    held = _held_by_forms(alike, by_form)
    return known, {each: row for each, row in held.items() if each not in known}


def rows_of_lookups(tx: Connection, project_id: int, lookups: Collection[bytes]) -> dict[bytes, Row]:
    """The rows of the ids that have these register keys (`ProjectKeys.lookup_of`); unknown ones are left out."""
    return {bytes(lookup): row for lookup, row in _rows(tx, project_id, "lookup", lookups)}


def rows_of(tx: Connection, project_id: int, uids: Collection[int]) -> dict[int, Row]:
    """The rows of these uids. One that is left out belongs to nobody any more: the caller treats it as erased."""
    return dict(_rows(tx, project_id, "uid", uids))


def _rows(tx: Connection, project_id: int, by: str, wanted: Collection[Any]) -> Iterable[tuple[Any, Row]]:
    for chunk in chunks(list(wanted)):
        for key, *values in tx.execute(_BY[by], {"of_project": project_id, "wanted": chunk}).all():
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
_SEALED = sa.select(register.c.uid, register.c.sealed_id, register.c.wrapped_key).where(
    register.c.project_id == sa.bindparam("of_project"),
    register.c.uid.in_(sa.bindparam("wanted", expanding=True)),
)
# The same by two of them at once, each row with the name of the one that it was found by.
_BOTH = sa.union_all(
    *(
        sa.select(sa.literal_column(f"'{name}'"), register.c[name], *ROW_COLUMNS).where(
            register.c.project_id == sa.bindparam("of_project"),
            register.c[name].in_(sa.bindparam(f"{name}s", expanding=True)),
        )
        for name in ("lookup", "form")
    )
)
_ENROLLED_AT_ONCE = 250
# Beyond this a form for every id costs more than the second statement.
_FEW = 50


def enrol(
    tx: Connection, keys: ProjectKeys, identifiers: Iterable[str], now_ms: int, *, inherited: Mapping[str, Row] | None = None
) -> dict[str, Row]:
    """Rows for ids that the register did not know. Where another transaction was first, its row is the answer.

    `inherited` is what `standing_of_forms` said of some of them: a new spelling of somebody who opted out is opted out.
    Ids of whom it says that they are erased must not be enrolled.
    """
    # Sorted by key, so that two batches that enrol the same ids wait for each other in one order and never deadlock.
    wanted = sorted((keys.lookup_of(each), each) for each in set(identifiers))
    found: dict[str, Row] = {}
    # Some at a time: the driver's parameters of a row are twenty times what the row is.
    for start in range(0, len(wanted), _ENROLLED_AT_ONCE):
        found |= _enrolled(tx, keys, wanted[start : start + _ENROLLED_AT_ONCE], now_ms, inherited or {})
    return found


def _enrolled(
    tx: Connection, keys: ProjectKeys, wanted: Sequence[tuple[bytes, str]], now_ms: int, like: Mapping[str, Row]
) -> dict[str, Row]:
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


def hold(tx: Connection, project_id: int, uids: Collection[int]) -> None:
    """Keep other transactions from changing these rows until this one ends: who writes about somebody takes a turn.

    In the order of the key, as links lock them (`app.identity.linking`). On SQLite there is one writer.
    """
    if tx.dialect.name != "postgresql" or not uids:
        return
    wanted = sa.select(register.c.uid).where(register.c.project_id == project_id, register.c.uid.in_(list(uids)))
    tx.execute(wanted.order_by(register.c.lookup).with_for_update(key_share=True)).all()


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


def entomb(tx: Connection, project_id: int, uids: Sequence[int]) -> int:
    """Turn rows into tombstones: the digest stays, the person's key, id, uid and audit reference are destroyed."""
    emptied = dict.fromkeys(each.name for each in register.columns if each.info["holds"] is Holds.SUBJECT)
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


def reveal(
    tx: Connection, keys: ProjectKeys, uids: Collection[int], opened: MutableMapping[int, str] | None = None
) -> Mapping[int, Revealed]:
    """The ids behind these uids. A uid without a row is left out: the caller must treat it as hidden.

    Whoever reads on and on may keep what was `opened`: whose id a uid is never changes. Whether it may be shown does, and
    is asked for every time.
    """
    rows = rows_of(tx, keys.project_id, uids)
    heads = {uid: row.read_as or row.person for uid, row in rows.items()}
    # A head that is gone has no name, whatever was opened before.
    others = rows_of(tx, keys.project_id, {head for head in heads.values() if head is not None} - rows.keys())
    names = {} if opened is None else opened
    _open(tx, keys, (rows.keys() | others.keys()) - names.keys(), names)
    return {
        uid: Revealed(
            identifier=name,
            canonical=names.get(head, name) if head in rows or head in others else name,
            person=row.person or uid,
            hidden=row.hidden,
            state=row.state,
            refused=row.refused,
        )
        for (uid, row), head in zip(rows.items(), heads.values(), strict=True)
        if (name := names.get(uid)) is not None
    }


def audit_ref(tx: Connection, project_id: int, uid: int) -> str | None:
    """The random reference under which the audit log names this person."""
    row = sa.select(register.c.audit_ref).where(register.c.project_id == project_id, register.c.uid == uid)
    found: str | None = tx.execute(row).scalar()
    return found


def gravest(states: Iterable[SubjectState]) -> SubjectState:
    """The state that forbids most among these; ACTIVE when there is none."""
    return max(states, key=_SEVERITY.__getitem__, default=SubjectState.ACTIVE)


def _open(tx: Connection, keys: ProjectKeys, uids: Collection[int], names: MutableMapping[int, str]) -> None:
    """Add the ids behind these uids; one whose row is a tombstone by now is left out."""
    for chunk in chunks(list(uids)):
        for uid, sealed, wrapped in tx.execute(_SEALED, {"of_project": keys.project_id, "wanted": chunk}):
            names[uid] = unseal(keys.subject_key(uid, wrapped), sealed, f"id|{uid}").decode()


def chunks(items: Sequence[_T]) -> Iterable[list[_T]]:
    """The items in lists that are short enough for the parameters of one statement on either engine."""
    for start in range(0, len(items), _CHUNK):
        yield list(items[start : start + _CHUNK])
