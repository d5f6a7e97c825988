"""Rings on a real Redis: what nobody answers does not pile up, and what was answered is rung for again at once."""

from __future__ import annotations

import redis

from app.doorbell import QUEUE, RUN_SIMULATION, RqDoorbell


def _waiting(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.llen(f"rq:queue:{QUEUE}"))


def test_a_ring_counts_once_until_somebody_answers(redis_url: str) -> None:
    bell = RqDoorbell(redis_url)
    assert all(bell.ring("one", RUN_SIMULATION) for _ in range(5))
    assert _waiting(redis_url) == 1
    assert bell.ring("other")
    assert _waiting(redis_url) == 2
    bell.answer("one")
    assert bell.ring("one", RUN_SIMULATION)
    assert _waiting(redis_url) == 3


def test_nobody_is_told_where_redis_is_away() -> None:
    bell = RqDoorbell("redis://127.0.0.1:9/0")
    bell.answer("one")
    assert not bell.ring("one")
    assert not bell.ping()
