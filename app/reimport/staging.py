"""Whom a re-import is about, and the sealed rows that are staged for them. In the transaction of the caller.

Until `sever` a staged chunk is bound to the person as they are known; after it to a fresh id, and no row leads from one to
the other. The fresh id is random, its row in the register says nothing of when it was made, and which chunk was whose is
forgotten with the transaction that knew it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.events.port import EventRow, ProfileRow
from app.identity import register
from app.identity.closure import Closure, closure_of
from app.identity.register import chunks
from app.identity.tables import register as register_table
from app.keys.sealing import seal, unseal
from app.keys.service import ProjectKeys
from app.reimport.model import Reimport
from app.reimport.tables import reimport_chunk, reimport_subject
from policies.model import SubjectState
from policies.sanitise import Account

FRESH = "anon-"
"""What an id begins with that stands for somebody who was made anonymous."""
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """The key under which rows are staged, and that of the marks."""

    sealing: AESGCM = field(repr=False)
    salt: bytes = field(repr=False)


class StagedEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event as it will be stored; `user` says that it names its person in `$user_id`, too."""

    time_ms: int
    dedup: int
    name: str
    properties: str
    user: bool

    def row(self, uid: int, policy_version: int) -> EventRow:
        """The row under its new uid. When it was received is not kept: it would tell the old row from others."""
        text = self.properties
        if self.user:
            text = f'{{"$user_id":{uid}}}' if text == "{}" else f'{{"$user_id":{uid},{text[1:]}'
        return EventRow(self.time_ms, self.dedup, uid, self.name, text, policy_version, self.time_ms)


class StagedProfile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One profile as it will be stored."""

    properties: str
    last_seen_ms: int | None
    changed_ms: int

    def row(self, uid: int, policy_version: int) -> ProfileRow:
        """The row under its new uid."""
        return ProfileRow(0, uid, self.properties, self.last_seen_ms, policy_version, self.changed_ms)


class Chunk(msgspec.Struct, frozen=True):
    """Rows of one person."""

    events: list[StagedEvent] = []
    profile: StagedProfile | None = None


def new_keys(keys: ProjectKeys, reimport_id: str) -> tuple[bytes, bytes]:
    """A wrapped key and a sealed salt for a new re-import."""
    key, wrapped = keys.new_archive_key(reimport_id)
    return wrapped, seal(key, secrets.token_bytes(_SALT_BYTES), f"salt|{reimport_id}")


def keys_of(keys: ProjectKeys, of: Reimport) -> Keys:
    """The opened keys of a re-import that is not over. Raises `Integrity`."""
    sealing = keys.archive_key(of.id, of.wrapped_key or b"")
    return Keys(sealing, unseal(sealing, of.salt or b"", f"salt|{of.id}"))


class Standing(msgspec.Struct):
    """Where a pass stands. `person` is the last that is done, `page` those at hand, `after` the event of theirs that was
    last; `seq` numbers chunks or profiles. `restarts` says how often it began anew because somebody changed meanwhile."""

    person: int = 0
    page: list[int] = []
    after: tuple[int, int] | None = None
    seq: int = 0
    profiles: bool = False
    left_out: int = 0
    restarts: int = 0
    account: Account = msgspec.field(default_factory=Account)


def standing_of(of: Reimport, key: AESGCM) -> Standing:
    """Where the pass under way stands; at its beginning, when nothing is written down."""
    if of.standing is None:
        return Standing()
    return msgspec.json.decode(unseal(key, of.standing, f"standing|{of.id}"), type=Standing)


def sealed_standing(of: Reimport, key: AESGCM, standing: Standing) -> bytes:
    """The same to be stored."""
    return seal(key, msgspec.json.encode(standing), f"standing|{of.id}")


# --- people ----------------------------------------------------------------------------------------------------------


def add_subjects(tx: Connection, of: Reimport, found: Closure) -> None:
    """Take everybody of a closure in, once."""
    insert: Any = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(reimport_subject)
    rows = [
        {"reimport_id": of.id, "project_id": of.project_id, "uid": each.uid, "person": each.row.person or each.uid}
        for each in found.members
    ]
    for chunk in chunks(rows):
        tx.execute(insert.on_conflict_do_nothing(), chunk)


def people_after(tx: Connection, reimport_id: str, after: int, limit: int) -> list[int]:
    """Some people, in the order of their uids."""
    mine = sa.select(reimport_subject.c.person).where(
        reimport_subject.c.reimport_id == reimport_id, reimport_subject.c.person > after
    )
    return list(tx.execute(mine.distinct().order_by(reimport_subject.c.person).limit(limit)).scalars())


def members_of(tx: Connection, reimport_id: str, people: Sequence[int]) -> dict[int, int]:
    """Every uid of some people, with its person."""
    found: dict[int, int] = {}
    for chunk in chunks(people):
        mine = sa.and_(reimport_subject.c.reimport_id == reimport_id, reimport_subject.c.person.in_(chunk))
        rows = tx.execute(sa.select(reimport_subject.c.uid, reimport_subject.c.person).where(mine))
        found.update((row.uid, row.person) for row in rows)
    return found


def uids_of(tx: Connection, reimport_id: str) -> list[int]:
    """Every uid it is about, in order."""
    mine = sa.select(reimport_subject.c.uid).where(reimport_subject.c.reimport_id == reimport_id)
    return list(tx.execute(mine.order_by(reimport_subject.c.uid)).scalars())


def count_people(tx: Connection, reimport_id: str) -> tuple[int, int]:
    """How many people, and how many ids of theirs."""
    person = reimport_subject.c.person
    counts = sa.select(sa.func.count(person.distinct()), sa.func.count()).where(reimport_subject.c.reimport_id == reimport_id)
    people, ids = tx.execute(counts).one()
    return int(people), int(ids)


def hold_still(tx: Connection, keys: ProjectKeys, of: Reimport, people: Sequence[int]) -> bool:
    """Hide these people and refuse their data until they are erased or let go. False when somebody restricted one of them
    meanwhile (GDPR article 18): theirs may not be processed at all.

    Ids that were linked to them since are taken in. The caller holds the fence exclusively.
    """
    before = members_of(tx, of.id, people)
    found = closure_of(tx, keys, list(before))
    add_subjects(tx, of, found)
    mine = _prior_states(tx, of.id, [each.uid for each in found.members])
    if any(each.row.hidden and mine[each.uid] is None for each in found.members):
        return False
    moving = [each for each in found.members if not each.row.hidden]
    for state in {each.row.state for each in moving}:
        uids = [each.uid for each in moving if each.row.state is state]
        for chunk in chunks(uids):
            of_state = sa.and_(reimport_subject.c.reimport_id == of.id, reimport_subject.c.uid.in_(chunk))
            tx.execute(sa.update(reimport_subject).where(of_state).values(prior_state=state.value))
        register.set_state(tx, of.project_id, uids, SubjectState.RESTRICTED)
    gone = sorted(before.keys() - {each.uid for each in found.members})
    _leave_out(tx, of.id, gone)
    return True


def let_go(tx: Connection, of: Reimport, limit: int) -> bool:
    """Give some people the state back that they had. False when everybody has it. The caller holds the fence exclusively."""
    held = sa.and_(reimport_subject.c.reimport_id == of.id, reimport_subject.c.prior_state.is_not(None))
    columns = (reimport_subject.c.uid, reimport_subject.c.prior_state)
    rows = tx.execute(sa.select(*columns).where(held).order_by(reimport_subject.c.uid).limit(limit)).all()
    for state in {row.prior_state for row in rows}:
        uids = [row.uid for row in rows if row.prior_state == state]
        # Only whom this re-import held still: an erasure that was accepted meanwhile stays accepted.
        ours = sa.and_(
            register_table.c.project_id == of.project_id,
            register_table.c.uid.in_(uids),
            register_table.c.state == SubjectState.RESTRICTED.value,
        )
        tx.execute(sa.update(register_table).where(ours).values(state=state))
    freed = [row.uid for row in rows]
    mine = sa.and_(reimport_subject.c.reimport_id == of.id, reimport_subject.c.uid.in_(freed))
    tx.execute(sa.update(reimport_subject).where(mine).values(prior_state=None))
    return bool(rows)


def all_held_still(tx: Connection, of: Reimport) -> bool:
    """Whether everybody is still hidden as this re-import left them."""
    for chunk in chunks(uids_of(tx, of.id)):
        rows = register.rows_of(tx, of.project_id, chunk)
        if len(rows) < len(chunk) or any(row.state is not SubjectState.RESTRICTED for row in rows.values()):
            return False
        if any(state is None for state in _prior_states(tx, of.id, chunk).values()):
            return False
    return True


def _prior_states(tx: Connection, reimport_id: str, uids: Sequence[int]) -> Mapping[int, str | None]:
    found: dict[int, str | None] = {}
    for chunk in chunks(uids):
        mine = sa.and_(reimport_subject.c.reimport_id == reimport_id, reimport_subject.c.uid.in_(chunk))
        rows = tx.execute(sa.select(reimport_subject.c.uid, reimport_subject.c.prior_state).where(mine))
        found.update((row.uid, row.prior_state) for row in rows)
    return found


def _leave_out(tx: Connection, reimport_id: str, uids: Sequence[int]) -> None:
    for chunk in chunks(uids):
        mine = sa.and_(reimport_subject.c.reimport_id == reimport_id, reimport_subject.c.uid.in_(chunk))
        tx.execute(sa.delete(reimport_subject).where(mine))


# --- staged rows -----------------------------------------------------------------------------------------------------


def put(tx: Connection, of: Reimport, key: AESGCM, seq: int, uid: int, chunk: Chunk) -> None:
    """Stage rows of one person."""
    sealed = seal(key, msgspec.json.encode(chunk), _label(of.id, seq))
    row = {"reimport_id": of.id, "seq": seq, "project_id": of.project_id, "uid": uid, "ciphertext": sealed}
    tx.execute(sa.insert(reimport_chunk).values(row))


def staged_after(tx: Connection, of: Reimport, key: AESGCM, after: int, limit: int) -> list[tuple[int, int, Chunk]]:
    """Some chunks in the order in which they were staged: number, uid and rows. Raises `Integrity`."""
    wanted = sa.select(reimport_chunk).where(reimport_chunk.c.reimport_id == of.id, reimport_chunk.c.seq > after)
    rows = tx.execute(wanted.order_by(reimport_chunk.c.seq).limit(limit))
    return [
        (row.seq, row.uid, msgspec.json.decode(unseal(key, row.ciphertext, _label(of.id, row.seq)), type=Chunk)) for row in rows
    ]


def fresh_after(tx: Connection, reimport_id: str, after: int, limit: int) -> list[int]:
    """Some of the uids to which chunks belong, in order."""
    mine = sa.select(reimport_chunk.c.uid).where(reimport_chunk.c.reimport_id == reimport_id, reimport_chunk.c.uid > after)
    return list(tx.execute(mine.distinct().order_by(reimport_chunk.c.uid).limit(limit)).scalars())


def staged_of(tx: Connection, of: Reimport, key: AESGCM, uids: Sequence[int]) -> Iterator[tuple[int, Chunk]]:
    """Every chunk of these uids, streamed. Raises `Integrity`."""
    wanted = sa.select(reimport_chunk).where(reimport_chunk.c.reimport_id == of.id, reimport_chunk.c.uid.in_(list(uids)))
    with tx.execute(wanted, execution_options={"yield_per": 20}) as rows:
        for row in rows:
            yield row.uid, msgspec.json.decode(unseal(key, row.ciphertext, _label(of.id, row.seq)), type=Chunk)


def sever(tx: Connection, keys: ProjectKeys, of: Reimport) -> int:
    """Give what is staged for each person to a fresh id; returns how many there are.

    From this transaction on no row says who became whom. It is the one that orders the erasure.
    """
    mine = reimport_chunk.c.reimport_id == of.id
    known = sorted(tx.execute(sa.select(reimport_chunk.c.uid).where(mine).distinct()).scalars())
    # Made at no moment: by when a row of the register was made one could tell whose successor it is.
    fresh = register.enrol(tx, keys, [f"{FRESH}{secrets.token_hex(16)}" for _ in known], 0)
    for before, row in zip(known, fresh.values(), strict=True):
        tx.execute(sa.update(reimport_chunk).where(mine, reimport_chunk.c.uid == before).values(uid=row.uid))
    return len(known)


def forget_fresh(tx: Connection, of: Reimport) -> None:
    """Take back the fresh ids of an erasure that was cancelled: nothing was stored under them."""
    mine = sa.select(reimport_chunk.c.uid).where(reimport_chunk.c.reimport_id == of.id).distinct()
    for chunk in chunks(sorted(tx.execute(mine).scalars())):
        fresh = sa.and_(register_table.c.project_id == of.project_id, register_table.c.uid.in_(chunk))
        tx.execute(sa.delete(register_table).where(fresh))


def discard(tx: Connection, of: Reimport, *, people: bool) -> None:
    """Delete what is staged, and with `people` also whom it is about."""
    tables: Iterable[sa.Table] = (reimport_chunk, reimport_subject) if people else (reimport_chunk,)
    for table in tables:
        tx.execute(sa.delete(table).where(table.c.reimport_id == of.id))


def _label(reimport_id: str, seq: int) -> str:
    return f"reimport|{reimport_id}|{seq}"
