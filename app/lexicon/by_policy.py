"""What the policy in force says of an entry. The policy is the one classifier; the dictionary shows it and adds marks. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.lexicon.model import SCOPE_OF, Entry
from policies.classify import Classifier
from policies.model import Scope


@dataclass(frozen=True, slots=True)
class Said:
    """Category (fideslang), sensitivity and action of the rule that governs, None where no rule does. `classified`: that rule
    says so; for a property wherever it stands, any rule that can govern it."""

    category: str | None = None
    sensitivity: str | None = None
    action: str | None = None
    classified: bool = False


def said(classifier: Classifier | None, entry: Entry) -> Said:
    """What is said of a property; nothing of an event, nor where no policy is in force."""
    scope = SCOPE_OF.get(entry.key.kind)
    if classifier is None or scope is None:
        return Said()
    event = entry.key.event
    mask = classifier.event_mask(event) if scope is Scope.EVENT and event else 0
    place = classifier.place(classifier.root(scope, mask), entry.key.name)
    possible = () if event else classifier.candidates(place.path, scope, place.words)
    classified = any(each.rule.classified for each in possible)
    if place.governing is None:
        return Said(classified=classified)
    rule = place.governing.rule
    return Said(rule.category, rule.sensitivity.value, rule.action.kind.value, classified or rule.classified)
