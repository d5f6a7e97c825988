"""The policy language: which keys there are, what each may hold, and what a mistake was probably meant to
be."""

from __future__ import annotations

import re
from collections.abc import Callable

from policies.cases import read_case
from policies.classify import HOUSEKEEPING
from policies.detect import is_region
from policies.errors import PolicyProblem
from policies.geolocate import AVAILABLE
from policies.located import Located, Reader, meant, shown
from policies.model import (
    Action,
    ActionKind,
    Case,
    Detector,
    DetectorTerms,
    Drop,
    DropEvent,
    Fallback,
    Geolocation,
    Hash,
    Keep,
    Mask,
    Policy,
    Quarantine,
    Redact,
    Rule,
    Scope,
    Sensitivity,
    Truncate,
)

_POLICY_FIELDS = (
    "policy",
    "description",
    "geolocation",
    "default_region",
    "unknown_properties",
    "unknown_events",
    "events",
    "detectors",
    "rules",
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
    "why",
)
_RULE_REQUIRED = ("id", "properties", "category", "sensitivity", "action")
_DETECTOR_ACTIONS = ("keep", "drop", "drop_event", "quarantine", "hash", "redact")
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CATEGORY = re.compile(r"(?:user|system)(?:\.[a-z0-9_]+)*")
_MAX_RULES = 1_000
_MAX_LENGTH = 10_000


def read_policy(node: Located, problems: list[PolicyProblem]) -> Policy:
    """The policy a located mapping stands for. Adds every mistake to ``problems``; then the result is
    meaningless."""
    return _PolicyReader(problems).policy(node)


class _PolicyReader(Reader):
    """One reading of one policy."""

    def policy(self, node: Located) -> Policy:
        """The whole file."""
        fields = self.fields(node, "", _POLICY_FIELDS, ("policy",))
        events = self.fields(fields["events"], "events", ("allow", "block"), ()) if "events" in fields else {}
        return Policy(
            name=self.pattern(fields["policy"], "policy", _SLUG, "words of a-z and 0-9 joined by dashes")
            if "policy" in fields
            else "",
            description=self.text(fields["description"], "description", 4_000) if "description" in fields else "",
            rules=self._rules(fields.get("rules")),
            detectors=self._detectors(fields.get("detectors")),
            default_region=self._region(fields.get("default_region")),
            geolocation=self._geolocation(fields.get("geolocation")),
            unknown_properties=self._fallback(fields.get("unknown_properties"), "unknown_properties"),
            unknown_events=self._fallback(fields.get("unknown_events"), "unknown_events"),
            allowed_events=self._globs(events.get("allow"), "events.allow"),
            blocked_events=self._globs(events.get("block"), "events.block"),
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

    def _geolocation(self, node: Located | None) -> Geolocation:
        if node is None:
            return Geolocation.OFF
        rung = self.member(node, "geolocation", Geolocation, Geolocation.OFF)
        if rung not in AVAILABLE:
            self.note(node, "geolocation", f"`{rung}` is not available yet", "use `off`")
        return rung

    def _fallback(self, node: Located | None, path: str) -> Fallback:
        return Fallback.ALLOW if node is None else self.member(node, path, Fallback, Fallback.ALLOW)

    def _globs(self, node: Located | None, path: str) -> tuple[str, ...]:
        return () if node is None else self.items(node, path, self.text, single=True)

    def _cases(self, node: Located | None) -> tuple[Case, ...]:
        return () if node is None else self.items(node, "cases", lambda item, path: read_case(self, item, path))

    def _detectors(self, node: Located | None) -> tuple[tuple[Detector, DetectorTerms], ...]:
        """An action for every detector; one that is not mentioned redacts, which is the safe side."""
        chosen = dict.fromkeys(Detector, DetectorTerms())
        if node is not None:
            for name, value in self.fields(node, "detectors", tuple(map(str, Detector)), ()).items():
                chosen[Detector(name)] = DetectorTerms(self._detector_action(value, f"detectors.{name}"))
        return tuple(chosen.items())

    def _detector_action(self, node: Located, path: str) -> ActionKind:
        kind = self.member(node, path, ActionKind, ActionKind.REDACT)
        if kind not in _DETECTOR_ACTIONS:
            self.note(node, path, f"`{kind}` needs a whole value", f"one of {', '.join(_DETECTOR_ACTIONS)}")
        return kind

    def _rules(self, node: Located | None) -> tuple[Rule, ...]:
        if node is None:
            return ()
        if isinstance(node.value, list) and len(node.value) > _MAX_RULES:
            self.note(node, "rules", f"at most {_MAX_RULES} rules")
            return ()
        seen: dict[str, int] = {}
        return self.items(node, "rules", lambda item, path: self._rule(item, path, seen))

    def _rule(self, node: Located, path: str, seen: dict[str, int]) -> Rule:
        fields = self.fields(node, path, _RULE_FIELDS, _RULE_REQUIRED)
        rule = Rule(
            id=self._id(fields.get("id"), f"{path}.id", seen),
            properties=self._properties(fields.get("properties"), f"{path}.properties"),
            category=self.pattern(
                fields["category"],
                f"{path}.category",
                _CATEGORY,
                "a fideslang key such as user.contact.email",
            )
            if "category" in fields
            else "user",
            sensitivity=self.member(fields["sensitivity"], f"{path}.sensitivity", Sensitivity, Sensitivity.RESTRICTED)
            if "sensitivity" in fields
            else Sensitivity.RESTRICTED,
            action=self._action(fields["action"], f"{path}.action") if "action" in fields else Drop(),
            scopes=self._scopes(fields.get("scope"), f"{path}.scope"),
            events=self._globs(fields.get("events"), f"{path}.events"),
            classified="classified" in fields and self.boolean(fields["classified"], f"{path}.classified"),
            scan="scan" not in fields or self.boolean(fields["scan"], f"{path}.scan"),
            why=self.text(fields["why"], f"{path}.why", 2_000) if "why" in fields else "",
        )
        self._check_together(rule, fields, path)
        return rule

    def _check_together(self, rule: Rule, fields: dict[str, Located], path: str) -> None:
        """What single fields cannot show."""
        if not rule.scan and not isinstance(rule.action, Keep):
            self.note(fields["scan"], f"{path}.scan", "only a property that is kept can be exempt from detection")
        if rule.events and rule.scopes != (Scope.EVENT,):
            self.note(fields["events"], f"{path}.events", "only events have names", "add `scope: event`")

    def _id(self, node: Located | None, path: str, seen: dict[str, int]) -> str:
        if node is None:
            return ""
        rule_id = self.pattern(node, path, _SLUG, "words of a-z and 0-9 joined by dashes")
        if rule_id in seen:
            self.note(node, path, f"`{shown(rule_id)}` is already the id of the rule in line {seen[rule_id]}")
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

    def _action(self, node: Located, path: str) -> Action:
        """``drop`` or ``{mask: {keep_last: 2}}``: a word, or one word with its settings."""
        if isinstance(node.value, str):
            kind, settings = self.member(node, path, ActionKind, ActionKind.DROP), None
        elif isinstance(node.value, dict) and len(node.value) == 1:
            name, (key, settings) = next(iter(node.value.items()))
            if name not in tuple(ActionKind):
                self.note(key, path, f"unknown value `{shown(name)}`", meant(name, tuple(ActionKind)))
                return Drop()
            kind = ActionKind(name)
        else:
            self.note(node, path, "must be one action", "for example `drop`, or `mask: {keep_last: 2}`")
            return Drop()
        return self._configured(kind, settings, node, path)

    def _configured(self, kind: ActionKind, settings: Located | None, node: Located, path: str) -> Action:
        simple = _SIMPLE.get(kind)
        if simple is not None:
            if settings is not None:
                self.note(settings, path, f"`{kind}` has no settings", f"write `action: {kind}`")
            return simple()
        if kind is ActionKind.TRUNCATE and settings is None:
            self.note(node, path, "needs a length", "write `truncate: {length: 4}`")
            return Truncate(0)
        readers: dict[ActionKind, Callable[[Located | None, str], Action]] = {
            ActionKind.HASH: self._hash,
            ActionKind.MASK: self._mask,
            ActionKind.TRUNCATE: self._truncate,
        }
        return readers[kind](settings, f"{path}.{kind}")

    def _hash(self, settings: Located | None, path: str) -> Hash:
        fields = self.fields(settings, path, ("purpose",), ()) if settings else {}
        purpose = fields.get("purpose")
        return Hash(None if purpose is None else self.text(purpose, f"{path}.purpose"))

    def _mask(self, settings: Located | None, path: str) -> Mask:
        fields = self.fields(settings, path, ("keep_first", "keep_last"), ()) if settings else {}
        first, last = (
            self.integer(fields[name], f"{path}.{name}", 0, 100) if name in fields else 0 for name in ("keep_first", "keep_last")
        )
        return Mask(first, last)

    def _truncate(self, settings: Located | None, path: str) -> Truncate:
        fields = self.fields(settings, path, ("length",), ("length",)) if settings else {}
        return Truncate(self.integer(fields["length"], f"{path}.length", 0, _MAX_LENGTH) if "length" in fields else 0)


_SIMPLE: dict[ActionKind, Callable[[], Action]] = {
    ActionKind.KEEP: Keep,
    ActionKind.DROP: Drop,
    ActionKind.DROP_EVENT: DropEvent,
    ActionKind.QUARANTINE: Quarantine,
    ActionKind.REDACT: Redact,
}
