"""Finds due requests in SQL and rings for them; gives audit entries their place; lets what has expired go, data too.

Any number may run. When nobody hears the doorbell (Redis is away), the dispatcher does the work itself.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from app.bootstrap import Services
from app.doorbell import RUN_REIMPORT, RUN_SIMULATION
from app.errors import PortcullisError
from app.logs import configure
from app.settings import Settings
from app.upstream.speaking import Speaker
from jobs import cleanup, deletion, digest, forward, reimport, retention, runtime, simulate, steps

_PAUSE_S = 0.5
_CLEAN_EVERY = 120
_SWEEP_EVERY_S = 60.0
_FORWARD_EVERY_S = 1.0
_DELETE_EVERY_S = 5.0
# Half a minute and five: what starts to carry personal data must be known within five minutes.
_LOOK_EVERY = 60
_LOOK_LONG_EVERY = 600


def tick(services: Services, *, clean: bool = False, look: bool = False, look_long: bool = False) -> int:
    """One round: ring for (or run) what is due, sequence the log, clean and look for findings when asked.

    Returns how many requests, simulations and re-imports were due.
    """
    due = services.queue.due()
    for request_id in due:
        if not services.doorbell.ring(request_id):
            steps.run(services, request_id)
    simulations = services.simulations.due()
    for simulation_id in simulations:
        if not services.doorbell.ring(simulation_id, RUN_SIMULATION):
            simulate.run(services, simulation_id)
    reimports = services.reimports.queue.due()
    for reimport_id in reimports:
        if not services.doorbell.ring(reimport_id, RUN_REIMPORT):
            reimport.run(services, reimport_id)
    services.audit.sequence()
    services.identity.fill_forms()
    if clean:
        cleanup.clean(services)
    if look or look_long:
        services.findings.round(long=look_long)
        services.cases.clocks.round()
    if look_long:
        services.anomalies.round()
    return len(due) + len(simulations) + len(reimports)


def run(services: Services, stop: threading.Event, pause_s: float = _PAUSE_S) -> None:
    """Rounds until `stop` is set. What may take long and rings for nobody has a thread of its own."""
    aside = [
        threading.Thread(target=_sweep, args=(services, stop), name="retention", daemon=True),
        threading.Thread(target=_delete, args=(services, stop), name="deletion", daemon=True),
        threading.Thread(target=_tell, args=(services, stop), name="digest", daemon=True),
        threading.Thread(target=_forward, args=(services, stop), name="forward", daemon=True),
    ]
    for each in aside:
        each.start()
    rounds = 0
    while not stop.is_set():
        with _logged("dispatcher"):
            tick(
                services,
                clean=rounds % _CLEAN_EVERY == 0,
                look=rounds % _LOOK_EVERY == 0,
                look_long=rounds % _LOOK_LONG_EVERY == 0,
            )
        rounds += 1
        stop.wait(pause_s)
    for each in aside:
        each.join()


def _sweep(services: Services, stop: threading.Event) -> None:
    while not stop.is_set():
        with _logged("retention"):
            retention.run_due(services, stop.is_set)
        stop.wait(_SWEEP_EVERY_S)


def _delete(services: Services, stop: threading.Event) -> None:
    while not stop.is_set():
        with _logged("deletion"):
            deletion.run_due(services, stop.is_set)
        stop.wait(_DELETE_EVERY_S)


def _forward(services: Services, stop: threading.Event) -> None:
    speaker = Speaker()
    while not stop.is_set():
        with _logged("forward"):
            forward.run_due(services, stop.is_set, speaker)
        stop.wait(_FORWARD_EVERY_S)


def _tell(services: Services, stop: threading.Event) -> None:
    while not stop.is_set():
        with _logged("digest"):
            digest.send_due(services)
        stop.wait(_SWEEP_EVERY_S)


@contextmanager
def _logged(component: str) -> Iterator[None]:
    """A round that fails is logged by its code, and the next one comes."""
    try:
        yield
    except PortcullisError as fault:
        structlog.get_logger().warning("round_failed", component=component, code=fault.code)
    except Exception as fault:
        structlog.get_logger().error("round_failed", component=component, fault=type(fault).__name__)


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
