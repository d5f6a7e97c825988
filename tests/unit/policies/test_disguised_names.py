"""Every name and glob of every shipped policy in disguise: the rule that governs it plain governs it dressed up."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from policies import library
from policies.classify import Governing, Place
from policies.compile import compile_policy
from policies.explain import Outcome, explain
from policies.load import load
from policies.model import ActionKind, Record, Rule, Scope
from tests.unit.policies.bypass.mutations import NAMES
from tests.unit.policies.conftest import Check

DISGUISES = ("name.case", "name.look-alike", "name.invisible", "name.case and look-alike")
EACH = 4


def written_out(rule: Rule) -> Iterator[str]:
    """A name for every pattern of a rule: letters that no other pattern is about in place of a wildcard."""
    for pattern in rule.properties:
        yield pattern.replace("[]", "").replace("*", "zq").replace("?", "z")


def is_weaker(dressed: Governing | None, plain: Governing) -> bool:
    """Whether a name in disguise gets less care. One that capitals split may meet another rule, which must come first
    for some reason other than that it keeps what the plain name's rule changes."""
    if dressed is None:
        return True
    return dressed is not plain and (dressed.index > plain.index or dressed.rule.action.kind is ActionKind.KEEP)


def hidden(name: str, disguise: Callable[[random.Random, str], str]) -> Iterator[tuple[str, str, str]]:
    """Rule, pattern and disguised name, of one shipped policy, wherever the disguise is weaker; and nothing else."""
    policy, rng = load(library.text(name)), random.Random(5)
    classifier = compile_policy(policy).classifier
    for rule in policy.rules:
        if rule.action.kind is ActionKind.KEEP:
            continue
        event = rule.events[0].replace("*", "x") if rule.events else "e"
        for scope in rule.scopes:
            root = classifier.root(scope, classifier.event_mask(event) if scope is Scope.EVENT else 0)
            for written in written_out(rule):
                plain: Place = classifier.place(root, written)
                assert plain.governing is not None, (rule.id, written)
                for _ in range(EACH):
                    dressed = disguise(rng, written)
                    if is_weaker(classifier.place(root, dressed).governing, plain.governing):
                        yield rule.id, written, ascii(dressed)


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("policy", library.names())
def test_no_disguise_hides_a_name_of_a_shipped_policy(policy: str, disguise: str) -> None:
    assert list(hidden(policy, NAMES[disguise])) == []


RULES = """
rules:
  - {id: facts, properties: ["is_*", "num_*", "*_verified"], category: user.behavior, sensitivity: internal, action: keep}
  - {id: card, properties: [numero_carta, "*_zipcode", "numero_securite*"], category: user.financial, sensitivity: restricted, action: drop}
  - {id: mail, properties: ["*email*"], category: user.contact.email, sensitivity: confidential, action: drop}
"""


@pytest.mark.parametrize(
    "name", ["numERo_cArta", "numERo_caRt\u0410", "NumEro-Carta", "isX_ziPcode", "numEro_securiteX", "a.numEroCarta"]
)
def test_capitals_in_odd_places_set_no_words_apart_in_a_name_that_a_rule_says_word_for_word(name: str, checked: Check) -> None:
    assert [remark.rule for remark in checked(RULES, {name: "Zz"}).remarks] == ["card"]


@pytest.mark.parametrize("name", ["isEmailKnown", "emailVerified", "user_emailVerified", "numEmails", "IsEmail"])
def test_capitals_set_words_apart_where_no_rule_says_the_name(name: str, checked: Check) -> None:
    assert checked(RULES, {name: "Zz"}).remarks == ()


def test_the_explanation_ranks_the_rules_of_such_a_name_as_the_gate_does() -> None:
    gate = compile_policy(load(f"policy: test\n{RULES}"))
    explained = explain(gate, Record(Scope.EVENT, "e", {"numERo_carta": "Zz"}))
    assert [(each.rule, each.outcome) for each in explained.paths[0].rules] == [
        ("card", Outcome.WON),
        ("facts", Outcome.SHADOWED),
    ]
