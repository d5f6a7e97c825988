"""A sign of life while a long statement runs, such as VACUUM. It dies with the process, and the claim with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from app.errors import PortcullisError
from app.subjects.queue import LostClaim
from app.turns import LostTurn


@contextmanager
def beating(renew: Callable[[], None], every_s: float, **named: str | int) -> Iterator[None]:
    """Call `renew` every so many seconds until the block ends, or until it says that the claim is lost.

    Who lost it finds out at the next effect. What else goes wrong is logged under `named`, and tried again.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(every_s):
            try:
                renew()
            except (LostClaim, LostTurn):
                return
            except PortcullisError as fault:
                structlog.get_logger().warning("lease_not_renewed", code=fault.code, **named)

    thread = threading.Thread(target=beat, name="sign-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
