"""The worker process: one RQ queue, JSON only, and SQL when Redis is away.

RQ's own worker forks a work-horse for each job. Three things are added: the horse dies with its parent, so that no orphan
works on beside its successor; nothing of a job is logged; and when Redis does not answer the worker looks for due requests
in SQL until it does. One queue a worker: with several, RQ pops in a way that loses a job whose worker dies at that moment.
"""

from __future__ import annotations

import threading
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.serializers import JSONSerializer

from app.bootstrap import Services
from app.doorbell import QUEUE
from app.errors import PortcullisError
from app.logs import configure
from app.settings import Settings
from app.supervise import die_with_parent
from jobs import reimport, runtime, simulate, steps
from jobs.dispatcher import stop_on_signals

_POLL_S = 1.0
# Seconds that RQ waits for a job before the loop looks whether Redis is still there and whether it should stop.
_IDLE_S = 5


class RequestWorker(Worker):
    """An RQ worker whose horse never outlives it, and which tells `asked_to_stop` when a signal asks it to stop."""

    asked_to_stop: threading.Event

    def main_work_horse(self, *args: Any, **kwargs: Any) -> None:
        """In the child: ask the kernel to end it with its parent, then work."""
        die_with_parent()
        super().main_work_horse(*args, **kwargs)

    def request_stop(self, signum: Any, frame: Any) -> None:
        """Warm shutdown. RQ forgets that it was asked when no job is at hand, so the loop around it is told first."""
        self.asked_to_stop.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def poll(services: Services) -> int:
    """Do what SQL says is due, here and now. Returns how many requests, simulations and re-imports that was."""
    due = services.queue.due()
    for request_id in due:
        steps.run(services, request_id)
    simulations = services.simulations.due()
    for simulation_id in simulations:
        simulate.run(services, simulation_id)
    reimports = services.reimports.queue.due()
    for reimport_id in reimports:
        reimport.run(services, reimport_id)
    return len(due) + len(simulations) + len(reimports)


def poll_until_stopped(services: Services, stop: threading.Event) -> None:
    """For an installation without Redis."""
    while not stop.is_set():
        _poll_safely(services)
        stop.wait(_POLL_S)


def _poll_safely(services: Services) -> None:
    try:
        poll(services)
    except PortcullisError as fault:
        structlog.get_logger().warning("round_failed", component="worker", code=fault.code)


def listen(services: Services, redis_url: str, stop: threading.Event) -> None:
    """Work through RQ while Redis answers, and through SQL while it does not, until `stop` is set."""
    connection = Redis.from_url(redis_url, socket_connect_timeout=2)
    queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
    while not stop.is_set():
        try:
            connection.ping()
            worker = RequestWorker(
                [queue],
                connection=connection,
                serializer=JSONSerializer,
                log_job_description=False,
                disable_default_exception_handler=True,
            )
            worker.asked_to_stop = stop
            worker.work(max_idle_time=_IDLE_S, logging_level="ERROR")
        except RedisError as fault:
            structlog.get_logger().warning("redis_away", component="worker", fault=type(fault).__name__)
            _poll_safely(services)
            stop.wait(_POLL_S)


def main() -> None:
    """The worker process. SIGTERM and SIGINT let the request at hand come to the end of its step."""
    settings = Settings.from_env()
    configure(settings.log_level)
    services = runtime.services()
    stop = stop_on_signals()
    if settings.redis_url:
        listen(services, settings.redis_url, stop)
    else:
        poll_until_stopped(services, stop)


if __name__ == "__main__":
    main()
