"""The words of a sanitised re-import: scopes, states, which change of state is allowed, and its terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from policies.anonymity import Traits


class Scope(StrEnum):
    """What is made anonymous: people named by their ids, the people of a saved filter, or one property of past events."""

    PEOPLE = "people"
    COHORT = "cohort"
    PROPERTY = "property"


class Times(StrEnum):
    """What becomes of the moment at which an event happened: the whole of it is kept, or the hour, or the day (UTC)."""

    KEPT = "kept"
    HOUR = "hour"
    DAY = "day"


class State(StrEnum):
    """What a worker does next, or that nobody does: in REVIEW an officer's word is waited for, the last four are the end."""

    GATHERING = "gathering"
    SURVEYING = "surveying"
    MEASURING = "measuring"
    REVIEW = "review"
    FREEZING = "freezing"
    STAGING = "staging"
    WEIGHING = "weighing"
    ORDERING = "ordering"
    ERASING = "erasing"
    IMPORTING = "importing"
    RECONCILING = "reconciling"
    REWRITING = "rewriting"
    UNDOING = "undoing"
    DONE = "done"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED = frozenset({State.DONE, State.ROLLED_BACK, State.CANCELLED, State.FAILED})
"""The states in which it is over."""
_REVERSIBLE = (State.GATHERING, State.SURVEYING, State.MEASURING, State.FREEZING, State.STAGING, State.WEIGHING, State.ORDERING)
MOVES: Mapping[State, frozenset[State]] = {
    State.GATHERING: frozenset({State.SURVEYING}),
    # Of one property nobody is measured.
    State.SURVEYING: frozenset({State.MEASURING, State.REVIEW}),
    State.MEASURING: frozenset({State.REVIEW}),
    State.REVIEW: frozenset({State.FREEZING, State.REWRITING, State.UNDOING}),
    State.FREEZING: frozenset({State.STAGING}),
    State.STAGING: frozenset({State.WEIGHING}),
    State.WEIGHING: frozenset({State.ORDERING}),
    State.ORDERING: frozenset({State.ERASING, State.FREEZING}),
    # An erasure can be taken back in its grace period.
    State.ERASING: frozenset({State.IMPORTING, State.UNDOING}),
    State.IMPORTING: frozenset({State.RECONCILING}),
    State.RECONCILING: frozenset({State.DONE, State.IMPORTING}),
    State.REWRITING: frozenset({State.DONE}),
    State.UNDOING: frozenset({State.ROLLED_BACK, State.CANCELLED, State.FAILED}),
    **{state: frozenset[State]() for state in ENDED},
}
"""Where each state may go; those before the erasure also to UNDOING: see `may_go`."""


def may_go(before: State, after: State) -> bool:
    """Whether a re-import may change from one state to another."""
    return after in MOVES[before] or (after is State.UNDOING and before in _REVERSIBLE)


class Terms(msgspec.Struct, frozen=True):
    """What was asked for. `version` or `library` names the policy and `digest` says which text that was; `tolerance` is the
    share (0 to 1) by which figures may differ. `leaked` is a property of past events. Times are Unix milliseconds; `ids`
    counts the ids that were named."""

    version: int | None
    library: str | None
    digest: str
    quasi: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    k: int = 5
    l: int = 2  # noqa: E741 - the letter by which the measure is known
    tolerance: float = 0.0
    times: Times = Times.KEPT
    ids: int = 0
    cohort: int | None = None
    leaked: str | None = None
    events: tuple[str, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None

    @property
    def traits(self) -> Traits:
        """What is measured."""
        return Traits(self.quasi, self.sensitive)


class Override(msgspec.Struct, frozen=True):
    """One person's word that a blocked re-import may go on, and why. `at_ms` is Unix time in milliseconds."""

    by: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Reimport:
    """One re-import as stored. Times are Unix milliseconds; `total` is None until it is counted."""

    id: str
    project_id: int
    scope: Scope
    state: State
    terms: Terms
    requested_by: str
    approved_by: str | None
    overrides: tuple[Override, ...]
    created_ms: int
    started_ms: int | None
    finished_ms: int | None
    next_due_ms: int | None
    fence: int
    attempts: int
    error_code: str | None
    total: int | None
    done: int
    worked_ms: int
    erasure_id: str | None
    ending: str | None
    report: str | None = field(repr=False)
    statement: str | None = field(repr=False)
    standing: bytes | None = field(repr=False)
    wrapped_key: bytes | None = field(repr=False)
    salt: bytes | None = field(repr=False)

    @property
    def rate(self) -> float | None:
        """Records a second in the pass under way, pauses included."""
        return self.done * 1_000 / self.worked_ms if self.worked_ms else None

    @property
    def eta_ms(self) -> int | None:
        """Milliseconds to the end of the pass under way, at this rate."""
        if self.total is None or not self.rate or self.state in ENDED:
            return None
        return round(max(self.total - self.done, 0) / self.rate * 1_000)

    def second_pair(self) -> frozenset[str]:
        """The different people who overrode its block."""
        return frozenset(each.by for each in self.overrides)
