"""What a reader may see, as one frozen value. `app.sight` alone makes it; every read of the event store demands it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from app.errors import NotAllowed
from app.where.evaluate import Subject, matches
from app.where.tree import About, Among, Expr, Holder, Name, Property, rewritten, walk
from policies.model import Scope

_NONE: frozenset[str] = frozenset()
# Values stay the bytes that they are in the store.
_PROPERTIES = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Purpose(StrEnum):
    """Why something is read."""

    READER = "reader"
    """A principal reads."""
    DESK = "desk"
    """A principal decides about records under their stored names: what the dictionary hides is shown, all else is as for a
    reader."""
    OWN_COPY = "own_copy"
    """The people themselves get a copy (GDPR article 15): no view and no classification stands between."""
    INTERNAL = "internal"
    """The service looks for itself and shows counts and names, never values: simulations and suggestions."""


class Screen(Protocol):
    """Takes classified values out. `app.lexicon.classified` is the one there is."""

    def asks(self, about: About, name: str) -> bool:
        """Whether a property of this name is classified in some record, so that nothing may be asked of it."""

    def without(self, scope: Scope, event: str, members: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """The properties of one record, by name as JSON, without what is classified in it; the same when nothing is."""


@dataclass(frozen=True, slots=True)
class Merges:
    """Names of events, and of properties of events, that are read as others: each stored name and what it is read as."""

    events: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.events or self.properties)

    def alike(self, name: str) -> tuple[str, ...]:
        """The stored names of properties that are read as this one is, the one that is read first of all."""
        target = self.properties.get(name, name)
        return (target, *sorted(old for old, new in self.properties.items() if new == target))

    def stored_events(self, names: Collection[str]) -> list[str]:
        """The stored names of events that are read as these are."""
        targets = {self.events.get(name, name) for name in names}
        return sorted(targets | {old for old, new in self.events.items() if new in targets})

    def translated(self, asked: Expr | None, without: frozenset[str] = _NONE) -> Expr | None:
        """An expression about events over stored names, none of them `without`. What is read under a merged name is asked for
        by that name, and by the old one too."""
        if asked is None or not self:
            return asked
        pairs = tuple(sorted(self.events.items()))

        def stored(node: Expr) -> Expr:
            if isinstance(node, Name):
                return replace(node, renamed=pairs)
            if isinstance(node, Property):
                first, *others = [name for name in self.alike(node.name) if name not in without] or [node.name]
                return replace(node, name=first, others=tuple(others))
            return node

        return rewritten(asked, stored)


@dataclass(frozen=True, slots=True)
class Window:
    """One data view of the reader's: a row is seen through it when its expression is true of the row, without its names."""

    events: Expr | None = field(default=None, repr=False)
    profiles: Expr | None = field(default=None, repr=False)
    withheld_of_events: frozenset[str] = _NONE
    withheld_of_profiles: frozenset[str] = _NONE

    def demanded(self, about: About) -> Expr | None:
        """What has to be true of a row that is seen through it."""
        return self.events if about is About.EVENT else self.profiles

    def withheld(self, about: About) -> frozenset[str]:
        """The names that it takes out."""
        return self.withheld_of_events if about is About.EVENT else self.withheld_of_profiles


@dataclass(frozen=True, slots=True)
class Sight:
    """An event is seen when `events` is true of it, a profile when `profiles` is; None asks for nothing. With `windows` it is
    also seen through one of them at least: who is in several data views sees what each shows, row by row.

    `withheld` names, for events and for profiles, the properties that are taken out of every row and may not be asked for
    either; `classified` takes out what a reader without the permission must not see. `opens_values` says that values under
    `encrypt` are shown in clear. Who is hidden as a person (restricted, being erased, erased) is in nobody's sight;
    `app.sight.people` leaves them out, and with `profiles` also the events of people whose profile this reader may not see.
    """

    project_id: int
    purpose: Purpose
    events: Expr | None = field(default=None, repr=False)
    profiles: Expr | None = field(default=None, repr=False)
    withheld_of_events: frozenset[str] = _NONE
    withheld_of_profiles: frozenset[str] = _NONE
    opens_values: bool = False
    withheld_of_groups: frozenset[str] = _NONE
    classified: Screen | None = field(default=None, repr=False)
    merges: Merges = field(default_factory=Merges, repr=False)
    windows: tuple[Window, ...] = field(default=(), repr=False)

    def demanded(self, about: About) -> Expr | None:
        """What has to be true of a row, whatever window it is seen through."""
        return self.events if about is About.EVENT else self.profiles

    def withheld(self, about: About) -> frozenset[str]:
        """The names of what is taken out of every row."""
        return self.withheld_of_events if about is About.EVENT else self.withheld_of_profiles

    @property
    def screens(self) -> bool:
        """Whether anything at all is taken out of rows or read under another name."""
        names = self.withheld_of_events or self.withheld_of_profiles or self.withheld_of_groups
        return bool(names or self.classified or self.merges or self.windows)

    def shows(self, event: Subject) -> bool:
        """Whether an event that is not in the store is in sight: one that waits in quarantine, or for a collector."""
        return self.events is None or matches(self.events, event)

    # --- what may be asked -------------------------------------------------------------------------------------------

    def admit(self, asked: Expr | None, about: About, field_name: str = "where") -> None:
        """Raises `NotAllowed` for an expression that asks for what this reader may not see: an answer would tell the value."""
        for name, at in _asked(asked):
            self.admit_name(name, about, f"{field_name}, column {at}" if at else field_name, field_name)
        if self.windows and not any(self.through(asked, about)):
            raise NotAllowed(
                f"{field_name}: no data view of this credential shows all of these properties",
                field=field_name,
                remedy="leave out what your data views withhold; GET /v1/sight names them",
            )

    def admit_name(self, name: str, about: About, place: str, field_name: str) -> None:
        """The same of one property; `place` is where it was named."""
        if self.withholds(name, about):
            raise NotAllowed(
                f"{place}: this property is withheld from this credential",
                field=field_name,
                remedy="leave it out, or use a credential that may see classified values",
            )

    def withholds(self, name: str, about: About) -> bool:
        """Whether nothing may be asked of a property of this name."""
        gone = self.withheld(about)
        alike = self.merges.alike(name) if about is About.EVENT else (name,)
        return gone.issuperset(alike) or (self.classified is not None and self.classified.asks(about, name))

    def through(self, asked: Expr | None, about: About) -> Iterator[Window | None]:
        """The windows in their order, None in place of one that withholds what is asked: what is seen through that one alone
        may not be chosen by it."""
        names = {each for name, _ in _asked(asked) for each in self.merges.alike(name)}
        for window in self.windows:
            yield window if window.withheld(about).isdisjoint(names) else None

    def translated(self, asked: Expr | None, about: About) -> Expr | None:
        """The expression over stored names."""
        return self.merges.translated(asked, self.withheld_of_events) if about is About.EVENT else asked

    # --- what is shown -----------------------------------------------------------------------------------------------

    def event_name(self, name: str) -> str:
        """The name under which an event is read."""
        return self.merges.events.get(name, name)

    def shown(self, properties: str, scope: Scope, event: str = "", windows: int = -1) -> str:
        """The JSON text of a row's properties without what is withheld, under the names that they are read as.

        `event` is the stored name of an event; bit n of `windows` says that the row is seen through window n.
        """
        if not self.screens:
            return properties
        members = _PROPERTIES.decode(properties)
        gone = self._gone(scope, windows)
        kept = {name: value for name, value in members.items() if name not in gone} if gone else members
        if self.classified is not None:
            kept = self.classified.without(scope, event, kept)
        if scope is Scope.EVENT and self.merges.properties:
            kept = self._merged(kept)
        return properties if kept == members else msgspec.json.encode(kept).decode()

    def narrowed(self, properties: str, scope: Scope, windows: int) -> str:
        """What `shown` answered for a row that turns out to be seen through these windows only."""
        members, gone = _PROPERTIES.decode(properties), self._gone(scope, windows)
        return msgspec.json.encode({name: value for name, value in members.items() if name not in gone}).decode()

    def hides(self, name: str, scope: Scope, windows: int = -1) -> bool:
        """Whether a property that is kept beside the document is taken out of a row."""
        about = About.EVENT if scope is Scope.EVENT else About.PROFILE
        return name in self._gone(scope, windows) or (self.classified is not None and self.classified.asks(about, name))

    def _gone(self, scope: Scope, windows: int) -> frozenset[str]:
        base = {
            Scope.EVENT: self.withheld_of_events,
            Scope.PROFILE: self.withheld_of_profiles,
            Scope.GROUP: self.withheld_of_groups,
        }[scope]
        about = About.EVENT if scope is Scope.EVENT else About.PROFILE
        seen = [window.withheld(about) for n, window in enumerate(self.windows) if windows >> n & 1]
        return base | frozenset.intersection(*seen) if seen else base

    def _merged(self, members: dict[str, Any]) -> dict[str, Any]:
        """Of the names that are read as one, the first that says anything counts."""
        if self.merges.properties.keys().isdisjoint(members):
            return members
        found = dict(members)
        for name in self.merges.properties.keys() & members.keys():
            target, *others = self.merges.alike(name)
            said = [members[each] for each in (target, *others) if each in members]
            for each in others:
                found.pop(each, None)
            found[target] = next((value for value in said if bytes(value) != b"null"), said[0])
        return found


def _asked(asked: Expr | None) -> Iterator[tuple[str, int]]:
    """The properties that an expression asks for, and the columns where it names them; 0 where that is not known."""
    for node in walk(asked) if asked is not None else ():
        if isinstance(node, Property):
            yield node.name, node.at
        elif isinstance(node, Holder):
            yield node.id_field.value, node.at
        elif isinstance(node, Among):
            yield node.id_field.value, 0
