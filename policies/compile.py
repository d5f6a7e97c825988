"""From the written policy to the gate: names resolved, patterns compiled, a digest that names exactly these
rules."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec

from policies.classify import Classifier, EventPatterns, Part
from policies.detect import Scanner, is_region
from policies.errors import PolicyInvalid, PolicyProblem
from policies.gate import EventTerms, Gate
from policies.geolocate import AVAILABLE, standing_rules
from policies.model import ActionKind, Detector, Fallback, Policy, Reason
from policies.walk import Terms


def compile_policy(policy: Policy) -> Gate:
    """The gate that enforces ``policy``. Raises PolicyInvalid with every problem a hand-built policy may
    have."""
    problems = tuple(_problems(policy))
    if problems:
        raise PolicyInvalid(problems)
    terms_of = {Detector(detector): terms for detector, terms in policy.detectors}
    detectors = {detector: ActionKind(terms.action) for detector, terms in terms_of.items()}
    written = tuple((rule, Reason.CLASSIFIED) for rule in policy.rules)
    scanner = Scanner(terms_of, policy.default_region)
    unknown = Part.SCANNED if policy.unknown_properties is Fallback.ALLOW else Part.TOUCHED
    terms = Terms(
        Classifier(standing_rules(policy.geolocation) + written, scanner.suspicion.name, unknown, scanner.is_telling),
        scanner,
        detectors,
        policy.unknown_properties,
    )
    events = EventTerms(EventPatterns(policy.allowed_events), EventPatterns(policy.blocked_events), policy.unknown_events)
    return Gate(policy.name, digest(policy), terms, events)


def digest(policy: Policy) -> str:
    """SHA-256, in hexadecimal, of the policy as deterministic JSON. Cases are left out: they decide
    nothing."""
    return hashlib.sha256(msgspec.json.encode(replace(policy, cases=()), order="deterministic")).hexdigest()


def _problems(policy: Policy) -> list[PolicyProblem]:
    """What ``load`` would have refused with a line; here there is none."""
    found = []
    ids = [rule.id for rule in policy.rules]
    for index, rule in enumerate(policy.rules):
        if ids.index(rule.id) != index:
            found.append(PolicyProblem(0, 0, f"rules[{index}].id", "another rule has this id"))
        if not rule.properties:
            found.append(PolicyProblem(0, 0, f"rules[{index}].properties", "a rule names at least one property"))
    missing = set(Detector) - {detector for detector, _ in policy.detectors}
    found += [PolicyProblem(0, 0, "detectors", f"no action for {name}") for name in sorted(missing)]
    if policy.geolocation not in AVAILABLE:
        found.append(PolicyProblem(0, 0, "geolocation", f"{policy.geolocation} is not available yet", "use off"))
    if not is_region(policy.default_region):
        found.append(PolicyProblem(0, 0, "default_region", "not a region with a numbering plan"))
    return found
