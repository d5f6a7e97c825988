"""What a request is judged by is what is in force when it is answered, whichever process changed it; and it is asked for
in few statements, because that is most of what a check of one event costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.access.roles import PERMISSIONS, Role
from app.bootstrap import Services, bootstrap
from app.identity import register
from app.keys.service import Purpose
from app.lexicon.model import Change, Editor, Key, Kind, State
from tests.contract.test_rulebook import policy
from tests.installation import Installation, Tenant, in_threads

EVENT = {"event": "Viewed", "properties": {"distinct_id": "ann", "secret": "plain"}}
Act = Callable[[Services, Tenant], object]


@pytest.fixture
def tenant(home: Installation) -> Tenant:
    return home.tenant(policy("keep"))


@pytest.fixture
def elsewhere(home: Installation) -> Iterator[Services]:
    """Other services over the same database: what another process is."""
    other = bootstrap(home.services.settings, clock=home.clock, doorbell=home.bell)
    yield other
    other.close()


def check(tenant: Tenant, *events: dict[str, Any]) -> Any:
    answer = tenant.client.post("/v1/check", json={"events": events or (EVENT,)}, headers=tenant.auth(Role.INGEST))
    return answer.get_json() if answer.status_code == 200 else answer.status_code


def verdicts(tenant: Tenant) -> list[str]:
    return [each["verdict"] for each in check(tenant)["results"]]


def put_in_force(services: Services, tenant: Tenant) -> None:
    with services.database.write() as tx:
        version = services.rulebook.add(tx, tenant.id, policy("drop", name="stricter"), author="test").version
        services.rulebook.activate(tx, tenant.id, version, actor="test")


def block(services: Services, tenant: Tenant) -> None:
    with services.database.write() as tx:
        change = {Key(Kind.EVENT, "Viewed"): Change(state=State.BLOCKED)}
        services.lexicon.change(tx, tenant.id, Editor("test", PERMISSIONS[Role.ADMIN]), change)


def opt_out(services: Services, tenant: Tenant) -> None:
    services.choices.opt_out(tenant.officer(), ["ann"])


def opt_out_another_spelling(services: Services, tenant: Tenant) -> None:
    services.choices.opt_out(tenant.officer(), [" ann"])


@pytest.mark.parametrize(
    ("act", "before", "after"),
    [
        (put_in_force, "pass", "changed"),
        (block, "pass", "dropped"),
        (opt_out, "pass", "dropped"),
        (opt_out_another_spelling, "pass", "dropped"),
    ],
)
def test_a_change_made_elsewhere_is_in_force_for_the_next_check(
    tenant: Tenant, elsewhere: Services, act: Act, before: str, after: str
) -> None:
    assert verdicts(tenant) == verdicts(tenant) == [before]
    act(elsewhere, tenant)
    assert verdicts(tenant) == [after]


@pytest.mark.parametrize("act", [put_in_force, block, opt_out, opt_out_another_spelling])
def test_a_change_made_elsewhere_is_in_force_for_the_next_batch(tenant: Tenant, elsewhere: Services, act: Act) -> None:
    sent = tenant.event(distinct_id="ann", secret="plain")
    assert tenant.track([sent]).data == b"1"
    act(elsewhere, tenant)
    tenant.track([{**sent, "properties": {**sent["properties"], "$insert_id": "b" * 32}}])
    assert sum("plain" in row.properties for row in tenant.stored()) == 1


def test_a_rollback_made_elsewhere_is_in_force_for_the_next_check(tenant: Tenant, elsewhere: Services) -> None:
    put_in_force(elsewhere, tenant)
    assert check(tenant)["policy"] == {"name": "stricter", "version": 2}
    with elsewhere.database.write() as tx:
        elsewhere.rulebook.rollback(tx, tenant.id, actor="test")
    assert check(tenant)["policy"]["version"] == 1


def test_a_key_rotated_elsewhere_makes_the_next_pseudonym(tenant: Tenant, elsewhere: Services) -> None:
    tenant.put_in_force(policy("hash"))

    def pseudonym() -> str:
        return str(check(tenant)["results"][0]["event"]["properties"]["secret"])

    assert pseudonym().startswith("p1.")
    elsewhere.custody.rotate(tenant.id, Purpose.PSEUDONYM, 7, actor="test")
    assert pseudonym().startswith("p2.")


def test_a_credential_revoked_elsewhere_checks_nothing_any_more(tenant: Tenant, elsewhere: Services) -> None:
    assert verdicts(tenant) == ["pass"]
    with elsewhere.database.write() as tx:
        elsewhere.access.revoke(tx, tenant.ids[Role.INGEST], actor="test")
    assert check(tenant) == 401


def test_requests_that_are_refused_give_their_connection_back(tenant: Tenant) -> None:
    """More of them than the pool holds, each refused at another point of its way."""
    for _ in range(40):
        send = {"headers": tenant.auth(Role.INGEST), "content_type": "application/json"}
        assert tenant.client.post("/v1/check", data=b"{", **send).status_code == 400
        assert tenant.client.post("/v1/check", data=b"{}", headers=tenant.auth(Role.AUDITOR)).status_code == 403
        assert tenant.client.post("/v1/check", data=b"{}", headers={"Authorization": "Bearer x"}).status_code == 401
    assert verdicts(tenant) == ["pass"]
    assert in_threads([lambda: verdicts(tenant)] * 8) == [["pass"]] * 8


@contextmanager
def statements(services: Services) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, text: str, *_more: Any) -> None:
        seen.append(text)

    sa.event.listen(services.database.engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(services.database.engine, "before_cursor_execute", note)


def test_a_check_of_one_event_asks_three_questions(tenant: Tenant) -> None:
    check(tenant)
    with statements(tenant.home.services) as seen:
        check(tenant)
    assert len(seen) == 3


def test_few_ids_and_many_are_told_the_same(tenant: Tenant) -> None:
    services = tenant.home.services
    known = ["ann", "Ben@mail.example", "cleo", "caf\u00e9"]
    tenant.track([tenant.event(distinct_id=each) for each in known])
    services.choices.opt_out(tenant.officer(), ["ben@mail.example", "cleo"])
    asked = [*known, "cafe\u0301", "BEN@mail.example", " ann", "nobody", "x" * 250]
    with services.database.read() as tx:
        keys = services.keyring.of(tx, tenant.id)
        few = register.acquainted(tx, keys, asked)
        many, inherited = register.acquainted(tx, keys, [*asked, *(f"new-{n}" for n in range(60))])
        rows = register.resolve(tx, keys, asked)
        assert few == (many, inherited)
        assert few == (rows, register.standing_of_forms(tx, keys, [each for each in asked if each not in rows]))
        assert register.acquainted(tx, keys, []) == ({}, {})
    assert "BEN@mail.example" in few[1]
    assert "cafe\u0301" in few[0]
