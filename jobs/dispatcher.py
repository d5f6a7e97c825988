"""Finds due requests in SQL and rings for them; gives audit entries their place; lets what has expired go.

Any number may run. When nobody hears the doorbell (Redis is away), the dispatcher does the work itself.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

import structlog

from app.bootstrap import Services
from app.errors import PortcullisError
from app.logs import configure
from app.settings import Settings
from jobs import cleanup, runtime, steps

_PAUSE_S = 0.5
_CLEAN_EVERY = 120


def tick(services: Services, *, clean: bool = False) -> int:
    """One round: ring for (or run) what is due, sequence the log, clean when asked. Returns how many requests were due."""
    due = services.queue.due()
    for request_id in due:
        if not services.doorbell.ring(request_id):
            steps.run(services, request_id)
    services.audit.sequence()
    if clean:
        cleanup.clean(services)
    return len(due)


def run(services: Services, stop: threading.Event, pause_s: float = _PAUSE_S) -> None:
    """Rounds until `stop` is set. A round that fails is logged by its code, and the next one comes."""
    rounds = 0
    while not stop.is_set():
        try:
            tick(services, clean=rounds % _CLEAN_EVERY == 0)
        except PortcullisError as fault:
            structlog.get_logger().warning("round_failed", component="dispatcher", code=fault.code)
        except Exception as fault:
            structlog.get_logger().error("round_failed", component="dispatcher", fault=type(fault).__name__)
        rounds += 1
        stop.wait(pause_s)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def ask(_signum: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop


def main() -> None:
    """The dispatcher process."""
    configure(Settings.from_env().log_level)
    run(runtime.services(), stop_on_signals())


if __name__ == "__main__":
    main()
