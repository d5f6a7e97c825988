"""From the written policy to the gate: names resolved, patterns compiled, a digest that names exactly these
rules."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec

from policies.classify import Classifier, EventPatterns, Part
from policies.consent import ConsentTerms
from policies.detect import Scanner, is_region
from policies.errors import PolicyInvalid, PolicyProblem
from policies.filters import CompiledFilter
from policies.gate import EventTerms, Gate
from policies.geolocate import standing_rules
from policies.model import Detector, DetectorTerms, Fallback, Policy, Reason
from policies.queries import Queries
from policies.terms import Terms


def compile_policy(policy: Policy) -> Gate:
    """The gate that enforces ``policy``. Raises PolicyInvalid with every problem a hand-built policy may
    have."""
    problems = tuple(_problems(policy))
    if problems:
        raise PolicyInvalid(problems)
    detectors = dict(policy.detectors)
    scanner = Scanner(detectors, policy.default_region)
    known, consent = classifier(policy, scanner), ConsentTerms(policy.consent)
    queries = Queries(known)
    terms = Terms(known, scanner, detectors, policy.unknown_properties, policy.default_region, consent, queries)
    events = EventTerms(
        EventPatterns(policy.allowed_events),
        EventPatterns(policy.blocked_events),
        policy.unknown_events,
        tuple(map(CompiledFilter, policy.drop_filters)),
    )
    return Gate(policy.name, digest(policy), terms, events, policy.geolocation)


def classifier(policy: Policy, scanner: Scanner) -> Classifier:
    """Which rule governs which property, the standing rules first."""
    written = tuple((rule, Reason.CLASSIFIED) for rule in policy.rules)
    unknown = Part.SCANNED if policy.unknown_properties.otherwise is Fallback.ALLOW else Part.TOUCHED
    return Classifier(standing_rules(policy.geolocation) + written, scanner.suspicion.name, unknown, scanner.suspicion.telling)


def digest(policy: Policy) -> str:
    """SHA-256, in hexadecimal, of the policy as deterministic JSON. Cases are left out: they decide
    nothing."""
    return hashlib.sha256(msgspec.json.encode(replace(policy, cases=()), order="deterministic")).hexdigest()


def _problems(policy: Policy) -> list[PolicyProblem]:
    """What ``load`` would have refused with a line; here there is none."""
    found = []
    ids = [rule.id for rule in policy.rules]
    purposes = {purpose.name for purpose in policy.consent.purposes}
    for index, rule in enumerate(policy.rules):
        if ids.index(rule.id) != index:
            found.append(PolicyProblem(0, 0, f"rules[{index}].id", "another rule has this id"))
        if not rule.properties:
            found.append(PolicyProblem(0, 0, f"rules[{index}].properties", "a rule names at least one property"))
        if not purposes.issuperset(rule.purposes):
            found.append(PolicyProblem(0, 0, f"rules[{index}].purposes", "not a purpose of this policy"))
    missing = set(Detector) - {detector for detector, _ in policy.detectors}
    found += [PolicyProblem(0, 0, "detectors", f"no action for {name}") for name in sorted(missing)]
    for name, terms in policy.detectors:
        if not (isinstance(terms, DetectorTerms) and 0 <= terms.confidence <= 1):
            found.append(PolicyProblem(0, 0, f"detectors.{name}", "a confidence lies between 0 and 1"))
    if not is_region(policy.default_region):
        found.append(PolicyProblem(0, 0, "default_region", "not a region with a numbering plan"))
    return found
