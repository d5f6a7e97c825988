"""A record to explain, as people have it at hand: an event, a profile update as SDKs send it, or a record by its scope."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.errors import InvalidInput
from policies.model import Record, Scope, Signal, SubjectState

_SHAPE = 'send {"event":"…","properties":{…}}, or {"scope":"profile","operation":"$set","properties":{…}}'
# Of `/engage` (wire section 5): what holds the properties under its own name.
_UPDATES = ("$set", "$set_once", "$add", "$union", "$append", "$remove", "$unset")


class _Asked(msgspec.Struct):
    event: str | None = None
    operation: str | None = None
    scope: Scope | None = None
    properties: dict[str, Any] | None = None
    version: int | None = None
    state: SubjectState = SubjectState.ACTIVE
    signals: frozenset[Signal] = frozenset()
    refused_purposes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the record, the signals of its request, and the version, None for the active one."""

    record: Record = field(repr=False)
    signals: frozenset[Signal]
    version: int | None


def read_question(body: bytes, at_ms: int) -> Question:
    """The question in a JSON body. `at_ms` is when the record counts as happened. Raises `InvalidInput`."""
    try:
        asked = msgspec.json.decode(body, type=_Asked)
        whole: Any = None if asked.properties is not None else msgspec.json.decode(body)
    except msgspec.ValidationError as fault:
        # The message names the path and the expected type, never the value.
        raise InvalidInput(
            str(fault) if "Invalid enum" not in str(fault) else _UNKNOWN_WORD, field="body", remedy=_SHAPE
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("the body is not JSON", field="body", remedy=_SHAPE) from None
    name, properties = asked.event or asked.operation, asked.properties
    if properties is None:
        name, properties = next(((each, whole[each]) for each in _UPDATES if isinstance(whole.get(each), dict)), (None, None))
    if name is None or properties is None:
        raise InvalidInput("the body is neither an event nor an update", field="body", remedy=_SHAPE)
    scope = asked.scope or (Scope.EVENT if asked.event is not None else Scope.PROFILE)
    record = Record(scope, name, properties, asked.state, at_ms, asked.refused_purposes)
    return Question(record, asked.signals, asked.version)


_UNKNOWN_WORD = "`scope`, `state` or `signals` holds an unknown word"
