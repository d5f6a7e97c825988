"""Making ids one person (wire section 10), in the caller's transaction and under its shared fence.

A person is the set of rows that point at one row, the head, whose id is the canonical one. A claim moves all rows of one
head to another, and no event is rewritten: what was sent before the link is read under the new head at once.

What was decided holds for everybody who is one person from then on. The state that forbids most of the two wins, refused
purposes add up, and with a person who is erased, or about to be, nobody becomes one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.engine import Connection

from app.identity import register
from app.identity.derive import DEVICE_PREFIX, Claim, ClaimKind, EventIds
from app.identity.register import LEAVING, ROW_COLUMNS, Row, gravest, row_of, written_purposes
from app.identity.tables import register as table
from app.keys.service import ProjectKeys
from policies.model import SubjectState

MOST_IDS = 500
"""How many ids a person has at most who is made by the verbs of original mode (wire section 10)."""
_UUID4 = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", re.IGNORECASE)
# An opt-out is worth remembering for an id that turns up with the person, though the event itself is refused.
_FOLLOWED = (SubjectState.OPTED_OUT, SubjectState.RESTRICTED)
_LINKS = 0x6C696E6B


class Outcome(StrEnum):
    """What became of a claim. All but the first two are reasons why not; they say nothing of anybody."""

    LINKED = "linked"
    KNOWN = "known"
    ERASED = "person_is_erased"
    DEVICE_TAKEN = "device_has_a_person"
    NOT_ANONYMOUS = "anon_id_is_no_uuid"
    ANON_MERGED = "anon_id_is_merged"
    ALIAS_TAKEN = "alias_has_a_person"
    TOO_MANY = "more_than_500_ids"

    @property
    def refused(self) -> bool:
        """Whether the two ids stay two people."""
        return self not in (Outcome.LINKED, Outcome.KNOWN)


@dataclass(frozen=True, slots=True)
class Admission:
    """The ids of a batch in the register: each one's row once the batch is through, and by event, in order, under which
    uid it is stored (0 for nobody) and what became of its claim."""

    rows: Mapping[str, Row] = field(repr=False)
    subjects: Sequence[int]
    outcomes: Sequence[Outcome | None]

    def counts(self) -> Counter[str]:
        """How many claims were made good or refused; those that were known already are not news."""
        return Counter(each.value for each in self.outcomes if each not in (None, Outcome.KNOWN))


def admit(
    tx: Connection,
    keys: ProjectKeys,
    known: Mapping[str, Row],
    inherited: Mapping[str, Row],
    events: Sequence[EventIds],
    refused: Iterable[Claim],
    now_ms: int,
) -> Admission:
    """Enrol who is new and make the claims of these events good, in order.

    `refused` are claims of events that were not accepted: they bind only where one of the two has opted out.
    """
    followed = [each for each in dict.fromkeys(refused) if _binds(each, known, inherited)]
    wanted = {each for named in events for each in named.all()}
    wanted.update(each for claim in followed for each in (claim.keep, claim.join))
    made = register.enrol(tx, keys, wanted - known.keys(), now_ms, inherited=inherited)
    rows = {**known, **made}
    links = _Links(tx, keys, rows, {row.uid for row in made.values()})
    links.lock([*(each.claim for each in events if each.claim), *followed])
    subjects: list[int] = []
    outcomes: list[Outcome | None] = []
    for named in events:
        outcomes.append(links.make(named.claim) if named.claim else None)
        # At its place in the batch: a legacy alias does not change where the events before it belong.
        subjects.append(_target(rows[named.subject]) if named.subject else 0)
    for claim in followed:
        links.make(claim)
    return Admission(rows, subjects, outcomes)


def _target(row: Row) -> int:
    if row.target is None:
        raise LookupError("an accepted event names a person who is erased")
    return row.target


def _binds(claim: Claim, known: Mapping[str, Row], inherited: Mapping[str, Row]) -> bool:
    rows = [known.get(each) or inherited.get(each) for each in (claim.keep, claim.join)]
    states = [row.state for row in rows if row]
    return any(state in _FOLLOWED for state in states) and not any(state in LEAVING for state in states)


class _Links:
    """The rows of one batch while claims are made good."""

    def __init__(self, tx: Connection, keys: ProjectKeys, rows: dict[str, Row], new: Collection[int | None]) -> None:
        self._tx = tx
        self._keys = keys
        self._new = new
        self._rows = rows
        self._named: dict[int, set[str]] = defaultdict(set)
        for name, row in rows.items():
            if row.person is not None:
                self._named[row.person].add(name)

    # --- with others -------------------------------------------------------------------------------------------------

    def lock(self, claims: Iterable[Claim]) -> None:
        """Keep other batches from moving what these claims are about, and read it again. Costs nothing for old news.

        A device moves alone, so its claim locks the two rows, those of a batch in the order of their key. A verb moves
        people whole, whoever else is in them: such batches of a project take turns. On SQLite every batch does.
        """
        fresh = [each for each in claims if self._may_change(each)]
        if not fresh or self._tx.dialect.name != "postgresql":
            return
        if any(each.kind is not ClaimKind.DEVICE for each in fresh):
            lock = sa.text("SELECT pg_advisory_xact_lock(:links, :project)")
            self._tx.execute(lock, {"links": _LINKS, "project": self._keys.project_id})
        self._read_again({each for claim in fresh for each in (claim.keep, claim.join)})

    def _may_change(self, claim: Claim) -> bool:
        keep, join = self._rows[claim.keep], self._rows[claim.join]
        taken = claim.kind is ClaimKind.DEVICE and join.person != join.uid
        return keep.person != join.person and not taken

    def _read_again(self, names: Collection[str]) -> None:
        by_lookup: dict[bytes, list[str]] = defaultdict(list)
        for each in names:
            by_lookup[self._keys.lookup_of(each)].append(each)
        heads = {self._rows[each].person for each in names}
        mine = sa.or_(table.c.lookup.in_(list(by_lookup)), table.c.uid.in_([each for each in heads if each is not None]))
        rows = sa.select(table.c.lookup, *ROW_COLUMNS).where(table.c.project_id == self._keys.project_id, mine)
        for lookup, *columns in self._tx.execute(rows.order_by(table.c.lookup).with_for_update()):
            for name in by_lookup.get(bytes(lookup), ()):
                self._put(name, row_of(*columns))

    # --- one claim ---------------------------------------------------------------------------------------------------

    def make(self, claim: Claim) -> Outcome:
        """Make one claim good, or say why not."""
        keep, join = self._rows[claim.keep], self._rows[claim.join]
        if keep.person is None or join.person is None or keep.state in LEAVING or join.state in LEAVING:
            return Outcome.ERASED
        if keep.person == join.person:
            return Outcome.KNOWN
        reason = self._why_not(claim, keep.person, join)
        if reason is None:
            self._unite(claim, keep, join, join.person)
        return reason or Outcome.LINKED

    def _why_not(self, claim: Claim, head: int, join: Row) -> Outcome | None:
        moved = join.person != join.uid
        kind = claim.kind
        if kind is ClaimKind.DEVICE:
            return Outcome.DEVICE_TAKEN if moved or self._size(join.person) > 1 else None
        if kind is ClaimKind.IDENTIFY and not _UUID4.fullmatch(claim.join.removeprefix(DEVICE_PREFIX)):
            return Outcome.NOT_ANONYMOUS
        if kind is ClaimKind.IDENTIFY and (moved or self._size(join.person) > 1):
            return Outcome.ANON_MERGED
        if kind in (ClaimKind.ALIAS, ClaimKind.LEGACY_ALIAS) and moved:
            return Outcome.ALIAS_TAKEN
        capped = kind is not ClaimKind.LEGACY_ALIAS and self._size(head) + self._size(join.person) > MOST_IDS
        return Outcome.TOO_MANY if capped else None

    def _size(self, head: int | None) -> int:
        """How many ids a person has, counted no further than matters. Only this batch can point at what it enrolled."""
        if head in self._new:
            return len({self._rows[each].uid for each in self._named[head or 0]})
        some = sa.select(table.c.uid).where(self._of(head)).limit(MOST_IDS + 1).subquery()
        return int(self._tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one())

    def _unite(self, claim: Claim, keep: Row, join: Row, old: int) -> None:
        kept = self._head_of(keep)
        state, refused = gravest((kept.state, join.state)), kept.refused | join.refused
        values = {"state": state.value, "refused_purposes": written_purposes(refused)}
        if (state, refused) != (kept.state, kept.refused):
            self._tx.execute(sa.update(table).where(self._of(keep.person)).values(values))
        moving: dict[str, Any] = {**values, "person": keep.person}
        if claim.kind is ClaimKind.LEGACY_ALIAS:
            moving["read_as"] = sa.func.coalesce(table.c.read_as, old)
        self._tx.execute(sa.update(table).where(self._of(old)).values(moving))
        if claim.kind is not ClaimKind.DEVICE:
            # Others may have written under its key (`personal`); where nobody did, trying it costs a look.
            self._tx.execute(
                sa.update(table).where(table.c.project_id == self._keys.project_id, table.c.uid == old).values(led=True)
            )
        for name in [*self._named[keep.person or 0], *self._named[old]]:
            row = self._rows[name]
            aside = old if claim.kind is ClaimKind.LEGACY_ALIAS and row.person == old else None
            self._put(name, replace(row, person=keep.person, state=state, refused=refused, read_as=row.read_as or aside))

    def _head_of(self, row: Row) -> Row:
        """The row with what its person decided by now: another batch may have added a consent."""
        if row.uid == row.person:
            return row
        wanted = sa.select(*ROW_COLUMNS).where(table.c.project_id == self._keys.project_id, table.c.uid == row.person)
        found = self._tx.execute(wanted).first()
        return row if found is None else row_of(*found)

    def _of(self, head: int | None) -> sa.ColumnElement[bool]:
        return sa.and_(table.c.project_id == self._keys.project_id, table.c.person == head)

    def _put(self, name: str, row: Row) -> None:
        before = self._rows[name].person
        if before is not None and before != row.person:
            self._named[before].discard(name)
        if row.person is not None:
            self._named[row.person].add(name)
        self._rows[name] = row
