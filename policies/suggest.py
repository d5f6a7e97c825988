"""From what was seen of a property to a proposed classification, with the evidence for it. Pure; keeps counts, no value."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.classify import Classifier, Place, Role
from policies.detect import PLACEHOLDERS, Scanner
from policies.model import Detector, Policy, Scope, Sensitivity
from policies.names import Knowledge, known
from policies.proposal import WHOLE, Proposal, nameable, treatment
from policies.sketch import Distinct
from policies.text import folded_name

_PLACEHOLDER = re.compile("|".join(re.escape(each) for each in PLACEHOLDERS.values()))
_DETECTOR_OF = {text: detector for detector, text in PLACEHOLDERS.items()}
_MAX_DEPTH = 20
_MAX_PROPERTIES = 2_000
_MAX_EVENTS = 20
_PRECISION = 8
_TYPES: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_GRAVITY = tuple(Sensitivity)
_FEW = 50
_ENOUGH = 100


class Seen:
    """What was seen of one property that no rule names."""

    __slots__ = ("distinct", "events", "hits", "records", "types", "values")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.records = 0
        self.values = 0
        self.types: Counter[str] = Counter()
        self.hits: Counter[Detector] = Counter()
        self.events: Counter[str] = Counter()
        self.distinct = Distinct(_PRECISION)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A proposed rule for one property, how sure the proposal is (0 to 1), on what grounds, and the counts behind it."""

    proposal: Proposal
    confidence: float
    grounds: tuple[str, ...]
    records: int
    values: int
    distinct: int
    types: Mapping[str, float]
    hits: Mapping[str, int]
    events: tuple[str, ...]


class Survey:
    """Watches stored records and counts what no rule of a policy names. Every detector is on; no value is kept.

    ``key`` is fresh for each survey: under it values are digested for the estimate of how many there are.
    ``left_out`` counts properties beyond what a survey remembers.
    """

    def __init__(self, policy: Policy, classifier: Classifier, scanner: Scanner, key: bytes) -> None:
        """Take the policy in force, its classifier, and a scanner with every detector on."""
        self._policy = policy
        self._classifier = classifier
        self._scanner = scanner
        self._key = key
        self._seen: dict[tuple[Scope, str], Seen] = {}
        self.records = 0
        self.left_out = 0

    def watch(self, scope: Scope, name: str, properties: Mapping[str, Any]) -> None:
        """Count one record: an event of this name, or a profile."""
        self.records += 1
        root = self._classifier.root(scope, self._classifier.event_mask(name) if scope is Scope.EVENT else 0)
        touched: set[str] = set()
        for path, value in self._unnamed(properties, root, "", 1):
            seen = self._of(scope, path)
            if seen is None:
                self.left_out += 1
                continue
            if path not in touched:
                touched.add(path)
                seen.records += 1
                if scope is Scope.EVENT and (name in seen.events or len(seen.events) < _MAX_EVENTS):
                    seen.events[name] += 1
            self._look(seen, value, path)

    def suggestions(self) -> list[Suggestion]:
        """One for every property that a rule can name, the surest and most frequent first."""
        found = [suggestion(scope, path, seen) for (scope, path), seen in self._seen.items() if nameable(path)]
        return sorted(found, key=lambda each: (-each.confidence, -each.records, each.proposal.property))

    def _of(self, scope: Scope, path: str) -> Seen | None:
        seen = self._seen.get((scope, path))
        if seen is None and len(self._seen) < _MAX_PROPERTIES:
            seen = self._seen[scope, path] = Seen()
        return seen

    def _unnamed(self, members: Mapping[str, Any], parent: Place, shown: str, depth: int) -> Iterator[tuple[str, Any]]:
        for key, value in members.items():
            place = self._classifier.place(parent, key)
            if place.governing is None and place.role is Role.PLAIN:
                name = "<key>" if place.suspicious or not key.isprintable() else key
                yield from self._parts(value, place, f"{shown}{name}", depth)

    def _parts(self, value: Any, place: Place, path: str, depth: int) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            if depth < _MAX_DEPTH:
                yield from self._unnamed(value, place, f"{path}.", depth + 1)
        elif isinstance(value, list):
            for item in value:
                yield from self._parts(item, place, f"{path}[]", depth + 1)
        else:
            yield path, value

    def _look(self, seen: Seen, value: Any, path: str) -> None:
        seen.values += 1
        seen.types[_TYPES.get(type(value), "other")] += 1
        digest = hashlib.blake2b(repr(value).encode("utf-8", "replace"), key=self._key, digest_size=8).digest()
        seen.distinct.add(int.from_bytes(digest, "big"))
        seen.hits.update(self._detected(value, path))

    def _detected(self, value: Any, path: str) -> set[Detector]:
        """What the detectors see in the value, and what they have seen in it: the store holds their placeholders."""
        name = folded_name(path.replace("[]", ""))
        if isinstance(value, str):
            found = {_DETECTOR_OF[each] for each in _PLACEHOLDER.findall(value)} if "[" in value else set()
            if self._scanner.is_telling(name) or self._scanner.is_doubtful(value):
                found.update(one.detector for one in self._scanner.find(value, name))
            return found
        number = self._scanner.number(value, name) if isinstance(value, int | float) and not isinstance(value, bool) else None
        return {number.detector} if number else set()


def suggestion(scope: Scope, path: str, seen: Seen) -> Suggestion:
    """What to make of a property, from its name and from what was seen of it; of the two, the graver."""
    name = known(path, scope)
    detector, hits = seen.hits.most_common(1)[0] if seen.hits else (None, 0)
    share = hits / max(seen.values, 1)
    found = None if detector is None else _by_detector(scope, path, detector, share)
    named = None if name is None else _by_name(scope, path, name)
    proposal, confidence, grounds = _graver(found, named) or _by_form(scope, path, seen)
    return Suggestion(
        proposal,
        round(confidence * (1.0 if seen.records >= 10 else 0.7), 2),
        grounds,
        seen.records,
        seen.values,
        min(seen.distinct.count(), seen.values),
        {kind: round(n / seen.values, 3) for kind, n in seen.types.most_common()},
        {each.value: n for each, n in seen.hits.most_common()},
        tuple(each for each, _ in seen.events.most_common()),
    )


_Judged = tuple[Proposal, float, tuple[str, ...]]


def _by_detector(scope: Scope, path: str, detector: Detector, share: float) -> _Judged:
    category, sensitivity, action = treatment(detector)
    if share >= WHOLE:
        why = f"The detector {detector} found one in {share:.0%} of the values."
        return Proposal(path, scope, category, sensitivity, action, True, why=why), 0.7 + 0.25 * share, ("detector",)
    why = f"A text in which the detector {detector} found something in {share:.1%} of the values; it goes on to treat each."
    return Proposal(path, scope, "user.content", sensitivity, "keep", True, why=why), 0.7, ("detector",)


def _by_name(scope: Scope, path: str, name: Knowledge) -> _Judged:
    why = "The name of the property says so."
    proposal = Proposal(path, scope, name.category, name.sensitivity, name.action, name.classified, why=why)
    return proposal, name.confidence, ("name",)


def _graver(found: _Judged | None, named: _Judged | None) -> _Judged | None:
    if found is None or named is None:
        return found or named
    if found[0].category.startswith(named[0].category):
        return named[0], 0.98, ("name", "detector")
    graver = max(found, named, key=lambda each: (_GRAVITY.index(each[0].sensitivity), each[1]))
    return graver[0], graver[1], (*graver[2], "detector" if graver is named else "name")


def _by_form(scope: Scope, path: str, seen: Seen) -> _Judged:
    """Neither name nor detector: how many different values there are is all that speaks."""
    distinct, texts = min(seen.distinct.count(), seen.values), seen.types["string"] / max(seen.values, 1)
    if texts > 0.5 and seen.values >= _ENOUGH and distinct > 0.8 * seen.values:
        why = "Nearly every value is another text: it may tell people apart."
        return Proposal(path, scope, "user.unique_id", Sensitivity.CONFIDENTIAL, "hash", True, why=why), 0.4, ("distinctness",)
    few = distinct <= _FEW and seen.values >= _ENOUGH
    why = "Few different values, none of them personal by its form." if few else "Nothing personal was seen in it."
    proposal = Proposal(path, scope, "user.behavior", Sensitivity.INTERNAL, "keep", why=why)
    return proposal, 0.7 if few else 0.3, ("distinctness",) if few else ()
