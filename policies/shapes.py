"""Plans: what the gate does with one combination of property names, remembered for the combinations that come again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from policies.classify import Classifier, Part, Place
from policies.vocabulary import Scope

SCALARS: frozenset[type] = frozenset({str, int, float, bool, type(None)})
"""The types of JSON values that have no parts."""
_NUMBERS: frozenset[type] = frozenset({int, float})
_MAX_PLANS = 8_192
_MAX_PARTS = 16_384
_MAX_PLANNED_KEYS = 300
_MAX_PLANNED_NAMES = 16_384
_MAX_NAME = 128


class Plan(msgspec.Struct, frozen=True):
    """What to do with one combination of property names."""

    touched: tuple[str, ...]
    guards: tuple[tuple[str, frozenset[type]], ...]  # Clocks and identifiers, and the types that are left alone there.
    identifiers: tuple[str, ...]
    exposed: tuple[str, ...]  # Those of them that no register replaces: all, save in events.
    insert_ids: tuple[str, ...]
    scanned: tuple[str, ...]
    suspicious: bool  # A name among the keys may hold personal data itself.
    walked: bool  # Something is to be done whatever the values are.
    values: Callable[[Any], Any]  # The values of ``scanned``, in one call.


class Shapes:
    """The combinations of names in one scope under one set of event rules.

    A combination gets a plan of its own when it is seen a second time, so that made-up ones cost little and push no real
    one out. All that is remembered is bounded.
    """

    __slots__ = ("_classifier", "_once", "_parts", "known", "root")

    def __init__(self, classifier: Classifier, root: Place) -> None:
        """Start with nothing seen."""
        self.root = root
        self._classifier = classifier
        self.known: dict[tuple[str, ...], Plan] = {}
        self._once: set[int] = set()
        # What each name is, apart from the places of the classifier: a name costs nothing else until a walk asks.
        self._parts: dict[str, Part] = {}

    def made(self, keys: tuple[str, ...]) -> Plan:
        """The plan for these names, in this order, when it is not among the ``known``."""
        known = self._parts
        parts: tuple[list[str], ...] = ([], [], [], [], [])
        touched, clocks, identifiers, insert_ids, scanned = parts
        for key in keys:
            part = known.get(key)
            if part is None:
                part = self._learned(key)
                if part is None:
                    # The walk goes through all of the record, so what the other names are is left to it.
                    return Plan((), (), (), (), (), keys, True, True, _getter(keys))
            parts[part].append(key)
        guards = (*[(key, _NUMBERS) for key in clocks], *[(key, SCALARS) for key in identifiers])
        names = tuple(scanned)
        exposed = () if self.root.scope is Scope.EVENT else tuple(identifiers)
        plan = Plan(
            tuple(touched), guards, tuple(identifiers), exposed, tuple(insert_ids), names, False, bool(touched), _getter(names)
        )
        self._remember(keys, plan)
        return plan

    def _learned(self, key: str) -> Part | None:
        """What a name is that was not seen before, or was forgotten; None where it may hold personal data itself."""
        part = self._classifier.part(self.root, key)
        if part is not None and len(key) <= _MAX_NAME:
            if len(self._parts) >= _MAX_PARTS:
                self._parts.clear()
            self._parts[key] = part
        return part

    def _remember(self, keys: tuple[str, ...], plan: Plan) -> None:
        sighting = hash(keys)
        if sighting not in self._once:
            if len(self._once) >= _MAX_PLANS:
                self._once.clear()
            self._once.add(sighting)
            return
        if len(keys) > _MAX_PLANNED_KEYS or sum(map(len, keys)) > _MAX_PLANNED_NAMES:
            return
        if len(self.known) >= _MAX_PLANS:
            self.known.clear()
        self.known[keys] = plan


def _getter(keys: Sequence[str]) -> Callable[[Any], Any]:
    """A function from properties to the values of ``keys`` as a tuple."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda properties: tuple(properties[key] for key in keys)


def unused(key: str, kept: Mapping[str, Any]) -> str:
    """``key``, or a ``key#2``, ``key#3`` ... that overwrites no neighbour; in steps that double, for there may be many."""
    below, above = 1, 2
    while f"{key}#{above}" in kept:
        below, above = above, above * 2
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if f"{key}#{middle}" in kept else (below, middle)
    return f"{key}#{above}" if key in kept else key
