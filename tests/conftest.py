"""Fixtures for every tier. A server starts the first time a test asks for it; the unit tier never does."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator

import pytest
import redis

from tests import servers

_TIERS = ("unit", "contract", "integration", "e2e", "fault", "golden")


def pytest_configure(config: pytest.Config) -> None:
    for tier in _TIERS:
        config.addinivalue_line("markers", f"{tier}: every test under tests/{tier}, marked by its folder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with the tier of its folder, so that `-m "not e2e"` works wherever pytest is pointed.

    Of the integration tests that run on both engines every one runs on SQLite, and one in six on PostgreSQL as well; with
    `TEST_ENGINES=all` (`make both`) all of them. The contract tests, which say what an engine must do, always run on both.
    """
    if os.environ.get("TEST_ENGINES") != "all" and not any("::" in each for each in config.args):
        left = [each for each in items if _is_second_engine(each) and zlib.crc32(each.nodeid.encode()) % 6]
        config.hook.pytest_deselected(items=left)
        gone = set(map(id, left))
        items[:] = [each for each in items if id(each) not in gone]
    root = config.rootpath / "tests"
    for item in items:
        if item.path.is_relative_to(root):
            tier = item.path.relative_to(root).parts[0]
            if tier in _TIERS:
                item.add_marker(tier)


def _is_second_engine(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    both = callspec is not None and "integration" in item.path.parts
    return both and any(isinstance(each, str) and each.startswith("postgres") for each in callspec.params.values())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.PostgresServer]:
    """A PostgreSQL server: TEST_DATABASE_URL, else our own for this pytest process."""
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def template_ready() -> Callable[[str], None]:
    """What prepares the template of every test database: our migrations. Override it to start from something else."""
    # Imported here because only a test that wants a database should pay for SQLAlchemy and Alembic.
    from app.database import migrate

    return migrate


@pytest.fixture
def postgres_url(postgres_server: servers.PostgresServer, template_ready: Callable[[str], None]) -> Iterator[str]:
    """A migrated database of the test's own, as a `postgresql+psycopg://` URL."""
    url = postgres_server.new_database(template_ready)
    yield url
    postgres_server.drop(url)


@pytest.fixture
def empty_postgres_url(postgres_server: servers.PostgresServer) -> Iterator[str]:
    """A database with nothing in it, for the tests of the migrations themselves."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a real Redis: TEST_REDIS_URL, else our own for this pytest process. Valkey is refused."""
    if given := os.environ.get("TEST_REDIS_URL"):
        servers.refuse_lookalike(given)
        yield given
        return
    server = servers.RedisServer().start()
    try:
        servers.refuse_lookalike(server.url)
        yield server.url
    finally:
        server.close()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of a real Redis with nothing in it."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def private_redis() -> Iterator[servers.RedisServer]:
    """A running Redis that the test may kill and start again, always on the same URL."""
    server = servers.RedisServer().start()
    yield server
    server.close()
