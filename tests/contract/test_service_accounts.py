"""Service accounts over HTTP on both engines: shapes as published, who may what, rotation, expiry, and what the log says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from app.access.accounts import MOST_ACCOUNTS, Manager
from app.access.roles import Role
from app.access.service import Kind
from app.access.tables import membership, principal
from app.audit.entry import iso
from app.errors import Conflict
from tests.installation import Installation, Tenant, basic, count

BASE = "/api/app/organizations/1/service-accounts"
READ = {"id", "username", "last_used", "expires", "creator", "created", "user"}
Headers = dict[str, str]


@pytest.fixture
def tenant(home: Installation) -> Tenant:
    return home.tenant()


def ask(home: Installation, headers: Headers, method: str, path: str = "", body: Any = None) -> TestResponse:
    return home.app.test_client().open(BASE + path, method=method, json=body, headers=headers)


def made(tenant: Tenant, headers: Headers | None = None, **body: Any) -> dict[str, Any]:
    """A new account, by default of an admin of its project."""
    sent = {"username": "robot", "role": "admin", "projects": [{"id": tenant.id}], **body}
    answer = ask(tenant.home, headers or tenant.auth(Role.ADMIN), "POST", "", sent)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()["results"]
    return found


def sign_in(found: dict[str, Any], secret: str | None = None) -> Headers:
    return basic(found["username"], secret or found["token"])


def status(home: Installation, headers: Headers, **query: Any) -> int:
    return home.app.test_client().get("/api/app/me", headers=headers, query_string=query).status_code


def log(tenant: Tenant, action: str) -> list[dict[str, Any]]:
    entries = (json.loads(each.body) for each in tenant.home.services.audit.entries(tenant.id, 0, 1_000))
    return [each for each in entries if each["action"] == action]


# --- as published ----------------------------------------------------------------------------------------------------


def test_an_account_is_made_read_listed_and_ended_as_published(tenant: Tenant) -> None:
    home, admin = tenant.home, tenant.auth(Role.ADMIN)
    home.clock.advance(seconds=1)  # They are listed in the order in which they were made.
    answer = ask(
        home, admin, "POST", "", {"username": "robot", "role": "admin", "projects": [{"id": tenant.id, "role": "analyst"}]}
    )
    assert (answer.status_code, set(answer.get_json()), answer.get_json()["status"]) == (201, {"results", "status"}, "ok")
    found = answer.get_json()["results"]
    assert set(found) == READ | {"token"}
    assert re.fullmatch(r"robot\.[0-9a-f]{6}\.mp-service-account", found["username"])
    assert (type(found["id"]), found["last_used"], found["expires"], found["creator"]) == (int, None, None, None)
    shown = {name: found[name] for name in READ}
    assert ask(home, admin, "GET", f"/{found['id']}").get_json() == {"results": shown, "status": "ok"}
    listed = ask(home, admin, "GET", "/").get_json()["results"]
    assert listed[-1] == shown
    assert listed[0]["username"] == tenant.account[0]
    members = home.app.test_client().get(f"/api/app/projects/{tenant.id}/service-accounts", headers=admin).get_json()["results"]
    more = {"hasSensitiveAccess": False, "role": "analyst", "role_order": 2, "target_type": "individual", "email": ""}
    assert members[-1] == shown | more
    assert ask(home, admin, "DELETE", f"/{found['id']}").get_json() == {"status": "ok"}
    assert status(home, sign_in(found)) == 401
    assert ask(home, admin, "GET", f"/{found['id']}").status_code == 404


def test_me_says_who_is_calling(tenant: Tenant) -> None:
    client = tenant.home.app.test_client()
    answer = client.get("/api/app/me?include_workspace_users=false", headers=basic(*tenant.account))
    assert answer.get_json()["status"] == "ok"
    found = answer.get_json()["results"]
    assert found["user_name"] == tenant.account[0]
    assert found["projects"][str(tenant.id)]["role"] == {"name": "admin"}
    assert found["projects"][str(tenant.id)]["timezone"] == "UTC"
    assert list(found["organizations"]) == ["1"]
    other = client.get("/api/app/me/", headers=tenant.auth(Role.AUDITOR)).get_json()["results"]
    assert (other["user_id"], other["user_name"]) == (None, tenant.ids["auditor"])
    assert client.get("/api/app/me").get_json()["status"] == "error"


def test_the_secret_is_shown_once_and_kept_nowhere(tenant: Tenant) -> None:
    found = made(tenant)
    admin = tenant.auth(Role.ADMIN)
    told = [ask(tenant.home, admin, "GET", f"/{found['id']}").text, ask(tenant.home, admin, "GET").text]
    with tenant.home.services.database.read() as tx:
        told.append(repr(tx.execute(sa.select(principal).where(principal.c.number == found["id"])).all()))
    told.append(json.dumps([json.loads(each.body) for each in tenant.home.services.audit.entries(tenant.id, 0, 1_000)]))
    assert not any(found["token"] in each for each in told)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "username"),
        ({"username": "ada@example.com"}, "username"),
        ({"username": "a:canary"}, "username"),
        ({"username": ""}, "username"),
        ({"username": 7}, "username"),
        ({"username": "a", "role": "canary"}, "role"),
        ({"username": "a", "expires": "canary"}, "expires"),
        ({"username": "a", "expires": "2020-01-01T00:00:00Z"}, "expires"),
        ({"username": "a", "projects": [{"role": "admin"}]}, "projects[0].id"),
        ({"username": "a", "projects": [{"id": "7"}]}, "projects[0].id"),
        ({"username": "a", "projects": {"id": 7}}, "projects"),
        ({"username": "a", "canary": 1}, "body"),
        ([], "body"),
    ],
)
def test_a_mistake_is_told_by_its_field_and_nothing_is_made(tenant: Tenant, body: Any, place: str) -> None:
    before = count(tenant.home, principal)
    answer = ask(tenant.home, tenant.auth(Role.ADMIN), "POST", "", body)
    assert (answer.status_code, answer.get_json()["status"]) == (400, "error")
    assert place in answer.get_json()["error"]
    assert "canary" not in answer.text
    assert "ada@" not in answer.text
    assert count(tenant.home, principal) == before


def test_an_organization_that_is_not_this_one_is_not_found(tenant: Tenant) -> None:
    url = "/api/app/organizations/2/service-accounts"
    answer = tenant.client.get(url, headers=tenant.auth(Role.ADMIN))
    assert (answer.status_code, answer.get_json()["status"]) == (404, "error")


# --- projects --------------------------------------------------------------------------------------------------------


def everywhere(*tenants: Tenant, role: Role = Role.ADMIN) -> Headers:
    """The credential of an account that is this in all of these projects."""
    services = tenants[0].home.services
    with services.database.write() as tx:
        projects = {each.id: role for each in tenants}
        account, secret = services.accounts.create(tx, Manager("test"), tenants[0].id, "boss", role, projects)
    return basic(account.username, secret)


def test_an_account_acts_in_each_project_as_what_it_is_there(home: Installation) -> None:
    one, two, three = home.tenant(), home.tenant(), home.tenant()
    boss = everywhere(one, two)
    found = made(one, boss, projects=[{"id": one.id, "role": "consumer"}, {"id": two.id, "role": "admin"}])
    who, client = sign_in(found), home.app.test_client()
    day = {"from_date": "2026-01-01", "to_date": "2026-01-02"}

    def export(**query: Any) -> int:
        return client.get("/api/2.0/export", query_string={**day, **query}, headers=who).status_code

    assert (export(project_id=one.id), export(project_id=two.id), export(project_id=three.id)) == (403, 200, 401)
    assert export() == 403, "without a project it acts where it was made"
    # `mixpanel-utils` names it in the form of a POST, and clients of schemas in the path.
    form = client.post("/api/2.0/engage", data={"project_id": two.id}, headers=who)
    assert form.status_code == 200
    assert client.post("/api/2.0/engage", data={"project_id": one.id}, headers=who).status_code == 403
    assert client.post("/api/2.0/engage", data={"project_id": three.id}, headers=who).status_code == 403
    assert client.get(f"/api/app/projects/{two.id}/schemas", headers=who).status_code == 200
    assert client.get(f"/api/app/projects/{three.id}/schemas", headers=who).status_code == 404
    mine = client.get("/api/app/me", headers=who).get_json()["results"]["projects"]
    assert {of: each["role"]["name"] for of, each in mine.items()} == {str(one.id): "consumer", str(two.id): "admin"}


def test_what_is_read_and_written_is_of_the_project_that_was_named(home: Installation) -> None:
    one, two = home.tenant(), home.tenant()
    boss = everywhere(one, two)
    answer = home.app.test_client().post(
        f"/import?strict=1&project_id={two.id}", json=[two.event("Here", token=None)], headers=boss
    )
    assert answer.status_code == 200, answer.text
    assert (one.names(), two.names()) == ([], ["Here"])


def test_accounts_come_and_go(home: Installation) -> None:
    one, two = home.tenant(), home.tenant()
    boss, found = everywhere(one, two), made(one)
    adding = {"projects": [{"id": two.id, "role": "analyst"}], "service_account_ids": [found["id"]]}
    assert ask(home, boss, "POST", "/add-to-project", adding).get_json() == {"status": "ok"}
    assert status(home, sign_in(found), project_id=two.id) == 200
    leaving = {"projects": [{"id": each.id, "service_account_ids": [found["id"]]} for each in (one, two)]}
    assert ask(home, boss, "POST", "/remove-from-project", leaving).get_json() == {"status": "ok"}
    assert status(home, sign_in(found)) == 401, "of no project it is nobody"
    assert ask(home, boss, "POST", "/remove-from-project", leaving).get_json() == {"status": "ok"}
    changes = [(each["facts"]["before"], each["facts"]["after"]) for each in log(two, "membership.changed")]
    assert changes[1:] == [("none", "analyst"), ("analyst", "none")]
    assert [each["facts"]["after"] for each in log(one, "membership.changed")][-2:] == ["admin", "none"]


def test_all_of_it_happens_or_nothing(home: Installation) -> None:
    one, two = home.tenant(), home.tenant()
    found = made(one)
    adding = {"projects": [{"id": one.id, "role": "analyst"}], "service_account_ids": [found["id"], 1]}
    assert ask(home, one.auth(Role.ADMIN), "POST", "/add-to-project", adding).status_code == 404
    foreign = {
        "projects": [{"id": one.id, "role": "analyst"}, {"id": two.id, "role": "analyst"}],
        "service_account_ids": [found["id"]],
    }
    assert ask(home, one.auth(Role.ADMIN), "POST", "/add-to-project", foreign).status_code == 404
    with home.services.database.read() as tx:
        assert home.services.accounts.one(tx, Manager("test"), found["id"]).roles == {one.id: Role.ADMIN}


# --- who may what ----------------------------------------------------------------------------------------------------


def test_nobody_sees_or_touches_the_accounts_of_others(home: Installation) -> None:
    one, two = home.tenant(), home.tenant()
    found, stranger = made(one), two.auth(Role.OWNER)
    assert ask(home, stranger, "GET", f"/{found['id']}").status_code == 404
    assert ask(home, stranger, "DELETE", f"/{found['id']}").status_code == 404
    assert found["id"] not in [each["id"] for each in ask(home, stranger, "GET").get_json()["results"]]
    assert home.app.test_client().get(f"/api/app/projects/{one.id}/service-accounts", headers=stranger).status_code == 404
    adding = {"projects": [{"id": two.id, "role": "analyst"}], "service_account_ids": [found["id"]]}
    assert ask(home, stranger, "POST", "/add-to-project", adding).status_code == 404
    turn = home.app.test_client().post(f"/v1/service-accounts/{found['id']}/rotate", json={}, headers=stranger)
    assert turn.status_code == 404


def test_nobody_makes_or_becomes_what_he_is_not(tenant: Tenant) -> None:
    home, admin, owner = tenant.home, tenant.auth(Role.ADMIN), tenant.auth(Role.OWNER)
    refused = ask(home, admin, "POST", "", {"username": "x", "role": "owner", "projects": [{"id": tenant.id}]})
    assert refused.status_code == 403
    sneaking = {"username": "x", "role": "consumer", "projects": [{"id": tenant.id, "role": "owner"}]}
    assert ask(home, admin, "POST", "", sneaking).status_code == 403
    top = made(tenant, owner, role="owner")
    turn = home.app.test_client().post(f"/v1/service-accounts/{top['id']}/rotate", json={}, headers=admin)
    assert turn.status_code == 403, "with its secret the admin would be an owner"
    assert ask(home, admin, "DELETE", f"/{top['id']}").status_code == 403
    lower = {"projects": [{"id": tenant.id, "role": "consumer"}], "service_account_ids": [top["id"]]}
    assert ask(home, admin, "POST", "/add-to-project", lower).status_code == 403
    leaving = {"projects": [{"id": tenant.id, "service_account_ids": [top["id"]]}]}
    assert ask(home, admin, "POST", "/remove-from-project", leaving).status_code == 403
    assert status(home, sign_in(top)) == 200
    assert ask(home, owner, "DELETE", f"/{top['id']}").status_code == 200


def test_an_account_of_other_projects_too_is_not_ended_by_one_of_them(home: Installation) -> None:
    one, two = home.tenant(), home.tenant()
    found = made(one, everywhere(one, two), projects=[{"id": one.id}, {"id": two.id}])
    assert ask(home, one.auth(Role.OWNER), "DELETE", f"/{found['id']}").status_code == 403
    leaving = {"projects": [{"id": one.id, "service_account_ids": [found["id"]]}]}
    assert ask(home, one.auth(Role.ADMIN), "POST", "/remove-from-project", leaving).status_code == 200
    assert status(home, sign_in(found), project_id=one.id) == 401
    assert status(home, sign_in(found)) == 200


def test_a_project_makes_so_many_accounts_and_no_more(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ACCOUNTS == 1_000
    monkeypatch.setattr("app.access.accounts.MOST_ACCOUNTS", 2)
    made(tenant)
    services = tenant.home.services
    with pytest.raises(Conflict), services.database.write() as tx:
        services.accounts.create(tx, Manager("test"), tenant.id, "third", Role.ANALYST, {})


# --- secrets ---------------------------------------------------------------------------------------------------------


def rotate(tenant: Tenant, number: int, **body: Any) -> dict[str, Any]:
    answer = tenant.client.post(f"/v1/service-accounts/{number}/rotate", json=body, headers=tenant.auth(Role.ADMIN))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def test_two_secrets_are_good_for_a_while(tenant: Tenant) -> None:
    home, found = tenant.home, made(tenant)
    turned = rotate(tenant, found["id"], overlap_hours=2)
    assert turned["previous_until"] == iso(home.clock() + 7_200_000)
    assert (status(home, sign_in(found)), status(home, sign_in(found, turned["token"]))) == (200, 200)
    home.clock.advance(hours=2)
    assert (status(home, sign_in(found)), status(home, sign_in(found, turned["token"]))) == (401, 200)
    last = rotate(tenant, found["id"], overlap_hours=0)
    assert (status(home, sign_in(found, turned["token"])), status(home, sign_in(found, last["token"]))) == (401, 200)
    assert len(log(tenant, "principal.rotated")) == 2


def test_of_three_secrets_the_first_is_over(tenant: Tenant) -> None:
    found = made(tenant)
    second = rotate(tenant, found["id"])["token"]
    third = rotate(tenant, found["id"])["token"]
    good = [status(tenant.home, sign_in(found, each)) for each in (found["token"], second, third)]
    assert good == [401, 200, 200]
    ask(tenant.home, tenant.auth(Role.ADMIN), "DELETE", f"/{found['id']}")
    assert [status(tenant.home, sign_in(found, each)) for each in (second, third)] == [401, 401]


def test_an_account_ends_at_its_time(tenant: Tenant) -> None:
    home = tenant.home
    found = made(tenant, expires=iso(home.clock() + 60_000))
    assert found["expires"] == iso(home.clock() + 60_000)
    assert status(home, sign_in(found)) == 200
    home.clock.advance(minutes=1)
    assert status(home, sign_in(found)) == 401


def test_when_it_was_last_used_is_known_to_ten_minutes(tenant: Tenant) -> None:
    home, found = tenant.home, made(tenant)

    def used() -> str | None:
        seen: str | None = ask(home, tenant.auth(Role.ADMIN), "GET", f"/{found['id']}").get_json()["results"]["last_used"]
        return seen

    assert used() is None
    status(home, basic(found["username"], "wrong"))
    assert used() is None
    first = iso(home.clock())
    status(home, sign_in(found))
    home.clock.advance(minutes=9)
    status(home, sign_in(found))
    assert used() == first
    home.clock.advance(minutes=1)
    status(home, sign_in(found))
    assert used() == iso(home.clock())


def test_a_use_is_not_waited_for_and_refuses_nobody(sqlite_home: Installation) -> None:
    tenant = sqlite_home.tenant()
    with sqlite_home.services.database.write():  # As long as this lasts nobody else writes.
        assert status(sqlite_home, tenant.auth(Role.AUDITOR)) == 200
    with sqlite_home.services.database.read() as tx:
        timeouts = tx.exec_driver_sql("PRAGMA busy_timeout").scalar()
    assert timeouts == 15_000, "the patience of the connection is back"


def test_accounts_of_the_command_line_are_members_too(tenant: Tenant) -> None:
    services = tenant.home.services
    with services.database.write() as tx:
        new = services.access.create_principal(tx, tenant.id, Kind.SERVICE_ACCOUNT, Role.ANALYST, actor="cli")
    assert status(tenant.home, basic(new.username or "", new.secret), project_id=tenant.id) == 200
    assert count(tenant.home, membership, membership.c.principal_id == new.id) == 1


def test_every_act_is_in_the_log_with_before_and_after(tenant: Tenant) -> None:
    found = made(tenant, role="analyst")
    change = {"projects": [{"id": tenant.id, "role": "consumer"}], "service_account_ids": [found["id"]]}
    ask(tenant.home, tenant.auth(Role.ADMIN), "POST", "/add-to-project", change)
    ask(tenant.home, tenant.auth(Role.ADMIN), "POST", "/add-to-project", change)  # changes and logs nothing
    ask(tenant.home, tenant.auth(Role.ADMIN), "DELETE", f"/{found['id']}")
    changes = log(tenant, "membership.changed")
    assert [(each["facts"]["before"], each["facts"]["after"]) for each in changes] == [
        ("none", "analyst"),
        ("analyst", "consumer"),
        ("consumer", "none"),
    ]
    assert {each["actor"] for each in changes} == {tenant.ids["admin"]}
    assert log(tenant, "principal.revoked")[-1]["obj"] == changes[0]["obj"]


def test_accounts_are_counted(tenant: Tenant) -> None:
    found = made(tenant)
    status(tenant.home, sign_in(found))
    told = tenant.client.get("/metrics", headers=tenant.auth(Role.ADMIN)).text
    assert re.search(r'portcullis_service_accounts\{state="used"\} [1-9]', told)
    assert re.search(r'portcullis_service_accounts\{state="unused"\} [1-9]', told)
    assert found["username"] not in told
