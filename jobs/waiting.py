"""How long to wait before a collector is tried again."""

from __future__ import annotations

import random

from app.errors import PortcullisError
from app.upstream.speaking import NotTaken

_FIRST_MS = 2_000
_LONGEST_MS = 300_000


def wait_ms(trouble: PortcullisError, failures: int, longest_ms: int = _LONGEST_MS) -> int:
    """Until the next try: what the collector asked for, else 2 s doubling to `longest_ms`, with half of it by chance."""
    asked = trouble.retry_after if isinstance(trouble, NotTaken) else None
    if asked is not None:
        return asked * 1_000
    longest = min(longest_ms, _FIRST_MS << min(failures, 20))
    return longest // 2 + random.randrange(longest // 2 + 1)  # noqa: S311 - spreads load, guards nothing
