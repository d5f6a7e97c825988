"""Paired timing: every way takes its turn in every round, and the least disturbed round of each counts.

On a machine shared with others absolute times wander; the ratio of two minima taken in turns does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def seconds(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The shortest time of each way over ``rounds`` rounds."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - begin)
    return best
