"""How a request gets from one state to the next: one table, which says everything that may happen and nothing else.

    received -> identified -> pending -> running -> done -> answered      (verified and certified are steps of running)

Today's default asks nobody: a request begins as `pending`. What persons must do on the way is asked for by
PORTCULLIS_REQUEST_STEPS and kept with the request. Pure; a test walks every sequence of events.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.errors import Conflict
from app.subjects.model import RequestState as State, Required, SubjectRequest


class Event(StrEnum):
    """What may happen to a request. START, FINISH and FAIL are a worker's, REOPEN is a legal hold's end; the others are acts
    of officers."""

    IDENTIFY = "identify"
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    FAIL = "fail"
    RETRY = "retry"
    ANSWER = "answer"
    LIFT = "lift"
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True)
class Move:
    """Where an event leads. With `unless_started` it is only possible before a worker has begun."""

    to: State
    unless_started: bool = False


TABLE: Mapping[State, Mapping[Event, Move]] = {
    State.RECEIVED: {
        Event.IDENTIFY: Move(State.IDENTIFIED),
        Event.REJECT: Move(State.REJECTED),
        Event.CANCEL: Move(State.CANCELLED),
    },
    State.IDENTIFIED: {
        Event.APPROVE: Move(State.PENDING),
        Event.REJECT: Move(State.REJECTED),
        Event.CANCEL: Move(State.CANCELLED),
    },
    State.PENDING: {
        Event.START: Move(State.RUNNING),
        Event.FAIL: Move(State.FAILED),
        Event.PAUSE: Move(State.PAUSED),
        Event.REJECT: Move(State.REJECTED, unless_started=True),
        Event.CANCEL: Move(State.CANCELLED, unless_started=True),
    },
    State.RUNNING: {
        Event.FINISH: Move(State.DONE),
        Event.FAIL: Move(State.FAILED),
        Event.PAUSE: Move(State.PAUSED),
    },
    State.PAUSED: {
        Event.RESUME: Move(State.PENDING),
        Event.REJECT: Move(State.REJECTED, unless_started=True),
        Event.CANCEL: Move(State.CANCELLED, unless_started=True),
    },
    State.FAILED: {Event.RETRY: Move(State.PENDING)},
    State.DONE: {Event.ANSWER: Move(State.ANSWERED), Event.LIFT: Move(State.DONE), Event.REOPEN: Move(State.PENDING)},
    State.ANSWERED: {Event.LIFT: Move(State.ANSWERED), Event.REOPEN: Move(State.PENDING)},
    State.REJECTED: {Event.ANSWER: Move(State.ANSWERED)},
    State.CANCELLED: {},
}

BY_OFFICERS = frozenset(Event) - {Event.START, Event.FINISH, Event.FAIL, Event.REOPEN}
"""What persons do."""
OPEN = (State.PENDING, State.RUNNING)
"""The states in which a worker may work on a request."""
WAITING = (State.RECEIVED, State.IDENTIFIED)
"""The states in which a request has no effect yet: nobody is hidden for the word of a stranger."""

_REMEDIES: Mapping[Event, str] = {
    Event.CANCEL: "only a request that has not started can be cancelled; set PORTCULLIS_ERASURE_GRACE to leave time",
    Event.REJECT: "only a request that has not started can be rejected",
    Event.RETRY: "only a failed request can be retried",
    Event.RESUME: "only a paused request can be resumed",
    Event.PAUSE: "only a request that waits for a worker or is being worked on can be paused",
    Event.ANSWER: "record the answer once the request is done or rejected",
    Event.IDENTIFY: "identity is recorded while the request is received, where PORTCULLIS_REQUEST_STEPS asks for it",
    Event.APPROVE: "a request is approved once its identity is verified, where PORTCULLIS_REQUEST_STEPS asks for it",
}


def first_state(required: Collection[Required]) -> State:
    """Where a new request begins."""
    if Required.IDENTITY in required:
        return State.RECEIVED
    return State.IDENTIFIED if needs_approval(required) else State.PENDING


def needs_approval(required: Collection[Required]) -> bool:
    """Whether somebody has to approve, be it a second person or the same."""
    return not {Required.APPROVAL, Required.SECOND_PERSON}.isdisjoint(required)


def possible(state: State, started: bool) -> Mapping[Event, Move]:
    """What may happen to a request in this state."""
    return {event: move for event, move in TABLE[state].items() if not (move.unless_started and started)}


def after(request: SubjectRequest, event: Event) -> State:
    """The state that `event` leads to. Raises `Conflict` when it is not possible now."""
    move = possible(request.state, request.started_ms is not None).get(event)
    if move is None:
        raise Conflict(f"the request is {request.state.value} and can not {event.value} now", remedy=_REMEDIES.get(event))
    return move.to


def clock_runs(state: State, required: Collection[Required]) -> bool:
    """Whether the person still waits. Where answers are recorded, being done is not enough."""
    if state in (State.ANSWERED, State.CANCELLED):
        return False
    return state not in (State.DONE, State.REJECTED) or Required.ANSWER in required
