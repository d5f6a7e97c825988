"""The gate: one decision for every record, on the hot path of everything that enters.

A record costs little because little of it is touched. The tuple of its keys selects a plan, which names the properties
a rule changes; all other values of a few records together are encoded once and read by one wide RE2 pass, and only a
record in which that pass suspects something is walked with the exact detectors.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import msgspec

from policies.classify import IDENTITY_EVENTS, Classifier, EventPatterns, Place
from policies.consent import CONSENT
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
    SubjectState,
    Unknown,
    Verdict,
)
from policies.outcome import Refused
from policies.shapes import SCALARS, Plan, Shapes
from policies.terms import Terms, fallback_of, leaves_alone
from policies.walk import Walk
from policies.wide import is_clean, suspects

_MAX_VIEWS = 4_096
_MAX_CACHED_NAME = 128
_NUMBERS = frozenset({int, float})
_ADDRESSES = ("ip", "$ip")
# How many records share one pass of the wide patterns. More save its fixed cost; but where it suspects something, the
# place is looked for in all of them.
_TOGETHER = 8
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_OPAQUE_LENGTH = 32
_ACTIVE, _PASS = SubjectState.ACTIVE, Verdict.PASS


@dataclass(frozen=True, slots=True)
class EventTerms:
    """Which events are allowed, blocked, filtered out, and what becomes of the rest."""

    allowed: EventPatterns
    blocked: EventPatterns
    unknown: Unknown
    filters: tuple[CompiledFilter, ...] = ()


class _View(msgspec.Struct, frozen=True):
    """One record name as the policy sees it, with the shapes seen under it."""

    shapes: Shapes
    known: Mapping[tuple[str, ...], Plan]  # Those of the shapes, at hand.
    refused: Remark | None
    unknown: bool
    filters: tuple[CompiledFilter, ...]
    suspicious: bool
    special: bool  # Any of the above asks for more than a look at the properties.


_Ready: TypeAlias = tuple[int, Record, _View, Plan, Collection[str], Sequence[str]]
"""A record on its way: its position, its view, its plan, the keys that need the exact walk whatever the wide pass says,
and the keys of the values that the wide pass reads."""


class Gate:
    """A compiled policy. Safe to share between threads; made by ``compile.compile_policy`` only.

    ``name`` is the policy's; ``digest`` is the SHA-256, in hexadecimal, of its canonical form.
    """

    __slots__ = ("_consent", "_events", "_ladder", "_shapes", "_terms", "_views", "digest", "name")

    def __init__(self, name: str, digest: str, terms: Terms, events: EventTerms, ladder: Geolocation) -> None:
        """Take the compiled parts."""
        self.name = name
        self.digest = digest
        self._terms = terms
        self._events = events
        self._consent = terms.consent
        self._ladder = ladder
        self._views: dict[Scope, dict[str, _View]] = {scope: {} for scope in Scope}
        self._shapes: dict[Place, Shapes] = {}

    @property
    def terms(self) -> Terms:
        """What the exact walk works with; for whoever explains what this gate does."""
        return self._terms

    @property
    def ladder(self) -> Geolocation:
        """How precisely a place may be kept."""
        return self._ladder

    @property
    def classifier(self) -> Classifier:
        """Which rule governs which property: what retention reads stored records by."""
        return self._terms.classifier

    def check(self, records: Sequence[Record], context: CheckContext) -> list[Decision]:
        """One decision for each record, in order. Changes nothing it is given and raises for no JSON-like
        input: a record that cannot be judged is dropped with the reason ``check_failed``, and the others are
        unaffected. A signal that refuses some purposes is remarked on what passes. What passes untouched is the
        record's own mapping, not a copy: do not change it."""
        decisions = [_FAILED] * len(records)
        ready: list[_Ready] = []
        values: list[Sequence[Any]] = []
        careful = not self._consent.lenient or bool(context.signals)
        exposed = context.identifiers == "exposed"
        views = self._views
        for at, record in enumerate(records):
            try:
                if (careful or record.state is not _ACTIVE or record.refused_purposes) and (
                    refused := self._consent.refusal(record, context.signals)
                ) is not None:
                    decisions[at] = _dropped(Remark(CONSENT, "", ActionKind.DROP_EVENT, refused))
                    continue
                view = views[record.scope].get(record.name) or self._view(record.scope, record.name)
                properties = record.properties
                if view.special and (remark := _refusing(view, properties)) is not None:
                    decisions[at] = _dropped(remark)
                    continue
                keys = tuple(properties)
                plan = view.known.get(keys) or view.shapes.made(keys)
                doubtful: Collection[str] = ()
                for key, types in plan.guards:
                    if type(properties[key]) not in types:
                        doubtful = (*doubtful, key)
                for key in plan.identifiers if exposed else plan.exposed:
                    if key not in doubtful and self._is_worth(properties[key]):
                        doubtful = (*doubtful, key)
                names, found = plan.scanned, plan.values(properties)
                for key in plan.insert_ids:
                    if not _is_opaque(properties[key]):
                        names, found = (*names, key), (*found, properties[key])
                ready.append((at, record, view, plan, doubtful, names))
            except Exception:  # noqa: S112 - it stays refused, as every record is until somebody has judged it.
                continue
            values.append(found)
            if len(values) == _TOGETHER:
                self._decide(ready, values, context, decisions)
                ready, values = [], []
        if ready:
            self._decide(ready, values, context, decisions)
        return decisions

    def _decide(self, ready: list[_Ready], values: list[Sequence[Any]], context: CheckContext, decisions: list[Decision]) -> None:
        """Put the decisions on a few records, which share the wide pass, in their places."""
        try:
            suspected = self._suspects(ready, values)
        except Exception:
            suspected = None  # Then each record is judged by itself, value by value.
        more = bool(context.signals) or (self._ladder is not Geolocation.OFF and context.places is not None)
        for index, each in enumerate(ready):
            at, record, view, plan, doubtful, names = each
            if suspected is None:
                decisions[at] = self._decided(each, values[index], context, more, shared=len(ready) > 1)
            elif index in suspected:
                worth = [names[value] for value in suspected[index]]
                decisions[at] = self._decided(each, None, context, more, worth)
            elif doubtful or plan.walked or view.special or more:
                decisions[at] = self._decided(each, None, context, more)
            else:
                decisions[at] = Decision(_PASS, record.name, record.properties, ())

    def _suspects(self, ready: list[_Ready], values: list[Sequence[Any]]) -> Mapping[int, set[int]] | None:
        """Which values of which records the wide pass suspects; None when that cannot be told.

        A list or mapping in which a rule has something to do leaves ``values`` and becomes doubtful.
        """
        if not SCALARS.issuperset(map(type, chain.from_iterable(values))):
            for index, (at, record, view, plan, doubtful, names) in enumerate(ready):
                if not SCALARS.issuperset(map(type, values[index])):
                    governed = self._governed(view.shapes.root, names, record)
                    if governed:
                        rest = [key for key in names if key not in governed]
                        ready[index] = (at, record, view, plan, {*doubtful, *governed}, rest)
                        values[index] = [record.properties[key] for key in rest]
        return suspects(self._terms.scanner.suspicion, self._terms.queries, values)

    def _governed(self, root: Place, names: Sequence[str], record: Record) -> set[str]:
        """The keys of those lists and mappings in which some part has a rule of its own."""
        classifier, properties = self._terms.classifier, record.properties
        return {
            key
            for key in names
            if type(properties[key]) not in SCALARS and not leaves_alone(classifier, classifier.place(root, key), properties[key])
        }

    def _is_clean(self, values: Any) -> bool:
        try:
            return is_clean(self._terms.scanner.suspicion, self._terms.queries, values)
        except Exception:
            # A lone surrogate, an integer beyond any width, or a pass that failed: judged one by one.
            return False

    def _decided(
        self,
        ready: _Ready,
        values: Sequence[Any] | None,
        context: CheckContext,
        more: bool,
        worth: Collection[str] = (),
        shared: bool = False,
    ) -> Decision:
        """The decision on a record that needs a closer look, or of which there is ``more`` to say. ``values`` are those
        that the wide pass could not judge, because of another record perhaps when it was ``shared``; ``worth`` the
        keys of those that it suspects."""
        _, record, view, plan, doubtful, names = ready
        try:
            if values is not None and not (shared and self._is_clean(values)):
                worth = [key for key, value in zip(names, values, strict=True) if self._is_worth(value)]
            keys: Collection[str] = record.properties if plan.suspicious else {*plan.touched, *doubtful, *worth}
            if not (keys or view.suspicious or view.unknown):
                decision = Decision(Verdict.PASS, record.name, record.properties, ())
            else:
                decision = self._walked(record, context, view, keys)
            return self._heard(context, self._located(record, context, decision)) if more else decision
        except Refused as refused:
            return _dropped(refused.remark)
        except Exception:
            return _FAILED

    def _is_worth(self, value: Any) -> bool:
        """Whether the exact walk could change this value, under a name that gives nothing away; of a list or mapping, of
        one that the rules leave alone."""
        if type(value) is str:
            return self._terms.scanner.is_doubtful(value) or ("=" in value and not self._is_clean(value))
        if type(value) in _NUMBERS:
            return self._terms.scanner.number(value) is not None
        return type(value) not in SCALARS and not self._is_clean(value)

    def _walked(self, record: Record, context: CheckContext, view: _View, keys: Collection[str]) -> Decision:
        walk = Walk(self._terms, context, record)
        name = walk.name(record.name) if view.suspicious else record.name
        properties = walk.members(record.properties, keys, view.shapes.root)
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

    def _heard(self, context: CheckContext, decision: Decision) -> Decision:
        """The decision with the remark that a signal was heard, which refuses some purposes and not this record."""
        heard = self._consent.heard(context.signals) if context.signals else ()
        return msgspec.structs.replace(decision, remarks=(*heard, *decision.remarks)) if heard else decision

    def _located(self, record: Record, context: CheckContext, decision: Decision) -> Decision:
        """The decision with the place of the sender's address, as far as the ladder goes (wire section 11)."""
        properties = decision.properties
        operation = record.scope is Scope.EVENT or record.name == "$set"
        if self._ladder is Geolocation.OFF or properties is None or context.places is None or not operation:
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
        special = bool(refused is not None or unknown or filters or suspicious)
        shapes = self._shapes_of(scope, mask)
        view = _View(shapes, shapes.known, refused, unknown, filters, suspicious, special)
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

    def _shapes_of(self, scope: Scope, mask: int) -> Shapes:
        root = self._terms.classifier.root(scope, mask)
        shapes = self._shapes.get(root)
        if shapes is None:
            if len(self._shapes) >= _MAX_VIEWS:
                self._shapes.clear()
            shapes = self._shapes[root] = Shapes(self._terms.classifier, root)
        return shapes


def _is_opaque(insert_id: Any) -> bool:
    """Whether it is 128 bits in hexadecimal, which SDKs make at random and any pass over digits suspects."""
    if type(insert_id) is not str:
        return False
    if len(insert_id) != _OPAQUE_LENGTH:
        return _UUID.fullmatch(insert_id) is not None
    try:
        # Blanks between the digits are skipped, and then missing here.
        return 2 * len(bytes.fromhex(insert_id)) == _OPAQUE_LENGTH
    except ValueError:
        return False


def _refusing(view: _View, properties: Mapping[str, Any]) -> Remark | None:
    """The remark that refuses an event for its name, or for what a drop filter finds in it."""
    if view.refused is not None:
        return view.refused
    return next((each.remark for each in view.filters if each.catches(properties)), None)


_FAILED = Decision(Verdict.DROPPED, None, None, (Remark("gate", "", ActionKind.DROP_EVENT, Reason.CHECK_FAILED),))
_UNKNOWN_DROPPED = Remark("unknown_events", "event", ActionKind.DROP_EVENT, Reason.UNKNOWN_EVENT)
_UNKNOWN_HELD = Remark("unknown_events", "event", ActionKind.QUARANTINE, Reason.UNKNOWN_EVENT)


def _dropped(remark: Remark) -> Decision:
    return Decision(Verdict.DROPPED, None, None, (remark,))
