"""Hostile inputs cost as much as their size, no more: four times the input costs about four times the work."""

from __future__ import annotations

import pytest

from policies import library
from policies.compile import compile_policy
from policies.load import load
from tests.unit.policies.bypass.corpus import CONTEXT
from tests.unit.policies.bypass.hostile import HOSTILE, seconds, size

GATE = compile_policy(load(library.text("gdpr-analytics")))
SMALL = 4_000
# Four times is linear. Caches that no longer fit and garbage collection add to it; a quadratic way makes sixteen.
MOST = 11.0
TRIES = 5


@pytest.mark.parametrize("kind", HOSTILE)
def test_work_grows_as_the_input_does(kind: str) -> None:
    small, large = HOSTILE[kind](SMALL), HOSTILE[kind](4 * SMALL)
    growth = size(large) / size(small)
    assert growth == pytest.approx(4, rel=0.7) or kind in {"JSON in JSON", "one name many times"}
    ratios = []
    for _ in range(TRIES):
        ratios.append(seconds(GATE, large, CONTEXT, 2) / seconds(GATE, small, CONTEXT, 2) / max(growth / 4, 1))
        if ratios[-1] <= MOST:
            return
    pytest.fail(f"four times the input costs {min(ratios):.1f} times the work")
