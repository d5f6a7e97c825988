"""How much a deletion would cover: counted in short reads, a range of time after the other, for a bounded time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from app.access.service import Project
from app.access.sight import Sight
from app.database import Database
from app.deletions.model import Extent
from app.events.port import EventQuery, EventStore, ProfileQuery
from app.identity import register
from app.where.tree import About, Not, conjunction
from policies.sketch import Distinct

MOST_NAMES = 1_000
MOST_DAYS = 2_000
OTHER = "(other)"
_MOST_EXACT = 20_000
_UIDS = 5_000
_FIRST_SPAN_MS = 86_400_000
_SHORTEST_MS = 1_000
_NOBODY = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """What was counted. `of` is how many events, or profiles, there are beside those that a deletion hides already.

    `events` counts by name, `days` by (name, first millisecond of the UTC day), the earliest first; a thousand names and two
    thousand days at most. `people` counts each person once, whichever of their ids an event names, and is an estimate
    (within about 2 %) unless `people_exact`. When the time was up before all was counted, `complete` is False and every number
    is a lower bound. `rest` says that something is not covered; None when that was not found out.
    """

    matched: int = 0
    people: int = 0
    people_exact: bool = True
    events: dict[str, int] = field(default_factory=dict, repr=False)
    days: list[tuple[str, int, int]] = field(default_factory=list, repr=False)
    rest: bool | None = None
    complete: bool = True

    @property
    def matches(self) -> str:
        """`nothing`, `everything`, `some`, or `unknown`."""
        if self.matched == 0:
            return "nothing" if self.complete else "unknown"
        return "everything" if self.rest is False else "some"


def spans(from_ms: int, to_ms: int, pace_s: float = 0.5) -> Iterator[tuple[int, int]]:
    """Ranges of time that follow each other, each as long as its reader needs about `pace_s` for."""
    start, span = from_ms, _FIRST_SPAN_MS
    while start < to_ms:
        end, began = min(start + span, to_ms), time.monotonic()
        yield start, end
        took = time.monotonic() - began
        if took > pace_s:
            span = max(span // 2, _SHORTEST_MS)
        elif took < pace_s / 4:
            span *= 4
        start = end


def bounds(extent: Extent, ends: tuple[int, int] | None) -> tuple[int, int]:
    """The range of time that is covered, within that of the events there are; empty when there is nothing in it."""
    if ends is None:
        return 0, 0
    first = ends[0] if extent.from_ms is None else max(extent.from_ms, ends[0])
    last = ends[1] + 1 if extent.to_ms is None else min(extent.to_ms, ends[1] + 1)
    return first, max(first, last)


class Surveyor:
    """Counts what an extent covers in one project, in `budget_s` seconds at most."""

    def __init__(self, database: Database, store: EventStore, project: Project, sight: Sight, budget_s: float) -> None:
        self._database = database
        self._store = store
        self._project = project
        self._sight = sight
        self._until = time.monotonic() + budget_s
        self._people = _People()

    def of(self, extent: Extent) -> Survey:
        """Count."""
        return self._profiles(extent) if extent.about is About.PROFILE else self._events(extent)

    def _events(self, extent: Extent) -> Survey:
        with self._database.read() as tx:
            ends = self._store.event_bounds(tx, self._project.id)
        first, last = bounds(extent, ends)
        names: Counter[str] = Counter()
        days: list[tuple[str, int, int]] = []
        complete = True
        for start, end in spans(first, last):
            if time.monotonic() > self._until:
                complete = False
                break
            query = EventQuery(from_ms=start, to_ms=end, names=extent.events, where=extent.condition())
            with self._database.read() as tx:
                for name, day, n in self._store.tally(tx, self._sight, query):
                    names[name if name in names or len(names) < MOST_NAMES else OTHER] += n
                    _add_day(days, name, day, n)
                if names:
                    self._count_people(self._store.subjects(tx, self._sight, query))
        rest = self._rest(extent, ends) if names else None
        people, exact = self._people.count()
        return Survey(names.total(), people, exact, dict(names.most_common()), days, rest, complete)

    def _rest(self, extent: Extent, ends: tuple[int, int] | None) -> bool | None:
        """Whether an event is not covered. None when the time is up before one is found."""
        covered = extent.covered()
        if not extent.whole or covered is None or ends is None:
            return None if not extent.whole else False
        for start, end in spans(ends[0], ends[1] + 1):
            if time.monotonic() > self._until:
                return None
            query = EventQuery(from_ms=start, to_ms=end, where=Not(covered), limit=1)
            with self._database.read() as tx:
                if next(iter(list(self._store.scan(tx, self._sight, query))), None) is not None:
                    return True
        return False

    def _profiles(self, extent: Extent) -> Survey:
        matched, after, complete = 0, 0, True
        while True:
            if time.monotonic() > self._until:
                complete = False
                break
            query = ProfileQuery(after_seq=after, group_key=None, where=conjunction(self._sight.profiles, extent.condition()))
            with self._database.read() as tx:
                page = self._store.profile_keys(tx, self._project.id, query, _UIDS)
                self._count_people((uid for _, uid in page))
            matched += len(page)
            if len(page) < _UIDS:
                break
            after = page[-1][0]
        people, exact = self._people.count()
        return Survey(matched, people, exact, rest=None, complete=complete)

    def _count_people(self, uids: Iterable[int]) -> None:
        remaining = iter(uids)
        while some := list(islice(remaining, _UIDS)):
            with self._database.read() as fresh:
                rows = register.rows_of(fresh, self._project.id, {uid for uid in some if uid != _NOBODY})
            self._people.add(row.person or uid for uid, row in rows.items())


class _People:
    """How many different people: exactly while they are few, as an estimate of bounded size when they are many."""

    def __init__(self) -> None:
        self._few: set[int] | None = set()
        self._many = Distinct()

    def add(self, people: Iterable[int]) -> None:
        for person in people:
            self._many.add(person)
            if self._few is not None:
                self._few.add(person)
        if self._few is not None and len(self._few) > _MOST_EXACT:
            self._few = None

    def count(self) -> tuple[int, bool]:
        return (self._many.count(), False) if self._few is None else (len(self._few), True)


def _add_day(days: list[tuple[str, int, int]], name: str, day: int, n: int) -> None:
    # The ranges that are read do not end where days do: the last day of one may be the first of the next.
    for place in range(len(days) - 1, -1, -1):
        other, start, before = days[place]
        if start != day:
            break
        if other == name:
            days[place] = (name, day, before + n)
            return
    if len(days) < MOST_DAYS:
        days.append((name, day, n))
