"""The shipped policies over a sample of traffic, compared with files a reviewer can read.

When a difference is intended, write the new output with ``python -m tests.unit.policies.test_golden`` and review it
like code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Decision, Record, Scope, SubjectState
from policies.pseudonym import PseudonymKey

GOLDEN = Path(__file__).parents[2] / "golden" / "policies"
SAMPLE = json.loads((GOLDEN / "sample.json").read_text(encoding="utf-8"))


def _shown(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "name": decision.name,
        "properties": decision.properties,
        "remarks": [[remark.rule, remark.path, remark.action, remark.reason] for remark in decision.remarks],
    }


def _answers(name: str) -> list[dict[str, Any]]:
    records = [
        Record(Scope(one["scope"]), one["name"], one["properties"], SubjectState(one.get("state", "active"))) for one in SAMPLE
    ]
    context = CheckContext(PseudonymKey(1, bytes(range(32))))
    answers = [_shown(decision) for decision in compile_policy(load(library.text(name))).check(records, context)]
    return json.loads(json.dumps(answers))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", library.names())
def test_the_output_is_the_golden_file(name: str) -> None:
    expected = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert len(expected) == len(SAMPLE)
    for number, (found, wanted) in enumerate(zip(_answers(name), expected, strict=True)):
        assert found == wanted, f"sample {number} differs"


if __name__ == "__main__":
    for policy in library.names():
        text = json.dumps(_answers(policy), indent=1, ensure_ascii=False)
        (GOLDEN / f"{policy}.json").write_text(text + "\n", encoding="utf-8")
