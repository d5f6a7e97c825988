"""Retention, compiled: which stored events have had their time, and what a stored record must lose.

Stored properties are read as the gate read them: the same classifier, at every depth, in JSON texts too. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from policies.classify import Classifier, EventPatterns, Place
from policies.detect import BLANK, JSON_STARTS
from policies.gate import Gate
from policies.model import Policy, Retention, Scope

_DAY_MS = 86_400_000
# What the gate lets in is at most 20 deep (``walk.MAX_DEPTH``); more can only have come by another way.
_DEEPEST = 64


class Expiry:
    """One entry of a policy's ``retention``, ready to be applied to what is stored.

    ``digest`` changes whenever the same entry would choose other data, except by its days; ``whole`` says that events are
    removed, and not properties of them.
    """

    __slots__ = ("_category", "_classifier", "_events", "_lifetime_ms", "digest", "id", "whole")

    def __init__(self, entry: Retention, policy: Policy, gate: Gate) -> None:
        """Take the entry, the policy that carries it, and the gate that was compiled from it."""
        self.id = entry.id
        self.whole = entry.category is None
        self._events = EventPatterns(entry.events)
        self._category = entry.category
        self._classifier: Classifier = gate.classifier
        self._lifetime_ms = entry.days * _DAY_MS
        # What a category means depends on every rule; which events a name means, on the entry alone.
        meaning = None if self.whole else (policy.rules, policy.geolocation)
        chosen = (entry.id, entry.events, entry.category, meaning)
        self.digest = hashlib.sha256(msgspec.json.encode(chosen, order="deterministic")).hexdigest()

    def before_ms(self, now_ms: int) -> int:
        """Whatever is older than this has had its time."""
        return now_ms - self._lifetime_ms

    def covers(self, event: str) -> bool:
        """Whether events of this name are removed."""
        return self._events.match(event)

    def without(self, scope: Scope, name: str, properties: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """The properties without those of the category, and how many that were. ``name`` is the event's, or empty."""
        mask = self._classifier.event_mask(name) if scope is Scope.EVENT else 0
        return self._members(properties, self._classifier.root(scope, mask), 0)

    def _members(self, members: Mapping[str, Any], parent: Place, depth: int) -> tuple[dict[str, Any], int]:
        kept: dict[str, Any] = {}
        removed = 0
        for key, value in members.items():
            place = self._classifier.place(parent, key)
            if place.governing is not None and self._falls_under(place.governing.rule.category):
                removed += 1
                continue
            kept[key], below = self._inside(value, place, depth + 1)
            removed += below
        return kept, removed

    def _inside(self, value: Any, place: Place, depth: int) -> tuple[Any, int]:
        if depth > _DEEPEST:
            return value, 0
        if isinstance(value, dict):
            return self._members(value, place, depth)
        if isinstance(value, list):
            return self._items(value, place, depth)
        if isinstance(value, str) and value.lstrip(BLANK).startswith(JSON_STARTS):
            return self._text(value, place, depth)
        return value, 0

    def _items(self, items: Sequence[Any], place: Place, depth: int) -> tuple[list[Any], int]:
        cleaned = [self._inside(item, place, depth + 1) for item in items]
        return [item for item, _ in cleaned], sum(n for _, n in cleaned)

    def _text(self, text: str, place: Place, depth: int) -> tuple[str, int]:
        """A text that is JSON, as JSON; any other as it is."""
        try:
            inside = msgspec.json.decode(text.lstrip(BLANK))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return text, 0
        if not isinstance(inside, dict | list | str):
            return text, 0
        kept, removed = self._inside(inside, place, depth + 1)
        return (msgspec.json.encode(kept).decode(), removed) if removed else (text, 0)

    def _falls_under(self, category: str) -> bool:
        return category == self._category or category.startswith(f"{self._category}.")


def expiries(policy: Policy, gate: Gate) -> list[Expiry]:
    """Every entry of the policy's ``retention``, in its order."""
    return [Expiry(entry, policy, gate) for entry in policy.retention]
