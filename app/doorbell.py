"""Tells RQ that a request is due, after the commit that made it so. The only place in `app` that touches RQ.

A ring that fails loses nothing: the request row is due in SQL, and the dispatcher rings again or does the work itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

QUEUE = "portcullis"
RUN_REQUEST = "jobs.tasks.run_request"
RUN_SIMULATION = "jobs.tasks.run_simulation"
RUN_REIMPORT = "jobs.tasks.run_reimport"
# Longer than any step; a worker that stops renewing its lease is replaced long before.
_JOB_TIMEOUT = 6 * 3600
# How long one ring counts that nobody answers. What Redis forgets in the meantime is rung for again after that.
_RUNG_MS = 2_000


class Doorbell(Protocol):
    """Somebody may be listening."""

    def ring(self, due_id: str, job: str = RUN_REQUEST) -> bool:
        """Say that the request, simulation or re-import `due_id` is due. False when nobody could be told."""

    def answer(self, due_id: str) -> None:
        """Say that somebody has taken it up: the next ring counts again."""

    def ping(self) -> bool:
        """True when a ring would be heard."""


class SilentDoorbell:
    """For an installation without Redis: the dispatcher finds due requests in SQL."""

    def ring(self, due_id: str, job: str = RUN_REQUEST) -> bool:  # noqa: ARG002 - the shape of the port
        """Nobody is told."""
        return False

    def answer(self, due_id: str) -> None:
        """Nobody rang."""

    def ping(self) -> bool:
        """Nobody listens."""
        return False


class RqDoorbell:
    """Enqueues one job with one argument, the opaque id. JSON, so that Redis can never hand a worker code to run."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._queue = Queue(QUEUE, connection=self._redis, serializer=JSONSerializer)

    def ring(self, due_id: str, job: str = RUN_REQUEST) -> bool:
        """Enqueue; until it is answered, at most once in a while for each id. False when Redis is away or full.

        The dispatcher rings at every round for what nobody has taken yet. While the worker is busy, that would fill the queue
        with jobs that find nothing to do, and what is rung for later would wait behind them all.
        """
        try:
            if not self._redis.set(_rung(due_id), 1, nx=True, px=_RUNG_MS):
                return True
            self._queue.enqueue(
                job,
                due_id,
                description=job.rpartition(".")[2],
                job_timeout=_JOB_TIMEOUT,
                result_ttl=0,
                failure_ttl=3600,
            )
        except RedisError as fault:
            structlog.get_logger().warning("doorbell_unheard", fault=type(fault).__name__)
            return False
        return True

    def answer(self, due_id: str) -> None:
        """Forget that it was rung for. With Redis away the ring is forgotten by itself."""
        with suppress(RedisError):
            self._redis.delete(_rung(due_id))

    def ping(self) -> bool:
        """True when Redis answers."""
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False


def _rung(due_id: str) -> str:
    return f"{QUEUE}:rung:{due_id}"
