"""One suite over the port of the event store, for every adapter: SQLite and PostgreSQL today."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.engine import Connection

from app.access.sight import Purpose, Sight
from app.events.port import EventQuery, EventRow, EventStore, ProfileQuery, ProfileRow
from app.identity import register
from tests.installation import Installation

# The register gives uids of up to 62 bits, and a digest has 63: neither may turn into a float or wrap on the way.
BIG = (1 << 62) - 1
WIDEST = (1 << 63) - 1
# COPY starts at 50 rows on PostgreSQL: both ways in have to mean the same.
SIZES = (1, 3, 49, 50, 51, 400)


class Store:
    """The store of one project, each call in a transaction of its own."""

    def __init__(self, home: Installation) -> None:
        self.home = home
        self.adapter: EventStore = home.services.stores.of(None)
        self.project = secrets.randbits(40)
        self.sight = Sight(self.project, Purpose.INTERNAL)

    @contextmanager
    def tx(self) -> Iterator[Connection]:
        with self.home.services.database.write() as tx:
            yield tx

    def append(self, *rows: EventRow) -> None:
        with self.tx() as tx:
            self.adapter.append(tx, self.project, rows)

    def scan(self, **query: Any) -> list[EventRow]:
        with self.home.services.database.read() as tx:
            return list(self.adapter.scan(tx, self.sight, EventQuery(**query)))

    def put(self, *rows: ProfileRow) -> None:
        with self.tx() as tx:
            self.adapter.put_profiles(tx, self.project, rows)

    def profiles(self, *uids: int) -> dict[int, ProfileRow]:
        with self.tx() as tx:
            return dict(self.adapter.profiles_of(tx, self.project, uids))

    def pages(self, after: int = 0, up_to: int = WIDEST) -> list[ProfileRow]:
        with self.home.services.database.read() as tx:
            return list(self.adapter.scan_profiles(tx, self.sight, ProfileQuery(after, up_to)))

    def count(self, place: str, *uids: int) -> int:
        with self.home.services.database.read() as tx:
            return self.adapter.count_subjects(tx, self.project, place, uids)

    def delete(self, place: str, *uids: int, limit: int = 1_000) -> int:
        with self.tx() as tx:
            return self.adapter.delete_subjects(tx, self.project, place, uids, limit)


@pytest.fixture
def store(home: Installation) -> Store:
    """The store of a project that has nothing yet."""
    return Store(home)


def row(time_ms: int = 1_000, dedup: int | None = None, uid: int = 7, name: str = "Viewed", **more: Any) -> EventRow:
    digest = secrets.randbits(63) if dedup is None else dedup
    properties = json.dumps(more.pop("properties", {"n": 1}))
    return EventRow(time_ms, digest, uid, name, properties, more.pop("version", 1), more.pop("received", time_ms))


def profile(uid: int, **properties: Any) -> ProfileRow:
    return ProfileRow(0, uid, json.dumps(properties), 5, 1)


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_what_is_appended_is_scanned_unchanged_in_time_order(store: Store, size: int) -> None:
    rows = [row(time_ms=10_000 - i, uid=i, properties={"i": i, "text": 'tab\t"\\ 日本 \u2028 \\N'}) for i in range(size)]
    store.append(*rows)
    assert store.scan() == sorted(rows, key=lambda each: (each.time_ms, each.dedup))


def test_an_empty_batch_is_no_batch(store: Store) -> None:
    store.append()
    assert store.scan() == []


@pytest.mark.parametrize("size", [1, 60])
def test_the_widest_numbers_survive(store: Store, size: int) -> None:
    rows = [row(time_ms=BIG - i, dedup=WIDEST - i, uid=BIG - i) for i in range(size)]
    store.append(*rows)
    assert store.scan() == rows[::-1]
    assert store.scan(uids=[BIG]) == rows[:1]
    assert store.count("event", BIG) == 1
    assert store.delete("event", BIG) == 1
    assert store.count("event", BIG) == 0


@pytest.mark.parametrize("size", [1, 60])
def test_the_latest_of_equal_events_wins_over_an_earlier_batch(store: Store, size: int) -> None:
    first = [row(dedup=i, uid=1, name="first", version=1, received=1) for i in range(size)]
    second = [row(dedup=i, uid=2, name="second", properties={"n": 2}, version=2, received=2) for i in range(size)]
    store.append(*first)
    store.append(*second)
    assert store.scan() == second


@pytest.mark.parametrize("padding", [0, 60])
def test_the_last_of_equal_events_wins_inside_one_batch(store: Store, padding: int) -> None:
    others = [row(time_ms=5_000) for _ in range(padding)]
    earlier, later = row(dedup=9, name="earlier"), row(dedup=9, name="later")
    store.append(earlier, *others, later)
    assert store.scan(to_ms=2_000) == [later]
    assert len(store.scan()) == padding + 1


def test_equal_digests_at_another_time_or_in_another_project_are_other_events(store: Store, home: Installation) -> None:
    other = Store(home)
    store.append(row(time_ms=1, dedup=9), row(time_ms=2, dedup=9))
    other.append(row(time_ms=1, dedup=9, name="foreign"))
    assert [each.time_ms for each in store.scan()] == [1, 2]
    assert [each.name for each in other.scan()] == ["foreign"]


def test_a_transaction_that_fails_stores_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.tx() as tx:  # noqa: PT012 - the failure belongs inside
        store.adapter.append(tx, store.project, [row() for _ in range(60)])
        _ = 1 / 0
    assert store.scan() == []


def test_two_batches_in_one_transaction_are_both_stored(store: Store) -> None:
    with store.tx() as tx:
        store.adapter.append(tx, store.project, [row() for _ in range(60)])
        store.adapter.append(tx, store.project, [row() for _ in range(60)])
    assert len(store.scan()) == 120


def test_a_range_of_time_includes_its_start_and_excludes_its_end(store: Store) -> None:
    store.append(*(row(time_ms=each) for each in (10, 20, 30)))
    assert [each.time_ms for each in store.scan(from_ms=10, to_ms=30)] == [10, 20]
    assert [each.time_ms for each in store.scan(from_ms=11)] == [20, 30]
    assert [each.time_ms for each in store.scan(to_ms=20)] == [10]


def test_filters_by_name_and_by_person_combine(store: Store) -> None:
    store.append(row(name="a", uid=1), row(name="a", uid=2), row(name="b", uid=1), row(name="it's % _ \\", uid=3))
    assert {each.uid for each in store.scan(names=["a"])} == {1, 2}
    assert {each.name for each in store.scan(uids=[1])} == {"a", "b"}
    assert [each.name for each in store.scan(names=["a"], uids=[1, 3])] == ["a"]
    assert [each.uid for each in store.scan(names=["it's % _ \\"])] == [3]
    assert store.scan(names=["%"]) == []


def test_a_filter_that_names_nobody_finds_nobody(store: Store) -> None:
    store.append(row())
    assert store.scan(names=[]) == []
    assert store.scan(uids=[]) == []


def test_a_scan_of_another_project_sees_nothing(store: Store, home: Installation) -> None:
    store.append(row())
    assert Store(home).scan() == []


# --- profiles --------------------------------------------------------------------------------------------------------


def test_a_profile_is_created_then_replaced_and_keeps_its_place(store: Store) -> None:
    store.put(profile(BIG, plan="free"))
    first = store.profiles(BIG)[BIG]
    store.put(ProfileRow(99, BIG, '{"plan":"pro"}', None, 3))
    second = store.profiles(BIG)[BIG]
    assert json.loads(first.properties) == {"plan": "free"}
    assert second == ProfileRow(first.seq, BIG, '{"plan":"pro"}', None, 3)


def test_profiles_of_people_who_have_none_are_left_out(store: Store) -> None:
    store.put(profile(1))
    assert store.profiles(1, 2).keys() == {1}
    assert store.profiles() == {}


def test_no_profile_is_no_statement(store: Store) -> None:
    store.put()
    assert store.pages() == []


def test_deleting_profiles_keeps_events_and_other_profiles(store: Store) -> None:
    store.append(row(uid=1))
    store.put(profile(1), profile(2))
    with store.tx() as tx:
        assert store.adapter.delete_profiles(tx, store.project, [1, 3]) == 1
    assert store.profiles(1, 2).keys() == {2}
    assert len(store.scan()) == 1


def test_pages_of_profiles_are_ranges_of_their_creation(store: Store) -> None:
    with store.tx() as tx:
        assert store.adapter.newest_profile(tx, store.project) == 0
    for uid in (3, 1, 2):
        store.put(profile(uid))
    everything = store.pages()
    assert [each.uid for each in everything] == [3, 1, 2]
    assert [each.uid for each in store.pages(everything[0].seq, everything[1].seq)] == [1]
    with store.tx() as tx:
        assert store.adapter.newest_profile(tx, store.project) == everything[2].seq


def test_a_profile_made_after_a_deletion_comes_after_every_earlier_one(store: Store) -> None:
    store.put(profile(1), profile(2))
    newest = store.pages()[-1].seq
    assert store.delete("profile", 2) == 1
    store.put(profile(3))
    # A place that were given again would put a new person into a page that somebody has read already.
    assert store.pages()[-1].seq > newest


# --- people ----------------------------------------------------------------------------------------------------------


def test_places_are_counted_and_deleted_by_person(store: Store) -> None:
    assert set(store.adapter.places()) == {"event", "profile"}
    store.append(row(uid=1), row(uid=1), row(uid=2))
    store.put(profile(1), profile(2))
    assert store.count("event", 1) == 2
    assert store.count("event", 1, 2, 3) == 3
    assert store.count("profile", 1) == 1
    assert store.count("event") == 0
    assert store.delete("event", 1) == 2
    assert store.delete("profile", 1) == 1
    assert [each.uid for each in store.scan()] == [2]
    assert store.profiles(1, 2).keys() == {2}


def test_a_deletion_takes_at_most_its_limit_and_is_repeated_until_none_is_left(store: Store) -> None:
    store.append(*(row(uid=1, time_ms=i) for i in range(25)), *(row(uid=2) for _ in range(5)))
    taken = []
    while n := store.delete("event", 1, limit=10):
        taken.append(n)
    assert taken == [10, 10, 5]
    assert store.count("event", 1) == 0
    assert store.count("event", 2) == 5


@pytest.mark.parametrize("place", ["event", "profile"])
def test_a_deletion_stays_in_its_project(store: Store, home: Installation, place: str) -> None:
    other = Store(home)
    for each in (store, other):
        each.append(row(uid=1, dedup=4))
        each.put(profile(1))
    store.delete(place, 1)
    assert (store.count(place, 1), other.count(place, 1)) == (0, 1)


def test_two_thousand_people_are_one_question(store: Store) -> None:
    uids = list(range(BIG - 2_000, BIG))
    store.append(*(row(uid=uid) for uid in uids))
    assert store.count("event", *uids) == 2_000
    assert store.delete("event", *uids, limit=5_000) == 2_000


def test_an_unknown_place_is_refused(store: Store) -> None:
    with pytest.raises(KeyError):
        store.count("project", 1)


def test_rows_do_not_show_what_they_hold() -> None:
    shown = repr(row(name="canary-name", properties={"canary-value": 1})) + repr(profile(1, canary="x"))
    assert "canary" not in shown


# --- the register, which shares the engine's limits ------------------------------------------------------------------


def test_the_register_takes_more_ids_than_one_statement_has_parameters(home: Installation) -> None:
    tenant = home.tenant()
    ids = [f"person-{i}" for i in range(12_000)]
    with home.services.database.write() as tx:
        keys = home.services.keyring.of(tx, tenant.id)
        made = register.enrol(tx, keys, ids, 1)
        assert made.keys() == set(ids)
        assert register.resolve(tx, keys, ids) == made
        assert len({each.uid for each in made.values()}) == len(ids)
        assert all(0 < (each.uid or 0) <= 1 << 62 for each in made.values())


# --- retention -------------------------------------------------------------------------------------------------------


def _old(store: Store, after: tuple[int, int] = (-1, -1), before: int = 1_000, limit: int = 10) -> list[EventRow]:
    with store.tx() as tx:
        return list(store.adapter.old_events(tx, store.project, after, before, limit))


def test_old_events_come_in_pages_of_the_key_and_end_before_their_time(store: Store) -> None:
    rows = [row(time_ms, dedup) for time_ms in (1, 2, 999, 1_000) for dedup in (0, WIDEST)]
    store.append(*rows)
    pages, after = [], (-1, -1)
    while page := _old(store, after, limit=2):
        pages.append(page)
        after = (page[-1].time_ms, page[-1].dedup)
    assert [each for page in pages for each in page] == rows[:6]
    assert _old(store, (2, 0), limit=1) == [rows[3]], "the page begins beyond its mark and not at its millisecond"


def test_events_are_deleted_by_their_key_and_in_their_project(store: Store, home: Installation) -> None:
    rows = [row(5, dedup) for dedup in range(4)]
    other = Store(home)
    store.append(*rows)
    other.append(*rows)
    with store.tx() as tx:
        assert store.adapter.delete_events(tx, store.project, [rows[0], rows[2], row(6, 1)]) == 2
        assert store.adapter.delete_events(tx, store.project, []) == 0
    assert store.scan() == [rows[1], rows[3]]
    assert other.scan() == rows


def test_an_event_is_rewritten_where_it_is_and_never_made(store: Store, home: Installation) -> None:
    rows = [row(5, dedup) for dedup in range(3)]
    other = Store(home)
    store.append(*rows[:2])
    other.append(*rows)
    with store.tx() as tx:
        changed = [replace(each, properties='{"n":2}', name="other", uid=9) for each in rows[1:]]
        store.adapter.rewrite_events(tx, store.project, changed)
        store.adapter.rewrite_events(tx, store.project, [])
    assert store.scan() == [rows[0], replace(rows[1], properties='{"n":2}')], "nothing but the properties, and no new row"
    assert other.scan() == rows


def test_old_profiles_come_by_when_they_were_changed_and_a_rewrite_is_no_change(store: Store) -> None:
    store.put(*(replace(profile(uid, n=1), changed_ms=changed) for uid, changed in ((1, 30), (2, 10), (3, 10), (4, 50))))
    with store.tx() as tx:
        first = store.adapter.old_profiles(tx, store.project, (-1, -1), 50, 2)
        assert [(each.uid, each.changed_ms) for each in first] == [(2, 10), (3, 10)]
        (last,) = store.adapter.old_profiles(tx, store.project, (10, first[-1].seq), 50, 2)
        store.adapter.rewrite_profiles(tx, store.project, [replace(last, properties="{}"), replace(last, uid=99)])
    kept = store.profiles(1, 4, 99)
    assert (kept[1].properties, kept[1].changed_ms, 99 in kept) == ("{}", 30, False)
    assert kept[4].properties != "{}"
