"""docs/data-deletion.md names every command, permission, audit action and number, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from app import cli_deletions
from app.access.roles import Permission
from app.audit.entry import AuditAction
from app.deletions.model import State, Target
from app.deletions.service import MOST_PENDING
from app.quarantine.covered import BEING_DELETED

TEXT = (Path(__file__).parents[3] / "docs" / "data-deletion.md").read_text()


def test_its_commands_are_those_that_there_are() -> None:
    assert set(re.findall(r"^portcullis data-deletion ([a-z]+)", TEXT, re.M)) == set(cli_deletions.data_deletion.commands)


def test_its_words_are_those_of_the_code() -> None:
    words = set(re.findall(r"`([^`\n]+)`", TEXT))
    assert {each for each in words if each.startswith("deletion.")} == {
        each for each in AuditAction if each.startswith("deletion.")
    }
    assert {each for each in words if each.startswith("deletions:")} == {
        each for each in Permission if each.startswith("deletions:")
    }
    assert {BEING_DELETED, *Target} <= words
    assert all(state.value in TEXT for state in State)
    assert f"{MOST_PENDING} of a project" in TEXT
