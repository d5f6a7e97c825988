"""The words of a data deletion: what it covers, as written and as an expression, and where it stands. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from app.errors import InvalidInput
from app.where.parse import parse
from app.where.tree import About, Arrival, Call, Comparison, Expr, Inside, Literal, Moment, Name, Not, Property, conjunction

_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# What says whose a record is, when it was, or where it belongs, is no property to be deleted.
_NEEDED = frozenset({"distinct_id", "$distinct_id", "$user_id", "$device_id", "time", "$time", "token", "$last_seen"})


REASONS = ("collected_by_mistake", "consent_missing", "legal_obligation", "no_longer_needed", "personal_data_found", "test_data")
"""Why something is deleted. A closed list: what stands in the audit log for good must not be able to hold a value."""
REFERENCE = r"[A-Za-z]{1,10}-[0-9]{1,8}\Z"
"""The number of a case, such as CASE-4711."""


class Target(StrEnum):
    """What is deleted: whole events, or one property from events or from profiles (of people and of groups)."""

    EVENTS = "events"
    EVENT_PROPERTY = "event_property"
    PROFILE_PROPERTY = "profile_property"


class State(StrEnum):
    """HIDDEN can be undone; ERASING cannot, and ends as DONE."""

    HIDDEN = "hidden"
    ERASING = "erasing"
    DONE = "done"
    UNDONE = "undone"


PENDING = (State.HIDDEN, State.ERASING)
"""The states in which what is covered is out of sight because of the deletion."""


class Step(StrEnum):
    """What the job does next. Each is idempotent, and the row advances in the transaction of a step's last effect."""

    SURVEY = "survey"
    ERASE = "erase"
    VERIFY = "verify"
    PURGE = "purge"
    CERTIFY = "certify"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Extent:
    """What a deletion covers, as written. None asks for nothing.

    Of events: those of these names, from `from_ms` (inclusive) to `to_ms` (exclusive), whole seconds of Unix time in
    milliseconds, of which `where` is true. Of a property: every record that has it.
    """

    target: Target = Target.EVENTS
    events: tuple[str, ...] | None = field(default=None, repr=False)
    from_ms: int | None = None
    to_ms: int | None = None
    where: str | None = field(default=None, repr=False)
    property_name: str | None = field(default=None, repr=False)

    @property
    def about(self) -> About:
        """Events or profiles."""
        return About.PROFILE if self.target is Target.PROFILE_PROPERTY else About.EVENT

    @property
    def whole(self) -> bool:
        """Whether it deletes events, and not a property of what stays."""
        return self.target is Target.EVENTS

    @property
    def unbounded(self) -> bool:
        """Whether it covers every event there is."""
        return self.whole and not (self.events or self.where or self.from_ms or self.to_ms)

    def condition(self) -> Expr | None:
        """What has to be true of the properties of a record, beside name and time."""
        if not self.whole:
            return Call("defined", (Property(self.property_name or ""),))
        return None if self.where is None else parse(self.where, About.EVENT)

    def covered(self, received_up_to_ms: int | None = None) -> Expr | None:
        """What is true of a covered record: received up to this moment, when one is given. Cheap conditions come first."""
        moment = Moment()
        return conjunction(
            Inside(Name(), tuple(Literal(name) for name in self.events)) if self.events else None,
            None if self.from_ms is None else Comparison(">=", moment, Literal(float(self.from_ms // 1000))),
            None if self.to_ms is None else Comparison("<", moment, Literal(float(self.to_ms // 1000))),
            None if received_up_to_ms is None else Comparison("<=", Arrival(), Literal(float(received_up_to_ms))),
            self.condition(),
        )

    def hiding(self, received_up_to_ms: int) -> Expr:
        """What is true of everything else."""
        return Not(self.covered(received_up_to_ms) or Literal(value=True))

    def written(self) -> dict[str, Any]:
        """As JSON, without what it does not ask for."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def read(cls, written: dict[str, Any]) -> Extent:
        """From what `written` gave."""
        names = written.get("events")
        return cls(**{**written, "target": Target(written["target"]), "events": None if names is None else tuple(names)})


@dataclass(frozen=True, slots=True)
class Deletion:
    """One deletion as stored. Times are Unix milliseconds; `marks` are by place, `counts` by `<phase>.<place>`."""

    id: str
    project_id: int
    state: State
    step: Step
    extent: Extent
    reason: str
    reference: str | None
    created_ms: int
    created_by: str
    received_up_to_ms: int
    undo_until_ms: int
    undone_by: str | None
    finished_ms: int | None
    matched: int
    people: int
    complete: bool
    marks: dict[str, int]
    counts: dict[str, int]
    failures: int
    error_code: str | None
    due_ms: int
    certificate: str | None = field(repr=False)


def extent_of(
    target: Target,
    *,
    events: tuple[str, ...] | None = None,
    from_: str | None = None,
    to: str | None = None,
    where: str | None = None,
    property_name: str | None = None,
) -> Extent:
    """What somebody asked for. `from_` and `to` are UTC days (both inclusive) or RFC 3339 moments (`to` exclusive).

    Raises `InvalidInput` at the field at fault.
    """
    if target is not Target.EVENTS:
        given = {"events": events, "from": from_, "to": to, "where": where}
        for name, value in given.items():
            if value is not None:
                remedy = f"leave {name} out, or delete whole events"
                raise InvalidInput("a property is deleted from all of history", field=name, remedy=remedy)
        return Extent(target, property_name=_property(property_name))
    if property_name is not None:
        raise InvalidInput(
            "events are deleted whole", field="property", remedy='leave it out, or send "target": "event_property"'
        )
    from_ms, to_ms = _moment(from_, "from", last=False), _moment(to, "to", last=True)
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise InvalidInput("the range of time is empty", field="to", remedy="send a `to` that is later than `from`")
    if where is not None:
        parse(where, About.EVENT)
    return Extent(target, tuple(dict.fromkeys(events)) if events else None, from_ms, to_ms, where)


def _property(name: str | None) -> str:
    if not name:
        raise InvalidInput("a property is named", field="property", remedy="send the name of the property to delete")
    if name in _NEEDED:
        remedy = "to delete what belongs to a person, make an erasure request"
        raise InvalidInput("this property says whose or from when a record is", field="property", remedy=remedy)
    return name


def _moment(text: str | None, name: str, *, last: bool) -> int | None:
    """Unix milliseconds of a day or moment, in whole seconds. The `last` day is taken whole."""
    if text is None:
        return None
    try:
        if _DAY.fullmatch(text):
            found = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC) + timedelta(days=last)
        else:
            found = datetime.fromisoformat(text)
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
        if _EARLIEST <= found <= _LATEST:
            return int(found.timestamp()) * 1000
    except (ValueError, OverflowError):
        pass
    remedy = "send a UTC day such as 2026-01-31, or a moment such as 2026-01-31T12:00:00Z, from 1970 to 2199"
    raise InvalidInput("this is no day and no moment", field=name, remedy=remedy)
