"""k-anonymity, l-diversity and small cells against a slow reference that keeps everything."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, strategies as st

from policies.anonymity import ALONE, DAY, EVENT, PEOPLE, Traits, marks_of, measure
from policies.model import Scope

KEY = b"k" * 32
DAY_MS = 86_400_000
NAMES = ("city", "age", "plan")
VALUES = st.sampled_from([None, 0, 1, "1", "", "Bonn", True, 1.5, ["a", "b"], ["ab"], {"x": 1}])
RECORDS = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.sampled_from([Scope.EVENT, Scope.PROFILE]),
        st.sampled_from(["View", "Buy"]),
        st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3),
        st.integers(0, 3 * DAY_MS),
    ),
    max_size=25,
)
TRAITS = st.builds(
    Traits,
    st.lists(st.sampled_from([*NAMES, DAY, EVENT]), unique=True, max_size=4).map(tuple),
    st.lists(st.sampled_from(NAMES), unique=True, max_size=2).map(tuple),
)


def _of(each: str, record: tuple[Any, ...]) -> Any:
    _, scope, name, properties, time_ms = record
    if each in (DAY, EVENT):
        return None if scope is not Scope.EVENT else time_ms // DAY_MS if each == DAY else name
    return properties.get(each)


def _slowly(
    traits: Traits, records: list[tuple[Any, ...]]
) -> tuple[dict[Any, set[int]], dict[Any, set[str]], dict[Any, set[int]]]:
    """Everybody by combination, the values of each sensitive property by it, and everybody by each value alone."""
    people, values, alone = defaultdict(set), defaultdict(set), defaultdict(set)
    for record in records:
        known = tuple(_of(each, record) for each in traits.quasi)
        if all(value is None for value in known):
            continue
        # repr tells 1, "1", True and 1.5 apart; equality of Python would not.
        cell = (record[1], repr(known))
        people[cell].add(record[0])
        for each in traits.sensitive:
            if (value := _of(each, record)) is not None:
                values[each, cell].add(repr(value))
        for each, value in zip(traits.quasi, known, strict=True):
            if value is not None and len(traits.quasi) > 1:
                alone[each, record[1], repr(value)].add(record[0])
    return people, values, alone


@given(TRAITS, RECORDS, st.integers(1, 4), st.integers(1, 3))
def test_it_is_what_a_slow_count_says(traits: Traits, records: list[tuple[Any, ...]], k: int, least: int) -> None:
    marks = {mark for record in records for mark in marks_of(traits, KEY, *record)}
    members: dict[tuple[int, bytes], int] = defaultdict(int)
    for mark in marks:
        members[mark.kind, mark.cell] += 1
    found = measure(traits, [(kind, n) for (kind, _), n in members.items()], k, least)

    people, values, alone = _slowly(traits, records)
    assert found.cells == len(people)
    assert found.k == min((len(each) for each in people.values()), default=None)
    assert found.small == sum(len(each) < k for each in people.values())
    for each in found.diversity:
        counts = [len(taken) for (name, _), taken in values.items() if name == each.property]
        assert (each.least, each.cells_below) == (min(counts), sum(n < least for n in counts))
    assert {each.property for each in found.diversity} == {name for name, _ in values}
    for each in found.rarity:
        counts = [len(who) for (name, *_), who in alone.items() if name == each.property]
        assert (each.values, each.rare) == (len(counts), sum(n < k for n in counts))
    assert {each.property for each in found.rarity} == {name for name, *_ in alone}


@given(TRAITS, RECORDS)
def test_a_mark_made_twice_counts_once_and_another_key_makes_others(traits: Traits, records: list[tuple[Any, ...]]) -> None:
    first = [mark for record in records for mark in marks_of(traits, KEY, *record)]
    assert set(first) == {mark for record in records * 2 for mark in marks_of(traits, KEY, *record)}
    other = {mark.cell for record in records for mark in marks_of(traits, b"o" * 32, *record)}
    assert not other & {mark.cell for mark in first}


def test_a_mark_holds_no_value() -> None:
    [mark] = marks_of(Traits(("city",)), KEY, 7, Scope.EVENT, "View", {"city": "Bonn"}, 0)
    assert (mark.kind, len(mark.cell), len(mark.member)) == (PEOPLE, 16, 16)
    assert b"Bonn" not in mark.cell + mark.member
    assert len(NAMES) < ALONE
