"""The policy language: which keys there are, what each may hold, and what a mistake was probably meant to
be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from policies.actions import read_action
from policies.cases import read_case
from policies.classify import HOUSEKEEPING
from policies.detect import is_region
from policies.errors import PolicyProblem
from policies.located import Located, Reader, json_value, meant, shown
from policies.model import (
    ActionKind,
    Case,
    Condition,
    Consent,
    Consented,
    Detector,
    DetectorTerms,
    Drop,
    DropFilter,
    Fallback,
    Geolocation,
    Keep,
    Policy,
    Purpose,
    Retention,
    Rule,
    Scope,
    Sensitivity,
    Signal,
    Unknown,
)

_POLICY_FIELDS = (
    "policy",
    "description",
    "geolocation",
    "default_region",
    "unknown_properties",
    "unknown_events",
    "events",
    "consent",
    "detectors",
    "rules",
    "retention",
    "cases",
)
_RULE_FIELDS = (
    "id",
    "properties",
    "scope",
    "events",
    "category",
    "sensitivity",
    "action",
    "classified",
    "scan",
    "purposes",
    "why",
)
_RULE_REQUIRED = ("id", "properties", "category", "sensitivity", "action")
_DETECTOR_FIELDS = ("action", "confidence", "context", "allow")
_DETECTOR_ACTIONS = ("keep", "drop", "drop_event", "quarantine", "hash", "redact")
_TESTS = ("is", "is_not", "contains", "exists", "above", "below")
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SLUG_FORM = "words of a-z and 0-9 joined by dashes"
_CATEGORY = re.compile(r"(?:user|system)(?:\.[a-z0-9_]+)*")
_CATEGORY_FORM = "a fideslang key such as user.contact.email"
_MAX_RULES = 1_000
_MAX_DAYS = 36_500


E = TypeVar("E")


def read_policy(node: Located, problems: list[PolicyProblem]) -> Policy:
    """The policy a located mapping stands for. Adds every mistake to ``problems``; then the result is
    meaningless."""
    return _PolicyReader(problems).policy(node)


class _PolicyReader(Reader):
    """One reading of one policy."""

    _purposes: tuple[str, ...] = ()

    def policy(self, node: Located) -> Policy:
        """The whole file."""
        fields = self.fields(node, "", _POLICY_FIELDS, ("policy",))
        events = self.fields(fields["events"], "events", ("allow", "block", "drop"), ()) if "events" in fields else {}
        consent = self._consent(fields.get("consent"))
        self._purposes = tuple(purpose.name for purpose in consent.purposes)
        return Policy(
            name=self.pattern(fields["policy"], "policy", _SLUG, _SLUG_FORM) if "policy" in fields else "",
            description=self.text(fields["description"], "description", 4_000) if "description" in fields else "",
            rules=self._rules(fields.get("rules")),
            detectors=self._detectors(fields.get("detectors")),
            default_region=self._region(fields.get("default_region")),
            geolocation=self.member(fields["geolocation"], "geolocation", Geolocation, Geolocation.OFF)
            if "geolocation" in fields
            else Geolocation.OFF,
            unknown_properties=self._unknown(fields.get("unknown_properties"), "unknown_properties"),
            unknown_events=self._unknown(fields.get("unknown_events"), "unknown_events"),
            allowed_events=self._globs(events.get("allow"), "events.allow"),
            blocked_events=self._globs(events.get("block"), "events.block"),
            drop_filters=self._several(events.get("drop"), "events.drop", self._drop_filter),
            consent=consent,
            retention=self._several(fields.get("retention"), "retention", self._retention),
            cases=self._cases(fields.get("cases")),
        )

    def _region(self, node: Located | None) -> str:
        if node is None:
            return "US"
        region = self.text(node, "default_region")
        if region and not is_region(region):
            self.note(
                node,
                "default_region",
                "must be an ISO 3166 country code in capitals",
                "for example `US` or `DE`",
            )
        return region

    def _unknown(self, node: Located | None, path: str) -> Unknown:
        """``allow``, or ``{otherwise: allow, confidential: quarantine, restricted: drop}``."""
        if node is None:
            return Unknown()
        if not isinstance(node.value, dict):
            return Unknown(self.member(node, path, Fallback, Fallback.DROP))
        fields = self.fields(node, path, ("otherwise", *Sensitivity), ("otherwise",))
        read = {name: self.member(value, f"{path}.{name}", Fallback, Fallback.DROP) for name, value in fields.items()}
        otherwise = read.pop("otherwise", Fallback.DROP)
        return Unknown(otherwise, tuple((Sensitivity(name), fallback) for name, fallback in read.items()))

    def _globs(self, node: Located | None, path: str) -> tuple[str, ...]:
        return () if node is None else self.items(node, path, self.text, single=True)

    def _cases(self, node: Located | None) -> tuple[Case, ...]:
        return () if node is None else self.items(node, "cases", lambda item, path: read_case(self, item, path))

    def _several(self, node: Located | None, path: str, read: Callable[[Located, str, dict[str, int]], E]) -> tuple[E, ...]:
        """A list of things that each have an id of their own."""
        if node is None:
            return ()
        if isinstance(node.value, list) and len(node.value) > _MAX_RULES:
            self.note(node, path, f"at most {_MAX_RULES} entries")
            return ()
        seen: dict[str, int] = {}
        return self.items(node, path, lambda item, at: read(item, at, seen))

    # --- events, consent, retention ----------------------------------------------------------------------------------

    def _drop_filter(self, node: Located, path: str, seen: dict[str, int]) -> DropFilter:
        fields = self.fields(node, path, ("id", "events", "where"), ("id", "where"))
        where = self.items(fields["where"], f"{path}.where", self._condition) if "where" in fields else ()
        if "where" in fields and not where:
            self.note(
                fields["where"], f"{path}.where", "a filter has at least one condition", "to refuse all, use `events.block`"
            )
        events = self._globs(fields.get("events"), f"{path}.events") or ("*",)
        return DropFilter(self._id(fields.get("id"), f"{path}.id", seen), events, where)

    def _condition(self, node: Located, path: str) -> Condition:
        fields = self.fields(node, path, ("property", *_TESTS), ("property",))
        name = self.text(fields["property"], f"{path}.property") if "property" in fields else ""
        tests = [test for test in _TESTS if test in fields]
        if len(tests) != 1:
            self.note(node, path, f"needs exactly one of {', '.join(_TESTS)}", "for example `{property: plan, is: test}`")
            return Condition(name, "exists", (True,))
        (test,) = tests
        return Condition(name, test, self._values(fields[test], f"{path}.{test}", test))

    def _values(self, node: Located, path: str, test: str) -> tuple[str | int | float | bool | None, ...]:
        if test == "exists":
            return (self.boolean(node, path),)
        if test in ("above", "below"):
            return (self.number(node, path) or 0,)
        several = isinstance(node.value, list)
        values = self.items(node, path, lambda item, _: json_value(item)) if several else (json_value(node),)
        if not values or any(isinstance(each, dict | list) for each in values):
            self.note(node, path, "must be one value, or a list of values")
            return ()
        if test == "contains" and not all(isinstance(each, str) for each in values):
            self.note(node, path, "must be text")
        return values

    def _consent(self, node: Located | None) -> Consent:
        if node is None:
            return Consent()
        fields = self.fields(node, "consent", ("default", "signals", "purposes"), ())
        default = Consented.OPTED_IN
        if "default" in fields:
            default = self.member(fields["default"], "consent.default", Consented, Consented.OPTED_OUT)
        signals = self._signals(fields, "consent")
        return Consent(default, signals, self._several(fields.get("purposes"), "consent.purposes", self._purpose))

    def _signals(self, fields: dict[str, Located], path: str) -> tuple[Signal, ...]:
        if "signals" not in fields:
            return ()
        return self.items(
            fields["signals"], f"{path}.signals", lambda item, at: self.member(item, at, Signal, Signal.GPC), single=True
        )

    def _purpose(self, node: Located, path: str, seen: dict[str, int]) -> Purpose:
        fields = self.fields(node, path, ("id", "events", "signals"), ("id",))
        return Purpose(
            self._id(fields.get("id"), f"{path}.id", seen),
            self._globs(fields.get("events"), f"{path}.events"),
            self._signals(fields, path),
        )

    def _retention(self, node: Located, path: str, seen: dict[str, int]) -> Retention:
        fields = self.fields(node, path, ("id", "events", "category", "days"), ("id", "days"))
        if ("events" in fields) == ("category" in fields):
            self.note(node, path, "needs either `events` or `category`", "for example `category: user.contact`")
        category = None
        if "category" in fields:
            category = self.pattern(fields["category"], f"{path}.category", _CATEGORY, _CATEGORY_FORM)
        return Retention(
            self._id(fields.get("id"), f"{path}.id", seen),
            self.integer(fields["days"], f"{path}.days", 1, _MAX_DAYS) if "days" in fields else _MAX_DAYS,
            self._globs(fields.get("events"), f"{path}.events"),
            category,
        )

    # --- detectors ---------------------------------------------------------------------------------------------------

    def _detectors(self, node: Located | None) -> tuple[tuple[Detector, DetectorTerms], ...]:
        """Terms for every detector, or one action for all; one that is not mentioned redacts, which is the safe side."""
        chosen = {detector: DetectorTerms() for detector in Detector}
        if node is not None and isinstance(node.value, str):
            chosen = dict.fromkeys(Detector, self._detector(node, "detectors"))
        elif node is not None:
            for name, value in self.fields(node, "detectors", tuple(map(str, Detector)), ()).items():
                chosen[Detector(name)] = self._detector(value, f"detectors.{name}")
        return tuple(chosen.items())

    def _detector(self, node: Located, path: str) -> DetectorTerms:
        """An action, or a mapping with an action and more."""
        if isinstance(node.value, str):
            return DetectorTerms(self._detector_action(node, path))
        fields = self.fields(node, path, _DETECTOR_FIELDS, ())
        terms = DetectorTerms()
        confidence = self.number(fields["confidence"], f"{path}.confidence") if "confidence" in fields else terms.confidence
        if confidence is None or not 0 <= confidence <= 1:
            self.note(fields["confidence"], f"{path}.confidence", "must lie between 0 and 1", "0.5 when left out")
            confidence = terms.confidence
        return DetectorTerms(
            self._detector_action(fields["action"], f"{path}.action") if "action" in fields else terms.action,
            confidence,
            self._globs(fields.get("context"), f"{path}.context"),
            self._globs(fields.get("allow"), f"{path}.allow"),
        )

    def _detector_action(self, node: Located, path: str) -> ActionKind:
        kind = self.member(node, path, ActionKind, ActionKind.REDACT)
        if kind not in _DETECTOR_ACTIONS:
            self.note(node, path, f"`{kind}` needs a whole value", f"one of {', '.join(_DETECTOR_ACTIONS)}")
        return kind

    # --- rules -------------------------------------------------------------------------------------------------------

    def _rules(self, node: Located | None) -> tuple[Rule, ...]:
        return self._several(node, "rules", self._rule)

    def _rule(self, node: Located, path: str, seen: dict[str, int]) -> Rule:
        fields = self.fields(node, path, _RULE_FIELDS, _RULE_REQUIRED)
        rule = Rule(
            id=self._id(fields.get("id"), f"{path}.id", seen),
            properties=self._properties(fields.get("properties"), f"{path}.properties"),
            category=self.pattern(fields["category"], f"{path}.category", _CATEGORY, _CATEGORY_FORM)
            if "category" in fields
            else "user",
            sensitivity=self.member(fields["sensitivity"], f"{path}.sensitivity", Sensitivity, Sensitivity.RESTRICTED)
            if "sensitivity" in fields
            else Sensitivity.RESTRICTED,
            action=read_action(self, fields["action"], f"{path}.action") if "action" in fields else Drop(),
            scopes=self._scopes(fields.get("scope"), f"{path}.scope"),
            events=self._globs(fields.get("events"), f"{path}.events"),
            classified="classified" in fields and self.boolean(fields["classified"], f"{path}.classified"),
            scan="scan" not in fields or self.boolean(fields["scan"], f"{path}.scan"),
            why=self.text(fields["why"], f"{path}.why", 2_000) if "why" in fields else "",
            purposes=self._purposes_of(fields.get("purposes"), f"{path}.purposes"),
        )
        self._check_together(rule, fields, path)
        return rule

    def _check_together(self, rule: Rule, fields: dict[str, Located], path: str) -> None:
        """What single fields cannot show."""
        if not rule.scan and not isinstance(rule.action, Keep):
            self.note(fields["scan"], f"{path}.scan", "only a property that is kept can be exempt from detection")
        if rule.events and rule.scopes != (Scope.EVENT,):
            self.note(fields["events"], f"{path}.events", "only events have names", "add `scope: event`")
        if rule.purposes and rule.action.kind in (ActionKind.DROP, ActionKind.DROP_EVENT):
            self.note(fields["purposes"], f"{path}.purposes", "what is removed anyway serves no purpose", "remove `purposes`")

    def _purposes_of(self, node: Located | None, path: str) -> tuple[str, ...]:
        def purpose(item: Located, at: str) -> str:
            name = self.text(item, at)
            if name and name not in self._purposes:
                known = f"one of {', '.join(self._purposes)}" if self._purposes else "list it under `consent.purposes`"
                self.note(item, at, f"unknown purpose `{shown(name)}`", meant(name, self._purposes) or known)
            return name

        return () if node is None else self.items(node, path, purpose, single=True)

    def _id(self, node: Located | None, path: str, seen: dict[str, int]) -> str:
        if node is None:
            return ""
        rule_id = self.pattern(node, path, _SLUG, _SLUG_FORM)
        if rule_id in seen:
            self.note(node, path, f"`{shown(rule_id)}` is already the id in line {seen[rule_id]}")
        seen.setdefault(rule_id, node.line)
        return rule_id

    def _properties(self, node: Located | None, path: str) -> tuple[str, ...]:
        if node is None:
            return ()
        names = self.items(node, path, self._property, single=True)
        if not names:
            self.note(node, path, "a rule names at least one property")
        return names

    def _property(self, node: Located, path: str) -> str:
        name = self.text(node, path)
        if name in HOUSEKEEPING:
            self.note(node, path, f"`{name}` belongs to the wire format, and no rule applies to it", "remove it")
        if re.search(r"\[[^\]]", name) or name.startswith((".", "[")) or name.endswith(".") or ".." in name:
            self.note(node, path, "not a property path", "write lists as `items[].email`, without positions")
        return name

    def _scopes(self, node: Located | None, path: str) -> tuple[Scope, ...]:
        if node is None:
            return tuple(Scope)
        return self.items(node, path, lambda item, at: self.member(item, at, Scope, Scope.EVENT), single=True)
