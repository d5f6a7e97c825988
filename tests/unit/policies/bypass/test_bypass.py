"""Nothing that a policy forbids passes: at least ten thousand mutants over everything that ships.

`make bypass` runs many more and prints what became of them.
"""

from __future__ import annotations

from collections import Counter

import pytest

from policies import library
from tests.unit.policies.bypass.corpus import Attack, Mutant, Tally, not_promised, policies, stream
from tests.unit.policies.bypass.oracle import readable, strings
from tests.unit.policies.bypass.plants import PLANTS, seeds

POLICIES = policies()
LEAST = 10_000
EACH = -(-LEAST // len(POLICIES)) + 100


def described(mutants: list[Mutant]) -> Counter[str]:
    """What went wrong where; the values are made up, and still they are not printed."""
    return Counter(f"{mutant.family}: {mutant.seed.label}" for mutant in mutants)


def test_every_shipped_policy_is_attacked_with_at_least_ten_thousand_mutants_in_all() -> None:
    assert set(library.names()) <= POLICIES.keys()
    assert EACH * len(POLICIES) >= LEAST
    for name, policy in POLICIES.items():
        assert sum(1 for _ in stream(policy, EACH)) == EACH, name


@pytest.mark.parametrize("name", POLICIES)
def test_nothing_that_the_policy_forbids_is_stored_in_clear(name: str) -> None:
    tally, attack = Tally(), Attack(POLICIES[name])
    for mutant in stream(POLICIES[name], EACH):
        attack.judge(mutant, tally, name)
    assert described(tally.leaks) == Counter()
    # The positive control: where nothing is taken out, the oracle finds every single one.
    assert described(tally.blind) == Counter()
    assert tally.tried[f"policy {name}"] == tally.seen[f"policy {name}"] == EACH


def test_few_mutants_are_refused_for_being_hard_to_judge() -> None:
    name = library.names()[0]
    tally, attack = Tally(), Attack(POLICIES[name])
    for mutant in stream(POLICIES[name], EACH):
        attack.judge(mutant, tally, name)
    assert tally.failed[f"policy {name}"] <= EACH // 100


def test_the_same_seed_gives_the_same_mutants() -> None:
    policy = POLICIES[library.names()[0]]
    first, second, other = (
        [[*strings(mutant.record.properties)] for mutant in stream(policy, 300, seed) if "odd" not in mutant.family]
        for seed in (5, 5, 6)
    )
    assert first == second != other


def test_every_detector_that_there_is_has_a_plant() -> None:
    from policies.detect import CATEGORIES

    assert {plant.detector for plant in PLANTS} >= set(CATEGORIES)


def test_every_rule_that_changes_something_is_among_the_seeds() -> None:
    for policy in POLICIES.values():
        attacked = {seed.label for seed in seeds(policy)}
        changing = {
            f"rule.{rule.id}" for rule in policy.rules if rule.action.kind != "keep" and getattr(rule.action, "length", 0) < 20
        }
        assert changing - attacked == set()


def test_what_is_not_promised_is_tried_and_counted_all_the_same() -> None:
    name = library.names()[0]
    tally, attack = Tally(), Attack(POLICIES[name])
    for mutant in not_promised(POLICIES[name]):
        attack.judge(mutant, tally, name)
    assert tally.tried.total() > 0


@pytest.mark.parametrize(
    "kept",
    [
        "see quillfeather",
        {"quill-feather": 1},
        ["q u i l l", "feather"],
        "cXVpbGxmZWF0aGVy",
        "%2571uillfeather",
        '"{\\"a\\": \\"\\\\u0071uillfeather\\"}"',
        "q&#117;illfeather",
        "ｑuіllfеather\u200b",
        {"a": [["q", {"u": "illfeather"}]]},
        "data:;base64," + "Y1hWcGJHeG1aV0YwYUdWeQ",
    ],
)
def test_the_oracle_reads_through_every_disguise(kept: object) -> None:
    assert readable(["quillfeather"], kept)


def test_the_oracle_does_not_cry_wolf_at_what_the_gate_leaves() -> None:
    assert not readable(["quillfeather"], {"a": "[email]", "b": "p1.mfrggzdfmztwq2lkmfrggzdfmztwq2lk", "c": [1, None, "feather"]})
