"""Which ids are one person, by the mode of the project, on each engine: over the wire and back out of the export."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from app import cli_identity
from app.access.modes import IdentityMode
from app.access.tables import project as project_table
from app.errors import InvalidInput
from app.identity import closure as closures
from app.identity.closure import Means, closure, pseudonyms_of
from app.identity.groups import group_identifier
from app.identity.linking import MOST_IDS
from app.identity.tables import register as register_table
from tests.installation import Installation, Tenant, in_threads

SEALED = """\
policy: sealed
rules:
  - {id: note, properties: [note], category: user.health_and_medical, sensitivity: restricted, action: encrypt}
"""
PURPOSES = "policy: purposes\nconsent: {purposes: [{id: ads, events: [Ad]}]}\n"
ANON, OTHER = (str(uuid.UUID(int=n, version=4)) for n in (1, 2))


def tenant_of(home: Installation, mode: IdentityMode) -> Tenant:
    tenant = home.tenant()
    with home.services.database.write() as tx:
        tx.execute(sa.update(project_table).where(project_table.c.id == tenant.id).values(identity=mode.value))
    return replace(tenant)


@pytest.fixture
def simplified(home: Installation) -> Tenant:
    return tenant_of(home, IdentityMode.SIMPLIFIED)


@pytest.fixture
def original(home: Installation) -> Tenant:
    return tenant_of(home, IdentityMode.ORIGINAL)


@pytest.fixture
def legacy(home: Installation) -> Tenant:
    return tenant_of(home, IdentityMode.LEGACY)


def exported(tenant: Tenant) -> list[dict[str, Any]]:
    answer = tenant.client.get("/api/2.0/export?from_date=2020-01-01&to_date=2035-12-31", headers=tenant.auth("admin"))
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def whose(tenant: Tenant) -> dict[str, str]:
    """The canonical id of each event, by the event's name."""
    return {each["event"]: each["properties"]["distinct_id"] for each in exported(tenant)}


def send(tenant: Tenant, *events: tuple[str, dict[str, Any]]) -> None:
    sent = [tenant.event(name, **{"distinct_id": None, **properties}) for name, properties in events]
    answer = tenant.send(sent)
    assert answer.status_code == 200, answer.text


def identify(user: str, anonymous: str) -> tuple[str, dict[str, Any]]:
    return "$identify", {"distinct_id": user, "$identified_id": user, "$anon_id": anonymous}


def alias(original: str, other: str) -> tuple[str, dict[str, Any]]:
    return "$create_alias", {"distinct_id": original, "alias": other}


def merge(one: str, other: str) -> tuple[str, dict[str, Any]]:
    return "$merge", {"$distinct_ids": [one, other]}


def seen(name: str, who: str) -> tuple[str, dict[str, Any]]:
    return name, {"distinct_id": who}


def reasons(tenant: Tenant) -> list[str]:
    return [each["properties"]["$failure_reason"] for each in exported(tenant) if "$failure_reason" in each["properties"]]


# --- simplified ------------------------------------------------------------------------------------------------------


def test_what_was_sent_anonymously_reads_as_the_person_afterwards_and_no_event_is_rewritten(simplified: Tenant) -> None:
    send(simplified, ("before", {"$device_id": "d1"}))
    rows = simplified.stored()
    send(simplified, ("link", {"$device_id": "d1", "$user_id": "ada"}), ("after", {"$device_id": "d1"}))
    assert whose(simplified) == {"before": "ada", "link": "ada", "after": "ada"}
    assert [row for row in simplified.stored() if row.name == "before"] == rows


def test_a_device_keeps_the_first_person_and_the_second_keeps_their_own_events(simplified: Tenant) -> None:
    send(simplified, ("one", {"$device_id": "d1", "$user_id": "ada"}), ("two", {"$device_id": "d1", "$user_id": "ben"}))
    send(simplified, ("alone", {"$device_id": "d1"}))
    assert whose(simplified) == {"one": "ada", "two": "ben", "alone": "ada"}


def test_simplified_passes_over_every_verb(simplified: Tenant) -> None:
    send(simplified, seen("View", ANON), identify("ada", ANON), alias("ada", "a2"), merge("ada", "ben"))
    assert whose(simplified) == {"View": ANON}
    assert simplified.refusals() == {"identity_verb": 3}


# --- original --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "$device:"])
def test_identify_joins_an_anonymous_uuid_in_both_vocabularies(original: Tenant, prefix: str) -> None:
    send(original, seen("before", prefix + ANON))
    if prefix:
        send(original, ("$identify", {"distinct_id": "ada", "$anon_distinct_id": prefix + ANON}))
    else:
        send(original, identify("ada", ANON))
    assert whose(original) == {"before": "ada", "$identify": "ada"}
    assert reasons(original) == []


def test_identify_refuses_what_is_no_uuid_and_what_is_merged(original: Tenant) -> None:
    send(original, identify("ada", "not-a-uuid"), identify("ada", ANON), identify("ben", ANON), seen("View", ANON))
    assert reasons(original) == ["anon_id_is_no_uuid", "anon_id_is_merged"] or sorted(reasons(original)) == [
        "anon_id_is_merged",
        "anon_id_is_no_uuid",
    ]
    assert whose(original)["View"] == "ada"


def test_users_and_devices_are_not_linked_by_being_together(original: Tenant) -> None:
    send(original, ("View", {"distinct_id": "x", "$user_id": "ada", "$device_id": "d1"}), seen("Device", "$device:d1"))
    assert whose(original) == {"View": "x", "Device": "$device:d1"}


def test_aliases_chain_and_an_alias_has_one_person(original: Tenant) -> None:
    send(original, alias("ada", "a2"), alias("a2", "a3"), seen("View", "a3"), alias("ben", "a3"))
    assert whose(original)["View"] == "ada"
    assert reasons(original) == ["alias_has_a_person"]


def test_merge_takes_two_people_whole_and_only_on_import(original: Tenant) -> None:
    send(original, identify("ada", ANON), identify("ben", OTHER), seen("Late", OTHER))
    original.track([original.event("$merge", distinct_id=None, **{"$distinct_ids": ["ada", "ben"]})])
    assert whose(original)["Late"] == "ben"
    send(original, merge("ada", "ben"))
    assert whose(original)["Late"] == "ada"


def test_a_person_has_at_most_500_ids(original: Tenant) -> None:
    send(original, *(alias("ada", f"a{n}") for n in range(1, MOST_IDS)))
    assert reasons(original) == []
    send(original, alias("ada", "over"), seen("View", "over"))
    assert reasons(original) == ["more_than_500_ids"]
    assert whose(original)["View"] == "over"


def test_values_encrypted_before_a_merge_open_after_it(home: Installation) -> None:
    tenant = tenant_of(home, IdentityMode.ORIGINAL)
    tenant.put_in_force(SEALED)
    send(tenant, identify("ben", OTHER), ("Note", {"distinct_id": OTHER, "note": "hello"}))
    send(tenant, merge("ada", "ben"), merge("zoe", "ada"))
    shown = {each["event"]: each["properties"] for each in exported(tenant)}["Note"]
    assert (shown["distinct_id"], shown["note"]) == ("zoe", "hello")


def test_no_id_that_a_verb_names_stands_in_the_store(original: Tenant) -> None:
    send(original, identify("somebody", ANON), alias("somebody", "a@example.com"), merge("somebody", "benjamin"))
    text = "".join(row.properties for row in original.stored())
    assert not [each for each in ("somebody", ANON, "a@example.com", "benjamin") if each in text]


# --- legacy ----------------------------------------------------------------------------------------------------------


def test_a_legacy_alias_leads_what_comes_later_and_leaves_what_was(legacy: Tenant) -> None:
    send(legacy, seen("before", "new"), alias("ada", "new"), seen("after", "new"))
    assert whose(legacy) == {"before": "new", "$create_alias": "ada", "after": "ada"}
    send(legacy, alias("ben", "new"), seen("again", "new"))
    assert whose(legacy)["again"] == "ada"
    assert reasons(legacy) == ["alias_has_a_person"]


def test_ignore_alias_reaches_the_profile_of_the_literal_id(legacy: Tenant) -> None:
    send(legacy, seen("before", "new"), alias("ada", "new"))
    for names, more in ((["by_alias"], {}), (["literal"], {"$ignore_alias": True})):
        update = {"$token": legacy.token, "$distinct_id": "new", "$set": dict.fromkeys(names, 1), **more}
        assert legacy.engage([update]).text == "1"
    answer = legacy.client.get("/api/2.0/engage", headers=legacy.auth("admin")).get_json()
    found = {each["$distinct_id"]: set(each["$properties"]) - {"$last_seen"} for each in answer["results"]}
    assert found == {"ada": {"by_alias"}, "new": {"literal"}}


@pytest.mark.parametrize("named", ["ada", "new"])
def test_erasing_by_alias_or_original_erases_both(legacy: Tenant, named: str) -> None:
    send(legacy, seen("before", "new"), alias("ada", "new"), seen("after", "new"), seen("stays", "cy"))
    legacy.home.services.subjects.create_erasure(legacy.officer(), [named], "GDPR")
    assert set(whose(legacy)) == {"stays"}
    while legacy.home.work():
        pass
    assert legacy.state("ada", "new", "cy") == ["erased", "erased", "active"]
    assert legacy.names() == ["stays"]


# --- what was decided, and links -------------------------------------------------------------------------------------


def test_an_opt_out_holds_for_ids_that_are_linked_later_whichever_side_it_was_on(original: Tenant) -> None:
    choices = original.home.services.choices
    send(original, seen("one", ANON), seen("two", "ben"))
    choices.opt_out(original.officer(), [ANON])
    send(original, identify("ada", ANON))
    assert original.state("ada", ANON) == ["opted_out", "opted_out"]
    choices.opt_out(original.officer(), ["ben"])
    send(original, alias("ben", "b2"))
    assert original.state("b2") == ["opted_out"]


def test_with_an_erased_person_nobody_becomes_one(original: Tenant) -> None:
    send(original, seen("gone", "ben"))
    original.home.services.subjects.create_erasure(original.officer(), ["ben"], "GDPR")
    send(original, alias("ben", "b2"), merge("ada", "ben"), seen("View", "ada"))
    assert original.state("ben", "ada") == ["erasing", "active"]
    assert original.state("b2") == [None], "the id that came with an erased one is not kept"
    while original.home.work():
        pass
    send(original, alias("ben", "b2"), identify("ben", ANON))
    assert original.state("ben", "b2", ANON) == ["erased", None, None]


def test_a_device_that_opted_out_takes_its_first_user_with_it(simplified: Tenant) -> None:
    send(simplified, ("one", {"$device_id": "d1"}))
    simplified.home.services.choices.opt_out(simplified.officer(), ["$device:d1"])
    send(simplified, ("two", {"$device_id": "d1", "$user_id": "ada"}))
    assert simplified.state("ada") == ["opted_out"]
    send(simplified, ("three", {"$user_id": "ada"}))
    assert set(whose(simplified)) == {"one"}


# --- spellings -------------------------------------------------------------------------------------------------------


def test_spellings_are_two_ids_in_reads_and_one_person_where_somebody_decides(simplified: Tenant) -> None:
    send(simplified, seen("one", "Ada@Example.com"), seen("two", "ada@example.com"))
    assert whose(simplified) == {"one": "Ada@Example.com", "two": "ada@example.com"}
    simplified.home.services.choices.opt_out(simplified.officer(), ["ADA@example.com"])
    assert simplified.state("Ada@Example.com", "ada@example.com") == ["opted_out", "opted_out"]
    send(simplified, seen("three", "aDA@example.com"))
    assert set(whose(simplified)) == {"one", "two"}, "a new spelling is refused too"


def test_an_erased_person_does_not_come_back_in_another_spelling_until_lifted(simplified: Tenant) -> None:
    send(simplified, seen("one", "Ada@Example.com"))
    services = simplified.home.services
    services.subjects.create_erasure(simplified.officer(), ["ada@example.com"], "GDPR")
    while simplified.home.work():
        pass
    assert simplified.stored() == []
    send(simplified, seen("two", "ADA@EXAMPLE.COM"))
    update = {"$token": simplified.token, "$distinct_id": "aDa@example.com", "$set": {"plan": "pro"}}
    simplified.engage([update])
    assert simplified.stored() == []
    assert simplified.refusals() == {"erased": 2}
    assert simplified.state("ADA@EXAMPLE.COM", "aDa@example.com") == [None, None], "a refused spelling is not kept"
    services.subjects.lift_tombstones(simplified.officer(), ["ada@example.com"], "consent")
    send(simplified, seen("three", "ADA@EXAMPLE.COM"))
    assert simplified.names() == ["three"]


def test_a_refused_purpose_holds_for_a_new_spelling(simplified: Tenant) -> None:
    simplified.put_in_force(PURPOSES)
    simplified.home.services.choices.opt_out(simplified.officer(), ["Ada@Example.com"], ["ads"])
    send(simplified, seen("Ad", "ada@example.com"), seen("View", "ada@example.com"))
    assert simplified.names() == ["View"]


# --- the closure -----------------------------------------------------------------------------------------------------


def found(tenant: Tenant, *ids: str) -> dict[str, Means]:
    services = tenant.home.services
    with services.database.read() as tx:
        keys = services.keyring.of(tx, tenant.id)
        members = closure(tx, keys, ids).members
        names = closures.register.reveal(tx, keys, [each.uid for each in members])
    return {names[each.uid].identifier: each.means for each in members}


def test_the_closure_of_any_id_is_the_whole_person(original: Tenant) -> None:
    send(original, identify("Ada@Example.com", ANON), alias("Ada@Example.com", "a2"), seen("x", "ada@example.com"))
    send(original, identify("ada@example.com", OTHER), seen("else", "cy"))
    services = original.home.services
    with services.database.read() as tx:
        code = pseudonyms_of(services.keyring.of(tx, original.id), "ADA@example.com")[0]
    send(original, seen("elsewhere", code))
    whole = {"Ada@Example.com", ANON, "a2", "ada@example.com", OTHER, code}
    for named in whole - {code}:
        assert set(found(original, named)) == whole
    assert found(original, "a2")[code] is Means.PSEUDONYM
    assert found(original, "nobody") == {}


def test_the_closure_reaches_a_group_that_is_the_address_of_the_person(simplified: Tenant) -> None:
    services = simplified.home.services
    send(simplified, seen("one", "ada@example.com"))
    with services.database.write() as tx:
        keys = services.keyring.of(tx, simplified.id)
        wanted = [group_identifier("owner", "Ada@Example.com"), group_identifier("company", "acme")]
        closures.register.enrol(tx, keys, wanted, 1)
    assert set(found(simplified, "ada@example.com")) == {"ada@example.com", wanted[0]}


def test_pseudonyms_of_every_key_version_belong_to_the_closure(simplified: Tenant) -> None:
    services = simplified.home.services
    with services.database.read() as tx:
        first = pseudonyms_of(services.keyring.of(tx, simplified.id), "ada@example.com")
    send(simplified, seen("one", "ada@example.com"), seen("elsewhere", first[0]))
    admin = simplified.auth("admin")
    simplified.client.post("/v1/keys/rotate", json={"purpose": "pseudonym", "bridge_days": 0}, headers=admin)
    with services.database.read() as tx:
        both = pseudonyms_of(services.keyring.of(tx, simplified.id), "ada@example.com")
    assert both[1:] == first
    assert set(found(simplified, "ada@example.com")) == {"ada@example.com", first[0]}


def test_pseudonyms_are_those_that_check_writes(simplified: Tenant) -> None:
    services = simplified.home.services
    event = {"event": "View", "properties": {"distinct_id": "Ada@Example.com"}}
    simplified.put_in_force("policy: detects\n")
    answer = simplified.client.post("/v1/check", json={"events": [event]}, headers=simplified.auth("ingest")).get_json()
    with services.database.read() as tx:
        code = pseudonyms_of(services.keyring.of(tx, simplified.id), "ada@example.com")[0]
    assert code in json.dumps(answer)


# --- at once ---------------------------------------------------------------------------------------------------------


def test_links_that_race_leave_one_head_for_everybody(original: Tenant) -> None:
    names = [f"u{n}" for n in range(12)]
    send(original, *(seen(f"e{n}", name) for n, name in enumerate(names)))
    pairs = [(names[i], names[i + 1]) for i in range(len(names) - 1)]
    answers = in_threads(
        [
            lambda pair=pair: original.send([original.event("$merge", distinct_id=None, **{"$distinct_ids": pair})])
            for pair in pairs
        ]
    )
    assert {answer.status_code for answer in answers} == {200}
    heads = {each["properties"]["distinct_id"] for each in exported(original)}
    assert len(heads) == 1
    assert len(found(original, "u5")) == len(names)


def test_a_link_that_races_with_an_erasure_leaves_nobody_behind(original: Tenant) -> None:
    home = original.home
    for n in range(6):
        user, anonymous = f"user{n}", str(uuid.UUID(int=100 + n, version=4))
        send(original, seen("a", user), seen("b", anonymous))
        in_threads(
            [
                lambda user=user, anonymous=anonymous: send(original, identify(user, anonymous), seen("c", anonymous)),
                lambda user=user: home.services.subjects.create_erasure(original.officer(), [user], "GDPR"),
            ]
        )
        while home.work():
            pass
        states = original.state(user, anonymous)
        assert states[0] == "erased"
        readers = {each["properties"]["distinct_id"] for each in exported(original)}
        assert user not in readers
        assert (states[1] == "erased") == (anonymous not in readers)


def test_simplified_links_that_race_bind_a_device_once(simplified: Tenant) -> None:
    events = [("link", {"$device_id": f"d{n}", "$user_id": f"u{k}"}) for k in range(4) for n in range(5)]
    in_threads([lambda part=part: send(simplified, *part) for part in (events[:10], events[10:], events[::-1])])
    devices = [(f"D{n}", {"$device_id": f"d{n}"}) for n in range(5)]
    send(simplified, *devices)
    owners = {name: who for name, who in whose(simplified).items() if name.startswith("D")}
    assert all(who.startswith("u") for who in owners.values())


# --- the preview and the mode ----------------------------------------------------------------------------------------


def preview(tenant: Tenant, role: str, *ids: str) -> dict[str, Any]:
    answer = tenant.client.post("/v1/subjects/closure", json={"distinct_ids": ids}, headers=tenant.auth(role))
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def last_entry(tenant: Tenant) -> dict[str, Any]:
    return dict(json.loads(tenant.home.services.audit.entries(tenant.id, 0, 1_000)[-1].body))


def test_an_officer_sees_what_a_request_would_reach_before_it_is_made(original: Tenant) -> None:
    send(original, seen("one", ANON), identify("Ada@Example.com", ANON), seen("two", "ada@example.com"))
    original.engage([{"$token": original.token, "$distinct_id": ANON, "$set": {"plan": "pro"}}])
    told = preview(original, "officer", "ada@example.com", "nobody")
    figures = {name: told[name] for name in ("people", "ids", "events", "profiles", "held", "erased", "more")}
    assert figures == {"people": 2, "ids": 3, "events": 3, "profiles": 1, "held": 0, "erased": 0, "more": 0}
    assert told["unknown_positions"] == [1]
    assert {(each["distinct_id"], each["canonical_id"], each["means"]) for each in told["members"]} == {
        (ANON, "Ada@Example.com", "linked"),
        ("Ada@Example.com", "Ada@Example.com", "spelling"),
        ("ada@example.com", "ada@example.com", "named"),
    }
    entry = last_entry(original)
    assert (entry["action"], entry["n"], entry["facts"]) == (
        "subjects.previewed",
        {"named": 2, "people": 2, "ids": 3},
        {"ids": "shown"},
    )
    request = original.home.services.subjects.create_erasure(original.officer(), ["ada@example.com"], "GDPR").request
    assert last_entry(original)["n"]["closure"] == told["ids"]
    while original.home.work():
        pass
    assert (request.id_count, original.stored()) == (1, [])


def test_an_auditor_sees_figures_and_no_ids(simplified: Tenant) -> None:
    send(simplified, seen("one", "somebody"))
    told = preview(simplified, "auditor", "somebody")
    assert (told["ids"], told["events"], told["members"]) == (1, 1, None)
    assert "somebody" not in json.dumps(told)
    assert last_entry(simplified)["facts"] == {"ids": "withheld"}


def test_a_preview_changes_nothing_and_enrols_nobody(simplified: Tenant) -> None:
    preview(simplified, "officer", "nobody")
    assert simplified.state("nobody") == [None]


def test_the_mode_is_changed_by_an_admin_for_later_events_and_logged(simplified: Tenant) -> None:
    send(simplified, seen("one", "a2"), alias("ada", "a2"))
    assert simplified.client.put("/v1/identity", json={"mode": "original"}, headers=simplified.auth("officer")).status_code == 403
    answer = simplified.client.put("/v1/identity", json={"mode": "original"}, headers=simplified.auth("admin"))
    assert answer.get_json() == {"mode": "original"}
    entry = last_entry(simplified)
    assert (entry["action"], entry["facts"]) == ("identity.changed", {"before": "simplified", "after": "original"})
    assert whose(simplified)["one"] == "a2"
    send(simplified, alias("ada", "a2"))
    assert whose(simplified)["one"] == "ada"
    simplified.client.put("/v1/identity", json={"mode": "simplified"}, headers=simplified.auth("admin"))
    assert whose(simplified)["one"] == "ada", "what is linked stays linked"


def test_a_mode_that_does_not_exist_is_named(simplified: Tenant) -> None:
    answer = simplified.client.put("/v1/identity", json={"mode": "clever"}, headers=simplified.auth("admin"))
    assert answer.status_code in (400, 422)
    assert "mode" in answer.text


def test_strict_import_into_an_original_project_asks_for_a_distinct_id(original: Tenant) -> None:
    answer = original.send([original.event(distinct_id=None)])
    assert answer.status_code == 400
    assert answer.get_json()["failed_records"][0]["field"] == "properties.distinct_id"


def test_ids_of_an_earlier_release_get_their_form(simplified: Tenant) -> None:
    send(simplified, seen("one", "Ada@Example.com"))
    services = simplified.home.services
    with services.database.write() as tx:
        tx.execute(sa.update(register_table).where(register_table.c.project_id == simplified.id).values(form=None))
    assert found(simplified, "ada@example.com") == {}
    while services.identity.fill_forms():
        pass
    assert set(found(simplified, "ada@example.com")) == {"Ada@Example.com"}


def test_links_are_counted_in_the_log(original: Tenant) -> None:
    send(original, alias("ada", "a2"), alias("ben", "a2"))
    counts = last_entry(original)["n"]
    assert (counts["links.linked"], counts["links.alias_has_a_person"]) == (1, 1)


def test_the_register_is_asked_by_its_indexes(sqlite_home: Installation) -> None:
    """Without statistics SQLite reads a whole project for one person."""
    with sqlite_home.services.database.read() as tx:
        for column in ("person", "form"):
            plan = tx.execute(sa.text(f"EXPLAIN QUERY PLAN SELECT uid FROM register WHERE project_id = 1 AND {column} IN (1, 2)"))
            assert f"ix_register_project_id_{column}" in str(plan.all())


# --- the command line ------------------------------------------------------------------------------------------------


def command(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, *words: str, stdin: str = "") -> str:
    monkeypatch.setattr(cli_identity, "bootstrap", lambda _: tenant.home.services)
    group = {"identity": cli_identity.identity, "request": cli_identity.request}[words[0]]
    done = CliRunner().invoke(group, list(words[1:]), input=stdin, obj=tenant.home.services.settings)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_request_is_previewed_at_the_terminal(simplified: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    send(simplified, ("one", {"$device_id": "d1", "$user_id": "somebody"}))
    number = str(simplified.id)
    told = command(simplified, monkeypatch, "request", "preview", number, stdin="somebody\nnobody\n")
    assert "ids=2\nevents=1\nprofiles=0\nheld=0\nerased=0\nunknown_lines=2\n" in told
    assert "somebody" not in told
    shown = command(simplified, monkeypatch, "request", "preview", number, "--show-ids", stdin="$device:d1\n")
    assert re.search(r"^\$device:d1 +somebody +device +named +active", shown, re.MULTILINE)
    with pytest.raises(InvalidInput, match="no ids"):
        command(simplified, monkeypatch, "request", "preview", number, stdin="\n")


def test_the_mode_is_shown_and_changed_at_the_terminal(simplified: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    number = str(simplified.id)
    assert command(simplified, monkeypatch, "identity", number) == "identity=simplified\n"
    assert command(simplified, monkeypatch, "identity", number, "legacy") == "before=simplified\nidentity=legacy\n"
    assert last_entry(simplified)["actor"] == "cli"
