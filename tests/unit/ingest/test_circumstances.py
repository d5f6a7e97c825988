"""What a request says about its sender."""

from __future__ import annotations

import pytest

from app.ingest.circumstances import UNREMARKABLE, Circumstances, heard
from app.ingest.places import Outcome, Places
from policies.model import Signal


@pytest.mark.parametrize(
    ("headers", "signals"),
    [
        ({}, set()),
        ({"Sec-GPC": "1"}, {Signal.GPC}),
        ({"DNT": " 1 "}, {Signal.DNT}),
        ({"Sec-GPC": "1", "DNT": "1"}, {Signal.GPC, Signal.DNT}),
        ({"Sec-GPC": "0", "DNT": "unspecified"}, set()),
        ({"Sec-GPC": "1, 1", "DNT": "１"}, set()),
    ],
)
def test_a_signal_is_exactly_one(headers: dict[str, str], signals: set[Signal]) -> None:
    assert heard(headers.get) == signals


def test_an_address_is_not_shown() -> None:
    assert "192.0.2.77" not in repr(Circumstances("192.0.2.77"))
    assert Circumstances() == UNREMARKABLE


def test_without_a_file_nothing_is_looked_up() -> None:
    counted: list[str] = []
    places = Places(None, counted.append)
    places.refuse_unusable()
    assert places.look_up("192.0.2.77") is None
    assert (counted, places.configured, places.state().value) == ([Outcome.NO_FILE], False, "off")
