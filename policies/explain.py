"""Why the gate decides as it does about one record: every rule that was considered, which won, what was found.

The explanation is the walk of the gate itself with notes in its margin, so it cannot come to another result. It says
paths, rules and kinds of findings, and never a value. A name that may be personal data itself is ``<key>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, chain
from typing import Any

import msgspec

from policies.cases import case_context
from policies.classify import Governing, Place, Role
from policies.consent import CONSENT
from policies.context import CheckContext
from policies.detect import Finding
from policies.gate import Gate
from policies.model import ActionKind, Detector, Fallback, Geolocation, Reason, Record, Remark, Scope, Sensitivity, Verdict
from policies.outcome import GONE, Gone, Refused
from policies.terms import Terms, fallback_of
from policies.walk import Walk

_ITEM = re.compile(r"\[\d+\]")
_OF_EVENTS = frozenset({Reason.BLOCKED_EVENT, Reason.UNKNOWN_EVENT, Reason.DROP_FILTER})
_STRICTNESS = tuple(Fallback)


class Outcome(StrEnum):
    """What became of a rule that was considered for a property."""

    WON = "won"
    STANDING_RULE = "standing_rule"
    INHERITED = "inherited"
    SHADOWED = "shadowed"
    OTHER_EVENT = "other_event"
    OTHER_SCOPE = "other_scope"


DECIDES = frozenset({Outcome.WON, Outcome.STANDING_RULE, Outcome.INHERITED})
"""The outcomes of a rule that decides."""


@dataclass(frozen=True, slots=True)
class Considered:
    """One rule that names a property, or governs what the property is in.

    ``by`` is the rule that shadows it, or the path of the container it is inherited from; ``why`` is the reason that the
    policy gives for the rule.
    """

    rule: str
    outcome: Outcome
    action: ActionKind
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector saw, and what it does about it; ``confidence`` is the highest of several, from 0 to 1."""

    detector: Detector
    action: ActionKind
    confidence: float


@dataclass(frozen=True, slots=True)
class PathExplained:
    """One property, with the positions in lists left out: ``properties.items[].email``.

    ``rules`` are in order of precedence, ``winner`` is the one that decides, if any, and ``action`` what it does.
    ``part`` is what the wire format makes of a name that no rule may touch (``identifier``, ``clock``, ...), ``unknown``
    what becomes of the property because no rule names it; ``refused`` why it is removed although the rule would keep
    something of it: the purposes that it serves are refused.
    """

    path: str
    rules: tuple[Considered, ...] = ()
    winner: str | None = None
    action: ActionKind | None = None
    part: str | None = None
    unknown: Fallback | None = None
    found: tuple[Found, ...] = ()
    refused: Reason | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All there is to say about one record.

    ``consent`` and ``event`` are the remarks about the person and the name of the event, or None: where one of them
    refuses, the properties are not looked at, and ``paths`` says what would become of them. A ``consent`` whose action is
    ``keep`` refuses nothing: a signal was heard that refuses some purposes, and not this record. ``geolocated`` names the
    properties that a look-up added. ``remarks`` are those of the gate.
    """

    policy: str
    digest: str
    verdict: Verdict
    consent: Remark | None
    event: Remark | None
    paths: tuple[PathExplained, ...]
    geolocation: Geolocation
    geolocated: tuple[str, ...]
    remarks: tuple[Remark, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def explain(gate: Gate, record: Record, context: CheckContext | None = None) -> Explanation:
    """Explain what ``gate`` does with ``record``.

    Without a ``context`` fixed keys are used; that matters only for values that are pseudonyms already.
    """
    context = context or case_context()
    (decision,) = gate.check([record], context)
    return Explanation(
        gate.name,
        gate.digest,
        decision.verdict,
        next((each for each in decision.remarks if each.rule == CONSENT and not each.path), None),
        next((each for each in decision.remarks if each.reason in _OF_EVENTS), None),
        _paths(gate.terms, context, record),
        gate.ladder,
        tuple(each.path for each in decision.remarks if each.reason == Reason.GEOLOCATED),
        decision.remarks,
    )


def _paths(terms: Terms, context: CheckContext, record: Record) -> tuple[PathExplained, ...]:
    walk = _NotingWalk(terms, context, record)
    event = record.scope is Scope.EVENT
    root = terms.classifier.root(record.scope, terms.classifier.event_mask(record.name) if event else 0)
    walk.note_name(record.name)
    for key, value in record.properties.items():
        walk.note_member(key, value, root)
    return walk.explained()


@dataclass(slots=True)
class _Notes:
    """What was seen at one path."""

    found: dict[Detector, Found] = field(default_factory=dict)
    unknown: Fallback | None = None
    refused: Reason | None = None
    as_identifier: bool = False


class _NotingWalk(Walk):
    """The walk of the gate, which notes what it does and goes on where the gate would refuse the record."""

    __slots__ = ("_inside", "_known", "_notes", "_rules")

    def __init__(self, terms: Terms, context: CheckContext, record: Record) -> None:
        super().__init__(terms, context, record)
        self._lenient = False  # What would become of the unknown is asked here wherever it stands.
        self._inside: list[tuple[Place, str]] = []
        self._rules: dict[tuple[str, str | None, tuple[Considered, ...]], None] = {}
        self._notes: dict[str, _Notes] = {}
        self._known: dict[Place, tuple[Considered, ...]] = {}

    def note_name(self, name: str) -> None:
        """Walk the name of the record."""
        try:
            self.name(name)
        except Exception:
            return  # A name that the gate refuses; its findings are noted by now.

    def note_member(self, key: Any, value: Any, root: Place) -> None:
        """Walk one property."""
        try:
            self.members({key: value}, (key,), root)
        except Exception:
            return  # As above; where it is no refusal, the verdict of the gate says ``check_failed``.

    def explained(self) -> tuple[PathExplained, ...]:
        """Everything noted, in the order of the walk."""
        left = dict(self._notes)
        named = tuple(_explained(path, part, rules, left.pop(path, None)) for path, part, rules in self._rules)
        return named + tuple(_explained(path, None, (), notes) for path, notes in left.items())

    def _special(self, place: Place, value: Any, path: str, depth: int) -> Any:
        if place.role is not Role.PLAIN:
            self._rules.setdefault((_collapsed(path), place.role.name.lower(), ()))
        return super()._special(place, value, path, depth)

    def _identifier(self, place: Place, value: Any, path: str, depth: int) -> Any:
        before = len(self.remarks)
        result = super()._identifier(place, value, path, depth)
        if any(each.rule == "identifiers" for each in self.remarks[before:]):
            self._at(path).as_identifier = True
        return result

    def _value(self, place: Place, value: Any, path: str, depth: int, known: bool = False) -> Any:
        shown = _collapsed(path)
        if place.role is Role.PLAIN:
            self._rules.setdefault((shown, None, self._considered(place)))
        self._inside.append((place, shown))
        try:
            return super()._value(place, value, path, depth, known)
        except Refused:
            return GONE
        finally:
            self._inside.pop()

    def _replacement(self, finding: Finding, path: str) -> str:
        found = self._at(path).found
        confidence = finding.confidence
        action = self._terms.detectors[finding.detector].action
        if finding.detector not in found or found[finding.detector].confidence < confidence:
            found[finding.detector] = Found(finding.detector, action, confidence)
        return super()._replacement(finding, path)

    def _removed(self, entry: Governing, path: str) -> Gone:
        withheld = self._withheld(entry)
        if withheld is not None:
            self._at(path).refused = withheld
        return super()._removed(entry, path)

    def _unknown(self, value: Any, path: str, seen: Sensitivity | None) -> Any:
        notes, fallback = self._at(path), fallback_of(self._terms.unknown_properties, seen)
        notes.unknown = max(fallback, notes.unknown or fallback, key=_STRICTNESS.index)
        return super()._unknown(value, path, seen)

    def _at(self, path: str) -> _Notes:
        return self._notes.setdefault(_collapsed(path), _Notes())

    def _considered(self, place: Place) -> tuple[Considered, ...]:
        """Every rule whose patterns name the place, in order of precedence, then the one it inherits."""
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = tuple(self._ranked(place))
        return found

    def _ranked(self, place: Place) -> list[Considered]:
        named: Mapping[Scope, tuple[Governing, ...]] = {
            scope: self._terms.classifier.candidates(place.path, scope, place.words) for scope in Scope
        }
        here = [entry.index for entry in named[place.scope]]
        # The order of the gate, which for a name in odd capitals is not that of the policy.
        rank = dict(zip(here, accumulate(here, max), strict=True))
        every = {entry.index: entry for entry in chain(named[place.scope], *named.values())}
        first: Governing | None = None
        considered = []
        for index in sorted(every, key=lambda index: rank.get(index, index)):
            entry = every[index]
            outcome, by = _outcome(entry, first, place, index in rank)
            first = entry if outcome in DECIDES else first
            considered.append(Considered(entry.rule.id, outcome, entry.rule.action.kind, by, entry.rule.why))
        if first is None and place.governing is not None:
            rule = place.governing.rule
            considered.append(Considered(rule.id, Outcome.INHERITED, rule.action.kind, self._inherited_from(place), rule.why))
        return considered

    def _inherited_from(self, place: Place) -> str:
        """The path of the outermost container from which the rule of ``place`` comes down to it."""
        path = ""
        for around, shown in reversed(self._inside):
            if around.governing is not place.governing:
                break
            path = shown
        return path


def _outcome(entry: Governing, first: Governing | None, place: Place, in_scope: bool) -> tuple[Outcome, str]:
    if not in_scope:
        return Outcome.OTHER_SCOPE, ""
    if entry.events is not None and not place.mask >> entry.index & 1:
        return Outcome.OTHER_EVENT, ""
    if first is not None:
        return Outcome.SHADOWED, first.rule.id
    return (Outcome.WON if entry.reason is Reason.CLASSIFIED else Outcome.STANDING_RULE), ""


def _explained(path: str, part: str | None, rules: tuple[Considered, ...], notes: _Notes | None) -> PathExplained:
    notes = notes or _Notes()
    winner = next((each for each in rules if each.outcome in DECIDES), None)
    if notes.as_identifier:
        winner = Considered("identifiers", Outcome.STANDING_RULE, ActionKind.HASH)
    return PathExplained(
        path,
        rules,
        winner.rule if winner else None,
        winner.action if winner else None,
        part,
        notes.unknown,
        tuple(notes.found[detector] for detector in sorted(notes.found)),
        notes.refused,
    )


def _collapsed(path: str) -> str:
    """A path without positions; an item of a list is shown as the list, and what is in it below ``[]``."""
    return re.sub(r"(?:\[\])+$", "", _ITEM.sub("[]", path))
