"""Bulk senders wait in line, so that they slow down before they are refused and never take every thread.

A refusal costs data: mixpanel-utils loses a batch that is answered 429 and hangs on lasting 5xx, but it waits two minutes
for an answer (SDK traffic section 7). So a bulk import waits for a place before its body is read; only when the
line is full, or the wait too long, it is told 429 with `Retry-After`, which urllib3 clients heed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import TooBusy

WAITING_ROOM = 32
"""How many bulk imports may wait at once. The web server runs as many threads beyond those that work, and the database
gives each of them a connection (`app.bootstrap`): a thread that waits in line may as well be one that reads."""

PATIENCE_S = 60.0
"""How long one waits at most: half of the shortest timeout that a bulk client is known to have."""

_RETRY_AFTER = 10


class Lane:
    """At most `places` bulk imports work at once, at most `waiting` wait. Shared between threads."""

    def __init__(self, places: int, waiting: int = WAITING_ROOM, patience: float = PATIENCE_S) -> None:
        """`patience` is in seconds."""
        self._places = threading.Semaphore(places)
        self._room = threading.Semaphore(waiting)
        self._patience = patience

    @contextmanager
    def place(self) -> Iterator[float]:
        """Hold a place while the block runs; yields how many seconds it took to get one. Raises `TooBusy`."""
        waited = 0.0 if self._places.acquire(blocking=False) else self._wait()
        try:
            yield waited
        finally:
            self._places.release()

    def _wait(self) -> float:
        began = time.monotonic()
        if not self._room.acquire(blocking=False):
            raise _refusal()
        try:
            if not self._places.acquire(timeout=self._patience):
                raise _refusal()
        finally:
            self._room.release()
        return time.monotonic() - began


def _refusal() -> TooBusy:
    # The published text: importers look for it (wire section 6).
    return TooBusy("Project exceeded rate limits. Please retry the request with exponential backoff.", retry_after=_RETRY_AFTER)
