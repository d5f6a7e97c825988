"""docs/accounts.md names every role, permission, entry and route of service accounts, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from app.access.accounts import MOST_ACCOUNTS, MOST_OVERLAP_HOURS
from app.access.roles import PERMISSIONS, Permission, Role
from app.audit.entry import AuditAction
from app.cli import cli
from app.cli_accounts import account

TEXT = (Path(__file__).parents[3] / "docs/accounts.md").read_text()
NAMED = set(re.findall(r"`([^`]+)`", TEXT))


def test_every_role_is_named() -> None:
    assert {role.value for role in Role} <= NAMED


def test_permissions_and_entries_exist() -> None:
    dotted = {each for each in NAMED if re.fullmatch(r"[a-z_]+\.[a-z_]+", each)}
    assert dotted <= {each.value for each in AuditAction}
    colons = {each for each in NAMED if re.fullmatch(r"[a-z]+:[a-z]+", each)}
    assert colons <= {each.value for each in Permission}


def test_what_it_says_of_roles_is_so() -> None:
    assert set(Permission) - PERMISSIONS[Role.ADMIN] == {Permission.ACCOUNTS_OWN}
    assert PERMISSIONS[Role.CONSUMER] == {Permission.PROJECT_READ, Permission.LEXICON_READ}
    assert Permission.LEXICON_BLOCK in PERMISSIONS[Role.ADMIN]


def test_bounds_and_commands_are_those_of_the_code() -> None:
    assert f"at most {MOST_ACCOUNTS:,} accounts" in TEXT
    assert f"at most {MOST_OVERLAP_HOURS // 24} days" in TEXT
    (commands,) = re.findall(r"`portcullis account ([a-z |]+)`", TEXT)
    assert set(commands.split(" | ")) == set(account.commands)
    assert "account" in cli.commands
