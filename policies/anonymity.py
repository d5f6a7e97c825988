"""How well people hide among each other in sanitised records: k-anonymity, l-diversity, small cells. Pure.

A *cell* is one combination of the values that the quasi-identifiers have in a record; a value that is missing counts as a
value of its own. A cell is as safe as the number of different people who have a record in it (k-anonymity: Samarati and
Sweeney, 1998) and as the number of different values that each sensitive property takes in it (distinct l-diversity:
Machanavajjhala et al., 2007). What is counted are records, as is usual for behaviour: that nobody can be told by one record
says nothing about all the records of one person together.

Nothing is kept here: a record becomes *marks*, a caller stores each mark once, and counts how many each cell has. A mark is
a keyed digest, so that a table of marks names neither values nor people to whoever lacks the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from policies.model import Scope

DAY, EVENT = "$day", "$event"
"""Quasi-identifiers that every event has: the UTC day on which it happened, and its name."""
PEOPLE = 0
"""The kind of a mark that says who is in a cell."""
ALONE = 1_000
"""The kinds from here on are about one quasi-identifier alone: which of them is a property that gives people away."""
_DAY_MS = 86_400_000
_BYTES = 16


@dataclass(frozen=True, slots=True)
class Traits:
    """What a reader might know of a person (``quasi``), and what they must not learn from it (``sensitive``): names of
    top-level properties, or ``$day`` and ``$event``."""

    quasi: tuple[str, ...]
    sensitive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """``member`` is in ``cell``: a person for the kind ``PEOPLE``, else the value of the sensitive property whose number
    (from 1) the kind is, or a person again from ``ALONE`` on. Both are keyed digests of 16 bytes."""

    kind: int
    cell: bytes
    member: bytes


@dataclass(frozen=True, slots=True)
class Diversity:
    """One sensitive property: the fewest values it takes in any cell that has it, and in how many cells too few."""

    property: str
    least: int
    cells_below: int


@dataclass(frozen=True, slots=True)
class Rarity:
    """One quasi-identifier alone: how many values it takes, and how many of them too few people share."""

    property: str
    values: int
    rare: int


@dataclass(frozen=True, slots=True)
class Measure:
    """``k`` is the number of people in the smallest cell, None without any cell; ``small`` counts the cells with fewer
    people than were wanted."""

    cells: int
    k: int | None
    small: int
    diversity: tuple[Diversity, ...]
    rarity: tuple[Rarity, ...]


def marks_of(
    traits: Traits, key: bytes, person: int, scope: Scope, name: str, properties: Mapping[str, Any], time_ms: int
) -> list[Mark]:
    """The marks of one sanitised record; none for a record that has no quasi-identifier. ``key`` has up to 64 bytes."""
    known = {each: _value(each, scope, name, properties, time_ms) for each in traits.quasi}
    if all(value is None for value in known.values()):
        return []
    who = _digest(key, "person", person)
    cell = _digest(key, scope.value, *known.values())
    found = [Mark(PEOPLE, cell, who)]
    for number, each in enumerate(traits.sensitive, 1):
        value = _value(each, scope, name, properties, time_ms)
        if value is not None:
            found.append(Mark(number, cell, _digest(key, "value", value)))
    if len(known) > 1:
        for number, (each, value) in enumerate(known.items()):
            if value is not None:
                found.append(Mark(ALONE + number, _digest(key, scope.value, each, value), who))
    return found


def measure(traits: Traits, sizes: Iterable[tuple[int, int]], k: int, least_values: int) -> Measure:
    """What the marks amount to. ``sizes`` are, for each kind and cell, the kind and how many members were marked."""
    cells, smallest, small = 0, None, 0
    fewest: dict[int, tuple[int, int]] = {}
    values: dict[int, tuple[int, int]] = {}
    for kind, members in sizes:
        if kind == PEOPLE:
            cells += 1
            smallest = members if smallest is None else min(smallest, members)
            small += members < k
        elif kind < ALONE:
            least, below = fewest.get(kind, (members, 0))
            fewest[kind] = min(least, members), below + (members < least_values)
        else:
            every, rare = values.get(kind, (0, 0))
            values[kind] = every + 1, rare + (members < k)
    return Measure(
        cells,
        smallest,
        small,
        tuple(Diversity(traits.sensitive[kind - 1], *fewest[kind]) for kind in sorted(fewest)),
        tuple(Rarity(traits.quasi[kind - ALONE], *values[kind]) for kind in sorted(values)),
    )


def digest_of(key: bytes, *parts: Any) -> bytes:
    """A keyed digest of JSON values, 16 bytes (BLAKE2b, RFC 7693)."""
    return _digest(key, *parts)


def _value(each: str, scope: Scope, name: str, properties: Mapping[str, Any], time_ms: int) -> Any:
    if each == DAY:
        return time_ms // _DAY_MS if scope is Scope.EVENT else None
    if each == EVENT:
        return name if scope is Scope.EVENT else None
    return properties.get(each)


def _digest(key: bytes, *parts: Any) -> bytes:
    # JSON keeps apart what str() would join: the text "1" and the number 1, ["a", "b"] and ["ab"].
    return hashlib.blake2b(msgspec.json.encode(parts, order="deterministic"), key=key, digest_size=_BYTES).digest()
