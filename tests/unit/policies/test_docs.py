"""docs/policy.md tells the truth: its examples hold, its table of actions is run, its lists are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from policies import library, schema
from policies.cases import failures
from policies.cipher import TokenKey
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import ActionKind, Detector, Geolocation, Policy, Reason, Record, Scope
from policies.pseudonym import PseudonymKey

TEXT = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
KEY = bytes(range(32))
NOON = 1_781_524_800_000  # 2026-06-15T12:00:00Z


def section(title: str) -> str:
    """The text under one heading."""
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def example(block: str) -> Policy:
    """A block as a policy; those that show one section only are given a name."""
    return load(block if block.startswith("policy:") else f"policy: example\n{block}")


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_block_is_a_policy_and_its_cases_hold(block: str) -> None:
    policy = example(block)
    assert [(case.name, wrong) for case, wrong in failures(policy, compile_policy(policy))] == []


def test_the_first_block_is_complete() -> None:
    complete = example(BLOCKS[0])
    assert len(BLOCKS) >= 6
    assert BLOCKS[0].startswith("policy:")
    assert len(complete.cases) >= 5
    assert all(rule.why for rule in complete.rules)
    written = set(re.findall(r"^(\w+):", BLOCKS[0], re.MULTILINE))
    assert written == set(schema._POLICY_FIELDS)


ROWS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (`[^`]+`|nothing|no event) \|", section("What a rule does"), re.MULTILINE)


@pytest.mark.parametrize(("action", "before", "after"), ROWS, ids=[row[0] for row in ROWS])
def test_every_row_of_the_table_of_actions(action: str, before: str, after: str) -> None:
    written = action if ":" not in action else "{" + action + "}"
    rule = f"{{id: r, properties: x, category: user.contact.email, sensitivity: internal, action: {written}}}"
    gate = compile_policy(load(f"policy: t\nrules: [{rule}]"))
    record = Record(Scope.EVENT, "e", {"x": json.loads(before)}, time_ms=NOON, subject_key=KEY)
    (decision,) = gate.check([record], CheckContext(PseudonymKey(1, KEY), tokens=TokenKey(1, KEY)))
    if after == "no event":
        assert decision.properties is None
    elif after == "nothing":
        assert decision.properties == {}
    else:
        assert decision.properties is not None
        expected, found = json.loads(after.strip("`")), decision.properties["x"]
        assert found == expected or (str(expected).endswith("…") and found.startswith(expected[:-1]))


def first_cells(title: str) -> list[str]:
    return re.findall(r"^\| `(\w+)", section(title), re.MULTILINE)


def test_every_reason_is_explained_and_no_other() -> None:
    assert sorted(first_cells("Remarks and reasons")) == sorted(Reason)


def test_every_action_detector_key_and_test_is_explained() -> None:
    assert {row[0].partition(":")[0] for row in ROWS} == set(ActionKind)
    detectors = first_cells("Detectors: what is found by its form")
    assert set(detectors) == {*Detector, *schema._DETECTOR_FIELDS}
    assert set(first_cells("The keys of the file")) == {*schema._POLICY_FIELDS, *schema._RULE_FIELDS}
    tests = re.findall(
        r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", section("Events: allowed, blocked, filtered"), re.MULTILINE))
    )
    assert set(tests) == set(schema._TESTS)


def test_every_shipped_policy_is_named() -> None:
    assert tuple(sorted(re.findall(r"^\| `([\w-]+)` \|", section("The policies that ship"), re.MULTILINE))) == library.names()


def test_the_table_of_places_is_what_the_ladder_does() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", section("Places"), re.MULTILINE)
    described = {name: answers for names, *answers in rows for name in re.findall(r"`([^`]+)`", names)}
    for rung, column in zip(Geolocation, range(4), strict=True):
        gate = compile_policy(load(f"policy: t\ngeolocation: {rung}"))
        for name, answers in described.items():
            sent = 12.345 if name in ("$latitude", "$longitude") else "FR"
            (decision,) = gate.check([Record(Scope.EVENT, "e", {name: sent})], CheckContext(PseudonymKey(1, KEY)))
            left = (decision.properties or {}).get(name, "removed")
            means = {"removed": "removed", "kept": sent, "down to 1 degree": 12, "down to 0.1 degree": 12.3}
            assert left == means[answers[column]], (name, rung)


def test_the_contents_lead_to_every_heading() -> None:
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    links = re.findall(r"^- \[(.+?)\]\(#(.+?)\)$", TEXT, re.MULTILINE)
    assert [title for title, _ in links] == headings
    assert [anchor for _, anchor in links] == [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings]
