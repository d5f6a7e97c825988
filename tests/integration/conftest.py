"""What most of these tests start from: one whole service on each engine, and a collector behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.collectors import Collector
from tests.integration.gate import Gate, build


@pytest.fixture(params=["sqlite", "postgres"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gate]:
    """Each engine in turn."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    built = build(tmp_path, url)
    yield built
    built.services.close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Gate]:
    """One engine where the database makes no difference."""
    built = build(tmp_path, None)
    yield built
    built.services.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that does as it is told."""
    made = Collector()
    yield made
    made.close()
