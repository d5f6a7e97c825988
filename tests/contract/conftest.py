"""One installation on each engine, for the contracts that a database has to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.database import migrate
from tests.installation import Installation, installed
from tests.servers import PostgresServer


@pytest.fixture(scope="session")
def sqlite_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation on a SQLite file, shared by the session: each test makes a project of its own."""
    folder = tmp_path_factory.mktemp("sqlite")
    url = f"sqlite:///{folder}/portcullis.db"
    migrate(url)
    with installed(url, folder) as home:
        yield home


@pytest.fixture(scope="session")
def postgres_home(
    postgres_server: PostgresServer,
    template_ready: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """The same on PostgreSQL."""
    url = postgres_server.new_database(template_ready)
    with installed(url, tmp_path_factory.mktemp("postgres")) as home:
        yield home
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest) -> Installation:
    """Each engine in turn."""
    name = "sqlite_home" if request.param == "sqlite" else "postgres_home"
    found: Installation = request.getfixturevalue(name)
    return found
