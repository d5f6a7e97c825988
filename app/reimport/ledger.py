"""The figures of one re-import in SQL: totals before and after, and the marks of cells. In the transaction of the caller.

Both tables grow with what is counted and not with memory. A window of records is added in one transaction with the place
in the store where the next begins, so a window that is done twice counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.identity.register import chunks
from app.reimport.tables import reimport_mark, reimport_total
from policies.anonymity import ALONE, PEOPLE, Mark

EVENTS, SUMS, UNIQUES = "events", "sum", "uniques"
"""What a total counts: events of a name on a day, the sum of a numeric property, different people of a name."""
BEFORE, AFTER = -1, -2
"""Kinds of marks that are no cells: who had an event of a name before, and who has after."""
# Sums of the same numbers in another order differ in their last bits.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Total:
    """One figure, by the label of the event and a key: a UTC day, or the name of a property."""

    what: str
    name: str
    key: str
    before: float
    after: float
    n: int

    def agrees(self, tolerance: float) -> bool:
        """Whether before and after are the same but for `tolerance`, a share of what was before."""
        slack = _ROUNDING if self.what == SUMS else 0.0
        return abs(self.after - self.before) <= max(tolerance * abs(self.before), slack * max(abs(self.before), abs(self.after)))

    @property
    def removed(self) -> bool:
        """Whether the policy left no number of it: there is nothing to compare then."""
        return self.what == SUMS and self.n == 0


@dataclass(slots=True)
class Tally:
    """The totals and marks of one window, before they are written."""

    totals: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    marks: set[Mark] = field(default_factory=set)

    def add(self, what: str, name: str, key: str, before: float, after: float, n: int) -> None:
        """Add to one total."""
        found = self.totals.setdefault((what, name, key), [0.0, 0.0, 0])
        found[0] += before
        found[1] += after
        found[2] += n

    def write(self, tx: Connection, reimport_id: str) -> None:
        """Add everything to the tables."""
        _add_totals(tx, reimport_id, self.totals)
        add_marks(tx, reimport_id, self.marks)


def add_marks(tx: Connection, reimport_id: str, marks: Iterable[Mark]) -> None:
    """Store marks that are not stored yet."""
    rows = [{"reimport_id": reimport_id, "kind": m.kind, "cell": m.cell, "member": m.member} for m in sorted(marks)]
    for chunk in chunks(rows):
        tx.execute(_insert(tx)(reimport_mark).on_conflict_do_nothing(), chunk)


def known_cells(tx: Connection, reimport_id: str, marks: Iterable[Mark]) -> set[Mark]:
    """Those marks whose cell a record of the re-import has: others in it make it safer, and no other cell matters.

    A sensitive value counts with the cell of the people.
    """
    wanted: dict[tuple[int, bytes], set[Mark]] = {}
    for each in marks:
        wanted.setdefault((PEOPLE if each.kind < ALONE else each.kind, each.cell), set()).add(each)
    known: set[Mark] = set()
    for chunk in chunks(sorted({cell for _, cell in wanted})):
        cells = sa.select(reimport_mark.c.kind, reimport_mark.c.cell).distinct()
        for kind, cell in tx.execute(cells.where(reimport_mark.c.reimport_id == reimport_id, reimport_mark.c.cell.in_(chunk))):
            known |= wanted.get((kind, bytes(cell)), set())
    return known


def sizes(tx: Connection, reimport_id: str) -> Iterator[tuple[int, int]]:
    """For each kind and cell, the kind and how many members it has; streamed."""
    grouped = (
        sa.select(reimport_mark.c.kind, sa.func.count())
        .where(reimport_mark.c.reimport_id == reimport_id, reimport_mark.c.kind >= PEOPLE)
        .group_by(reimport_mark.c.kind, reimport_mark.c.cell)
    )
    with tx.execute(grouped, execution_options={"yield_per": 1_000}) as rows:
        for kind, members in rows:
            yield int(kind), int(members)


def smallest(tx: Connection, reimport_id: str) -> int | None:
    """How many people the smallest cell has."""
    grouped = (
        sa.select(sa.func.count().label("members"))
        .where(reimport_mark.c.reimport_id == reimport_id, reimport_mark.c.kind == PEOPLE)
        .group_by(reimport_mark.c.cell)
        .subquery()
    )
    found: int | None = tx.execute(sa.select(sa.func.min(grouped.c.members))).scalar()
    return found


def uniques(tx: Connection, reimport_id: str, names: Mapping[bytes, str]) -> Iterator[Total]:
    """Different people before and after, by the label of the event. `names` are the labels by the digest that marks them."""
    grouped = (
        sa.select(reimport_mark.c.kind, reimport_mark.c.cell, sa.func.count())
        .where(reimport_mark.c.reimport_id == reimport_id, reimport_mark.c.kind.in_((BEFORE, AFTER)))
        .group_by(reimport_mark.c.kind, reimport_mark.c.cell)
    )
    found: dict[str, dict[int, int]] = {}
    for kind, cell, n in tx.execute(grouped):
        label = names.get(bytes(cell), "")
        by_kind = found.setdefault(label, {})
        by_kind[kind] = by_kind.get(kind, 0) + n
    for label in sorted(found):
        after = found[label].get(AFTER, 0)
        yield Total(UNIQUES, label, "", found[label].get(BEFORE, 0), after, after)


def totals(tx: Connection, reimport_id: str) -> Iterator[Total]:
    """Every total in order, streamed."""
    columns = [reimport_total.c[name] for name in ("what", "name", "key", "before", "after", "n")]
    wanted = sa.select(*columns).where(reimport_total.c.reimport_id == reimport_id).order_by(*columns[:3])
    with tx.execute(wanted, execution_options={"yield_per": 1_000}) as rows:
        for row in rows:
            yield Total(*row)


def labels(tx: Connection, reimport_id: str) -> list[str]:
    """The labels of events that were counted."""
    wanted = sa.select(reimport_total.c.name).where(reimport_total.c.reimport_id == reimport_id, reimport_total.c.what == EVENTS)
    return sorted(tx.execute(wanted.distinct()).scalars())


def forget(tx: Connection, reimport_id: str) -> None:
    """Delete all figures: a pass begins anew, or it is over."""
    for table in (reimport_total, reimport_mark):
        tx.execute(sa.delete(table).where(table.c.reimport_id == reimport_id))


def _add_totals(tx: Connection, reimport_id: str, found: Mapping[tuple[str, str, str], list[float]]) -> None:
    if not found:
        return
    insert = _insert(tx)(reimport_total)
    added = {name: reimport_total.c[name] + insert.excluded[name] for name in ("before", "after", "n")}
    statement = insert.on_conflict_do_update(index_elements=["reimport_id", "what", "name", "key"], set_=added)
    rows = [
        {"reimport_id": reimport_id, "what": what, "name": name, "key": key, "before": before, "after": after, "n": int(n)}
        for (what, name, key), (before, after, n) in sorted(found.items())
    ]
    tx.execute(statement, rows)


def _insert(tx: Connection) -> Any:
    return postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
