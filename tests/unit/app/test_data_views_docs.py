"""docs/data-views.md tells the truth: its commands, entries, permissions, numbers and reasons exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import cli_views
from app.access.roles import GRANTED_ONLY, PERMISSIONS, Permission, Role
from app.audit.entry import AuditAction
from app.dataviews.schemas import SaveViewSchema
from app.dataviews.service import MOST_VIEWS
from app.sight import standing
from app.where.parse import parse
from app.where.tree import About

TEXT = (Path(__file__).parents[3] / "docs" / "data-views.md").read_text()


def test_its_commands_are_those_that_there_are() -> None:
    for group, there in (("view", cli_views.view.commands), ("team", cli_views.team.commands)):
        assert set(re.findall(rf"^portcullis {group} (\w+)", TEXT, re.M)) == set(there)


def test_its_entries_are_those_that_are_written() -> None:
    named = set(re.findall(r"`((?:permission|data_view|team)\.[a-z]+)`", TEXT))
    assert named == {each.value for each in AuditAction if each.startswith(("permission.", "data_view.", "team."))}


@pytest.mark.parametrize("row", re.findall(r"^\| `([a-z]+:[a-z]+)` \| [^|]+ \| ([^|]+) \|$", TEXT, re.M), ids=lambda row: row[0])
def test_its_permissions_are_held_by_the_roles_it_says(row: tuple[str, str]) -> None:
    permission, roles = Permission(row[0]), {role.value for role in Role if Permission(row[0]) in PERMISSIONS[role]}
    assert roles == set() if permission in GRANTED_ONLY else roles == set(row[1].strip().split(", "))


def test_its_example_and_its_numbers_hold() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    loaded = SaveViewSchema().loads(example)
    assert parse(loaded["events"], About.EVENT)
    assert parse(loaded["profiles"], About.PROFILE)
    assert f"at most {MOST_VIEWS} views" in TEXT
    assert f"Portcullis-Withheld: {standing.CLASSIFIED}, {standing.VIEW}, {standing.HIDDEN}" in TEXT
