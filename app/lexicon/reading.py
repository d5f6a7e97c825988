"""What the dictionary says to readers and to ingest: two frozen values of one version of it, asked on hot paths.

Pure. `Reading` never says who may see what: it says what is hidden, what is read as what, and what is marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.lexicon.model import PROPERTY_OF, SCOPE_OF, Approval, Key, Kind
from policies.classify import HOUSEKEEPING, IDENTITY_EVENTS, Classifier
from policies.model import ActionKind, Decision, Remark, Scope, Verdict

RULE = "lexicon"
"""The rule that remarks of the dictionary name."""
BLOCKED = "lexicon_blocked"
PENDING = "lexicon_pending"
REASONS = frozenset({BLOCKED, PENDING})
"""The reasons of what the dictionary refuses or holds. Unlike a person's state, they may be told to every sender."""

_NONE: frozenset[str] = frozenset()
# The events of consent and identity are the register's own: no dictionary can hold them back.
_EXEMPT_EVENTS = IDENTITY_EVENTS


@dataclass(frozen=True, slots=True)
class Names:
    """Names of properties: those meant in every record, and those meant within one event."""

    everywhere: frozenset[str] = _NONE
    within: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, event: str) -> frozenset[str]:
        """The names meant in this event; `event` is empty for profiles and groups."""
        own = self.within.get(event)
        return self.everywhere | own if own else self.everywhere

    @property
    def anywhere(self) -> frozenset[str]:
        """All of them, whatever the event: for a reader that knows no event when it asks, and so takes the stricter side."""
        return self.everywhere.union(*self.within.values())

    def __bool__(self) -> bool:
        return bool(self.everywhere or self.within)


_NO_NAMES = Names()


@dataclass(frozen=True, slots=True)
class Reading:
    """The dictionary as every read goes by it. `version` rises with each change, so it can key a reader's own cache."""

    version: int = 0
    hidden_events: frozenset[str] = _NONE
    hidden: Mapping[Scope, Names] = field(default_factory=dict)
    merged_events: Mapping[str, str] = field(default_factory=dict)
    merged_properties: Mapping[str, str] = field(default_factory=dict)
    marked: Mapping[Scope, Names] = field(default_factory=dict)

    def hidden_in(self, scope: Scope, event: str = "") -> frozenset[str]:
        """Names of the properties that are hidden in records of this scope and event."""
        return self.hidden.get(scope, _NO_NAMES).of(event)

    def marked_in(self, scope: Scope, event: str = "") -> frozenset[str]:
        """Names of the properties that somebody marked as classified, beside those that the policy classifies."""
        return self.marked.get(scope, _NO_NAMES).of(event)

    def hidden_anywhere(self, scope: Scope) -> frozenset[str]:
        """Names of the properties that are hidden in some record of this scope."""
        return self.hidden.get(scope, _NO_NAMES).anywhere

    def marked_anywhere(self, scope: Scope) -> frozenset[str]:
        """Names of the properties that are marked as classified in some record of this scope."""
        return self.marked.get(scope, _NO_NAMES).anywhere

    def event_as(self, name: str) -> str:
        """The name under which an event is read."""
        return self.merged_events.get(name, name)

    def property_as(self, name: str) -> str:
        """The name under which a property of events is read."""
        return self.merged_properties.get(name, name)

    def events_read_as(self, name: str) -> tuple[str, ...]:
        """Every stored name that is read as this one: what a query for the name has to look for."""
        return (name, *sorted(each for each, target in self.merged_events.items() if target == name))

    def properties_read_as(self, name: str) -> tuple[str, ...]:
        """The same for a property of events, the first that a record has being the one that counts."""
        return (name, *sorted(each for each, target in self.merged_properties.items() if target == name))


def is_classified(reading: Reading, classifier: Classifier, scope: Scope, event: str, name: str) -> bool:
    """Whether readers without the permission must not see this top-level property: the policy says so, or a mark does.

    A mark can only make it stricter, and a merged property is as classified as what it is read as.
    """
    marked, alike = reading.marked_in(scope, event), {name}
    if scope is Scope.EVENT:
        alike.update(reading.properties_read_as(reading.property_as(name)))
    if not marked.isdisjoint(alike):
        return True
    root = classifier.root(scope, classifier.event_mask(event) if scope is Scope.EVENT else 0)
    governing = [classifier.place(root, each).governing for each in alike]
    return any(each is not None and each.rule.classified for each in governing)


@dataclass(frozen=True, slots=True)
class Entrance:
    """The dictionary as ingest goes by it. `known` are the names that wait for nobody; asked only where approval is on."""

    blocked_events: frozenset[str] = _NONE
    blocked: Mapping[Scope, Names] = field(default_factory=dict)
    new_events: Approval = Approval.OFF
    new_properties: Approval = Approval.OFF
    known_events: frozenset[str] = _NONE
    known: Mapping[Scope, frozenset[str]] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Whether it lets everything pass."""
        strict = (Approval.HOLD, Approval.DROP)
        return not (self.blocked_events or self.blocked or self.new_events in strict or self.new_properties in strict)

    @property
    def blocking(self) -> Entrance:
        """The same without approval: for what somebody has approved by looking at it."""
        return Entrance(self.blocked_events, self.blocked)

    def apply(self, scope: Scope, decision: Decision) -> Decision:
        """The gate's decision, or a stricter one. Changes nothing that it is given."""
        if self.idle or decision.verdict is Verdict.DROPPED or decision.properties is None:
            return decision
        event = decision.name or "" if scope is Scope.EVENT else ""
        if scope is Scope.EVENT:
            reason = self._against(event)
            if reason == BLOCKED or (reason and self.new_events is Approval.DROP):
                return _dropped(reason)
            if reason:
                decision = _held(decision, "event")
        return self._properties(scope, event, decision)

    def _against(self, name: str) -> str | None:
        if name in self.blocked_events:
            return BLOCKED
        waits = self.new_events in (Approval.HOLD, Approval.DROP) and name not in self.known_events
        return PENDING if waits and name not in _EXEMPT_EVENTS else None

    def _properties(self, scope: Scope, event: str, decision: Decision) -> Decision:
        properties: Mapping[str, Any] = decision.properties or {}
        blocked = self.blocked.get(scope, _NO_NAMES).of(event)
        gone = {name: BLOCKED for name in properties if name in blocked} if blocked else {}
        if self.new_properties in (Approval.HOLD, Approval.DROP):
            known = self.known.get(scope, _NONE)
            new = [name for name in properties if name not in known and name not in gone and name not in HOUSEKEEPING]
            if new and self.new_properties is Approval.HOLD:
                decision = _held(decision, "properties")
            elif new:
                gone |= dict.fromkeys(new, PENDING)
        if not gone:
            return decision
        remarks = tuple(Remark(RULE, f"properties.{_path(name)}", ActionKind.DROP, reason) for name, reason in gone.items())
        left = {name: value for name, value in properties.items() if name not in gone}
        verdict = Verdict.CHANGED if decision.verdict is Verdict.PASS else decision.verdict
        return msgspec.structs.replace(decision, verdict=verdict, properties=left, remarks=(*decision.remarks, *remarks))


def _path(name: str) -> str:
    return name if len(name) <= 200 and name.isprintable() else "<key>"


def _dropped(reason: str) -> Decision:
    return Decision(Verdict.DROPPED, None, None, (Remark(RULE, "event", ActionKind.DROP_EVENT, reason),))


def _held(decision: Decision, path: str) -> Decision:
    remark = Remark(RULE, path, ActionKind.QUARANTINE, PENDING)
    return msgspec.structs.replace(decision, verdict=Verdict.QUARANTINED, remarks=(*decision.remarks, remark))


@dataclass(frozen=True, slots=True)
class Row:
    """Of one entry what readers and ingest go by."""

    key: Key
    state: str
    merged_into: str | None
    classified: bool


def reading_of(version: int, rows: Iterable[Row]) -> Reading:
    """Compile the rows that say anything."""
    rows = list(rows)
    merged = {kind: {r.key.name: r.merged_into for r in rows if r.merged_into and r.key.kind is kind} for kind in Kind}
    return Reading(
        version=version,
        hidden_events=frozenset(r.key.name for r in rows if r.state == "hidden" and r.key.kind is Kind.EVENT),
        hidden=_by_scope(r.key for r in rows if r.state == "hidden"),
        merged_events=merged[Kind.EVENT],
        merged_properties=merged[Kind.EVENT_PROPERTY],
        marked=_by_scope(r.key for r in rows if r.classified),
    )


def entrance_of(new_events: Approval, new_properties: Approval, rows: Iterable[Row]) -> Entrance:
    """Compile the rows: those that block, and where approval is on every name that does not wait."""
    rows = list(rows)
    known = [r.key for r in rows if r.state != "pending" and not r.key.event]
    return Entrance(
        blocked_events=frozenset(r.key.name for r in rows if r.state == "blocked" and r.key.kind is Kind.EVENT),
        blocked=_by_scope(r.key for r in rows if r.state == "blocked"),
        new_events=new_events,
        new_properties=new_properties,
        known_events=frozenset(key.name for key in known if key.kind is Kind.EVENT),
        known={scope: frozenset(key.name for key in known if key.kind is kind) for scope, kind in PROPERTY_OF.items()},
    )


def _by_scope(keys: Iterable[Key]) -> dict[Scope, Names]:
    everywhere: dict[Scope, set[str]] = {}
    within: dict[str, set[str]] = {}
    for key in keys:
        scope = SCOPE_OF.get(key.kind)
        if scope is not None:
            (within.setdefault(key.event, set()) if key.event else everywhere.setdefault(scope, set())).add(key.name)
    found = {scope: Names(frozenset(names)) for scope, names in everywhere.items()}
    if within:
        own = {event: frozenset(names) for event, names in within.items()}
        found[Scope.EVENT] = Names(frozenset(everywhere.get(Scope.EVENT, ())), own)
    return found
