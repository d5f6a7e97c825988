"""The life of a policy on both engines: draft, validate, activate, compare, explain, roll back; nothing stale anywhere."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from app.bootstrap import Services, bootstrap
from app.database import Database
from app.identity import fence
from app.rulebook.tables import policy_version
from app.web import create_app
from policies import library
from policies.jsonschema import policy_schema
from tests.installation import Bell, Installation, Tenant, in_threads

MARK = "zq-mark"


def policy(action: str = "drop", more: str = "", name: str = "p") -> str:
    return (
        f"policy: {name}\nrules:\n  - {{id: secret, properties: [secret], category: user.name, sensitivity: internal, "
        f"action: {action}}}\n{more}"
    )


FAILING = policy(more="cases:\n  - {name: a wrong case, event: E, properties: {secret: x}, expect: {verdict: pass}}\n")
DEAD = policy(more="  - {id: dead, properties: [secret], category: user.name, sensitivity: internal, action: keep}\n")


@pytest.fixture
def tenant(home: Installation) -> Tenant:
    """A project whose policy keeps everything."""
    return home.tenant()


def ask(tenant: Tenant, method: str, path: str, role: str = "admin", **options: Any) -> Any:
    return tenant.client.open(f"/v1/policies{path}", method=method, headers=tenant.auth(role), **options)


def drafted(tenant: Tenant, text: str) -> int:
    answer = ask(tenant, "POST", "", json={"text": text})
    assert answer.status_code == 201
    assert answer.json["active"] is False
    return int(answer.json["version"])


def activated(tenant: Tenant, version: int, **body: Any) -> Any:
    return ask(tenant, "POST", f"/{version}/activate", json=body)


def entries(tenant: Tenant) -> list[dict[str, Any]]:
    log = tenant.home.services.audit.entries(tenant.id, 0, 10_000)
    return [entry for each in log if (entry := json.loads(each.body))["action"].startswith("policy.")]


# --- the life --------------------------------------------------------------------------------------------------------


def test_draft_activate_and_roll_back(tenant: Tenant) -> None:
    second, third = drafted(tenant, policy("drop")), drafted(tenant, policy("hash"))
    assert activated(tenant, second).json["active"] is True
    assert activated(tenant, third).json["version"] == third
    assert [each["active"] for each in ask(tenant, "GET", "").json["policies"]] == [True, False, False]
    for expected in (second, 1):
        answer = ask(tenant, "POST", "/rollback", json={"reason": "The figures look wrong."})
        assert (answer.status_code, answer.json["version"], answer.json["active"]) == (200, expected, True)
    refused = ask(tenant, "POST", "/rollback", json={})
    assert refused.status_code == 409
    assert refused.json["error"]["remedy"]
    assert activated(tenant, third).status_code == 200
    assert ask(tenant, "POST", "/rollback", json={}).json["version"] == 1
    acts = ask(tenant, "GET", "/activations").json["activations"]
    assert [(each["version"], each["act"]) for each in acts] == [
        (1, "rolled_back"),
        (third, "activated"),
        (1, "rolled_back"),
        (second, "rolled_back"),
        (third, "activated"),
        (second, "activated"),
        (1, "activated"),
    ]
    assert acts[2]["reason"] == "The figures look wrong."


def test_every_change_is_in_the_log_with_what_it_changes(tenant: Tenant) -> None:
    version = drafted(tenant, policy("drop"))
    activated(tenant, version)
    ask(tenant, "POST", "/rollback", json={})
    first_added, first, added, activation, rollback = entries(tenant)
    assert [each["action"] for each in (first_added, first, added, activation, rollback)] == [
        "policy.added", "policy.activated", "policy.added", "policy.activated", "policy.rolled_back",
    ]  # fmt: skip
    assert activation["actor"] == tenant.ids["admin"]
    facts = activation["facts"]
    assert (facts["version"], facts["from_version"], facts["policy"]) == (str(version), "1", "p")
    assert facts["digest"] == ask(tenant, "GET", f"/{version}").json["digest"]
    assert facts["rules_added"] == "1"
    assert facts["stricter"]
    assert rollback["facts"]["rules_removed"] == "1"
    assert all(isinstance(each, str) for each in facts.values())


def test_activating_and_rolling_back_need_no_body(tenant: Tenant) -> None:
    version = drafted(tenant, policy())
    assert ask(tenant, "POST", f"/{version}/activate").status_code == 200
    assert ask(tenant, "POST", "/rollback").json["version"] == 1


def test_activating_what_is_active_changes_nothing(tenant: Tenant) -> None:
    before = len(entries(tenant))
    assert activated(tenant, 1).json["active"] is True
    assert len(entries(tenant)) == before


@pytest.mark.parametrize(("text", "named"), [(FAILING, "a wrong case"), (DEAD, "never-matches")])
def test_a_policy_that_is_not_fit_needs_a_reason(tenant: Tenant, text: str, named: str) -> None:
    version = drafted(tenant, text)
    refused = activated(tenant, version)
    assert refused.status_code == 409
    assert named in refused.json["error"]["message"]
    assert refused.json["error"]["remedy"]
    assert ask(tenant, "GET", f"/{version}").json["active"] is False
    assert activated(tenant, version, force="Ticket 42 is urgent.").status_code == 200
    facts = entries(tenant)[-1]["facts"]
    assert (facts["forced"], facts["reason"]) == ("yes", "Ticket 42 is urgent.")
    assert int(facts["cases_failing"]) + int(facts["lint_errors"]) == 1


@pytest.mark.parametrize("reason", ["", "  ", "x" * 400, "jane@example.com asked for it"])
def test_a_reason_is_a_sentence_that_names_nobody(tenant: Tenant, reason: str) -> None:
    refused = activated(tenant, drafted(tenant, FAILING), force=reason)
    assert refused.status_code == 400
    assert refused.json["error"]["field"] == "reason"
    assert "jane" not in refused.text


def test_a_draft_that_is_refused_activation_is_not_stored(tenant: Tenant) -> None:
    refused = ask(tenant, "POST", "", json={"text": FAILING, "activate": True})
    assert refused.status_code == 409
    assert len(ask(tenant, "GET", "").json["policies"]) == 1
    forced = ask(tenant, "POST", "", json={"text": FAILING, "activate": True, "force": "Ticket 42."})
    assert (forced.status_code, forced.json["active"]) == (201, True)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/99"), ("POST", "/99/activate"), ("GET", "/1/diff/99"), ("GET", "/99/diff/1")]
)
def test_an_unknown_version_is_not_found(tenant: Tenant, method: str, path: str) -> None:
    answer = ask(tenant, method, path, **({"json": {}} if method == "POST" else {}))
    assert answer.status_code == 404
    assert answer.json["error"]["field"] == "version"


def test_versions_of_another_project_are_not_found(home: Installation, tenant: Tenant) -> None:
    version = drafted(tenant, policy())
    assert ask(home.tenant(), "GET", f"/{version}").status_code == 404


def test_versions_made_at_once_get_numbers_of_their_own(tenant: Tenant) -> None:
    made = in_threads([lambda: drafted(tenant, policy())] * 4)
    assert sorted(made) == [2, 3, 4, 5]


# --- asking ----------------------------------------------------------------------------------------------------------


def test_validate_stores_nothing_and_tells_everything(tenant: Tenant) -> None:
    def validated(text: str) -> dict[str, Any]:
        answer = ask(tenant, "POST", "/validate", "auditor", json={"text": text})
        assert answer.status_code == 200
        return dict(answer.json)

    mistaken = validated("policy: p\nrulez: []\ngeolocation: mars\n")
    assert (mistaken["valid"], mistaken["fit"]) == (False, False)
    assert [(each["line"], each["column"]) for each in mistaken["problems"]] == [(2, 1), (3, 14)]
    assert mistaken["problems"][0]["hint"] == "did you mean `rules`?"
    unfit = validated(FAILING)
    assert (unfit["valid"], unfit["fit"]) == (True, False)
    assert unfit["cases"] == [{"name": "a wrong case", "passed": False, "wrong": ["verdict is changed, expected pass"]}]
    dead = validated(DEAD)
    assert [(each["code"], each["severity"], each["line"]) for each in dead["findings"]][1] == ("never-matches", "error", 4)
    shipped = validated(library.text("gdpr-analytics"))
    assert (shipped["valid"], shipped["fit"], shipped["problems"]) == (True, True, [])
    assert all(each["passed"] for each in shipped["cases"])
    assert len(ask(tenant, "GET", "").json["policies"]) == 1


def test_versions_are_compared_in_meaning(tenant: Tenant) -> None:
    version = drafted(tenant, policy("hash"))
    answer = ask(tenant, "GET", f"/{drafted(tenant, policy('drop'))}/diff/{version}", "auditor")
    assert answer.json["changes"] == [
        {"kind": "rule", "name": "secret", "change": "changed", "direction": "looser", "details": ["action: drop → hash"]}
    ]


def test_explain_tells_rules_and_no_values(tenant: Tenant) -> None:
    version = drafted(tenant, policy("hash"))
    record = {"event": "Signup", "properties": {"secret": MARK, "note": f"{MARK}@example.com", "list": [{"secret": MARK}]}}
    active = ask(tenant, "POST", "/explain", "auditor", json=record)
    assert (active.status_code, active.json["version"], active.json["verdict"]) == (200, 1, "pass")
    other = ask(tenant, "POST", "/explain", "auditor", json={**record, "version": version})
    told = {each["path"]: each for each in other.json["paths"]}
    assert (told["properties.secret"]["winner"], told["properties.secret"]["action"]) == ("secret", "hash")
    assert told["properties.secret"]["rules"][0]["outcome"] == "won"
    assert told["properties.list[].secret"]["winner"] == "secret"
    assert [each["detector"] for each in told["properties.note"]["found"]] == ["email"]
    assert MARK not in active.text + other.text


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ({"$set": {"secret": MARK}, "$distinct_id": "u"}, "changed"),
        ({"scope": "group", "operation": "$set", "properties": {"secret": MARK}}, "changed"),
        ({"event": "E", "properties": {}, "state": "opted_out"}, "dropped"),
        ({"event": "E", "properties": {"token": "t", "extra": 1}, "token": "t"}, "pass"),
    ],
)
def test_explain_takes_what_people_have_at_hand(tenant: Tenant, body: dict[str, Any], verdict: str) -> None:
    tenant.put_in_force(policy())
    answer = ask(tenant, "POST", "/explain", json=body)
    assert (answer.status_code, answer.json["verdict"]) == (200, verdict)
    assert (answer.json["consent"] is not None) == (verdict == "dropped")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"event":"E"}', b'{"event":1}', b"\xff", b"[" * 100_000, b'{"event":"E","properties":{},"state":"zq-mark"}'])  # fmt: skip
def test_a_question_that_is_none_is_refused(tenant: Tenant, body: bytes) -> None:
    answer = ask(tenant, "POST", "/explain", data=body)
    assert answer.status_code == 400
    assert answer.json["error"]["remedy"]
    assert MARK not in answer.text


def test_a_deep_record_is_explained(tenant: Tenant) -> None:
    deep = b'{"event":"E","properties":{"a":' + b'{"a":' * 500 + b"1" + b"}" * 502
    answer = ask(tenant, "POST", "/explain", data=deep)
    assert answer.status_code == 200
    assert "too_deep" in answer.text


def test_the_library_and_the_schema_are_published(tenant: Tenant) -> None:
    shipped = {each["name"]: each for each in ask(tenant, "GET", "/library").json["policies"]}
    assert shipped.keys() == set(library.names())
    assert shipped["gdpr-analytics"]["text"] == library.text("gdpr-analytics")
    assert shipped["gdpr-analytics"]["description"]
    published = tenant.client.get("/policy.schema.json")
    assert (published.status_code, published.content_type) == (200, "application/schema+json")
    assert json.loads(published.data) == json.loads(json.dumps(policy_schema()))


def test_the_routes_are_described(tenant: Tenant) -> None:
    paths = tenant.client.get("/openapi.json").json["paths"]
    for path in (
        "",
        "/{version}",
        "/{version}/activate",
        "/{before}/diff/{after}",
        "/rollback",
        "/validate",
        "/explain",
        "/library",
    ):
        assert f"/v1/policies{path}" in paths
    assert "requestBody" in paths["/v1/policies/explain"]["post"]


def test_changes_are_counted_and_the_version_in_force_is_shown(tenant: Tenant) -> None:
    def metrics() -> str:
        return tenant.client.get("/metrics", headers=tenant.auth("admin")).text

    version, unfit = drafted(tenant, policy()), drafted(tenant, FAILING)
    activated(tenant, version)
    activated(tenant, unfit)
    activated(tenant, unfit, force="Ticket 42.")
    ask(tenant, "POST", "/rollback", json={})
    shown = metrics()
    for outcome in ("activated", "refused", "forced", "rolled_back"):
        assert f'portcullis_policy_activations_total{{outcome="{outcome}"}}' in shown
    assert 'portcullis_projects{policy="active"}' in shown
    assert shown.count("portcullis_policy_active_version{") <= 50


# --- nothing stale ---------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(home: Installation) -> Any:
    """The services of another process on the same database."""
    services = home.services
    other = bootstrap(services.settings, clock=services.clock, doorbell=Bell(), database=Database(str_url(services)))
    yield other
    other.close()


def str_url(services: Services) -> str:
    return services.database.engine.url.render_as_string(hide_password=False)


def test_an_activation_holds_at_once_in_every_process(tenant: Tenant, elsewhere: Services) -> None:
    client = create_app(built=elsewhere).test_client()
    version = drafted(tenant, policy("drop"))

    def sent() -> None:
        before = len(tenant.stored())
        assert client.post("/track?verbose=1", json=[tenant.event(secret=MARK)]).json == {"error": None, "status": 1}
        assert len(tenant.stored()) == before + 1

    sent()
    activated(tenant, version)
    sent()
    sent()
    ask(tenant, "POST", "/rollback", json={})
    sent()
    kept = sorted((row.policy_version, "secret" in json.loads(row.properties)) for row in tenant.stored())
    assert kept == [(1, True), (1, True), (version, False), (version, False)]


def test_an_activation_waits_for_the_batches_that_the_old_version_judges(tenant: Tenant, elsewhere: Services) -> None:
    version = drafted(tenant, policy("drop"))
    order: list[str] = []

    def activate() -> None:
        with elsewhere.database.write() as tx:
            elsewhere.rulebook.activate(tx, tenant.id, version, actor="test")
        order.append("activated")

    home = tenant.home.services
    with home.database.write() as tx:
        fence.enter_shared(tx, tenant.id)
        assert home.rulebook.active(tx, tenant.id).version == 1
        waiting = threading.Thread(target=activate)
        waiting.start()
        time.sleep(0.5)
        order.append("acknowledged")
    waiting.join(20)
    assert order == ["acknowledged", "activated"]


def test_activations_and_rollbacks_at_once_leave_one_history(tenant: Tenant, elsewhere: Services) -> None:
    versions = [drafted(tenant, policy(name=f"p{n}")) for n in range(3)]

    def activate(version: int) -> None:
        with elsewhere.database.write() as tx:
            elsewhere.rulebook.activate(tx, tenant.id, version, actor="test")

    def rollback() -> None:
        activated(tenant, versions[0])
        ask(tenant, "POST", "/rollback", json={})

    in_threads([*(lambda v=version: activate(v) for version in versions[1:]), rollback, rollback])
    acts = ask(tenant, "GET", "/activations").json["activations"]
    (active,) = [each["version"] for each in ask(tenant, "GET", "").json["policies"] if each["active"]]
    assert acts[0]["version"] == active
    assert len(entries(tenant)) == len(acts) + 4


def test_an_altered_text_is_not_put_to_use(tenant: Tenant, elsewhere: Services) -> None:
    with elsewhere.database.write() as tx:
        mine = policy_version.c.project_id == tenant.id
        tx.execute(sa.update(policy_version).where(mine).values(text=policy("keep")))
    answer = create_app(built=elsewhere).test_client().post("/track?verbose=1", json=[tenant.event(secret=MARK)])
    assert answer.status_code == 503
    assert tenant.stored() == []
