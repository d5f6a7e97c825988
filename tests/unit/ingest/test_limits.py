"""The published figures, and that each one is a setting that validation and decoding follow."""

from __future__ import annotations

import dataclasses

import pytest

from app.ingest.limits import Limits

PUBLISHED = {
    "records": 2000,
    "body_bytes": 10 * 1024 * 1024,
    "inflated_bytes": 10 * 1024 * 1024,
    "record_bytes": 1024 * 1024,
    "properties": 255,
    "profile_properties": 2000,
    "nested_keys": 255,
    "array_items": 255,
    "depth": 3,
    "string_bytes": 255,
    "name_characters": 255,
    "event_value_bytes": 8 * 1024,
    "profile_value_bytes": 256 * 1024,
    "track_past_ms": 5 * 24 * 60 * 60 * 1000,
    "future_ms": 60 * 60 * 1000,
    "earliest_ms": 31_536_000_000,
}
OURS = {"form_fields": 64, "hard_depth": 20, "identifier_bytes": 255}


def test_defaults_are_the_published_figures_and_ours_are_known() -> None:
    assert dataclasses.asdict(Limits()) == PUBLISHED | OURS


def test_limits_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().records = 1  # type: ignore[misc]
