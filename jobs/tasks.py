"""The only callables that are ever enqueued. RQ gets nothing back from them: what became of a request stands in SQL."""

from __future__ import annotations

import structlog

from jobs import reimport, runtime, simulate, steps


def run_request(request_id: str) -> None:
    """Take the request as far as it goes. Never raises `Exception`: RQ would keep its text in Redis."""
    try:
        steps.run(runtime.services(), request_id)
    except Exception as fault:
        structlog.get_logger().error("request_not_run", fault=type(fault).__name__)


def run_simulation(simulation_id: str) -> None:
    """Take the simulation one slice further. Never raises `Exception`, as above."""
    try:
        simulate.run(runtime.services(), simulation_id)
    except Exception as fault:
        structlog.get_logger().error("simulation_not_run", fault=type(fault).__name__)


def run_reimport(reimport_id: str) -> None:
    """Take the re-import one slice further. Never raises `Exception`, as above."""
    try:
        reimport.run(runtime.services(), reimport_id)
    except Exception as fault:
        structlog.get_logger().error("reimport_not_run", fault=type(fault).__name__)
