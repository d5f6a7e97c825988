"""Encrypt, tokenise and rotation end to end, over SQLite and PostgreSQL, with two processes' worth of services."""

from __future__ import annotations

import io
import json
import re
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from app.access.roles import Role
from app.bootstrap import Services, bootstrap
from app.cli import cli
from app.database import migrate
from app.errors import Integrity, Unavailable
from app.identity import bridges, fence, personal, register
from app.identity.tables import pseudonym_bridge, register as register_table
from app.keys.service import Purpose
from app.keys.tables import wrapped_key
from app.web import create_app
from jobs import cleanup
from policies.cipher import NotOurs, decrypted
from tests.installation import Bell, Installation, Tenant, count, in_threads, installed

POLICY = """\
policy: keys
detectors: {email: keep, phone: keep, card: keep, ip: keep, birth_date: keep, coordinates: keep}
rules:
  - {id: mail, properties: [email, emails], category: user.contact.email, sensitivity: confidential, action: hash}
  - {id: health, properties: [diagnosis, "answers[].text"], category: user.health_and_medical, sensitivity: restricted, action: encrypt}
  - {id: order, properties: [order_ref], category: user.unique_id, sensitivity: internal, action: {tokenise: {purpose: orders}}}
"""
VALUE = "hay fever, mild"


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An installation on each engine in turn."""
    url = f"sqlite:///{tmp_path}/keys.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    migrate(url)
    with installed(url, tmp_path) as built:
        yield built


@pytest.fixture
def tenant(home: Installation) -> Tenant:
    """A project whose policy uses every keyed action."""
    return home.tenant(POLICY)


@pytest.fixture
def second(home: Installation) -> Iterator[Services]:
    """Another process on the same database: services that share nothing with the first but settings and clock."""
    services = bootstrap(home.services.settings, clock=home.clock, doorbell=Bell())
    yield services
    services.close()


def properties(tenant: Tenant) -> list[dict[str, Any]]:
    return [json.loads(row.properties) for row in tenant.stored()]


def exported(tenant: Tenant, role: Role = Role.ADMIN, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    answer = tenant.client.get("/api/2.0/export?from_date=2020-01-01&to_date=2030-12-31", headers=headers or tenant.auth(role))
    assert answer.status_code == 200
    return [json.loads(line)["properties"] for line in answer.get_data(as_text=True).splitlines()]


def profiles(tenant: Tenant, role: Role = Role.ADMIN) -> dict[str, dict[str, Any]]:
    answer = tenant.client.get("/api/2.0/engage", headers=tenant.auth(role)).json
    return {each["$distinct_id"]: each["$properties"] for each in answer["results"]}


def rotate(tenant: Tenant, purpose: str = "pseudonym", **body: Any) -> Any:
    return tenant.client.post("/v1/keys/rotate", json={"purpose": purpose, **body}, headers=tenant.auth(Role.ADMIN))


def entries(tenant: Tenant, action: str) -> list[dict[str, Any]]:
    services = tenant.home.services
    services.audit.sequence()
    found = (json.loads(each.body) for each in services.audit.entries(tenant.id, 0, 10_000))
    return [each for each in found if each["action"] == action]


def erase(tenant: Tenant, *people: str) -> None:
    answer = tenant.client.post(
        "/v1/requests", json={"kind": "erasure", "distinct_ids": list(people)}, headers=tenant.auth(Role.OFFICER)
    )
    assert answer.status_code == 201
    while tenant.home.work():
        pass


# --- encrypt ----------------------------------------------------------------------------------------------------------


def test_a_value_under_encrypt_is_stored_as_a_ciphertext_of_its_person(tenant: Tenant) -> None:
    tenant.send([tenant.event(distinct_id=who, diagnosis=VALUE) for who in ("ann", "ann", "ben")])
    stored = [each["diagnosis"] for each in properties(tenant)]
    assert all(code.startswith("e1.") for code in stored)
    assert len(set(stored)) == 2, "equal for one person, different for two"


def test_there_is_never_a_placeholder_where_there_is_a_key(tenant: Tenant) -> None:
    tenant.send([tenant.event(distinct_id="new", diagnosis=VALUE, answers=[{"text": "a"}, {"text": 7}])])
    tenant.send([tenant.event(distinct_id=None, diagnosis=VALUE)])
    whose, nobodys = sorted(tenant.stored(), key=lambda row: row.uid, reverse=True)
    assert "[encrypted]" not in whose.properties
    # What belongs to nobody has no key that an erasure could destroy.
    assert json.loads(nobodys.properties)["diagnosis"] == "[encrypted]"


def test_who_may_sees_the_value_and_who_may_not_the_ciphertext(tenant: Tenant) -> None:
    tenant.send([tenant.event(diagnosis=VALUE, answers=[{"text": 7}], payload=json.dumps({"diagnosis": None, "x": 1}))])
    with tenant.home.services.database.write() as tx:
        made = tenant.home.services.access.create_principal(tx, tenant.id, _bearer(), Role.PIPELINE, actor="test")
    (clear,), (sealed,) = exported(tenant), exported(tenant, headers={"Authorization": f"Bearer {made.secret}"})
    assert (clear["diagnosis"], clear["answers"]) == (VALUE, [{"text": 7}])
    assert sealed["diagnosis"].startswith("e1.")
    closing = [each for each in entries(tenant, "events.exported") if each["facts"]["phase"] == "finished"]
    assert [each["n"].get("values_opened") for each in closing] == [2, None]


def _bearer() -> Any:
    from app.access.service import Kind

    return Kind.BEARER


def test_profiles_are_encrypted_shown_and_counted_alike(tenant: Tenant) -> None:
    def engage(**operation: Any) -> None:
        assert tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", **operation}]).data == b"1"

    engage(**{"$set": {"diagnosis": VALUE, "plan": "pro"}})
    engage(**{"$union": {"answers": [{"text": "b"}]}})
    engage(**{"$union": {"answers": [{"text": "b"}]}})
    stored = tenant.profile("ann")
    assert stored is not None
    assert stored["diagnosis"].startswith("e1.")
    assert len(stored["answers"]) == 1, "the same value of the same person is the same ciphertext"
    assert profiles(tenant)["ann"]["diagnosis"] == VALUE
    assert profiles(tenant, Role.PIPELINE)["ann"]["diagnosis"] == stored["diagnosis"]
    assert [each["n"].get("values_opened") for each in entries(tenant, "profiles.read")] == [2, None]


def test_a_device_and_its_user_read_alike_before_and_after_they_meet(tenant: Tenant) -> None:
    tenant.send([tenant.event(distinct_id=None, diagnosis="alone", **{"$device_id": "d"})])
    tenant.send([tenant.event(distinct_id=None, diagnosis=VALUE, **{"$device_id": "d", "$user_id": "u"})])
    tenant.send([tenant.event(distinct_id=None, diagnosis=VALUE, **{"$device_id": "d"})])
    stored = [each["diagnosis"] for each in properties(tenant)]
    assert sorted(stored.count(each) for each in stored) == [1, 2, 2], "once linked, both write under the person's key"
    assert sorted(each["diagnosis"] for each in exported(tenant)) == ["alone", VALUE, VALUE]


def test_the_copy_for_the_person_holds_what_was_encrypted_in_clear(tenant: Tenant) -> None:
    tenant.send([tenant.event(distinct_id="ann", diagnosis=VALUE, email="ann@example.com")])
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", "$set": {"diagnosis": VALUE}}])
    rotate(tenant)
    tenant.send([tenant.event(distinct_id="ann", email="ann@example.com")])
    officer = tenant.auth(Role.OFFICER)
    made = tenant.client.post("/v1/requests", json={"kind": "access", "distinct_ids": ["ann"]}, headers=officer)
    tenant.home.work()
    archive = tenant.client.get(f"/v1/requests/{made.json['id']}/archive", headers=officer)
    with zipfile.ZipFile(io.BytesIO(archive.data)) as opened:
        texts = {name: opened.read(name).decode() for name in opened.namelist()}
    assert VALUE in texts["events.ndjson"]
    assert VALUE in texts["profiles.ndjson"]
    assert "e1." not in "".join(texts.values())
    (pair,) = [json.loads(line) for line in texts["pseudonyms.ndjson"].splitlines()]
    assert texts["events.ndjson"].count(pair["newer"]) == 2
    assert pair["older"] not in texts["events.ndjson"]


def test_a_held_event_is_encrypted_too_and_opened_for_its_person(home: Installation) -> None:
    tenant = home.tenant(POLICY + "unknown_events: quarantine\n")
    tenant.send([tenant.event(distinct_id="ann", diagnosis=VALUE)])
    with home.services.database.read() as tx:
        reasons = list(tx.execute(sa.text("SELECT reason FROM quarantined")).scalars())
    assert reasons == ["unknown_event"]
    officer = tenant.auth(Role.OFFICER)
    made = tenant.client.post("/v1/requests", json={"kind": "access", "distinct_ids": ["ann"]}, headers=officer)
    home.work()
    archive = tenant.client.get(f"/v1/requests/{made.json['id']}/archive", headers=officer)
    with zipfile.ZipFile(io.BytesIO(archive.data)) as opened:
        (held,) = [json.loads(line) for line in opened.read("quarantined.ndjson").splitlines()]
    assert held["properties"]["diagnosis"] == VALUE


def test_once_the_register_row_is_gone_no_backup_of_events_and_no_project_key_opens_the_value(tenant: Tenant) -> None:
    services = tenant.home.services
    tenant.send([tenant.event(distinct_id="ann", diagnosis=VALUE), tenant.event(distinct_id="ben", diagnosis=VALUE)])
    backup = {row.uid: json.loads(row.properties)["diagnosis"] for row in tenant.stored()}
    with services.database.read() as tx:
        keys = services.keyring.of(tx, tenant.id)
        people = register.resolve(tx, keys, ["ann", "ben"])
        (ann,) = personal.secrets_of(tx, keys, [people["ann"].uid or 0]).values()
    assert decrypted(ann[0], backup[people["ann"].uid or 0]) == VALUE, "the control: while the row is there, it opens"

    erase(tenant, "ann")

    with services.database.read() as tx:
        left = list(tx.execute(sa.select(register_table.c.uid, register_table.c.wrapped_key)))
        project = [
            services.keyring._master.unwrap(row.wrapped, f"project|{tenant.id}|{row.purpose}|{row.version}")
            for row in tx.execute(sa.select(wrapped_key).where(wrapped_key.c.project_id == tenant.id))
        ]
        assert personal.secrets_of(tx, keys, backup) == {
            people["ben"].uid: personal.secrets_of(tx, keys, backup)[people["ben"].uid or 0]
        }
    candidates = [*project]
    for _, wrapped in left:
        for uid in backup:
            try:
                candidates.append(keys.subject_secret(uid, wrapped or b""))
            except Integrity:
                continue
    assert decrypted(candidates[-1], backup[people["ben"].uid or 0]) == VALUE, "the control: the others still open"
    for candidate in candidates:
        with pytest.raises(NotOurs):
            decrypted(candidate, backup[people["ann"].uid or 0])


def test_a_restored_row_of_an_erased_person_shows_nobody_anything(tenant: Tenant) -> None:
    tenant.send([tenant.event(distinct_id="ann", diagnosis=VALUE)])
    row = tenant.stored()[0]
    erase(tenant, "ann")
    with tenant.home.services.database.write() as tx:
        tenant.home.services.stores.of(None).append(tx, tenant.id, [row])
    assert exported(tenant) == []


def test_restricted_people_are_neither_shown_nor_opened(tenant: Tenant) -> None:
    services = tenant.home.services
    tenant.send([tenant.event(distinct_id="ann", diagnosis=VALUE)])
    with services.database.write() as tx:
        tx.execute(sa.update(register_table).where(register_table.c.project_id == tenant.id).values(state="restricted"))
    assert exported(tenant) == []
    assert "values_opened" not in entries(tenant, "events.exported")[-1]["n"]


def test_a_check_for_others_uses_the_key_of_whom_the_register_knows(tenant: Tenant) -> None:
    tenant.send([tenant.event(distinct_id="ann", diagnosis=VALUE)])
    (stored,) = properties(tenant)

    def asked(who: str) -> Any:
        event = {"event": "Viewed", "properties": {"distinct_id": who, "diagnosis": VALUE}}
        answer = tenant.client.post("/v1/check", json={"events": [event]}, headers=tenant.auth(Role.INGEST))
        return answer.json["results"][0]["event"]["properties"]["diagnosis"]

    assert asked("ann") == stored["diagnosis"]
    assert asked("stranger") == "[encrypted]"
    assert tenant.state("stranger") == [None]


# --- tokenise ---------------------------------------------------------------------------------------------------------


def reveal(tenant: Tenant, tokens: list[str], role: Role = Role.OFFICER, **body: Any) -> Any:
    asked = {"purpose": "orders", "tokens": tokens, "reason": "support_case", "reference": "CASE-17", **body}
    return tenant.client.post("/v1/tokens/reveal", json=asked, headers=tenant.auth(role))


def test_a_token_is_revealed_to_an_officer_with_a_reason_and_the_log_holds_no_value(tenant: Tenant) -> None:
    tenant.send([tenant.event(order_ref="A-77-secret"), tenant.event(order_ref=12)])
    tokens = [each["order_ref"] for each in properties(tenant)]
    answer = reveal(tenant, [*tokens, "t1.nothing", "A-77-secret"])
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json["results"]
    assert sorted(str(each["value"]) for each in found[:2]) == ["12", "A-77-secret"]
    assert found[2:] == [{"known": False, "value": None}] * 2
    (entry,) = entries(tenant, "tokens.revealed")
    assert entry["n"] == {"asked": 4, "revealed": 2}
    assert entry["facts"] == {"purpose": "orders", "reason": "support_case", "reference": "CASE-17"}


def test_a_purpose_under_which_nothing_opens_is_not_repeated_in_the_log(tenant: Tenant) -> None:
    tenant.send([tenant.event(order_ref="A-77")])
    (stored,) = properties(tenant)
    answer = reveal(tenant, [stored["order_ref"]], purpose="jane@example.com")
    assert answer.json["results"] == [{"known": False, "value": None}]
    assert entries(tenant, "tokens.revealed")[0]["facts"]["purpose"] == "unknown"


@pytest.mark.parametrize(
    "body",
    [{"reason": None}, {"reason": "because jane asked"}, {"reference": "jane@example.com"}, {"tokens": []}, {"purpose": ""}],
)
def test_a_reveal_without_a_good_reason_is_refused_by_field(tenant: Tenant, body: dict[str, Any]) -> None:
    answer = reveal(tenant, **{"tokens": ["t1.x"], **body})
    assert answer.status_code == 422
    assert next(iter(body)) in answer.get_data(as_text=True)
    assert "jane" not in answer.get_data(as_text=True)
    assert entries(tenant, "tokens.revealed") == []


@pytest.mark.parametrize("role", [Role.INGEST, Role.PIPELINE, Role.AUDITOR])
def test_others_may_not_reveal(tenant: Tenant, role: Role) -> None:
    assert reveal(tenant, ["t1.x"], role).status_code == 403


def test_tokens_stay_readable_over_a_rotation_and_come_in_again_as_new_ones(tenant: Tenant) -> None:
    tenant.send([tenant.event(order_ref="A-77")])
    (old,) = (each["order_ref"] for each in properties(tenant))
    assert rotate(tenant, "token").json["version"] == 2
    tenant.send([tenant.event(order_ref="A-77"), tenant.event(order_ref=old)])
    codes = sorted(each["order_ref"] for each in properties(tenant))
    assert codes[0] == old
    assert codes[1] == codes[2]
    assert codes[1].startswith("t2.")
    assert [each["value"] for each in reveal(tenant, codes).json["results"]] == ["A-77"] * 3


def test_a_project_of_an_earlier_release_gets_its_token_key_when_it_is_first_used(tenant: Tenant, second: Services) -> None:
    services = tenant.home.services
    with services.database.write() as tx:
        mine = sa.and_(wrapped_key.c.project_id == tenant.id, wrapped_key.c.purpose == "token")
        tx.execute(sa.delete(wrapped_key).where(mine))
    asked = {"events": [{"event": "Viewed", "properties": {"order_ref": "A-77"}}]}
    answer = tenant.client.post("/v1/check", json=asked, headers=tenant.auth(Role.INGEST))
    checked = answer.json["results"][0]["event"]["properties"]["order_ref"]
    other = create_app(built=second).test_client()
    other.post("/track", json=[tenant.event(order_ref="A-77")])
    assert [each["order_ref"] for each in properties(tenant)] == [checked]
    assert len(entries(tenant, "key.created")) == 1


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_joins_hold_over_a_rotation_in_events_and_profiles(tenant: Tenant) -> None:
    def send(*addresses: str) -> None:
        tenant.send([tenant.event(distinct_id=f"d{n}", email=each) for n, each in enumerate(addresses)])

    send("ann@example.com", "once@example.com")
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", "$set": {"email": "ann@example.com"}}])
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", "$union": {"emails": ["ann@example.com"]}}])
    assert rotate(tenant, bridge_days=30).json["state"] == "primary"
    tenant.home.clock.advance(days=29)
    send("Ann@Example.com")
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", "$union": {"emails": ["ann@example.com"]}}])
    stored = [each["email"] for each in properties(tenant)]
    assert len(set(stored)) == 3
    shown = [each["email"] for each in exported(tenant)]
    assert len(set(shown)) == 2
    assert [code[:3] for code in sorted(shown)] == ["p1.", "p2.", "p2."], "a value never seen again keeps its pseudonym"
    assert profiles(tenant)["ann"]["email"] in shown
    assert len(profiles(tenant)["ann"]["emails"]) == 1, "a list meets the older pseudonym of the same value"


def test_joins_hold_over_two_rotations(tenant: Tenant) -> None:
    for _ in range(3):
        tenant.send([tenant.event(email="ann@example.com")])
        assert rotate(tenant, bridge_days=1).status_code == 200
        tenant.send([tenant.event(email="ann@example.com")])
        tenant.home.clock.advance(days=2)
    assert len({each["email"] for each in properties(tenant)}) == 4
    (shown,) = {each["email"] for each in exported(tenant)}
    assert shown.startswith("p4.")


def test_after_the_bridge_nothing_is_computed_twice_and_the_key_retires(tenant: Tenant) -> None:
    rotate(tenant, bridge_days=1)
    tenant.home.clock.advance(days=1)
    tenant.send([tenant.event(email="ann@example.com")])
    assert count(tenant.home, pseudonym_bridge) == 0
    assert _states(tenant) == {1: "bridge", 2: "primary"}
    cleanup.clean(tenant.home.services)
    cleanup.clean(tenant.home.services)
    assert _states(tenant) == {1: "retired", 2: "primary"}
    (entry,) = entries(tenant, "key.retired")
    assert (entry["actor"], entry["facts"]) == ("system", {"purpose": "pseudonym", "version": "1"})


def _states(tenant: Tenant) -> dict[int, str]:
    keys = tenant.client.get("/v1/keys", headers=tenant.auth(Role.AUDITOR)).json["keys"]
    return {each["version"]: each["state"] for each in keys if each["purpose"] == "pseudonym"}


def test_an_export_that_comes_in_again_is_not_hashed_again(tenant: Tenant) -> None:
    tenant.send([tenant.event(email="ann@example.com")])
    (old,) = (each["email"] for each in properties(tenant))
    rotate(tenant, bridge_days=1)
    tenant.send([tenant.event(email=old)])
    tenant.home.clock.advance(days=2)
    tenant.send([tenant.event(email=old)])
    assert {each["email"] for each in properties(tenant)} == {old}
    assert count(tenant.home, pseudonym_bridge) == 0, "an older pseudonym says nothing about its newer one"
    assert rotate(tenant, bridge_days=1).status_code == 200


def test_the_bridge_of_a_person_is_erased_with_them_and_that_of_others_stays(tenant: Tenant) -> None:
    for _ in range(2):
        tenant.send([tenant.event(distinct_id=who, email="shared@example.com") for who in ("ann", "ben")])
        rotate(tenant) if not count(tenant.home, pseudonym_bridge) else None
    assert count(tenant.home, pseudonym_bridge) == 2
    erase(tenant, "ann")
    assert count(tenant.home, pseudonym_bridge) == 1
    assert {each["email"][:3] for each in exported(tenant)} == {"p2."}
    erase(tenant, "ben")
    assert count(tenant.home, pseudonym_bridge) == 0


def test_one_person_cannot_fill_the_table_of_bridges(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridges, "MOST_PER_PERSON", 5)
    rotate(tenant)
    for _ in range(2):
        tenant.send([tenant.event(distinct_id="ann", email=f"{secrets.token_hex(8)}@example.com") for _ in range(4)])
    tenant.send([tenant.event(distinct_id="ben", email="ben@example.com")])
    assert count(tenant.home, pseudonym_bridge) == 6
    assert len(tenant.stored()) == 9


def test_every_process_uses_the_new_key_for_what_it_acknowledges_after_a_rotation(tenant: Tenant, second: Services) -> None:
    other = create_app(built=second).test_client()

    def through_the_other() -> str:
        assert other.post("/track", json=[tenant.event(email="ann@example.com", order_ref="x")]).data == b"1"
        last = max(tenant.stored(), key=lambda row: row.received_ms)
        tenant.home.clock.advance(seconds=1)
        found = json.loads(last.properties)
        return f"{found['email'][:2]} {found['order_ref'][:2]}"

    assert through_the_other() == "p1 t1"
    rotate(tenant)
    assert through_the_other() == "p2 t1"
    rotate(tenant, "token")
    assert through_the_other() == "p2 t2"


def test_a_batch_is_under_one_key_or_the_next_while_a_rotation_comes_in_between(tenant: Tenant, second: Services) -> None:
    other = create_app(built=second).test_client()
    acknowledged: list[tuple[str, bool]] = []
    done: list[bool] = []

    def send(n: int) -> None:
        for i in range(6):
            before, name = bool(done), f"b{n}-{i}"
            batch = [tenant.event(name, email="ann@example.com") for _ in range(3)]
            assert other.post("/track", json=batch).data == b"1"
            acknowledged.append((name, before))

    def turn() -> None:
        assert rotate(tenant).status_code == 200
        done.append(True)

    in_threads([lambda: send(0), lambda: send(1), turn])
    versions: dict[str, set[str]] = {}
    for row in tenant.stored():
        versions.setdefault(row.name, set()).add(json.loads(row.properties)["email"][:3])
    assert all(len(found) == 1 for found in versions.values())
    assert all(versions[name] == {"p2."} for name, after in acknowledged if after)


def test_a_rotation_waits_for_the_batch_that_is_under_way(tenant: Tenant, second: Services) -> None:
    services = tenant.home.services
    turn = Thread(target=second.custody.rotate, args=(tenant.id, Purpose.PSEUDONYM, 1), kwargs={"actor": "test"})
    with services.database.write() as tx:
        fence.enter_shared(tx, tenant.id)
        assert services.keyring.of(tx, tenant.id).pseudonym.version == 1
        turn.start()
        turn.join(0.5)
        assert turn.is_alive(), "it would be acknowledged under the old key after the rotation was answered"
    turn.join(20)
    assert _states(tenant) == {1: "bridge", 2: "primary"}


def test_a_rotation_that_is_rolled_back_leaves_no_key_in_memory(tenant: Tenant) -> None:
    services = tenant.home.services

    with services.database.write() as tx:
        services.keyring.rotate(tx, tenant.id, Purpose.PSEUDONYM, 0, 1)
        undone = services.keyring.of(tx, tenant.id).pseudonym
        tx.rollback()
    with services.database.read() as tx:
        assert services.keyring.of(tx, tenant.id).pseudonym.version == 1
    with services.database.write() as tx:
        services.keyring.rotate(tx, tenant.id, Purpose.PSEUDONYM, 0, 1)
    with services.database.read() as tx:
        now = services.keyring.of(tx, tenant.id).pseudonym
    assert (now.version, now.key == undone.key) == (2, False)


# --- refusals and figures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"purpose": "lookup"}, 422, "purpose"),
        ({"purpose": "pseudonym", "bridge_days": -1}, 422, "bridge_days"),
        ({"purpose": "pseudonym", "bridge_days": 366}, 422, "bridge_days"),
        ({"purpose": "pseudonym", "bridge_days": "x"}, 422, "bridge_days"),
        ({"purpose": "token", "bridge_days": 3}, 400, "bridge_days"),
        ({}, 422, "purpose"),
    ],
)
def test_a_rotation_that_makes_no_sense_is_refused_by_field(
    tenant: Tenant, body: dict[str, Any], status: int, field: str
) -> None:
    answer = tenant.client.post("/v1/keys/rotate", json=body, headers=tenant.auth(Role.ADMIN))
    assert answer.status_code == status
    assert field in answer.get_data(as_text=True)
    assert entries(tenant, "key.rotated") == []


def test_a_second_rotation_waits_for_the_end_of_the_bridge_and_another_purpose_does_not(tenant: Tenant) -> None:
    assert rotate(tenant, bridge_days=1).status_code == 200
    refused = rotate(tenant)
    assert refused.status_code == 409
    assert "bridge period until" in refused.json["error"]["message"]
    assert rotate(tenant, "token").status_code == 200
    tenant.home.clock.advance(days=1)
    assert rotate(tenant, bridge_days=0).json["version"] == 3
    assert _states(tenant) == {1: "retired", 2: "retired", 3: "primary"}
    assert [each["facts"]["version"] for each in entries(tenant, "key.rotated")] == ["2", "2", "3"]


def test_a_project_without_a_key_is_refused_and_nothing_passes(tenant: Tenant, second: Services) -> None:
    with second.database.write() as tx:
        mine = sa.and_(wrapped_key.c.project_id == tenant.id, wrapped_key.c.purpose == "pseudonym")
        tx.execute(sa.delete(wrapped_key).where(mine))
    answer = tenant.send([tenant.event(email="ann@example.com")])
    assert answer.status_code == 503
    assert tenant.stored() == []
    assert rotate(tenant).status_code == 503


def test_a_key_for_a_form_that_this_release_cannot_write_closes_the_gate(tenant: Tenant, second: Services) -> None:
    with second.database.write() as tx:
        tx.execute(sa.update(wrapped_key).where(wrapped_key.c.project_id == tenant.id).values(form=99))
    assert tenant.send([tenant.event(email="ann@example.com")]).status_code == 503
    with second.database.read() as tx, pytest.raises(Unavailable, match="canonical form"):
        second.keyring.of(tx, tenant.id)


def test_metrics_count_keys_by_state_and_rotations(tenant: Tenant) -> None:
    rotate(tenant)
    text = tenant.client.get("/metrics", headers=tenant.auth(Role.ADMIN)).get_data(as_text=True)
    assert re.search(r'portcullis_keys\{purpose="pseudonym",state="bridge"\} 1\.0', text)
    assert re.search(r'portcullis_key_rotations_total\{purpose="pseudonym"\} 1\.0', text)


def test_the_command_line_shows_and_rotates(tenant: Tenant) -> None:
    settings = tenant.home.services.settings
    environment = {"PORTCULLIS_DATA": str(settings.data_dir), "DATABASE_URL": settings.database_url}
    environment["PORTCULLIS_MASTER_KEY"] = settings.master_key or ""
    runner = CliRunner(env=environment)
    done = runner.invoke(cli, ["keys", "rotate", str(tenant.id), "--purpose", "pseudonym", "--bridge-days", "3"])
    assert (done.exit_code, done.output) == (0, "version 2 of the pseudonym key is in force\n")
    listed = runner.invoke(cli, ["keys", "status", str(tenant.id)])
    assert [line.split("\t")[:3] for line in listed.output.splitlines() if line.startswith("pseudonym")] == [
        ["pseudonym", "1", "bridge"],
        ["pseudonym", "2", "primary"],
    ]
    assert runner.invoke(cli, ["keys", "rotate", str(tenant.id), "--purpose", "lookup"]).exit_code == 2
    assert "no such project" in str(runner.invoke(cli, ["keys", "status", "7"]).exception)
    assert entries(tenant, "key.rotated")[0]["actor"] == "cli"
