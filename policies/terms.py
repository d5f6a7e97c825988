"""What the gate and the walk work with: the compiled policy, and the questions that both ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.classify import Classifier, Place
from policies.consent import ConsentTerms
from policies.detect import Scanner
from policies.model import DetectorTerms, Unknown
from policies.queries import Queries
from policies.shapes import SCALARS
from policies.vocabulary import Detector, Fallback, Sensitivity

MAX_DEPTH: Final = 20
"""How many containers, JSON texts included, may stand inside each other; what lies deeper is dropped."""

MAX_NAMES: Final = 255
"""How many names that may hold personal data themselves are judged in one record; further ones are removed with their
values. No SDK sends one, and ingest takes no more names than this on one level."""

_STRICTNESS = tuple(Fallback)
_GRAVITY = tuple(Sensitivity)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a walk works with: the compiled policy, the same for every record."""

    classifier: Classifier
    scanner: Scanner
    detectors: Mapping[Detector, DetectorTerms]
    unknown_properties: Unknown
    region: str
    consent: ConsentTerms
    queries: Queries

    @property
    def lenient(self) -> bool:
        """Whether a property that no rule names passes, whatever the detectors see in it."""
        return self.unknown_properties.otherwise is Fallback.ALLOW and not self.unknown_properties.found


def fallback_of(unknown: Unknown, seen: Sensitivity | None) -> Fallback:
    """What becomes of something unknown in which the gravest finding was of sensitivity ``seen``.

    A level without an answer of its own takes the strictest of the levels below it: more harm never gets less care.
    """
    if seen is None or not unknown.found:
        return unknown.otherwise
    reached = _GRAVITY.index(seen)
    answers = [unknown.otherwise, *(answer for level, answer in unknown.found if _GRAVITY.index(level) <= reached)]
    return max(answers, key=_STRICTNESS.index)


def leaves_alone(classifier: Classifier, place: Place, value: Any, depth: int = 1) -> bool:
    """Whether the rules have nothing to do in any part of a list or mapping, so that only the detectors must read it."""
    if depth > MAX_DEPTH:
        return False
    if type(value) is list:
        return all(type(item) in SCALARS or leaves_alone(classifier, place, item, depth + 1) for item in value)
    return type(value) is dict and _leaves_members_alone(classifier, place, value, depth)


def _leaves_members_alone(classifier: Classifier, place: Place, value: dict[Any, Any], depth: int) -> bool:
    names = (place, *value)
    if names in classifier.untouched and SCALARS.issuperset(map(type, value.values())):
        return True
    for key, item in value.items():
        below = classifier.place(place, key) if type(key) is str else None
        if below is None or below.suspicious or not below.is_left_alone:
            return False
        if type(item) not in SCALARS and not leaves_alone(classifier, below, item, depth + 1):
            return False
    classifier.remember_untouched(names)
    return True
