"""Every policy that ships loads, compiles, keeps the promises of its own cases, and has a case for every rule."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from policies import library
from policies.cases import disagreements, failures
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.errors import PolicyNotFound
from policies.findings import Severity
from policies.lint import lint_text
from policies.load import load
from policies.model import ActionKind, Consented, Drop, Fallback, Geolocation, Keep, Policy, Record, Rule, Scope, Signal, Verdict
from policies.pseudonym import PseudonymKey

CONTEXT = CheckContext(PseudonymKey(1, bytes(range(32))))
NAMES = ("ccpa", "coppa", "gdpr-analytics", "gdpr-strict", "hipaa-safe-harbor", "passthrough")


@cache
def policy(name: str) -> Policy:
    return load(library.text(name))


CASES = [(name, case) for name in NAMES for case in policy(name).cases]
RULES = [(name, rule) for name in NAMES for rule in policy(name).rules]


def test_these_ship() -> None:
    assert library.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_policy_explains_itself_and_carries_cases(name: str) -> None:
    shipped = policy(name)
    assert shipped.name == name
    assert shipped.description
    assert len(shipped.cases) >= 15
    assert len({case.name for case in shipped.cases}) == len(shipped.cases)
    assert all(rule.why for rule in shipped.rules)
    assert library.text(name).startswith("#")


@pytest.mark.parametrize("name", NAMES)
def test_lint_finds_no_error_and_no_category_of_our_own_making_in_it(name: str) -> None:
    found = lint_text(library.text(name))
    assert [str(each) for each in found if each.severity is Severity.ERROR or each.code == "unknown-category"] == []


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case.name}" for name, case in CASES])
def test_case(name, case) -> None:
    assert list(failures(replace(policy(name), cases=(case,)), compile_policy(policy(name)))) == []


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[f"{name}: {rule.id}" for name, rule in RULES])
def test_every_rule_is_held_by_a_case(name: str, rule: Rule) -> None:
    """With the opposite action in its place some case no longer holds."""
    action = Drop() if rule.action.kind is ActionKind.KEEP else Keep()
    shipped = policy(name)
    rules = tuple(replace(each, action=action, scan=True) if each.id == rule.id else each for each in shipped.rules)
    assert list(failures(shipped, compile_policy(replace(shipped, rules=rules)))), rule.id


@pytest.mark.parametrize("name", [name for name in NAMES if name != "passthrough"])
@pytest.mark.parametrize("spelling", ["email", "userEmail", "Work E-Mail", "E_MAIL", "ｅｍａｉｌ"])
def test_no_policy_but_passthrough_keeps_an_address_in_clear(name: str, spelling: str) -> None:
    gate = compile_policy(policy(name))
    for scope, record_name in ((Scope.EVENT, "Purchase"), (Scope.PROFILE, "$set"), (Scope.GROUP, "$set")):
        for value in ("jane@example.com", "Jane <jane@example.com>", ["jane@example.com"], {"x": "jane@example.com"}):
            (decision,) = gate.check([Record(scope, record_name, {spelling: value})], CONTEXT)
            assert "jane@" not in str(decision.properties)


def test_the_strict_policy_fails_closed() -> None:
    strict = policy("gdpr-strict")
    assert strict.consent.default is Consented.OPTED_OUT
    assert set(strict.consent.signals) == set(Signal)
    assert strict.unknown_properties.otherwise is Fallback.DROP
    assert strict.unknown_events.otherwise is not Fallback.ALLOW
    assert strict.geolocation is Geolocation.OFF
    assert {terms.action for _, terms in strict.detectors} == {ActionKind.DROP, ActionKind.DROP_EVENT}


def test_the_safe_harbor_has_a_rule_for_each_of_the_eighteen_identifiers_and_derives_nothing() -> None:
    harbor = policy("hipaa-safe-harbor")
    numbers = {rule.id.split("-")[1] for rule in harbor.rules if rule.id.startswith("hipaa-")}
    assert numbers == {f"{number:02d}" for number in range(1, 19)}
    derived = {ActionKind.HASH, ActionKind.TOKENISE, ActionKind.ENCRYPT, ActionKind.MASK}
    assert not {rule.action.kind for rule in harbor.rules} & derived
    assert harbor.unknown_properties.otherwise is Fallback.DROP


def test_passthrough_says_what_it_is_and_never_stores_an_address_of_the_network() -> None:
    assert "PROTECTS NOBODY" in library.text("passthrough")
    assert "PROTECTS NOBODY" in policy("passthrough").description
    (decision,) = compile_policy(policy("passthrough")).check([Record(Scope.EVENT, "e", {"ip": "203.0.113.9"})], CONTEXT)
    assert (decision.verdict, decision.properties) == (Verdict.CHANGED, {})


def test_a_case_that_does_not_hold_is_noticed() -> None:
    gate = compile_policy(policy("gdpr-analytics"))
    first, second = policy("gdpr-analytics").cases[:2]
    (other,) = gate.check([second.record], CONTEXT)
    assert len(disagreements(first, other)) >= 1


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(PolicyNotFound, match="gdpr-analytics"):
        library.text("../errors")
