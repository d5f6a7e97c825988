"""Hostile inputs cost as much as their size, no more: four times the input is at most about four times the work."""

from __future__ import annotations

import time

import pytest

from policies import library
from policies.compile import compile_policy
from policies.load import load
from tests.unit.policies.bypass.corpus import CONTEXT
from tests.unit.policies.bypass.hostile import HOSTILE, size, work

GATE = compile_policy(load(library.text("gdpr-analytics")))
SMALL = 8_000
# Four times is linear and a quadratic way makes sixteen. A text that is cut is looked at once more, which doubles what is linear.
MOST = 8.0
# What does not grow with the text: a few more passes and layers than the small one had.
CONSTANT = 2_000
LARGE = 200_000
# Of processor time; many times what any of them takes. A pattern that goes back over such a text takes minutes.
SECONDS = 10.0


@pytest.mark.parametrize("kind", HOSTILE)
def test_work_grows_as_the_input_does(kind: str) -> None:
    small, large = HOSTILE[kind](SMALL), HOSTILE[kind](4 * SMALL)
    growth = size(large) / size(small)
    assert growth == pytest.approx(4, rel=0.7) or kind in {"JSON in JSON", "one name many times"}
    once, more = (work(lambda records=records: GATE.check(records, CONTEXT)) for records in (small, large))  # type: ignore[misc]
    assert more <= MOST * max(growth / 4, 1) * once + CONSTANT


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in {"JSON in JSON", "one name many times"}])
def test_no_pattern_goes_back_over_a_long_text(kind: str) -> None:
    records = HOSTILE[kind](LARGE)
    begin = time.process_time()
    GATE.check(records, CONTEXT)
    assert time.process_time() - begin < SECONDS
