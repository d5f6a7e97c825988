"""What readers without the permission must not see: marks of the dictionary and what the policy in force calls `classified`.

Names are judged as the gate judges them, at every depth and in JSON texts inside strings, so that a value is withheld wherever
the policy finds it. A name that cannot be judged is withheld.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.lexicon.model import SCOPE_OF, Kind
from app.lexicon.reading import Reading, is_classified
from app.lexicon.tables import lexicon_entry
from app.where.tree import About
from policies.classify import MAX_NAME, Classifier, Place
from policies.embedded import Unreadable, governed_part, json_text, parsed_text
from policies.model import Scope
from policies.patternset import NoAnswer

_MOST_KEPT = 16_384
_SCOPES = {About.EVENT: (Scope.EVENT,), About.PROFILE: (Scope.PROFILE, Scope.GROUP)}
# The first bytes of a value in which other names may stand: containers, and the texts that `json_text` reads.
_CONTAINERS = (b"{", b"[")
_PLAIN_STARTS = frozenset(b"0123456789-tfn")


class _Gone(Enum):
    GONE = 0


_GONE = _Gone.GONE


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Of a top-level property: withheld whole, or the place below which other names stand."""

    withheld: bool
    place: Place | None


class Classified:
    """Implements `app.access.sight.Screen` for one version of the dictionary and one of the policy. Made for one read."""

    def __init__(self, reading: Reading, classifier: Classifier | None) -> None:
        """`classifier` is that of the policy in force, None where there is none: then marks alone count."""
        self._reading = reading
        self._classifier = classifier
        self._verdicts: dict[tuple[Scope, str, str], _Verdict] = {}

    def asks(self, about: About, name: str) -> bool:
        """Whether a property of this name is classified in some record: of any event, of people or of groups."""
        return any(self.somewhere(scope, name) for scope in _SCOPES[about])

    def somewhere(self, scope: Scope, name: str) -> bool:
        """The same of records of one scope."""
        alike = {name}
        if scope is Scope.EVENT:
            alike.update(self._reading.properties_read_as(self._reading.property_as(name)))
        if not self._reading.marked_anywhere(scope).isdisjoint(alike):
            return True
        return self._classifier is not None and any(_governed(self._classifier, scope, each) for each in alike)

    def without(self, scope: Scope, event: str, members: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """The properties of one record without what is classified in it, parts of a property included."""
        kept: dict[str, msgspec.Raw] = {}
        for name, value in members.items():
            verdict = self._verdict(scope, event, name)
            if verdict.withheld:
                continue
            shown = value if verdict.place is None else _pruned_raw(self._classifier, verdict.place, value)
            if shown is not _GONE:
                kept[name] = shown
        return members if len(kept) == len(members) and all(kept[name] is members[name] for name in kept) else kept

    def _verdict(self, scope: Scope, event: str, name: str) -> _Verdict:
        key = (scope, event, name)
        found = self._verdicts.get(key)
        if found is None:
            if len(self._verdicts) >= _MOST_KEPT:
                self._verdicts.clear()
            found = self._verdicts[key] = self._judged(scope, event, name)
        return found

    def _judged(self, scope: Scope, event: str, name: str) -> _Verdict:
        marked, classifier = self._reading.marked_in(scope, event), self._classifier
        if classifier is None:
            alike = {name, *self._reading.properties_read_as(self._reading.property_as(name))}
            return _Verdict(not marked.isdisjoint(alike if scope is Scope.EVENT else {name}), None)
        if len(name) > MAX_NAME:
            return _Verdict(True, None)
        try:
            if is_classified(self._reading, classifier, scope, event, name):
                return _Verdict(True, None)
            root = classifier.root(scope, classifier.event_mask(event) if scope is Scope.EVENT else 0)
            return _Verdict(False, classifier.place(root, name))
        except NoAnswer:
            return _Verdict(True, None)


def seen_names(project_id: int) -> sa.Select[Any]:
    """The kind and name of every property that came once, wherever it stood."""
    e = lexicon_entry.c
    kinds = [kind.value for kind in SCOPE_OF]
    mine = sa.and_(e.project_id == project_id, e.kind.in_(kinds), e.event == "", e.first_ms.is_not(None))
    return sa.select(e.kind, e.name).where(mine)


def names_held(tx: Connection, project_id: int, screen: Classified) -> dict[Scope, tuple[str, ...]]:
    """Which properties that came are classified, sorted."""
    found: dict[Scope, set[str]] = {scope: set() for scope in Scope}
    for row in tx.execute(seen_names(project_id)):
        scope = SCOPE_OF[Kind(row.kind)]
        if screen.somewhere(scope, row.name):
            found[scope].add(row.name)
    return {scope: tuple(sorted(names)) for scope, names in found.items()}


def _governed(classifier: Classifier, scope: Scope, name: str) -> bool:
    """Whether a rule that says `classified` governs a property of this name in some event."""
    if len(name) > MAX_NAME:
        return True
    place = classifier.place(classifier.root(scope, 0), name)
    for entry in classifier.candidates(place.path, scope, place.words):
        if entry.rule.classified:
            return True
        if entry.events is None:
            return False
    return False


def _pruned_raw(classifier: Classifier | None, place: Place, value: msgspec.Raw) -> Any:
    start = bytes(memoryview(value)[:1])
    if classifier is None or start[0] in _PLAIN_STARTS:
        return value
    if start not in _CONTAINERS and not _may_nest(memoryview(value)):
        return value
    whole = msgspec.json.decode(value)
    try:
        kept = _pruned(classifier, place, whole)
    except (NoAnswer, Unreadable, RecursionError):
        return _GONE
    if kept is _GONE:
        return _GONE
    return value if kept is whole else msgspec.Raw(msgspec.json.encode(kept))


def _may_nest(value: memoryview) -> bool:
    # A quick look that may say yes in vain: whatever holds no brace, bracket, colon or escape, and is short, is no JSON text.
    head = bytes(value[1:200]).lstrip(b" \\tnr\t")
    return head[:1] in (b"{", b"[", b"\\", b"%", b"e", b"W", b"I", b'"') or head[:1] > b"~"


def _classified(place: Place) -> bool:
    return place.governing is not None and place.governing.rule.classified


def _pruned(classifier: Classifier, place: Place, value: Any) -> Any:
    """The value without what is classified below it; the same object when nothing is."""
    if isinstance(value, dict):
        found = {}
        for name, each in value.items():
            below = classifier.place(place, name)
            part = _GONE if len(name) > MAX_NAME or _classified(below) else _pruned(classifier, below, each)
            if part is not _GONE:
                found[name] = part
        return value if len(found) == len(value) and all(found[name] is value[name] for name in found) else found
    if isinstance(value, list):
        parts = [part for each in value if (part := _pruned(classifier, place, each)) is not _GONE]
        return value if len(parts) == len(value) and all(a is b for a, b in zip(parts, value, strict=True)) else parts
    return _pruned_text(classifier, place, value) if isinstance(value, str) else value


def _pruned_text(classifier: Classifier, place: Place, text: str) -> Any:
    inner = json_text(text)
    if inner is None:
        return text
    parsed = parsed_text(inner)
    if parsed is None:
        return _GONE if governed_part(classifier, place, inner, lambda below: not _classified(below)) else text
    # Of names that come twice a reader may take either.
    if parsed.too_deep or parsed.duplicates:
        return _GONE
    return text if _pruned(classifier, place, parsed.value) is parsed.value else _GONE
