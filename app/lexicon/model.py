"""The words and values of the dictionary. Nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from app.access.roles import Permission
from policies.model import Scope

USER = "$user"
"""The one entity that user profiles have in the Schemas API (wire section 16)."""


class Kind(StrEnum):
    """What an entry describes."""

    EVENT = "event"
    EVENT_PROPERTY = "event_property"
    PROFILE_PROPERTY = "profile_property"
    GROUP_PROPERTY = "group_property"
    PROFILE = "profile"


PROPERTY_OF = {Scope.EVENT: Kind.EVENT_PROPERTY, Scope.PROFILE: Kind.PROFILE_PROPERTY, Scope.GROUP: Kind.GROUP_PROPERTY}
SCOPE_OF = {kind: scope for scope, kind in PROPERTY_OF.items()}


class State(StrEnum):
    """What is done with a name. Merged is no state of its own: an entry says beside it what it is read as."""

    VISIBLE = "visible"
    HIDDEN = "hidden"
    BLOCKED = "blocked"
    PENDING = "pending"


class Approval(StrEnum):
    """What becomes of a name never seen before: nothing; listed as pending and let in; held in quarantine; refused."""

    OFF = "off"
    FLAG = "flag"
    HOLD = "hold"
    DROP = "drop"


class Key(NamedTuple):
    """Which entry: `event` is empty for an event itself and for a property wherever it stands."""

    kind: Kind
    name: str
    event: str = ""


@dataclass(frozen=True, slots=True)
class Editor:
    """Who changes something, and what they may."""

    id: str
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class Standards:
    """What a description must have. `naming` is a named style or `pattern`; `pattern` is RE2 over the whole name."""

    naming: str = "any"
    pattern: str = ""
    description: bool = False
    owner: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The dictionary of one project as a whole. `digest` is `webhook`, `mail` or None."""

    version: int = 0
    new_events: Approval = Approval.OFF
    new_properties: Approval = Approval.OFF
    approval_since_ms: int | None = None
    standards: Standards = Standards()
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it stands. `types` are JSON Schema's words; times are Unix milliseconds, to the hour."""

    key: Key
    state: State = State.VISIBLE
    merged_into: str | None = None
    classified: bool = False
    verified: bool = False
    display_name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    owners: tuple[str, ...] = field(default=(), repr=False)
    teams: tuple[str, ...] = ()
    document: dict[str, Any] = field(default_factory=dict)
    described: bool = False
    types: tuple[str, ...] = ()
    first_ms: int | None = None
    last_ms: int | None = None
    changed_ms: int | None = None
    changed_by: str | None = None


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """New values for some fields of one entry; what is UNSET stays. None clears."""

    state: State | msgspec.UnsetType = msgspec.UNSET
    merged_into: str | msgspec.UnsetType | None = msgspec.UNSET
    classified: bool | msgspec.UnsetType = msgspec.UNSET
    verified: bool | msgspec.UnsetType = msgspec.UNSET
    display_name: str | msgspec.UnsetType | None = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    tags: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    owners: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    teams: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    document: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET

    def given(self) -> dict[str, Any]:
        """The fields that are to change."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not msgspec.UNSET}


TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")
_BITS = {str: 1, int: 2, float: 4, bool: 8, type(None): 16, list: 32, tuple: 32, dict: 64}


def type_bit(value: Any) -> int:
    """The bit of a value's JSON type; 0 for what is none."""
    return _BITS.get(type(value), 0)


def type_names(bits: int) -> tuple[str, ...]:
    """The JSON Schema words for a set of bits."""
    return tuple(name for at, name in enumerate(TYPES) if bits >> at & 1)
