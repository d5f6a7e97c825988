"""The exact walk over one record: rules, then detectors, at every depth.

``gate`` decides which properties need it; here every value is copied as it is changed and nothing is changed
in place. Every change leaves a remark, which is also how the walk knows that something changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from policies.classify import MAX_NAME, Governing, Place, Role
from policies.context import CheckContext
from policies.detect import CATEGORIES, JSON_STARTS, PLACEHOLDERS, REASONS, SENSITIVITIES, Finding
from policies.embedded import Parsed, Unreadable, governed_part, json_text, parsed_text, written_again
from policies.model import Mask, Record, Remark, Truncate
from policies.outcome import GONE, Dropped, Gone, Refused
from policies.queries import TooManyPairs, rewritten
from policies.shapes import SCALARS, unused
from policies.terms import MAX_DEPTH, MAX_NAMES, Terms, fallback_of
from policies.transform import CHANGING, FINAL, Changing, Transformer, is_spread
from policies.vocabulary import ActionKind, Detector, Fallback, Reason, Scope, Sensitivity

_GRAVITY: Final = {sensitivity: rank for rank, sensitivity in enumerate(Sensitivity)}
_RULES: Final = {detector: f"detector.{detector}" for detector in Detector}
_DETECTORS: Final = len(Detector)
_NUMBERS = (int, float)
_PLAIN: Final = Role.PLAIN
_REMOVING: Final = frozenset({ActionKind.DROP, ActionKind.DROP_EVENT})
_TAKEN = frozenset(PLACEHOLDERS.values())


class Walk:
    """One record under examination. Collects remarks and whether the record must be held."""

    __slots__ = (
        "_craft", "_exposed", "_lenient", "_names", "_record", "_signals", "_spread", "_terms", "gravest",
        "quarantined", "remarks",
    )  # fmt: skip

    def __init__(self, terms: Terms, context: CheckContext, record: Record) -> None:
        """Start with nothing remarked. Only events have identifiers that the register replaces."""
        self._terms = terms
        self._record = record
        self._signals = context.signals
        self._lenient = terms.lenient
        self._craft = Transformer(context, record, terms.region)
        self._exposed = context.identifiers == "exposed" or record.scope is not Scope.EVENT
        self._names = 0  # Suspicious ones, of which a record may have ``MAX_NAMES``.
        # The rule whose value, in the list or mapping at hand, was sent in pieces.
        self._spread: Governing | None = None
        self.remarks: list[Remark] = []
        self.quarantined = False
        self.gravest: Sensitivity | None = None

    @property
    def needs_key(self) -> bool:
        """Whether a value should be encrypted and the record came without its person's key."""
        return self._craft.needs_key

    @property
    def bridges(self) -> tuple[tuple[str, str], ...]:
        """Pseudonyms of older keys beside those of the current one."""
        return tuple(self._craft.bridges)

    def members(self, properties: Mapping[str, Any], keys: Collection[str], root: Place) -> dict[str, Any]:
        """A copy of the top-level properties in which those named by ``keys`` have been examined.

        Raises Refused when the record as a whole must not pass.
        """
        places: dict[str, Place] = {}
        for key in [key for key in properties if key in keys] if len(keys) > 1 else keys:
            place = self._terms.classifier.place(root, key) if isinstance(key, str) else None
            if place is None or place.suspicious:
                return self._renamed(properties, keys, root)
            places[key] = place
        # No name changes, so every value that remains stays where it stood.
        kept = dict(properties)
        for key, place in places.items():
            result = self._special(place, properties[key], f"properties.{key}", 1)
            if result is GONE:
                del kept[key]
            else:
                kept[key] = result
        return kept

    def _renamed(self, properties: Mapping[str, Any], wanted: Collection[str], root: Place) -> dict[str, Any]:
        """The same where a name may hold personal data, or is none at all."""
        kept: dict[str, Any] = {}
        for key, value in properties.items():
            if key in wanted:
                self._member(kept, key, value, root, "properties", 1)
            else:
                kept[key] = value
        return kept

    def name(self, name: str) -> str:
        """The record's own name with personal data replaced. Raises Refused where a detector drops: no name,
        no record."""
        result = self._scrubbed(name, "event", "")
        if isinstance(result, Gone):
            last = self.remarks[-1]
            raise Refused(Remark(last.rule, last.path, ActionKind.DROP_EVENT, last.reason))
        return result

    def _member(self, kept: dict[str, Any], key: str, value: Any, parent: Place, shown: str, depth: int) -> None:
        """Examine one entry of a mapping and put what is left of it, name and value, into ``kept``."""
        if not isinstance(key, str):
            self._remark("gate", f"{shown}.<key>", ActionKind.DROP, Reason.INVALID_TYPE)
            return
        if len(key) > MAX_NAME or (self._names >= MAX_NAMES and self._terms.scanner.suspicion.name(key)):
            self._drop("gate", f"{shown}.<key>", Reason.INVALID_TYPE)
            return
        place = self._terms.classifier.place(parent, key)
        path = f"{shown}.{key}"
        if place.suspicious:
            hidden = f"{shown}.<key>"
            self._names += 1
            new_key = self._text(place, key, hidden, depth) if key[:1] in JSON_STARTS else self._scrubbed(key, hidden, "")
            if isinstance(new_key, Gone):
                return
            if new_key != key:
                # What is left of the name may be one that a rule is about, and was not before.
                place = self._terms.classifier.renamed(parent, place, new_key)
                key, path = new_key, hidden
        result = self._special(place, value, path, depth) if place.top else self._value(place, value, path, depth)
        if result is not GONE:
            kept[key if key not in kept else unused(key, kept)] = result

    def _special(self, place: Place, value: Any, path: str, depth: int) -> Any:
        """Top-level properties that the wire format gives a meaning; the rules do not apply to them."""
        if place.role is _PLAIN:
            return self._value(place, value, path, depth)
        match place.role:
            case Role.CLOCK if type(value) in _NUMBERS:
                return value
            case Role.IDENTIFIER if not self._exposed and type(value) in SCALARS:
                # The register puts an opaque uid here, so the gate must leave the id for it to read.
                return value
            case Role.IDENTIFIER | Role.LINK:
                return self._identifier(place, value, path, depth)
        return self._value(place, value, path, depth, known=True)

    def _identifier(self, place: Place, value: Any, path: str, depth: int) -> Any:
        """An id that is personal data becomes a pseudonym as a whole: half an id would identify nobody."""
        if isinstance(value, list | tuple) and depth < MAX_DEPTH:
            return [self._identifier(place, item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
        if type(value) not in SCALARS:
            return self._value(place, value, path, depth, known=True)
        if value is None or isinstance(value, bool):
            return value
        finding = self._first_finding(value)
        if finding is None:
            return value
        self._remark("identifiers", path, ActionKind.HASH, REASONS[finding.detector])
        text = value if isinstance(value, str) else finding.canonical
        return self._craft.pseudonym("identifier", text, CATEGORIES[finding.detector])

    def _first_finding(self, value: str | float) -> Finding | None:
        if not isinstance(value, str):
            return self._terms.scanner.number(value)
        seen: list[Finding] = []

        def note(finding: Finding) -> str:
            seen.append(finding)
            return ""

        self._terms.scanner.scrub(value, note)
        return seen[0] if seen else None

    def _value(self, place: Place, value: Any, path: str, depth: int, known: bool = False) -> Any:
        """What is left of a value: first its rule, then its parts or its text."""
        entry = place.governing
        if entry is not None:
            if entry.rule.action.kind in _REMOVING or (entry.rule.purposes and self._withheld(entry) is not None):
                return self._removed(entry, path)
            known = True
        if type(value) not in SCALARS:
            return self._container(place, value, path, depth, known)
        if entry is None:
            # Where all that is unknown may pass, nobody asks what was seen in it.
            known = known or self._lenient
            return self._scanned(place, value, path, depth) if known else self._unnamed(place, value, path, depth)
        return self._scalar(entry, place, value, path, depth)

    def _container(self, place: Place, value: Any, path: str, depth: int, known: bool) -> Any:
        if not isinstance(value, Mapping | list | tuple):
            return self._drop("gate", path, Reason.INVALID_TYPE)
        if depth > MAX_DEPTH:
            return self._drop("gate", path, Reason.TOO_DEEP)
        entry, around = place.governing, self._spread
        if entry is not None and entry is not around and is_spread(entry.rule.action, value):
            self._spread = entry
        try:
            if isinstance(value, Mapping):
                return self._mapping(place, value, path, depth, known)
            return self._sequence(place, value, path, depth, known)
        finally:
            self._spread = around

    def _mapping(self, place: Place, value: Mapping[str, Any], path: str, depth: int, known: bool) -> Any:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            self._member(kept, key, item, place, path, depth + 1)
        return self._emptied(value, kept, path, known)

    def _sequence(self, place: Place, value: list[Any] | tuple[Any, ...], path: str, depth: int, known: bool) -> Any:
        results = (self._value(place, item, f"{path}[{i}]", depth + 1, known) for i, item in enumerate(value))
        kept = [item for item in results if item is not GONE]
        return self._emptied(value, kept, path, known)

    def _emptied(self, before: Any, kept: Any, path: str, known: bool) -> Any:
        """A container: removed when it is unknown and nothing in it was known."""
        if kept or known or self._terms.unknown_properties.otherwise is Fallback.ALLOW:
            return kept
        return GONE if before else self._unknown(kept, path, None)

    def _scalar(self, entry: Governing, place: Place, value: Any, path: str, depth: int) -> Any:
        action = entry.rule.action
        if isinstance(action, CHANGING):
            value = self._changed(entry, action, value, path)
        if action.kind in FINAL or not entry.rule.scan:
            return value
        found = self._scanned(place, value, path, depth)
        if isinstance(action, Mask | Truncate) and found is not GONE:
            # A placeholder may be longer than what it stands for, so the action has the last word.
            return self._craft.changed(action, entry.rule.category, found)
        return found

    def _unnamed(self, place: Place, value: Any, path: str, depth: int) -> Any:
        """A scalar that no rule names: what the detectors see in it decides how much it is trusted."""
        before, self.gravest = self.gravest, None
        result = self._scanned(place, value, path, depth)
        seen = self.gravest
        self._note(before)
        return result if result is GONE else self._unknown(result, path, seen)

    def _note(self, sensitivity: Sensitivity | None) -> None:
        if sensitivity is not None and (self.gravest is None or _GRAVITY[sensitivity] > _GRAVITY[self.gravest]):
            self.gravest = sensitivity

    def _scanned(self, place: Place, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(place, value, path, depth)
        if type(value) in _NUMBERS:
            return self._number(place, value, path)
        return value

    def _changed(self, entry: Governing, action: Changing, value: Any, path: str) -> Any:
        if self._spread is entry:
            result = self._craft.piece(action, entry.rule.category, value)
        else:
            result = self._craft.changed(action, entry.rule.category, value)
        if action.kind is ActionKind.QUARANTINE:
            self.quarantined = True
            self._remark(entry.rule.id, path, action.kind, entry.reason)
        elif result != value or isinstance(result, bool) is not isinstance(value, bool):
            # For Python 1 is True, but not for the reader of an event.
            self._remark(entry.rule.id, path, action.kind, entry.reason)
        return result

    def _unknown(self, value: Any, path: str, seen: Sensitivity | None) -> Any:
        fallback = fallback_of(self._terms.unknown_properties, seen)
        if fallback is Fallback.DROP:
            return self._drop("unknown_properties", path, Reason.UNKNOWN_PROPERTY)
        if fallback is Fallback.QUARANTINE:
            self.quarantined = True
            self._remark("unknown_properties", path, ActionKind.QUARANTINE, Reason.UNKNOWN_PROPERTY)
        return value

    def _text(self, place: Place, value: str, path: str, depth: int) -> Any:
        if self._terms.scanner.is_plain(value) and not place.telling:
            return value
        text = json_text(value)
        if text is not None:
            parsed = parsed_text(text)
            if parsed is not None:
                return self._embedded(place, value, parsed, path, depth)
            return self._unreadable(place, value, text, path, depth)
        return self._prose(place, value, path, depth)

    def _prose(self, place: Place, text: str, path: str, depth: int) -> str | Gone:
        """A text that is no JSON: first the detectors, then what the rules say about names in what is left."""
        left = self._scrubbed(text, path, place.meaning)
        return left if isinstance(left, Gone) else self._queried(place, left, path, depth)

    def _queried(self, place: Place, text: str, path: str, depth: int) -> str | Gone:
        """The text in which the value of every ``name=value`` is treated as the property of that name at the top."""
        if not ("=" in text or "%3" in text):
            return text
        if depth > MAX_DEPTH:
            return self._drop("gate", path, Reason.TOO_DEEP)
        root = self._terms.classifier.root(place.scope, place.mask)

        def treated(name: str, value: str) -> Any:
            below = self._terms.classifier.place(root, name)
            if value in _TAKEN or below.governing is None or below.governing.keeps:
                return value
            result = self._value(below, value, f"{path}.{'<key>' if below.suspicious else name}", depth + 1)
            return "" if result is GONE else result

        try:
            return rewritten(text, treated)
        except TooManyPairs:
            return self._drop("gate", path, Reason.INVALID_TYPE)

    def _unreadable(self, place: Place, value: str, text: str, path: str, depth: int) -> Any:
        """A text like JSON that does not parse: where what stands under a name in it ends, nobody can say."""
        try:
            entry = governed_part(self._terms.classifier, place, text, self._leaves_alone)
        except Unreadable:
            return self._drop("gate", path, Reason.INVALID_TYPE)
        return self._removed(entry, path) if entry is not None else self._prose(place, value, path, depth)

    def _embedded(self, place: Place, text: str, parsed: Parsed, path: str, depth: int) -> Any:
        """A JSON text inside a string is judged as the value it encodes, and written again if anything
        changed."""
        if parsed.too_deep:
            return self._drop("gate", path, Reason.TOO_DEEP)
        before = len(self.remarks)
        if parsed.duplicates:
            # Readers disagree on which of two equal keys counts, so the text must not stay as it is.
            self._remark("gate", path, ActionKind.DROP, Reason.DUPLICATE_KEY)
        result = self._value(place, parsed.value, path, depth + 1, known=True)
        if result is GONE:
            return GONE
        return text if len(self.remarks) == before else written_again(result)

    def _number(self, place: Place, value: float, path: str) -> Any:
        finding = self._terms.scanner.number(value, place.meaning)
        if finding is None:
            return value
        try:
            return self._replacement(finding, path)
        except Dropped:
            return GONE

    def _scrubbed(self, text: str, path: str, name: str) -> str | Gone:
        """The text without personal data, or GONE where a detector's action is to drop what holds it."""
        try:
            return self._terms.scanner.scrub(text, lambda finding: self._replacement(finding, path), name)
        except Dropped:
            return GONE

    def _replacement(self, finding: Finding, path: str) -> str:
        """What stands in place of a finding, with one remark for each detector and path."""
        action = self._terms.detectors[finding.detector].action
        self._note(SENSITIVITIES[finding.detector])
        remark = Remark(_RULES[finding.detector], path, action, REASONS[finding.detector])
        if action is ActionKind.DROP_EVENT:
            raise Refused(remark)
        if not self.remarks or remark not in self.remarks[-_DETECTORS:]:
            self.remarks.append(remark)
        if action is ActionKind.DROP:
            raise Dropped
        if action is ActionKind.HASH:
            category = CATEGORIES[finding.detector]
            return self._craft.pseudonym(category, finding.canonical, category)
        if action is ActionKind.QUARANTINE:
            self.quarantined = True
        return PLACEHOLDERS[finding.detector]

    def _removed(self, entry: Governing, path: str) -> Gone:
        """The value is removed whole, whatever else its rule might leave of it. Raises Refused."""
        if entry.rule.action.kind is ActionKind.DROP_EVENT:
            raise Refused(Remark(entry.rule.id, path, ActionKind.DROP_EVENT, entry.reason))
        withheld = self._withheld(entry)
        if withheld is None and entry.rule.action.kind is ActionKind.QUARANTINE:
            self.quarantined = True
        return self._drop(entry.rule.id, path, withheld or entry.reason)

    def _withheld(self, entry: Governing) -> Reason | None:
        """Why a property may not be kept because all the purposes that it serves are refused, or None."""
        purposes = entry.rule.purposes
        return self._terms.consent.purpose_refusal(purposes, self._record, self._signals) if purposes else None

    def _leaves_alone(self, place: Place) -> bool:
        entry = place.governing
        if entry is None or place.telling or not entry.rule.purposes:
            return place.is_left_alone
        return entry.rule.action.kind is ActionKind.KEEP and self._withheld(entry) is None

    def _drop(self, rule: str, path: str, reason: Reason) -> Gone:
        self._remark(rule, path, ActionKind.DROP, reason)
        return GONE

    def _remark(self, rule: str, path: str, action: ActionKind, reason: Reason) -> None:
        self.remarks.append(Remark(rule, path, action, reason))
