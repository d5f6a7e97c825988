"""States that may follow each other, figures that agree, and moments that are made coarse."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from app.reimport.ledger import EVENTS, SUMS, Total
from app.reimport.model import ENDED, MOVES, State, Times, may_go
from jobs.reimport_pass import coarse, day_of

AFTER_THE_ERASURE = (State.IMPORTING, State.RECONCILING, State.DONE)


def test_every_state_is_in_the_table_and_can_come_to_an_end() -> None:
    assert MOVES.keys() == set(State)
    for state in State:
        reached, fresh = set[State](), {state}
        while fresh:
            reached |= fresh
            fresh = {each for before in fresh for each in State if may_go(before, each)} - reached
        assert reached & ENDED, state
        if state in AFTER_THE_ERASURE:
            assert State.UNDOING not in reached, "there is no way back"


@pytest.mark.parametrize("state", sorted(ENDED))
def test_what_is_over_stays_over(state: State) -> None:
    assert not any(may_go(state, each) for each in State)


def test_nothing_is_ordered_that_nobody_approved() -> None:
    reached, fresh = set[State](), {State.GATHERING}
    while fresh:
        reached |= fresh
        fresh = {each for before in fresh - {State.REVIEW} for each in State if may_go(before, each)} - reached
    assert reached.isdisjoint({State.FREEZING, State.ORDERING, State.ERASING, State.REWRITING})


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(0, 1))
def test_figures_agree_within_a_share_of_what_was_before(before: float, after: float, tolerance: float) -> None:
    agrees = Total(EVENTS, "View", "", before, after, 1).agrees(tolerance)
    assert agrees == (abs(after - before) <= tolerance * abs(before))
    assert Total(SUMS, "View", "", before, before, 1).agrees(0.0)


def test_sums_may_differ_in_their_last_bits_and_no_more() -> None:
    total = sum([0.1] * 10)
    assert total != 1.0
    assert Total(SUMS, "View", "amount", 1.0, total, 10).agrees(0.0)
    assert not Total(SUMS, "View", "amount", 1.0, 1.001, 10).agrees(0.0)
    assert not Total(EVENTS, "View", "2026-11-24", 1_000_000_000.0, 1_000_000_001.0, 1).agrees(0.0)


@given(st.integers(-(10**12), 10**13), st.sampled_from(list(Times)))
def test_a_coarse_moment_stays_on_its_day(time_ms: int, times: Times) -> None:
    found = coarse(time_ms, times)
    assert 0 <= time_ms - found < 86_400_000
    assert day_of(found) == day_of(time_ms)
    assert coarse(found, times) == found
