"""The catalogue names every action, and the documentation is the catalogue."""

from __future__ import annotations

from pathlib import Path

from app.audit.catalogue import MEANING, table
from app.audit.entry import AuditAction


def test_every_action_says_what_it_means() -> None:
    assert set(MEANING) == set(AuditAction)


def test_the_documentation_is_the_catalogue() -> None:
    assert table() in (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
