"""The table of the workflow by itself: every sequence of events, breadth first."""

from __future__ import annotations

import itertools
from collections import deque

import pytest

from app.errors import Conflict
from app.subjects import workflow
from app.subjects.model import RequestState as State, Required
from app.subjects.workflow import TABLE, Event

Node = tuple[State, bool]
COMBINATIONS = [frozenset(some) for n in range(len(Required) + 1) for some in itertools.combinations(Required, n)]


def next_of(node: Node, event: Event) -> Node | None:
    state, started = node
    move = workflow.possible(state, started).get(event)
    return None if move is None else (move.to, started or event is Event.START)


def reached_from(node: Node) -> dict[Node, tuple[Event, ...]]:
    """Every node that can be reached, with the shortest way there."""
    ways: dict[Node, tuple[Event, ...]] = {node: ()}
    queue = deque([node])
    while queue:
        here = queue.popleft()
        for event in Event:
            there = next_of(here, event)
            if there is not None and there not in ways:
                ways[there] = (*ways[here], event)
                queue.append(there)
    return ways


ALL = reached_from((State.RECEIVED, False))


def test_every_state_has_a_row_and_every_state_and_event_is_reached() -> None:
    assert set(TABLE) == set(State)
    assert {state for state, _ in ALL} == set(State)
    assert {event for moves in TABLE.values() for event in moves} == set(Event)


@pytest.mark.parametrize("node", ALL, ids=str)
def test_no_state_is_a_dead_end(node: Node) -> None:
    ends = {State.ANSWERED, State.CANCELLED}
    assert ends & {state for state, _ in reached_from(node)}


def test_nothing_that_has_started_is_taken_back() -> None:
    for (state, started), way in ALL.items():
        if state in (State.CANCELLED, State.REJECTED):
            assert not started, way


def test_nothing_is_done_that_was_not_started_and_nothing_starts_unseen() -> None:
    for (state, started), way in ALL.items():
        if state is State.DONE:
            assert started, way
        if state is State.RUNNING:
            assert {Event.IDENTIFY, Event.APPROVE, Event.START} <= set(way)


@pytest.mark.parametrize("required", COMBINATIONS, ids=lambda some: "+".join(sorted(some)) or "nothing")
def test_a_request_begins_where_its_first_person_has_to_act(required: frozenset[Required]) -> None:
    first = workflow.first_state(required)
    assert (first is State.RECEIVED) == (Required.IDENTITY in required)
    assert (first is State.PENDING) == required.issubset({Required.ANSWER})


@pytest.mark.parametrize("required", COMBINATIONS, ids=lambda some: "+".join(sorted(some)) or "nothing")
def test_the_clock_stops_when_the_person_has_an_answer(required: frozenset[Required]) -> None:
    running = {state for state in State if workflow.clock_runs(state, required)}
    assert running >= {State.RECEIVED, State.IDENTIFIED, State.PENDING, State.RUNNING, State.PAUSED, State.FAILED}
    assert not running & {State.ANSWERED, State.CANCELLED}
    assert ({State.DONE, State.REJECTED} <= running) == (Required.ANSWER in required)


def test_what_is_not_in_the_table_is_a_conflict_with_a_remedy() -> None:
    from dataclasses import dataclass

    @dataclass
    class Request:
        state: State
        started_ms: int | None

    for (state, started), event in itertools.product(ALL, Event):
        request = Request(state, 1 if started else None)
        if next_of((state, started), event) is None:
            with pytest.raises(Conflict) as refused:
                workflow.after(request, event)  # type: ignore[arg-type]
            assert state.value in refused.value.message
        else:
            assert workflow.after(request, event) is TABLE[state][event].to  # type: ignore[arg-type]
