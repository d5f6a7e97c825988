"""What the README promises, at the moment when it is hardest to keep: beside a concurrent act, and when a commit fails."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.bootstrap import bootstrap
from app.identity import fence, register
from app.subjects.model import RequestKind
from app.subjects.queue import LostClaim
from jobs import steps
from policies.model import SubjectState
from tests.integration.gate import Gate, build


@pytest.fixture
def pg(tmp_path: Path, postgres_url: str) -> Iterator[Gate]:
    built = build(tmp_path, postgres_url)
    yield built
    built.services.close()


def _project(gate: Gate) -> int:
    return int(gate.credentials["project_id"])


def _uids(gate: Gate, person: str) -> list[int]:
    with gate.services.database.read() as tx:
        found = register.resolve(tx, gate.services.keyring.of(tx, _project(gate)), [person])
    return [row.uid for row in found.values() if row.uid is not None]


# --- the fence -------------------------------------------------------------------------------------------------------


def _send_event(gate: Gate) -> None:
    gate.client.post("/track", json=[gate.event("ada", "late")])


def _send_import(gate: Gate) -> None:
    gate.client.post("/import?strict=1", json=[gate.event("ada", "late")], headers=gate.bearer("ingest"))


def _send_profile(gate: Gate) -> None:
    gate.client.post("/engage", json=[{"$token": gate.token, "$distinct_id": "ada", "$set": {"plan": "late"}}])


@pytest.mark.parametrize("send", [_send_event, _send_import, _send_profile])
def test_a_batch_waits_for_an_erasure_that_is_being_accepted(pg: Gate, send: Callable[[Gate], None]) -> None:
    pg.track(pg.event("ada", "early"))
    uids = _uids(pg, "ada")
    with _started_inside(pg, lambda: send(pg)) as tx:
        register.set_state(tx, _project(pg), uids, SubjectState.ERASING, request_id="r")
    assert len(pg.rows("SELECT 1 FROM event")) == 1
    assert pg.rows("SELECT 1 FROM profile") == []


@contextmanager
def _started_inside(gate: Gate, act: Callable[[], None]) -> Iterator[sa.Connection]:
    """A transaction that holds the fence exclusively; `act` is begun before it commits, and must not end before that."""
    thread = threading.Thread(target=act, daemon=True)
    with gate.services.database.write() as tx:
        fence.enter_exclusive(tx, _project(gate))
        yield tx
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it did not wait for the fence"
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("path", ["/v1/requests", "/v1/opt-outs", "/api/app/data-deletions/v3.0"])
def test_whoever_refuses_a_person_waits_for_the_batches_under_way(pg: Gate, path: str) -> None:
    pg.track(pg.event("ada", "early"))
    body: dict[str, Any] = {"distinct_ids": ["ada"]} | ({"kind": "erasure"} if path == "/v1/requests" else {})
    answers: list[int] = []
    thread = threading.Thread(
        target=lambda: answers.append(pg.client.post(path, json=body, headers=pg.bearer("officer")).status_code), daemon=True
    )
    with pg.services.database.write() as tx:
        fence.enter_shared(tx, _project(pg))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it did not wait for the batch"
    thread.join(20)
    assert answers[0] in (200, 201)


# --- acknowledged means committed ------------------------------------------------------------------------------------

ACTS: dict[str, Callable[[Gate], Any]] = {
    "track": lambda g: g.client.post("/track?verbose=1", json=[g.event("ada", "lost")]),
    "import": lambda g: g.client.post("/import?strict=1", json=[g.event("ada", "lost")], headers=g.bearer("ingest")),
    "engage": lambda g: g.client.post("/engage", json=[{"$token": g.token, "$distinct_id": "ada", "$set": {"plan": "lost"}}]),
    "deletion": lambda g: g.client.post(
        "/api/app/data-deletions/v3.0", json={"distinct_ids": ["ada"]}, headers=g.bearer("officer")
    ),
    "retrieval": lambda g: g.client.post(
        "/api/app/data-retrievals/v3.0", json={"distinct_ids": ["ada"]}, headers=g.bearer("officer")
    ),
    "opt-out": lambda g: g.client.post("/v1/opt-outs", json={"distinct_ids": ["ada"]}, headers=g.bearer("officer")),
    "policy": lambda g: g.client.post("/v1/policies", json={"text": _policy()}, headers=g.bearer("admin")),
    "export": lambda g: g.client.get(
        "/api/2.0/export?from_date=2026-01-01&to_date=2026-01-02", headers=g.bearer("admin"), buffered=True
    ),
}


def _policy() -> str:
    from tests.installation import KEEP_EVERYTHING

    return KEEP_EVERYTHING


def _everything(gate: Gate) -> dict[str, list[tuple[Any, ...]]]:
    names = sorted(sa.inspect(gate.services.database.engine).get_table_names())
    return {name: sorted(map(repr, gate.rows(f'SELECT * FROM "{name}"'))) for name in names}


@pytest.mark.parametrize("act", ACTS)
def test_what_cannot_be_committed_is_not_acknowledged_and_leaves_nothing(gate: Gate, act: str) -> None:
    gate.track(gate.event("ada", "early"))
    before = _everything(gate)

    def fail(_connection: Any) -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("the disk is gone"))

    engine = gate.services.database.engine
    sa.event.listen(engine, "commit", fail)
    try:
        answer = ACTS[act](gate)
    finally:
        sa.event.remove(engine, "commit", fail)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert b"disk" not in answer.data
    assert _everything(gate) == before
    assert ACTS[act](gate).status_code in (200, 201), "and afterwards it works"


# Each act, and the table that its own effect stands in.
EFFECTS = {"track": "event", "import": "event", "engage": "profile", "deletion": "subject_request", "policy": "policy_version"}


@pytest.mark.parametrize("act", EFFECTS)
def test_an_act_that_fails_leaves_no_audit_entry(pg: Gate, act: str) -> None:
    """The act's own rows are refused when it commits, and only those: an entry that is written apart would stay."""
    pg.track(pg.event("ada", "early"))
    for role in ("ingest", "officer", "admin"):  # That a credential was used is noted apart, once in ten minutes.
        assert pg.client.get("/v1/project", headers=pg.bearer(role)).status_code in (200, 403)
    before = _everything(pg)
    with pg.services.database.write() as tx:
        tx.exec_driver_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"
        )
        tx.exec_driver_sql(
            f"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON {EFFECTS[act]}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    assert ACTS[act](pg).status_code == 503
    assert _everything(pg) == before


# --- once ------------------------------------------------------------------------------------------------------------


def test_an_event_that_is_sent_again_is_stored_once_though_the_policy_changed(gate: Gate) -> None:
    sent = [gate.event("ada", f"i{n}", email="ada@example.com") for n in range(120)]
    gate.track(*sent, *sent[:3])
    gate.client.post("/v1/policies", json={"text": _policy(), "activate": True}, headers=gate.bearer("admin"))
    gate.track(*sent)
    gate.track(*sent[:2])
    assert len(gate.rows("SELECT 1 FROM event")) == 120


# --- a worker that was replaced --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", list(steps.STEPS[RequestKind.ERASURE]))
def test_no_step_takes_effect_for_a_worker_that_was_replaced(gate: Gate, monkeypatch: pytest.MonkeyPatch, step: Any) -> None:
    """It is stopped before `step`; while it sleeps another takes the request; then it wakes and goes on."""
    gate.track(gate.event("ada", "early"))
    request_id = gate.delete("ada")
    real = steps.STEPS[RequestKind.ERASURE][step]
    seen: list[Any] = []

    def replaced(services: Any, claim: Any) -> None:
        gate.clock[0] += 60_000
        assert services.queue.claim(request_id) is not None
        seen.append(_everything(gate))
        try:
            with pytest.raises(LostClaim):
                real(services, claim)
        finally:
            seen.append(_everything(gate))
        raise LostClaim("as it should be")

    broken = {**steps.STEPS[RequestKind.ERASURE], step: replaced}
    with monkeypatch.context() as patched:
        patched.setattr(steps, "STEPS", {**steps.STEPS, RequestKind.ERASURE: broken})
        gate.work()
    assert seen[0] == seen[1]
    gate.clock[0] += 60_000
    gate.work()
    assert gate.status(request_id)["state"] == "done"


# --- bytes -----------------------------------------------------------------------------------------------------------


def test_what_was_shredded_is_in_no_file_of_sqlite(tmp_path: Path) -> None:
    gate = build(tmp_path, None)
    gate.track(gate.event("ada", "early"), gate.event("bob", "early2"))
    secrets = gate.rows("SELECT wrapped_key, sealed_id, audit_ref FROM register")
    uid = _uids(gate, "ada")[0]
    [gone] = gate.rows(f"SELECT wrapped_key, sealed_id FROM register WHERE uid = {uid}")
    kept = [value for row in secrets for value in row[:2] if value not in gone]

    def held() -> bytes:
        return b"".join(path.read_bytes() for path in sorted((tmp_path / "data").glob("portcullis.db*")))

    assert all(value in held() for value in gone), "the search finds what is there"
    request_id = gate.delete("ada")
    gate.work()
    assert gate.status(request_id)["state"] == "done"
    assert [value for value in gone if value in held()] == []
    assert kept
    assert all(value in held() for value in kept)
    gate.services.close()


def test_what_was_shredded_is_in_no_page_of_postgresql(pg: Gate) -> None:
    """The small tables are written anew; the file that held the old bytes is gone."""
    pg.track(pg.event("ada", "early"))
    before = pg.rows("SELECT pg_relation_filenode('register')")
    pg.delete("ada")
    pg.work()
    assert pg.rows("SELECT pg_relation_filenode('register')") != before


# --- credentials -----------------------------------------------------------------------------------------------------


def test_a_credential_without_an_end_is_good_however_slowly_it_is_looked_up(gate: Gate) -> None:
    """The clock moves at every look: a request that waits for its thread is not refused for it."""
    ticking = itertools.count(gate.clock[0], 5).__next__
    slow = bootstrap(gate.services.settings, clock=ticking, database=gate.services.database)
    with slow.database.read() as tx:
        assert slow.access.bearer(tx, gate.credentials["ingest_token"]).project.id == _project(gate)
