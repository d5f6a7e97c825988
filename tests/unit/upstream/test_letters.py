"""What goes to a collector in one request, and in which order."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, strategies as st

from app.upstream.outbox import Kind, Parcel
from jobs.letters import Letter, requests_of

OPERATIONS = ("$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete")
LETTERS = st.lists(
    st.one_of(
        st.tuples(st.just(Kind.EVENT), st.integers(0, 3), st.just("View")),
        st.tuples(st.sampled_from([Kind.PROFILE, Kind.GROUP]), st.integers(1, 4), st.sampled_from(OPERATIONS)),
    ),
    max_size=40,
)


def _letters(drawn: list[tuple[Kind, int, str]]) -> list[Letter]:
    # A group and a person never have one uid.
    return [
        Letter(Parcel(uid + 100 * (kind is Kind.GROUP), 0, name, "", at, kind), {})
        for at, (kind, uid, name) in enumerate(drawn, 1)
    ]


@given(LETTERS)
def test_every_letter_goes_once_and_each_profile_keeps_its_order(drawn: list[tuple[Kind, int, str]]) -> None:
    letters = _letters(drawn)
    sent = [each for request in requests_of(letters) for each in request]
    assert sorted(each.parcel.id for each in sent) == [each.parcel.id for each in letters]
    order = defaultdict(list)
    for each in sent:
        if each.parcel.kind is not Kind.EVENT:
            order[each.parcel.uid].append(each.parcel.id)
    assert all(ids == sorted(ids) for ids in order.values())


@given(LETTERS)
def test_a_request_is_of_one_kind_and_what_must_not_arrive_twice_is_apart(drawn: list[tuple[Kind, int, str]]) -> None:
    for request in requests_of(_letters(drawn)):
        assert len({(each.parcel.kind, each.once) for each in request}) == 1
        assert request[0].once == (request[0].parcel.name in ("$add", "$append"))


def test_ordinary_traffic_needs_few_requests() -> None:
    drawn = [(Kind.EVENT, 1, "View"), (Kind.PROFILE, 1, "$set"), (Kind.EVENT, 2, "View"), (Kind.PROFILE, 2, "$set")] * 100
    assert [len(each) for each in requests_of(_letters(drawn))] == [200, 200]
