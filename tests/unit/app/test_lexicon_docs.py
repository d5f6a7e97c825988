"""docs/lexicon.md names every kind, state, reason, style, permission and command, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import cli_lexicon
from app.access.roles import Permission
from app.lexicon import anomalies, published, sightings
from app.lexicon.model import Approval, Kind, State
from app.lexicon.reading import REASONS
from app.lexicon.standards import PATTERN, STYLES

TEXT = (Path(__file__).parents[3] / "docs" / "lexicon.md").read_text()
WORDS = set(re.findall(r"`([^`\n]+)`", TEXT))


@pytest.mark.parametrize(
    "word", [*Approval, *REASONS, *set(STYLES) - {"any"}, PATTERN, State.PENDING, *set(Kind) - {Kind.PROFILE}]
)
def test_every_word_is_explained(word: str) -> None:
    assert str(word) in WORDS or f"`{word}=" in TEXT or f"{word}=" in TEXT


def test_its_permissions_are_those_that_there_are() -> None:
    assert {word for word in WORDS if word.startswith("lexicon:")} == {each for each in Permission if each.startswith("lexicon:")}


def test_its_commands_are_those_that_there_are() -> None:
    assert set(re.findall(r"^portcullis lexicon (\w+)", TEXT, re.M)) == set(cli_lexicon.lexicon.commands)


def test_its_numbers_are_those_of_the_code() -> None:
    allowance = published.Allowance()
    assert f"{sightings.MOST_ENTRIES:,} entries a project" in TEXT
    assert f"kept for {anomalies.KEPT_DAYS}" in TEXT
    assert (allowance.requests, f"{allowance.entities:,} entities a minute" in TEXT) == (5, True)
    assert f"{allowance.deletions:,} deletions a request" in TEXT
    assert sightings.PAUSE_S == 5.0
