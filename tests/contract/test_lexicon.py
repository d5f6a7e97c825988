"""The dictionary on both engines: what is seen, what is enforced at ingest, what readers go by, and what the log says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.access.roles import PERMISSIONS, Permission, Role
from app.access.service import project_by_id
from app.errors import Conflict, InvalidInput, NotAllowed, NotFound
from app.lexicon.model import Approval, Change, Editor, Entry, Key, Kind, Standards, State
from app.lexicon.reading import is_classified
from policies.model import Scope
from tests.installation import Installation, Tenant

ALL = Editor("admin", PERMISSIONS[Role.ADMIN])
OFFICER = Editor("officer", PERMISSIONS[Role.OFFICER])
VIEWED, BOUGHT = Key(Kind.EVENT, "Viewed"), Key(Kind.EVENT, "Bought")
PLAN = Key(Kind.EVENT_PROPERTY, "plan")


@pytest.fixture
def tenant(home: Installation) -> Tenant:
    return home.tenant()


def change(tenant: Tenant, key: Key, by: Editor = ALL, **fields: Any) -> int:
    with tenant.home.services.database.write() as tx:
        return tenant.home.services.lexicon.change(tx, tenant.id, by, {key: Change(**fields)})


def settle(tenant: Tenant, **settings: Any) -> None:
    with tenant.home.services.database.write() as tx:
        tenant.home.services.lexicon.change_settings(tx, tenant.id, ALL, **settings)


def entries(tenant: Tenant) -> dict[Key, Entry]:
    lexicon = tenant.home.services.lexicon
    lexicon.sightings.flush()
    with tenant.home.services.database.read() as tx:
        return {each.key: each for each in lexicon.entries(tx, tenant.id, tuple(Kind), event=None)}


def volume(tenant: Tenant, key: Key) -> tuple[int, int]:
    lexicon = tenant.home.services.lexicon
    lexicon.sightings.flush()
    with tenant.home.services.database.read() as tx:
        return lexicon.volumes(tx, tenant.id, [key], "2000-01-01").get(key, (0, 0))


def log(tenant: Tenant) -> list[dict[str, Any]]:
    found = tenant.home.services.audit.entries(tenant.id, 0, 1_000)
    return [body for each in found if (body := json.loads(each.body))["action"].startswith("lexicon.")]


# --- what is seen ----------------------------------------------------------------------------------------------------


def test_names_kinds_of_values_and_counts_are_seen_and_no_value_is(tenant: Tenant) -> None:
    canary = "canary-7f3a"
    tenant.send([tenant.event("Viewed", plan=canary, seats=3), tenant.event("Viewed", plan=canary, seats=2.5)])
    tenant.engage([{"$token": tenant.token, "$distinct_id": "u1", "$set": {"tier": canary}}])
    found = entries(tenant)
    assert found.keys() >= {VIEWED, PLAN, PLAN._replace(event="Viewed"), Key(Kind.PROFILE_PROPERTY, "tier")}
    assert found[PLAN].types == ("string",)
    assert found[VIEWED].first_ms == tenant.home.clock()
    assert not found[VIEWED].described
    assert volume(tenant, VIEWED) == (2, 0)
    assert volume(tenant, PLAN) == (2, 0)
    assert canary not in repr(found)
    assert not {"distinct_id", "$insert_id", "time", "token"} & {key.name for key in found}


def test_a_name_that_is_personal_gets_no_entry_and_is_counted_without_it(tenant: Tenant) -> None:
    tenant.send([tenant.event("mail ada@example.com", **{"ada@example.com": 1, "ok": 1})])
    found = entries(tenant)
    assert {key.name for key in found} == {"ok"}
    assert volume(tenant, Key(Kind.EVENT, "<key>")) == (1, 0)


def test_nothing_is_seen_of_a_batch_that_was_not_stored(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Conflict("no")

    monkeypatch.setattr(tenant.home.services.audit, "stage", fail)
    assert tenant.send([tenant.event("Viewed")]).status_code == 409
    monkeypatch.undo()
    assert entries(tenant) == {}


def test_counts_that_could_not_be_written_wait_on(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    sightings = tenant.home.services.lexicon.sightings
    tenant.send([tenant.event("Viewed")])

    def fail(*_: Any) -> None:
        raise Conflict("no")

    monkeypatch.setattr("app.lexicon.sightings._write_days", fail)
    with pytest.raises(Conflict):
        sightings.flush()
    monkeypatch.undo()
    assert volume(tenant, VIEWED) == (1, 0)


# --- blocked ---------------------------------------------------------------------------------------------------------


def test_a_blocked_event_is_refused_from_the_answer_on_and_the_sender_is_told(tenant: Tenant) -> None:
    change(tenant, BOUGHT, state=State.BLOCKED)
    answer = tenant.send([tenant.event("Bought"), tenant.event("Viewed")])
    assert answer.status_code == 200
    assert answer.headers["Portcullis-Refused"] == "lexicon_blocked=1"
    assert tenant.names() == ["Viewed"]
    assert tenant.refusals() == {"lexicon_blocked": 1}
    assert volume(tenant, BOUGHT) == (0, 1)
    change(tenant, BOUGHT, state=State.VISIBLE)
    assert "Portcullis-Refused" not in tenant.send([tenant.event("Bought")]).headers
    assert tenant.names() == ["Bought", "Viewed"]


def test_a_blocked_property_is_left_out_everywhere_or_within_one_event(tenant: Tenant) -> None:
    change(tenant, PLAN, state=State.BLOCKED)
    change(tenant, Key(Kind.EVENT_PROPERTY, "seats", "Bought"), state=State.BLOCKED)
    change(tenant, Key(Kind.PROFILE_PROPERTY, "tier"), state=State.BLOCKED)
    tenant.send([tenant.event("Bought", plan="p", seats=1, a=1), tenant.event("Viewed", plan="p", seats=1)])
    tenant.engage([{"$token": tenant.token, "$distinct_id": "u1", "$set": {"tier": "gold", "b": 1}}])
    kept = {row.name: set(json.loads(row.properties)) - {"$insert_id"} for row in tenant.stored()}
    assert {name: keys & {"plan", "seats", "a"} for name, keys in kept.items()} == {"Bought": {"a"}, "Viewed": {"seats"}}
    assert set(tenant.profile("u1") or {}) == {"b"}
    assert volume(tenant, PLAN) == (0, 2)


def test_the_check_says_what_ingest_would_do(tenant: Tenant) -> None:
    change(tenant, BOUGHT, state=State.BLOCKED)
    asked = {"events": [{"event": "Bought", "properties": {}}, {"event": "Viewed", "properties": {}}]}
    answer = tenant.client.post("/v1/check", json=asked, headers=tenant.auth(Role.INGEST))
    assert [each["verdict"] for each in (answer.json or {})["results"]] == ["dropped", "pass"]


@pytest.mark.parametrize(
    "key", [Key(Kind.EVENT, "$identify"), Key(Kind.EVENT_PROPERTY, "distinct_id"), Key(Kind.EVENT, "$opt_in")]
)
def test_what_identity_needs_cannot_be_blocked(tenant: Tenant, key: Key) -> None:
    with pytest.raises(InvalidInput):
        change(tenant, key, state=State.BLOCKED)


# --- pending ---------------------------------------------------------------------------------------------------------


def test_new_events_are_flagged_held_or_dropped_and_old_ones_never_wait(tenant: Tenant) -> None:
    tenant.send([tenant.event("Viewed")])
    entries(tenant)
    tenant.home.clock.advance(seconds=1)
    settle(tenant, new_events=Approval.FLAG)
    tenant.send([tenant.event("Flagged"), tenant.event("Viewed")])
    found = entries(tenant)
    assert (found[Key(Kind.EVENT, "Flagged")].state, found[VIEWED].state) == (State.PENDING, State.VISIBLE)
    settle(tenant, new_events=Approval.HOLD)
    assert tenant.send([tenant.event("Held"), tenant.event("Viewed")]).status_code == 200
    settle(tenant, new_events=Approval.DROP)
    answer = tenant.send([tenant.event("Dropped"), tenant.event("Flagged")])
    assert answer.headers["Portcullis-Refused"] == "lexicon_pending=2"
    assert tenant.names() == ["Flagged", "Viewed", "Viewed", "Viewed"]
    found = entries(tenant)
    assert {key.name for key, each in found.items() if each.state is State.PENDING} == {"Flagged", "Held", "Dropped"}
    change(tenant, Key(Kind.EVENT, "Dropped"), state=State.VISIBLE)
    assert "Portcullis-Refused" not in tenant.send([tenant.event("Dropped")]).headers
    held = tenant.client.get("/v1/quarantine", headers=tenant.auth(Role.OFFICER)).json or {}
    assert [(each["event"], each["reason"]) for each in held["held"]] == [("Held", "lexicon_pending")]


def test_new_properties_wait_wherever_they_stand(tenant: Tenant) -> None:
    tenant.send([tenant.event("Viewed", plan="p")])
    entries(tenant)
    tenant.home.clock.advance(seconds=1)
    settle(tenant, new_properties=Approval.DROP)
    tenant.send([tenant.event("Bought", plan="p", fresh=1)])
    row = next(row for row in tenant.stored() if row.name == "Bought")
    assert "plan" in row.properties
    assert "fresh" not in row.properties
    found = entries(tenant)
    assert found[Key(Kind.EVENT_PROPERTY, "fresh")].state is State.PENDING
    change(tenant, Key(Kind.EVENT_PROPERTY, "fresh"), state=State.VISIBLE)
    tenant.send([tenant.event("Again", fresh=1)])
    assert "fresh" in next(row for row in tenant.stored() if row.name == "Again").properties


# --- what readers go by ----------------------------------------------------------------------------------------------


def test_readers_get_one_value_of_one_version(tenant: Tenant) -> None:
    services = tenant.home.services
    with services.database.read() as tx:
        empty = services.lexicon.reading(tx, tenant.id)
    change(tenant, VIEWED, state=State.HIDDEN)
    change(tenant, BOUGHT, display_name="Purchase")
    change(tenant, Key(Kind.EVENT, "Buy"), merged_into="Bought")
    change(tenant, PLAN, state=State.HIDDEN)
    change(tenant, Key(Kind.EVENT_PROPERTY, "note", "Bought"), classified=True)
    with services.database.read() as tx:
        found = services.lexicon.reading(tx, tenant.id)
        assert services.lexicon.reading(tx, tenant.id) is found, "kept by version"
        classifier = services.rulebook.active(tx, tenant.id).gate.classifier
    assert found.version > empty.version
    assert found.hidden_events == {"Viewed"}
    assert found.hidden_in(Scope.EVENT, "Any") == {"plan"}
    assert found.hidden_in(Scope.PROFILE) == frozenset()
    assert (found.event_as("Buy"), found.events_read_as("Bought")) == ("Bought", ("Bought", "Buy"))
    assert is_classified(found, classifier, Scope.EVENT, "Bought", "note")
    assert not is_classified(found, classifier, Scope.EVENT, "Viewed", "note")
    assert found.marked[Scope.EVENT].anywhere == {"note"}


def test_a_mark_only_makes_the_policy_stricter() -> None:
    from app.lexicon.reading import Reading
    from policies.compile import compile_policy
    from policies.load import load

    rule = "{id: s, properties: [salary], category: user.financial, sensitivity: restricted, action: keep, classified: true}"
    classifier = compile_policy(load(f"policy: p\nrules:\n  - {rule}\n")).classifier
    nothing_marked = Reading(1, merged_properties={"wage": "salary"})
    assert is_classified(nothing_marked, classifier, Scope.EVENT, "Any", "salary")
    assert is_classified(nothing_marked, classifier, Scope.EVENT, "Any", "wage"), "it is read as what is classified"
    assert not is_classified(nothing_marked, classifier, Scope.EVENT, "Any", "plan")


def test_a_merge_leads_in_no_circle_and_to_something(tenant: Tenant) -> None:
    with pytest.raises(NotFound):
        change(tenant, VIEWED, merged_into="Nothing")
    change(tenant, BOUGHT, description="Paid for.")
    change(tenant, VIEWED, merged_into="Bought")
    for source, target in ((BOUGHT, "Viewed"), (BOUGHT, "Bought"), (Key(Kind.EVENT, "Third"), "Viewed")):
        with pytest.raises(Conflict):
            change(tenant, source, merged_into=target)
    with pytest.raises(InvalidInput):
        change(tenant, Key(Kind.PROFILE_PROPERTY, "a"), merged_into="b")


# --- who may, and what stands in the log -----------------------------------------------------------------------------


def test_each_permission_opens_its_own_door(tenant: Tenant) -> None:
    marker = Editor("marker", frozenset({Permission.LEXICON_CLASSIFY}))
    assert change(tenant, PLAN, marker, classified=True) == 1
    for by, fields in (
        (marker, {"description": "What they pay."}),
        (marker, {"classified": False, "description": "x y"}),
        (Editor("writer", frozenset({Permission.LEXICON_WRITE})), {"classified": False}),
        (OFFICER, {"state": State.BLOCKED}),
    ):
        with pytest.raises(NotAllowed):
            change(tenant, PLAN, by, **fields)
    with pytest.raises(NotAllowed), tenant.home.services.database.write() as tx:
        tenant.home.services.lexicon.change_settings(tx, tenant.id, OFFICER, new_events=Approval.DROP)


def test_a_change_and_its_entry_with_before_and_after_are_one(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    change(tenant, PLAN, OFFICER, description="The plan.", owners=("ada@example.com",), tags=("billing",))
    change(tenant, PLAN, OFFICER, description="The plan they pay for.", owners=("bob@example.com",))
    first, second = log(tenant)
    assert first["facts"]["tags.after"] == "billing"
    assert (second["facts"]["description.before"], second["facts"]["description.after"]) == (
        "The plan.",
        "The plan they pay for.",
    )
    assert "example.com" not in json.dumps([first, second]), "the log is for ever, and owners are people"
    assert entries(tenant)[PLAN].owners == ("bob@example.com",)
    assert change(tenant, PLAN, OFFICER, tags=("billing",)) == 0, "nothing changed, nothing is written"

    def fail(*_: Any) -> None:
        raise Conflict("no")

    monkeypatch.setattr(tenant.home.services.audit, "stage", fail)
    with pytest.raises(Conflict):
        change(tenant, PLAN, description="Another.")
    monkeypatch.undo()
    assert entries(tenant)[PLAN].description == "The plan they pay for."


@pytest.mark.parametrize(
    "fields", [{"description": "like ada@example.com"}, {"tags": ("+49 151 23456789",)}, {"owners": ("nobody",)}]
)
def test_a_text_that_holds_personal_data_is_refused_by_its_field(tenant: Tenant, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        change(tenant, PLAN, **fields)
    assert refused.value.field == next(iter(fields))
    assert refused.value.remedy
    assert "ada@example.com" not in refused.value.message


def test_standards_are_kept_and_checked(tenant: Tenant) -> None:
    settle(tenant, standards=Standards("snake_case", description=True))
    with tenant.home.services.database.read() as tx:
        assert tenant.home.services.lexicon.settings(tx, tenant.id).standards == Standards("snake_case", description=True)
    for wrong in (Standards("screaming"), Standards("pattern", "("), Standards("pattern")):
        with pytest.raises(InvalidInput):
            settle(tenant, standards=wrong)


def test_what_was_said_can_be_taken_back_and_what_was_seen_stays(tenant: Tenant) -> None:
    tenant.send([tenant.event("Viewed")])
    entries(tenant)
    change(tenant, VIEWED, description="Seen.")
    change(tenant, BOUGHT, description="Never came.")
    with tenant.home.services.database.write() as tx:
        assert tenant.home.services.lexicon.forget(tx, tenant.id, ALL, [VIEWED, BOUGHT, Key(Kind.EVENT, "No")]) == 2
    found = entries(tenant)
    assert BOUGHT not in found
    assert (found[VIEWED].described, found[VIEWED].description) == (False, None)
    assert [each["action"] for each in log(tenant)][-2:] == ["lexicon.deleted"] * 2


# --- no worker is stale ----------------------------------------------------------------------------------------------


def test_a_change_is_in_force_in_every_process_once_it_is_acknowledged(tenant: Tenant) -> None:
    """Two sets of services over one database stand for two processes."""
    from app.lexicon.service import Lexicon

    services = tenant.home.services
    other = Lexicon(services.database, services.audit, services.clock, lambda *_: None)
    for state in (State.BLOCKED, State.VISIBLE, State.HIDDEN, State.BLOCKED):
        change(tenant, BOUGHT, state=state)
        with services.database.read() as tx:
            blocked = other.entrance(tx, tenant.id).blocked_events
            hidden = other.reading(tx, tenant.id).hidden_events
        assert (blocked, hidden) == (
            {"Bought"} if state is State.BLOCKED else set(),
            {"Bought"} if state is State.HIDDEN else set(),
        )


def test_a_block_waits_for_the_batches_under_way_and_none_is_stored_after_it(tenant: Tenant) -> None:
    from tests.installation import in_threads

    def send() -> int:
        return sum("Portcullis-Refused" not in tenant.send([tenant.event("Bought")]).headers for _ in range(15))

    def block() -> int:
        change(tenant, BOUGHT, state=State.BLOCKED)
        stored = tenant.names().count("Bought")
        tenant.send([tenant.event("Bought")])
        assert tenant.names().count("Bought") >= stored
        return stored

    *sent, _ = in_threads([send, send, send, block])
    assert tenant.names().count("Bought") == sum(sent), "what was acknowledged as taken is stored, and nothing else"


# --- what is in sight -------------------------------------------------------------------------------------------------


def test_what_is_hidden_or_marked_is_left_out_of_every_read_but_peoples_own_copies(tenant: Tenant) -> None:
    tenant.send([tenant.event("Viewed", distinct_id="ada"), tenant.event("Bought", distinct_id="ada", plan="pro")])
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ada", "$set": {"score": 7, "city": "Ghent"}}])
    admin = tenant.auth(Role.ADMIN)

    def read() -> tuple[list[Any], Any]:
        days = "from_date=2020-01-01&to_date=2035-01-01"
        lines = tenant.client.get(f"/api/2.0/export?{days}", headers=admin).get_data(as_text=True).splitlines()
        events = sorted((each["event"], each["properties"].get("plan")) for each in map(json.loads, lines))
        profile = tenant.client.get("/api/2.0/engage", headers=admin).get_json()["results"][0]["$properties"]
        return events, profile.get("score")

    assert read() == ([("Bought", "pro"), ("Viewed", None)], 7)
    change(tenant, VIEWED, state=State.HIDDEN)
    change(tenant, PLAN, classified=True)
    change(tenant, Key(Kind.PROFILE_PROPERTY, "score"), state=State.HIDDEN)
    assert read() == ([("Bought", None)], None)
    asked = tenant.client.get("/api/2.0/engage?where=properties[%22score%22]==7", headers=admin)
    assert asked.status_code == 403, "an answer would tell the value"
    services = tenant.home.services
    with services.database.read() as tx:
        own = services.sights.own_copy(tx, project_by_id(tx, tenant.id))
    assert (own.events, own.withheld_of_events, own.withheld_of_profiles) == (None, frozenset(), frozenset())
