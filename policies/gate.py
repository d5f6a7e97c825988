"""The gate: one decision for every record, on the hot path of everything that enters.

A record costs little because little of it is touched. The tuple of its keys selects a plan, which names the
properties a rule changes; all other values are encoded once and read by one wide RE2 pass, and only a record
in which that pass suspects something is walked with the exact detectors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import msgspec

from policies.classify import IDENTITY_EVENTS, EventPatterns, Part, Place
from policies.consent import ConsentTerms
from policies.context import CheckContext
from policies.filters import CompiledFilter
from policies.geolocate import looked_up
from policies.model import (
    ActionKind,
    Decision,
    Fallback,
    Geolocation,
    Reason,
    Record,
    Remark,
    Scope,
    Unknown,
    Verdict,
)
from policies.walk import SCALARS, Refused, Terms, Walk, fallback_of

_MAX_VIEWS = 4_096
_MAX_PLANS = 8_192
_MAX_PLANNED_KEYS = 300
_MAX_CACHED_NAME = 128
_NUMBERS = frozenset({int, float})
_ADDRESSES = ("ip", "$ip")


@dataclass(frozen=True, slots=True)
class EventTerms:
    """Which events are allowed, blocked, filtered out, and what becomes of the rest."""

    allowed: EventPatterns
    blocked: EventPatterns
    unknown: Unknown
    filters: tuple[CompiledFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do with one combination of property names."""

    touched: tuple[str, ...]
    clocks: tuple[str, ...]
    identifiers: tuple[str, ...]
    scanned: tuple[str, ...]
    values: Callable[[Any], Any]  # The values of ``scanned``, in one call.
    suspicious: bool  # A name among the keys may hold personal data itself.


@dataclass(frozen=True, slots=True)
class _View:
    """One record name as the policy sees it, with the plans of the shapes seen under it."""

    root: Place
    refused: Remark | None
    unknown: bool
    filters: tuple[CompiledFilter, ...]
    suspicious: bool
    plans: dict[tuple[str, ...], _Plan]


class Gate:
    """A compiled policy. Safe to share between threads; made by ``compile.compile_policy`` only.

    ``name`` is the policy's; ``digest`` is the SHA-256, in hexadecimal, of its canonical form.
    """

    __slots__ = ("_consent", "_encode", "_events", "_ladder", "_plans", "_terms", "_views", "digest", "name")

    def __init__(
        self, name: str, digest: str, terms: Terms, events: EventTerms, consent: ConsentTerms, ladder: Geolocation
    ) -> None:
        """Take the compiled parts."""
        self.name = name
        self.digest = digest
        self._terms = terms
        self._events = events
        self._consent = consent
        self._ladder = ladder
        self._encode = msgspec.json.Encoder().encode
        self._views: dict[Scope, dict[str, _View]] = {scope: {} for scope in Scope}
        self._plans: dict[tuple[Scope, int], dict[tuple[str, ...], _Plan]] = {}

    def check(self, records: Sequence[Record], context: CheckContext) -> list[Decision]:
        """One decision for each record, in order. Changes nothing it is given and raises for no JSON-like
        input: a record that cannot be judged is dropped with the reason ``check_failed``, and the others are
        unaffected."""
        decisions = []
        for record in records:
            try:
                decisions.append(self._checked(record, context))
            except Refused as refused:
                decisions.append(_dropped(refused.remark))
            except Exception:
                decisions.append(_dropped(Remark("gate", "", ActionKind.DROP_EVENT, Reason.CHECK_FAILED)))
        return decisions

    def _checked(self, record: Record, context: CheckContext) -> Decision:
        refused = self._consent.refusal(record, context.signals)
        if refused is not None:
            return _dropped(Remark("consent", "", ActionKind.DROP_EVENT, refused))
        name, properties = record.name, record.properties
        view = self._views[record.scope].get(name) or self._view(record.scope, name)
        if view.refused is not None:
            return _dropped(view.refused)
        for each in view.filters:
            if each.catches(properties):
                return _dropped(each.remark)
        keys = tuple(properties)
        plan = view.plans.get(keys) or self._plan(view, keys)
        sealed = context.identifiers == "sealed" and record.scope is Scope.EVENT
        doubtful = keys if plan.suspicious else self._doubtful(plan, properties, sealed)
        if not (doubtful or plan.touched or view.suspicious or view.unknown):
            decision = Decision(Verdict.PASS, name, dict(properties), ())
        else:
            decision = self._walked(record, context, view, (*plan.touched, *doubtful))
        if self._ladder is Geolocation.OFF or context.places is None:
            return decision
        return self._located(record, context, decision)

    def _doubtful(self, plan: _Plan, properties: Any, sealed: bool) -> Collection[str]:
        """The keys outside the plan's rules whose values deserve the exact walk. Almost always none."""
        # Plain loops: this runs for every record, and a comprehension costs a call even when there is nothing in it.
        found: list[str] = []
        for key in plan.clocks:
            if type(properties[key]) not in _NUMBERS:
                found.append(key)
        for key in plan.identifiers:
            value = properties[key]
            if type(value) not in SCALARS or (not sealed and self._is_doubtful(value)):
                found.append(key)
        values = plan.values(properties)
        if not SCALARS.issuperset(map(type, values)):
            # Lists and mappings are walked for the rules' sake; the rest can still be cleared in one pass.
            found += [key for key in plan.scanned if type(properties[key]) not in SCALARS]
            values = [value for value in values if type(value) in SCALARS]
        try:
            if not self._terms.scanner.suspicion.any(self._encode(values)):
                return found
        except (UnicodeEncodeError, OverflowError):
            # A lone surrogate, or an integer beyond any width: judged one by one.
            pass
        return {*found, *(key for key in plan.scanned if self._is_doubtful(properties[key]))}

    def _is_doubtful(self, value: Any) -> bool:
        """Whether the exact walk could change this value."""
        if type(value) is str:
            return self._terms.scanner.is_doubtful(value)
        if type(value) in _NUMBERS:
            return self._terms.scanner.number(value) is not None
        return type(value) not in SCALARS

    def _walked(self, record: Record, context: CheckContext, view: _View, keys: Iterable[str]) -> Decision:
        walk = Walk(self._terms, context, record)
        name = walk.name(record.name) if view.suspicious else record.name
        properties = walk.members(record.properties, keys, view.root)
        if view.unknown:
            self._judge_unknown(walk)
        verdict = Verdict.CHANGED if walk.remarks else Verdict.PASS
        if walk.quarantined:
            verdict = Verdict.QUARANTINED
        return Decision(verdict, name, properties, tuple(walk.remarks), walk.needs_key, walk.bridges)

    def _judge_unknown(self, walk: Walk) -> None:
        """An event of an unknown name, by the gravest thing seen anywhere in it. Raises Refused."""
        fallback = fallback_of(self._events.unknown, walk.gravest)
        if fallback is Fallback.DROP:
            raise Refused(_UNKNOWN_DROPPED)
        if fallback is Fallback.QUARANTINE:
            walk.quarantined = True
            walk.remarks.append(_UNKNOWN_HELD)

    def _located(self, record: Record, context: CheckContext, decision: Decision) -> Decision:
        """The decision with the place of the sender's address, as far as the ladder goes (wire section 11)."""
        properties = decision.properties
        operation = record.scope is Scope.EVENT or record.name == "$set"
        if properties is None or context.places is None or not operation:
            return decision
        address = next((record.properties[name] for name in _ADDRESSES if name in record.properties), context.ip)
        found = context.places(address) if isinstance(address, str) and address not in ("", "0") else None
        possible = () if found is None else looked_up(self._ladder, record.scope, found)
        added = [(name, value) for name, value in possible if name not in properties]
        if not added:
            return decision
        verdict = Verdict.CHANGED if decision.verdict is Verdict.PASS else decision.verdict
        remarks = (
            *decision.remarks,
            *(Remark("geolocation", f"properties.{name}", ActionKind.GENERALISE, Reason.GEOLOCATED) for name, _ in added),
        )
        return msgspec.structs.replace(decision, verdict=verdict, properties={**properties, **dict(added)}, remarks=remarks)

    def _view(self, scope: Scope, name: str) -> _View:
        event = scope is Scope.EVENT
        mask = self._terms.classifier.event_mask(name) if event else 0
        refused, unknown = self._verdict_on_name(name) if event else (None, False)
        filters = tuple(each for each in self._events.filters if event and each.applies_to(name))
        suspicious = self._terms.scanner.suspicion.name(name)
        plans = self._plans.setdefault((scope, mask), {})
        view = _View(self._terms.classifier.root(scope, mask), refused, unknown, filters, suspicious, plans)
        # A name that may hold personal data is not kept in memory, nor is one of unusual length.
        if not suspicious and len(name) <= _MAX_CACHED_NAME:
            views = self._views[scope]
            if len(views) >= _MAX_VIEWS:
                views.clear()
            views[name] = view
        return view

    def _verdict_on_name(self, name: str) -> tuple[Remark | None, bool]:
        """The remark that refuses an event of this name, and whether it is unknown and must be looked into."""
        if self._events.blocked.match(name):
            return Remark("blocked_events", "event", ActionKind.DROP_EVENT, Reason.BLOCKED_EVENT), False
        unknown = self._events.unknown
        lenient = unknown.otherwise is Fallback.ALLOW and not unknown.found
        if lenient or name in IDENTITY_EVENTS or self._events.allowed.match(name):
            return None, False
        return (_UNKNOWN_DROPPED, True) if unknown.otherwise is Fallback.DROP else (None, True)

    def _plan(self, view: _View, keys: tuple[str, ...]) -> _Plan:
        place_of, root = self._terms.classifier.place, view.root
        places = [place_of(root, key) for key in keys]
        parts: tuple[list[str], ...] = tuple([] for _ in Part)
        for key, place in zip(keys, places, strict=True):
            parts[place.part].append(key)
        touched, clocks, identifiers, scanned = map(tuple, parts)
        suspicious = any(place.suspicious for place in places)
        plan = _Plan(touched, clocks, identifiers, scanned, _getter(scanned), suspicious)
        if not suspicious and len(keys) <= _MAX_PLANNED_KEYS:
            if len(view.plans) >= _MAX_PLANS:
                view.plans.clear()
            view.plans[keys] = plan
        return plan


def _getter(keys: Sequence[str]) -> Callable[[Any], Any]:
    """A function from properties to the values of ``keys`` as a tuple."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda properties: tuple(properties[key] for key in keys)


_UNKNOWN_DROPPED = Remark("unknown_events", "event", ActionKind.DROP_EVENT, Reason.UNKNOWN_EVENT)
_UNKNOWN_HELD = Remark("unknown_events", "event", ActionKind.QUARANTINE, Reason.UNKNOWN_EVENT)


def _dropped(remark: Remark) -> Decision:
    return Decision(Verdict.DROPPED, None, None, (remark,))
