"""docs/policy.md tells the truth: its example holds, and its table of reasons is complete."""

from __future__ import annotations

import re
from pathlib import Path

from policies.cases import disagreements
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import ActionKind, Detector, Reason

TEXT = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text under one heading."""
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_the_example_is_a_policy_and_its_case_holds(context: CheckContext) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    policy = load(example)
    (case,) = policy.cases
    (decision,) = compile_policy(policy).check([case.record], context)
    assert disagreements(case, decision) == ()


def test_every_reason_is_explained_and_no_other() -> None:
    table = re.findall(r"^\| `(\w+)` \|", section("Remarks and reasons"), re.MULTILINE)
    assert sorted(table) == sorted(Reason)


def test_every_action_and_detector_is_explained() -> None:
    actions = re.findall(r"^\| `(\w+)", section("What a rule does"), re.MULTILINE)
    assert sorted(actions) == sorted(ActionKind)
    detectors = re.findall(r"^\| `(\w+)` \|", section("Detectors: what is found by its form"), re.MULTILINE)
    assert sorted(detectors) == sorted(Detector)
