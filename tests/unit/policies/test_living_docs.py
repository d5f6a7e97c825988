"""docs/living-with-policies.md names every code, outcome and command, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from policies.explain import Outcome
from policies.lint import CODES

TEXT = (Path(__file__).parents[3] / "docs" / "living-with-policies.md").read_text(encoding="utf-8")


def table(title: str) -> list[str]:
    """The first column of the table under one heading."""
    return re.findall(r"^\| `([\w-]+)` \|", TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0], re.MULTILINE)


def test_every_lint_code_is_explained_and_no_other() -> None:
    assert sorted(table("Lint: what is probably wrong")) == sorted(CODES)


def test_every_outcome_is_explained_and_no_other() -> None:
    assert sorted(table("Explain: why did this happen?")) == sorted(Outcome)
