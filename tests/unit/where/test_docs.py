"""docs/reading.md tells the truth: its expressions are of the language, and its routes and entries exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.audit.entry import AuditAction
from app.where.parse import MOST_CHARACTERS, MOST_NODES, parse
from app.where.tree import About

TEXT = (Path(__file__).parents[3] / "docs" / "reading.md").read_text(encoding="utf-8")
EXAMPLES = [line for block in re.findall(r"```where\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_are_expressions(text: str) -> None:
    parse(text, About.EVENT)


def test_the_page_has_examples_and_the_bounds_that_hold() -> None:
    assert len(EXAMPLES) > 5
    assert f"{MOST_CHARACTERS:,} characters and {MOST_NODES} parts" in TEXT


def test_the_entries_that_it_names_are_written() -> None:
    named = set(re.findall(r"`((?:events|profiles|activity|cohort)\.[a-z]+)`", TEXT))
    assert len(named) == 5
    assert named <= {each.value for each in AuditAction}
