"""What several senders do at one moment: no update is lost, and no thread is without a connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from app.bootstrap import bootstrap
from app.database import migrate
from app.errors import Unavailable
from app.events.sql import SqlEventStore
from app.ingest.lanes import WAITING_ROOM
from tests.installation import Bell, Installation, Tenant, in_threads, settings_for
from tests.servers import PostgresServer


@pytest.fixture
def slow_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between what a batch read of the profiles and what it writes there is time for another batch to read the same."""
    put = SqlEventStore.put_profiles

    def late(self: SqlEventStore, *arguments: Any) -> None:
        time.sleep(0.3)
        put(self, *arguments)

    monkeypatch.setattr(SqlEventStore, "put_profiles", late)


def append(tenant: Tenant, value: str, *ids: str) -> Callable[[], Any]:
    records = [{"$token": tenant.token, "$distinct_id": each, "$append": {"tags": value}} for each in ids]
    return lambda: tenant.engage(records, verbose=1).json


@pytest.mark.usefixtures("slow_writes")
def test_two_first_updates_of_somebody_without_a_profile_both_stand(home: Installation) -> None:
    tenant = home.tenant()
    tenant.send([tenant.event(distinct_id="ada")])
    assert tenant.profile("ada") is None
    assert in_threads([append(tenant, value, "ada") for value in "ab"]) == [{"error": None, "status": 1}] * 2
    assert sorted((tenant.profile("ada") or {})["tags"]) == ["a", "b"]


@pytest.mark.usefixtures("slow_writes")
def test_an_update_that_meets_a_deletion_starts_a_profile_and_the_next_one_adds_to_it(home: Installation) -> None:
    tenant = home.tenant()
    append(tenant, "old", "ada")()
    delete = {"$token": tenant.token, "$distinct_id": "ada", "$delete": ""}
    in_threads([append(tenant, "a", "ada"), append(tenant, "b", "ada"), lambda: tenant.engage([delete])])
    left = (tenant.profile("ada") or {"tags": []})["tags"]
    # Whatever came first: nothing of what came after the deletion is lost, and nothing comes back.
    assert sorted(left) in ([], ["a"], ["b"], ["a", "b"])


def test_batches_that_name_the_same_people_in_other_orders_do_not_stop_each_other(home: Installation) -> None:
    tenant = home.tenant()
    people = [f"p{n}" for n in range(12)]
    tenant.send([tenant.event(distinct_id=each) for each in people])
    jobs = [append(tenant, f"t{n}", *(people if n % 2 else people[::-1])) for n in range(6)]
    assert in_threads(jobs) == [{"error": None, "status": 1}] * 6
    assert all(len((tenant.profile(each) or {})["tags"]) == 6 for each in people)


# --- threads and connections -----------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of each engine."""
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path}/portcullis.db"
        migrate(made)
        yield made
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    made = server.new_database(request.getfixturevalue("template_ready"))
    yield made
    server.drop(made)


def test_every_thread_of_the_web_server_gets_a_connection_at_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database._POOL_TIMEOUT_S", 1)
    settings = settings_for(url, tmp_path, PORTCULLIS_THREADS="2")
    services = bootstrap(settings, doorbell=Bell())
    threads = settings.threads + WAITING_ROOM
    together = Barrier(threads)

    def read() -> int:
        with services.database.read() as tx:
            together.wait(20)  # Nobody lets go before everybody has one.
            return int(tx.exec_driver_sql("SELECT 1").scalar_one())

    try:
        assert in_threads([read] * threads) == [1] * threads
    finally:
        services.close()


def test_one_connection_too_many_is_refused_and_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database._POOL_TIMEOUT_S", 0.1)
    made = f"sqlite:///{tmp_path}/portcullis.db"
    migrate(made)
    settings = settings_for(made, tmp_path, PORTCULLIS_THREADS="1")
    services = bootstrap(settings, doorbell=Bell())
    held = []
    try:
        for _ in range(settings.threads + 2 + WAITING_ROOM):
            held.append(services.database.read())
            held[-1].__enter__()
        with pytest.raises(Unavailable), services.database.read():
            pass
    finally:
        for each in held:
            each.__exit__(None, None, None)
        services.close()
