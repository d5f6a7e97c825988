"""The identity closure: every id that means one of some people. Opt-out, request, hiding, export and verification ask here.

Four things make two ids one person: a link in the register (users, devices, aliases), another spelling of one form
(`app.identity.forms`), a group whose id is that person's address, and a pseudonym: whoever stores elsewhere gets `p1.…` in
place of an id from `/v1/check`, and may send that as an id. Each is followed from whatever the others found, until nothing
new turns up. Ids that are erased already are told apart: nothing is left to decide for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.identity import register
from app.identity.forms import NO_REGION, category_of, form_of
from app.identity.register import LEAVING, ROW_COLUMNS, Row, chunks, row_of
from app.identity.tables import register as table
from app.keys.service import ProjectKeys
from policies.canonical import canonical

# The purpose under which the gate writes pseudonyms of ids.
_PURPOSE = "identifier"


class Means(StrEnum):
    """Why an id is in a closure."""

    NAMED = "named"
    LINKED = "linked"
    SPELLING = "spelling"
    PSEUDONYM = "pseudonym"


@dataclass(frozen=True, slots=True)
class Member:
    """One id of a closure, as the register has it. `uid` is never None."""

    uid: int
    row: Row
    means: Means


@dataclass(frozen=True, slots=True)
class Closure:
    """Every living id of the people asked for, in uid order. `unknown` are ids that mean nobody here in any spelling;
    `erased` counts ids asked for that are erased or being erased."""

    members: tuple[Member, ...]
    rows: Mapping[str, Row] = field(repr=False)
    unknown: tuple[str, ...] = field(repr=False)
    erased: int

    @property
    def uids(self) -> list[int]:
        """The uids, in order."""
        return [each.uid for each in self.members]

    @property
    def people(self) -> dict[int, Row]:
        """One row for each head: more than one where spellings or pseudonyms join what no link does."""
        return {each.row.person: each.row for each in self.members if each.row.person is not None}


def closure(tx: Connection, keys: ProjectKeys, identifiers: Iterable[str]) -> Closure:
    """The closure of these ids. In the caller's transaction, under the caller's fence.

    `rows` are the ids asked for that the register knows exactly as they are spelled, erased ones included.
    """
    wanted = list(dict.fromkeys(identifiers))
    found = _Search(tx, keys)
    rows = register.resolve(tx, keys, wanted)
    found.take(rows.values(), Means.NAMED)
    spelled = found.take_forms({keys.form_of(form_of(each)) for each in wanted})
    pseudonyms = {each: _lookups(keys, each) for each in wanted}
    coded = found.take_lookups({one for each in pseudonyms.values() for one in each})
    found.follow()
    unknown = tuple(
        each
        for each in wanted
        if each not in rows and keys.form_of(form_of(each)) not in spelled and not coded.intersection(pseudonyms[each])
    )
    return Closure(found.living(), rows, unknown, sum(row.state in LEAVING for row in rows.values()))


def closure_of(tx: Connection, keys: ProjectKeys, uids: Collection[int]) -> Closure:
    """The same from uids, whatever state they are in: what still lives of people who are being erased. Empty when the
    erasure reached everybody."""
    found = _Search(tx, keys)
    found.start_from(uids)
    found.follow()
    return Closure(found.living(), {}, (), 0)


def pseudonyms_of(keys: ProjectKeys, identifier: str) -> list[str]:
    """What this id is under every version of the project's pseudonym key, newest first: to look for where others store it."""
    versions = (keys.pseudonym, *(key for key, _ in keys.bridges), *keys.retired)
    category = category_of(identifier)
    newest_first = sorted(versions, key=lambda key: -key.version)
    return [key.pseudonym(_PURPOSE, canonical(category, identifier, NO_REGION, key.form)) for key in newest_first]


def _lookups(keys: ProjectKeys, identifier: str) -> list[bytes]:
    return [keys.lookup_of(code) for code in pseudonyms_of(keys, identifier)]


class _Search:
    """What was found so far, and what of it has not been followed yet."""

    def __init__(self, tx: Connection, keys: ProjectKeys) -> None:
        self._tx = tx
        self._keys = keys
        self.members: dict[int, Member] = {}
        self._heads: set[int] = set()
        self._forms: set[bytes] = set()
        self._unread: set[int] = set()

    def take(self, rows: Iterable[Row], means: Means) -> None:
        """Add living rows; the first reason stays."""
        for row in rows:
            if row.uid is not None and row.uid not in self.members and row.state not in LEAVING:
                self.members[row.uid] = Member(row.uid, row, means)
                self._unread.add(row.uid)

    def start_from(self, uids: Collection[int]) -> None:
        """Begin with these, alive or not."""
        self._unread.update(uids)

    def living(self) -> tuple[Member, ...]:
        """What was found, in uid order."""
        return tuple(self.members[uid] for uid in sorted(self.members))

    def follow(self) -> None:
        """Until nothing new turns up."""
        while self._unread:
            fresh, self._unread = self._unread, set()
            rows = register.rows_of(self._tx, self._keys.project_id, fresh)
            self.take_people({row.person for row in rows.values() if row.person is not None})
            self.take_forms(set(self._forms_of(fresh)))
            revealed = register.reveal(self._tx, self._keys, fresh)
            self.take_lookups({one for each in revealed.values() for one in _lookups(self._keys, each.identifier)})

    def take_people(self, heads: Collection[int]) -> None:
        """Everybody who points at these heads."""
        new = sorted(set(heads) - self._heads)
        self._heads.update(new)
        self.take((row for _, row in self._rows(table.c.person, new)), Means.LINKED)

    def take_forms(self, forms: Collection[bytes]) -> set[bytes]:
        """Everybody of these forms. Returns the forms that somebody has."""
        new = set(forms) - self._forms
        self._forms |= new
        rows = list(self._rows(table.c.form, sorted(new)))
        self.take((row for _, row in rows), Means.SPELLING)
        return {bytes(form) for form, _ in rows}

    def take_lookups(self, lookups: Collection[bytes]) -> set[bytes]:
        """Pseudonyms that came as ids. Returns the look-up keys of those that did."""
        rows = list(self._rows(table.c.lookup, sorted(lookups)))
        self.take((row for _, row in rows), Means.PSEUDONYM)
        return {bytes(lookup) for lookup, _ in rows}

    def _rows(self, by: sa.Column[bytes] | sa.Column[int], wanted: list[bytes] | list[int]) -> Iterator[tuple[bytes, Row]]:
        for chunk in chunks(wanted):
            rows = sa.select(by, *ROW_COLUMNS).where(table.c.project_id == self._keys.project_id, by.in_(chunk))
            yield from ((key, row_of(*columns)) for key, *columns in self._tx.execute(rows))

    def _forms_of(self, uids: Collection[int]) -> Iterator[bytes]:
        for chunk in chunks(sorted(uids)):
            rows = sa.select(table.c.form).where(table.c.project_id == self._keys.project_id, table.c.uid.in_(chunk))
            yield from (bytes(form) for form in self._tx.execute(rows).scalars() if form is not None)
