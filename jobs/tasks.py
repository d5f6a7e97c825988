"""The only callables that are ever enqueued. RQ gets nothing back from them: what became of a request stands in SQL."""

from __future__ import annotations

import structlog

from app.bootstrap import Services
from jobs import reimport, runtime, simulate, steps


def run_request(request_id: str) -> None:
    """Take the request as far as it goes. Never raises `Exception`: RQ would keep its text in Redis."""
    try:
        steps.run(_taken_up(request_id), request_id)
    except Exception as fault:
        structlog.get_logger().error("request_not_run", fault=type(fault).__name__)


def run_simulation(simulation_id: str) -> None:
    """Take the simulation one slice further. Never raises `Exception`, as above."""
    try:
        simulate.run(_taken_up(simulation_id), simulation_id)
    except Exception as fault:
        structlog.get_logger().error("simulation_not_run", fault=type(fault).__name__)


def run_reimport(reimport_id: str) -> None:
    """Take the re-import one slice further. Never raises `Exception`, as above."""
    try:
        reimport.run(_taken_up(reimport_id), reimport_id)
    except Exception as fault:
        structlog.get_logger().error("reimport_not_run", fault=type(fault).__name__)


def _taken_up(due_id: str) -> Services:
    """The services of this process, once whoever rang is told that the ring was heard."""
    services = runtime.services()
    services.doorbell.answer(due_id)
    return services
