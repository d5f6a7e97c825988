"""Every policy that ships loads, compiles, and keeps the promises of its own cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies import library
from policies.cases import disagreements, failures
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.errors import PolicyNotFound
from policies.load import load
from policies.pseudonym import PseudonymKey

CONTEXT = CheckContext(PseudonymKey(1, bytes(range(32))))
CASES = [(name, case) for name in library.names() for case in load(library.text(name)).cases]


@pytest.mark.parametrize("name", library.names())
def test_every_shipped_policy_carries_cases_and_bears_the_name_of_its_file(name: str) -> None:
    policy = load(library.text(name))
    assert policy.name == name
    assert policy.cases
    assert all(rule.why for rule in policy.rules)


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case.name}" for name, case in CASES])
def test_case(name, case) -> None:
    gate = compile_policy(load(library.text(name)))
    assert list(failures(replace(load(library.text(name)), cases=(case,)), gate)) == []


def test_a_case_that_does_not_hold_is_noticed() -> None:
    gate = compile_policy(load(library.text("gdpr-analytics")))
    case = CASES[0][1]
    (other,) = gate.check([CASES[1][1].record], CONTEXT)
    assert len(disagreements(case, other)) >= 1


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(PolicyNotFound, match="gdpr-analytics"):
        library.text("../errors")
