"""The shipped policies over a sample of traffic, and every action over a table of values, compared with files a reviewer
can read.

When a difference is intended, write the new output with ``python -m tests.unit.policies.test_golden`` and review it
like code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policies import library
from policies.cipher import TokenKey
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import ActionKind, Decision, Detector, Record, Scope, Signal, SubjectState
from policies.pseudonym import PseudonymKey

GOLDEN = Path(__file__).parents[2] / "golden" / "policies"
SAMPLE = json.loads((GOLDEN / "sample.json").read_text(encoding="utf-8"))
KEY = bytes(range(32))
NOON = 1_781_524_800_000  # 2026-06-15T12:00:00Z

# Each action as it is written in a policy, for a property of a category, and the values that the golden file shows it with.
ACTIONS: tuple[tuple[str, str, list[Any]], ...] = (
    ("keep", "user", ["blue", 7, None, True, "jane@example.com"]),
    ("drop", "user", ["blue", 7, None, True, {"a": 1}]),
    ("drop_event", "user", ["blue", None]),
    ("quarantine", "user.content", ["blue", 7, None, True, {"a": "x"}]),
    ("hash", "user.contact.email", ["Jane@Example.com", " jane@example.com ", 7, 7.0, "7", "", None, True, ["a", {"b": "a"}]]),
    ("hash: {purpose: device, period: month}", "user.device", ["a1", "A1"]),
    ("mask", "user", ["abc", "", "naïve", 12345]),
    ("mask: {keep_first: 1, keep_last: 2}", "user", ["abcdef", "abc", "ab", "", "ñandú es", -12345, 1.5, None, False]),
    ("truncate: {length: 4}", "user", ["abcdef", "abc", "", "ééééé", 1985, 198504, -12.5, None, True]),
    ("generalise: {bucket: 10}", "user", [34, "34", 30, -1, 0, 34.9, "-0.5", 10**15 + 7, 10**30, 1e300, "abc", "", None, True]),
    ("generalise: {bucket: 0.1}", "user", [0.3, 0.7, 45.7640, -4.8357, "1.05"]),
    (
        "generalise: {bands: [13, 18, 65]}",
        "user.demographic.age",
        [12, 13, "17", 18, 64.9, 65, 120, -3, "18-64", "n/a", "2008-06-15", "2008-06-16", None],
    ),
    (
        "generalise: {bands: [18, 65]}",
        "user.demographic.date_of_birth",
        ["2008-06-15", "2008-06-16", "2008-02-29", 2008, "1985", 482112000, 482112000000, "12.4.1985", "2030-01-01", 35],
    ),
    ("generalise: {date: year}", "user", ["2026-06-15", "2026-06-15T23:59:59-08:00", "2026", 1781524800, 20260615, "15/06/2026"]),
    ("generalise: {date: month}", "user", ["2026-06-15", "2026", "20260615", 1781524800123, "2026-13-01", "2025-02-29", ""]),
    ("generalise: {date: day}", "user", ["2026-06-15 10:00", "2024-02-29T00:00:00Z", "2026-06"]),
    (
        "generalise: {postal: 3}",
        "user.contact.address.postal_code",
        [
            "94107",
            "94107-1234",
            94107,
            2134,
            3602,
            "03602",
            "SW1A 1AA",
            "K1A 0B1",
            "1012 AB",
            "D-10115",
            "LV-1050",
            "941",
            "home",
            "",
            None,
        ],
    ),
    ("replace: {with: unknown}", "user", ["blue", 7, None, True, ["a", "b"]]),
    ("replace: {with: true}", "user", [1, True, "yes"]),
    ("redact", "user.name", ["Jane", "", 7, None, True, {"a": ["x", None]}]),
    ("encrypt", "user.content", ["blue", 7, "", None, True]),
    ("tokenise", "user.unique_id", ["L-1042", 1042, "", None, True]),
    ("tokenise: {purpose: loyalty}", "user.unique_id", ["L-1042"]),
)


def _context(signals: frozenset[Signal] = frozenset()) -> CheckContext:
    return CheckContext(PseudonymKey(1, KEY), tokens=TokenKey(1, KEY), signals=signals)


def _shown(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "name": decision.name,
        "properties": decision.properties,
        "remarks": [[remark.rule, remark.path, remark.action, remark.reason] for remark in decision.remarks],
    }


def _answers(name: str) -> list[dict[str, Any]]:
    gate = compile_policy(load(library.text(name)))
    answers = []
    for one in SAMPLE:
        state = SubjectState(one.get("state", "active"))
        refused = frozenset(one.get("refused_purposes", ()))
        record = Record(Scope(one["scope"]), one["name"], one["properties"], state, NOON, refused, KEY)
        (decision,) = gate.check([record], _context(frozenset(map(Signal, one.get("signals", ())))))
        answers.append(_shown(decision))
    return json.loads(json.dumps(answers))  # type: ignore[no-any-return]


def _actions() -> dict[str, list[list[Any]]]:
    """For each action, pairs of what came in and what remained; ``null`` for the whole where nothing did."""
    shown: dict[str, list[list[Any]]] = {}
    for action, category, values in ACTIONS:
        written = action if ":" not in action else "{" + action + "}"
        rule = f"{{id: r, properties: field, category: {category}, sensitivity: internal, action: {written}}}"
        gate = compile_policy(load(f"policy: test\nrules: [{rule}]"))
        title = f"{action} on {category}"
        shown[title] = []
        for value in values:
            (decision,) = gate.check([Record(Scope.EVENT, "e", {"field": value}, time_ms=NOON, subject_key=KEY)], _context())
            shown[title].append([value, decision.properties])
    return json.loads(json.dumps(shown))  # type: ignore[no-any-return]


def _read(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", library.names())
def test_the_output_is_the_golden_file(name: str) -> None:
    expected = _read(name)
    assert len(expected) == len(SAMPLE)
    for number, (found, wanted) in enumerate(zip(_answers(name), expected, strict=True)):
        assert found == wanted, f"sample {number} differs"


def test_every_action_gives_what_the_golden_file_shows() -> None:
    expected, found = _read("actions"), _actions()
    assert found.keys() == expected.keys()
    for action, pairs in found.items():
        assert pairs == expected[action], action
    assert {action.partition(":")[0].partition(" ")[0] for action in found} == set(ActionKind)


def test_the_sample_exercises_every_action() -> None:
    used = {remark[2] for name in library.names() for answer in _read(name) for remark in answer["remarks"]}
    assert used == set(ActionKind), "`keep` is what is remarked when a signal was heard"


def test_the_sample_exercises_every_detector() -> None:
    used = {remark[0] for name in library.names() for answer in _read(name) for remark in answer["remarks"]}
    assert {f"detector.{each}" for each in Detector} <= used


def _write(name: str, answers: list[Any]) -> None:
    # One record, or one pair, on each line group: a difference then shows where it is.
    (GOLDEN / f"{name}.json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_actions() -> None:
    sections = []
    for action, pairs in _actions().items():
        lines = ",\n".join("  " + json.dumps(pair, ensure_ascii=False) for pair in pairs)
        sections.append(f" {json.dumps(action)}: [\n{lines}\n ]")
    (GOLDEN / "actions.json").write_text("{\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    for policy in library.names():
        _write(policy, _answers(policy))
    _write_actions()
