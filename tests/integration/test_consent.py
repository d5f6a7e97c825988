"""Consent: defaults, opt-ins, browser signals and their evidence, purposes refused one by one."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from app.ingest.parcel import PART_RECORDS
from tests.installation import in_threads

ASKED = "policy: asked\ndetectors: keep\nconsent: {default: opted_out}\n"
SIGNALS = "policy: heard\ndetectors: keep\nconsent: {signals: [gpc, dnt]}\n"
PURPOSES = """\
policy: purposes
detectors: keep
consent:
  purposes:
    - {id: marketing, events: ["Ad *", "Both"]}
    - {id: analytics, events: ["View", "Both"]}
"""


def _put_in_force(gate, text):
    answer = gate.client.post("/v1/policies", json={"text": text, "activate": True}, headers=gate.bearer("admin"))
    assert answer.status_code == 201, answer.get_data(as_text=True)


def _post(gate, path, body, role="officer"):
    return gate.client.post(path, json=body, headers=gate.bearer(role))


def _choose(gate, path, *people, **more):
    answer = _post(gate, path, {"distinct_ids": list(people), **more})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def _standing(gate, *people):
    return _post(gate, "/v1/subjects/states", {"distinct_ids": list(people)}).get_json()


def _states(gate, *people):
    return _standing(gate, *people)["states"]


def _kept(gate):
    return sorted(each["properties"]["$insert_id"] for each in gate.exported())


def _refused(gate):
    return gate.client.get("/v1/refusals?from_date=2026-01-01&to_date=2027-01-01", headers=gate.bearer("officer")).get_json()


def _named(gate, name, person, insert_id, **more):
    return {**gate.event(person, insert_id, **more), "event": name}


# --- the default -----------------------------------------------------------------------------------------------------


def test_whoever_decided_nothing_is_refused_where_consent_comes_first(gate):
    _put_in_force(gate, ASKED)
    gate.track(gate.event("ada", "i1"))
    for operations in ({"$set": {"a": 1}}, {"$unset": ["a"]}, {"$set": {"a": 1}, "$unset": ["b"]}, {"$append": {"a": 1}}):
        answer = gate.client.post("/engage", json=[{"$token": gate.token, "$distinct_id": "ada", **operations}])
        assert answer.data == b"1"
    assert _kept(gate) == []
    assert gate.profiles() == []
    assert gate.rows("SELECT count(*) FROM register") == [(0,)], "nobody is remembered for what was refused"
    assert _refused(gate)["reasons"] == {"not_opted_in": 6}


def test_an_opt_in_event_counts_from_its_own_batch_on_and_not_before(gate):
    _put_in_force(gate, ASKED)
    gate.track(
        gate.event("ada", "before"),
        _named(gate, "$opt_in", "ada", "consent"),
        gate.event("ada", "after"),
        gate.event("bob", "other"),
    )
    gate.track(gate.event("ada", "later"))
    gate.client.post("/engage", json=[{"$token": gate.token, "$distinct_id": "ada", "$set": {"plan": "pro"}}])
    assert _kept(gate) == ["after", "consent", "later"]
    assert gate.profiles() == ["ada"]
    assert _states(gate, "ada", "bob") == ["opted_in", None]
    received = [each for each in gate.log_after_sequencing() if each["action"] == "opt_in.received"]
    assert [each["n"] for each in received] == [{"people": 1}]


def test_a_value_to_encrypt_that_follows_consent_in_its_batch_is_kept(gate):
    secret = "rules: [{id: health, properties: [diagnosis], category: user.health_and_medical, sensitivity: restricted, action: encrypt}]\n"
    _put_in_force(gate, ASKED + secret)
    # The consent and what it covers lie in two parts of the batch.
    between = [gate.event("bob", f"b{i}") for i in range(PART_RECORDS)]
    gate.track(_named(gate, "$opt_in", "ada", "consent"), *between, gate.event("ada", "after", diagnosis="hay fever"))
    assert _kept(gate) == ["after", "consent"]
    [(stored,)] = gate.rows("SELECT properties FROM event WHERE properties LIKE '%diagnosis%'")
    assert '"e1.' in stored
    assert "[encrypted]" not in stored


def test_consent_on_a_device_follows_whoever_signs_in_on_it(gate):
    _put_in_force(gate, ASKED)
    gate.track(_named(gate, "$opt_in", "", "i1", **{"$device_id": "d1"}))
    gate.track(gate.event("", "i2", **{"$device_id": "d1"}))
    gate.track(gate.event("ada", "i3", **{"$device_id": "d1", "$user_id": "ada"}))
    gate.track(gate.event("ada", "i4"), gate.event("", "i5", **{"$device_id": "d1"}))
    assert _kept(gate) == ["i1", "i2", "i3", "i4", "i5"]
    assert _states(gate, "ada", "$device:d1") == ["opted_in", "opted_in"]


def test_consent_on_a_shared_device_is_nobody_elses(gate):
    _put_in_force(gate, ASKED)
    on_it = {"$device_id": "d1", "$user_id": "ada"}
    gate.track(_named(gate, "$opt_in", "ada", "i1", **on_it))
    gate.track(gate.event("bob", "i2", **{**on_it, "$user_id": "bob"}), gate.event("bob", "i3"))
    assert _kept(gate) == ["i1"]
    assert _states(gate, "ada", "$device:d1", "bob") == ["opted_in", "opted_in", None]
    gate.track(_named(gate, "$opt_in", "bob", "i4", **{**on_it, "$user_id": "bob"}))
    gate.track(gate.event("bob", "i5"), gate.event("bob", "i6", **{**on_it, "$user_id": "bob"}))
    assert _kept(gate) == ["i1", "i4", "i5", "i6"]
    assert _states(gate, "bob") == ["opted_in"]


def test_a_new_device_of_an_opted_in_person_is_linked_and_erased_with_them(gate):
    _put_in_force(gate, ASKED)
    _choose(gate, "/v1/opt-ins", "ada")
    gate.track(gate.event("ada", "i1", **{"$device_id": "d1", "$user_id": "ada"}))
    gate.track(gate.event("", "i2", **{"$device_id": "d1"}))
    assert _kept(gate) == ["i1", "i2"]
    assert gate.people() == ["ada"]
    gate.delete("ada")
    gate.work()
    assert _states(gate, "ada", "$device:d1") == ["erased", "erased"]
    gate.track(_named(gate, "$opt_in", "ada", "i3"), gate.event("ada", "i4"))
    assert _kept(gate) == []
    assert _states(gate, "ada") == ["erased"]


def test_an_officers_opt_in_counts_before_the_first_event(gate):
    _put_in_force(gate, ASKED)
    assert _choose(gate, "/v1/opt-ins", "ada", "new") == {"people": 2, "ids": 2, "erased": 0}
    assert _choose(gate, "/v1/opt-ins", "ada") == {"people": 0, "ids": 0, "erased": 0}
    gate.track(gate.event("ada", "i1"), gate.event("new", "i2"))
    assert _kept(gate) == ["i1", "i2"]


@pytest.mark.parametrize("policy", [ASKED, "policy: open\ndetectors: keep\n"])
def test_an_event_never_lifts_an_officers_opt_out(gate, policy):
    _put_in_force(gate, policy)
    _choose(gate, "/v1/opt-ins", "ada")
    _choose(gate, "/v1/opt-outs", "ada")
    gate.track(_named(gate, "$opt_in", "ada", "i1"), gate.event("ada", "i2"))
    assert _kept(gate) == []
    assert _states(gate, "ada") == ["opted_out"]
    _choose(gate, "/v1/opt-ins", "ada")
    gate.track(gate.event("ada", "i3"))
    assert _kept(gate) == ["i3"]


def test_an_event_lifts_no_restriction(gate):
    _put_in_force(gate, ASKED)
    _choose(gate, "/v1/opt-ins", "ada")
    with gate.services.database.write() as tx:
        tx.exec_driver_sql("UPDATE register SET state = 'restricted'")
    gate.track(_named(gate, "$opt_in", "ada", "i1"), gate.event("ada", "i2"))
    assert _states(gate, "ada") == ["restricted"]
    assert gate.rows("SELECT count(*) FROM event") == [(0,)]


def test_an_opt_in_that_is_refused_gives_no_consent(gate):
    _put_in_force(gate, ASKED + 'events: {block: ["$opt_in"]}\n')
    gate.track(_named(gate, "$opt_in", "ada", "i1"), gate.event("ada", "i2"))
    assert _kept(gate) == []
    assert _states(gate, "ada") == [None]


def test_an_opt_in_means_nothing_where_nobody_has_to_ask(gate):
    _put_in_force(gate, "policy: open\ndetectors: keep\n")
    gate.track(_named(gate, "$opt_in", "ada", "i1"))
    assert _kept(gate) == ["i1"]
    assert _states(gate, "ada") == ["active"]
    assert "opt_in.received" not in [each["action"] for each in gate.log_after_sequencing()]


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("header", "signal"), [("Sec-GPC", "gpc"), ("DNT", "dnt")])
def test_a_signal_is_honoured_with_success_and_leaves_evidence(gate, header, signal):
    _put_in_force(gate, SIGNALS)
    gate.track(gate.event("ada", "i1", **{"$device_id": "d1", "$user_id": "ada"}))
    said = {header: "1"}
    for n in range(2):
        gate.clock[0] += 60_000
        answer = gate.client.post("/track?verbose=1", json=[gate.event("ada", f"s{n}"), gate.event("new", f"n{n}")], headers=said)
        assert answer.get_json() == {"error": None, "status": 1}
    update = [{"$token": gate.token, "$distinct_id": "$device:d1", "$set": {"plan": "pro"}}]
    assert gate.client.post("/engage", json=update, headers=said).data == b"1"
    assert _kept(gate) == ["i1"]
    assert gate.profiles() == []
    assert _states(gate, "new") == [None], "an id is not remembered for having asked to be left alone"
    refused = _refused(gate)
    assert refused["reasons"] == {f"{signal}_signal": 5}
    assert refused["signals_of_unknown_ids"] == {signal: 2}
    seen = _standing(gate, "ada", "$device:d1", "new")["signals"]
    assert seen[0] == seen[1]
    assert seen[2] == []
    assert [(each["signal"], each["n"], each["first"] < each["last"]) for each in seen[0]] == [(signal, 3, True)]
    heeded = [each["n"] for each in gate.log_after_sequencing() if each["action"] == "signal.honoured"]
    assert heeded == [{f"{signal}_signal": 2}, {f"{signal}_signal": 2}, {f"{signal}_signal": 1}]


FOR_A_PURPOSE = """\
policy: purposeful
detectors: keep
consent: {purposes: [{id: sale, events: ["Ad *"], signals: [gpc]}]}
rules:
  - {id: click, properties: [gclid], category: user.device.device_id, sensitivity: internal, action: keep, purposes: sale}
"""


def test_a_signal_for_a_purpose_refuses_that_and_leaves_evidence_of_the_rest(gate):
    _put_in_force(gate, FOR_A_PURPOSE)
    assert gate.client.get("/.well-known/gpc.json").get_json()["gpc"] is True
    gate.track(gate.event("ada", "i1", gclid="kept"))
    batch = [gate.event("ada", "s1", gclid="gone"), {**gate.event("ada", "s2"), "event": "Ad Seen"}, gate.event("new", "s3")]
    assert gate.client.post("/track", json=batch, headers={"Sec-GPC": "1"}).data == b"1"
    update = [{"$token": gate.token, "$distinct_id": "ada", "$set": {"plan": "pro", "gclid": "gone"}}]
    assert gate.client.post("/engage", json=update, headers={"Sec-GPC": "1"}).data == b"1"
    assert _kept(gate) == ["i1", "s1", "s3"]
    clicks = {each["properties"]["$insert_id"]: each["properties"].get("gclid") for each in gate.exported()}
    assert clicks == {"i1": "kept", "s1": None, "s3": None}
    assert "gone" not in repr(gate.rows("SELECT properties FROM profile"))
    assert _refused(gate)["reasons"] == {"gpc_signal": 1}
    assert _refused(gate)["signals_of_unknown_ids"] == {"gpc": 1}
    assert [(each["signal"], each["n"]) for each in _standing(gate, "ada")["signals"][0]] == [("gpc", 3)]
    heeded = [each["n"] for each in gate.log_after_sequencing() if each["action"] == "signal.honoured"]
    assert heeded == [{"gpc_signal": 3}, {"gpc_signal": 1}]
    # What the person refused is heard of a profile as well, without any signal.
    _choose(gate, "/v1/opt-outs", "ada", purposes=["sale"])
    gate.client.post("/engage", json=[{"$token": gate.token, "$distinct_id": "ada", "$set": {"gclid": "gone", "n": 1}}])
    assert "gone" not in repr(gate.rows("SELECT properties FROM profile"))


@pytest.mark.parametrize("value", ["0", "", "true", "11", "unspecified"])
def test_anything_but_one_is_no_signal(gate, value):
    _put_in_force(gate, SIGNALS)
    gate.client.post("/track", json=[gate.event("ada", "i1")], headers={"Sec-GPC": value, "DNT": value})
    assert _kept(gate) == ["i1"]


def test_a_signal_counts_only_where_the_policy_says_so_and_never_for_a_server(gate):
    _put_in_force(gate, "policy: deaf\ndetectors: keep\n")
    said = {"Sec-GPC": "1", "DNT": "1"}
    gate.client.post("/track", json=[gate.event("ada", "i1")], headers=said)
    _put_in_force(gate, SIGNALS)
    answer = gate.client.post("/import?strict=1", json=[gate.event("ada", "i2")], headers={**gate.bearer("admin"), **said})
    assert answer.status_code == 200
    assert _kept(gate) == ["i1", "i2"]


def test_a_check_for_others_hears_the_signals_that_it_is_told(gate):
    _put_in_force(gate, SIGNALS)
    asked = {"events": [{"event": "View", "properties": {"distinct_id": "ada"}}], "signals": ["gpc"]}
    answer = _post(gate, "/v1/check", asked, "ingest").get_json()
    assert answer["results"][0]["remarks"][0]["reason"] == "gpc_signal"
    wrong = _post(gate, "/v1/check", {**asked, "signals": ["loud"]}, "ingest")
    assert wrong.status_code == 400
    assert b"loud" not in wrong.data
    assert gate.rows("SELECT count(*) FROM signal_evidence") == [(0,)]


def test_evidence_is_in_the_archive_and_goes_with_the_person(gate):
    _put_in_force(gate, SIGNALS)
    gate.track(gate.event("ada", "i1"), gate.event("bob", "i2"))
    gate.client.post("/track", json=[gate.event("ada", "s1"), gate.event("bob", "s2")], headers={"Sec-GPC": "1"})
    request_id = gate.retrieve("ada")
    gate.work()
    archive = gate.client.get(f"/v1/requests/{request_id}/archive", headers=gate.bearer("officer")).data
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        seen = [json.loads(line) for line in opened.read("signals.ndjson").splitlines()]
        ids = [json.loads(line) for line in opened.read("identifiers.ndjson").splitlines()]
    assert [(each["distinct_id"], each["signal"], each["n"]) for each in seen] == [("ada", "gpc", 1)]
    assert ids == [{"distinct_id": "ada", "canonical_id": "ada", "state": "active", "refused_purposes": []}]
    gate.delete("ada")
    gate.work()
    assert gate.rows("SELECT count(*) FROM signal_evidence") == [(1,)]


def test_the_well_known_resource_says_what_every_policy_in_force_does(gate):
    _put_in_force(gate, "policy: deaf\ndetectors: keep\n")
    answer = gate.client.get("/.well-known/gpc.json")
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert answer.get_json() == {"gpc": False, "lastUpdate": "2026-11-18"}
    gate.clock[0] += 86_400_000
    _put_in_force(gate, "policy: heard\ndetectors: keep\nconsent: {signals: [gpc]}\n")
    assert gate.client.get("/.well-known/gpc.json").get_json() == {"gpc": True, "lastUpdate": "2026-11-19"}
    with gate.services.database.write() as tx:
        made = gate.services.access.create_project(tx, "second", actor="test")
    assert gate.client.get("/.well-known/gpc.json").get_json()["gpc"] is True, "a project without a policy lets nothing in"
    with gate.services.database.write() as tx:
        version = gate.services.rulebook.add(tx, made.id, "policy: deaf\n", author="test").version
        gate.services.rulebook.activate(tx, made.id, version, actor="test")
    assert gate.client.get("/.well-known/gpc.json").get_json()["gpc"] is False


# --- purposes --------------------------------------------------------------------------------------------------------


def test_a_refused_purpose_refuses_the_events_that_serve_nothing_else(gate):
    _put_in_force(gate, PURPOSES)
    assert _choose(gate, "/v1/opt-outs", "ada", purposes=["marketing"]) == {"people": 1, "ids": 1, "erased": 0}
    gate.track(
        _named(gate, "Ad shown", "ada", "ad"),
        _named(gate, "Both", "ada", "both"),
        _named(gate, "View", "ada", "view"),
        _named(gate, "Else", "ada", "else"),
        _named(gate, "Ad shown", "bob", "bob"),
    )
    assert _kept(gate) == ["bob", "both", "else", "view"]
    assert _refused(gate)["reasons"] == {"purpose_refused": 1}
    _choose(gate, "/v1/opt-outs", "ada", purposes=["analytics"])
    gate.track(_named(gate, "Both", "ada", "both2"), _named(gate, "Else", "ada", "else2"))
    assert "both2" not in _kept(gate)
    assert "else2" in _kept(gate)
    assert _standing(gate, "ada")["refused_purposes"] == [["analytics", "marketing"]]
    _choose(gate, "/v1/opt-ins", "ada", purposes=["marketing"])
    gate.track(_named(gate, "Ad shown", "ada", "ad2"))
    assert "ad2" in _kept(gate)
    assert _standing(gate, "ada", "bob")["refused_purposes"] == [["analytics"], []]
    told = [each for each in gate.log_after_sequencing() if each["action"].startswith("purposes.")]
    assert [(each["action"], each["facts"]["purposes"], each["n"]) for each in told] == [
        ("purposes.refused", "marketing", {"people": 1, "ids": 1}),
        ("purposes.refused", "analytics", {"people": 1, "ids": 1}),
        ("purposes.allowed", "marketing", {"people": 1, "ids": 1}),
    ]


def test_a_refused_purpose_follows_the_person_both_ways_through_a_link(gate):
    _put_in_force(gate, PURPOSES)
    gate.track(gate.event("", "i1", **{"$device_id": "d1"}), gate.event("ada", "i2"))
    _choose(gate, "/v1/opt-outs", "$device:d1", purposes=["marketing"])
    _choose(gate, "/v1/opt-outs", "ada", purposes=["analytics"])
    gate.track(_named(gate, "Else", "ada", "i3", **{"$device_id": "d1", "$user_id": "ada"}))
    assert _standing(gate, "ada", "$device:d1")["refused_purposes"] == [["analytics", "marketing"]] * 2
    gate.track(_named(gate, "Ad shown", "ada", "i4"), _named(gate, "View", "", "i5", **{"$device_id": "d1"}))
    assert _kept(gate) == ["i1", "i2", "i3"]
    _choose(gate, "/v1/opt-ins", "$device:d1", purposes=["marketing", "analytics"])
    assert _standing(gate, "ada", "$device:d1")["refused_purposes"] == [[], []]


def test_refusals_of_two_devices_that_sign_in_at_once_are_both_kept(gate):
    _put_in_force(gate, PURPOSES)
    gate.track(gate.event("ada", "i0"))
    for device, purpose in (("d1", "marketing"), ("d2", "analytics")):
        _choose(gate, "/v1/opt-outs", f"$device:{device}", purposes=[purpose])

    def sign_in(device):
        body = [_named(gate, "Else", "ada", device, **{"$device_id": device, "$user_id": "ada"})]
        return lambda: gate.client.application.test_client().post("/track", json=body).data

    assert in_threads([sign_in("d1"), sign_in("d2")]) == [b"1", b"1"]
    everything = ["analytics", "marketing"]
    assert _standing(gate, "ada")["refused_purposes"] == [everything]
    gate.track(_named(gate, "Ad seen", "ada", "ad"), _named(gate, "View", "ada", "view"))
    assert _kept(gate) == ["d1", "d2", "i0"]


def test_an_unknown_purpose_is_refused_naming_those_there_are(gate):
    _put_in_force(gate, PURPOSES)
    for path in ("/v1/opt-outs", "/v1/opt-ins"):
        answer = _post(gate, path, {"distinct_ids": ["ada"], "purposes": ["marketng"]})
        assert answer.status_code == 400
        error = answer.get_json()["error"]
        assert (error["field"], error["remedy"]) == ("purposes", "use one of: marketing, analytics")
        assert "marketng" not in answer.get_data(as_text=True)
    assert _states(gate, "ada") == [None]
    _choose(gate, "/v1/opt-outs", "ada", purposes=["marketing"])
    _put_in_force(gate, "policy: none\ndetectors: keep\n")
    answer = _post(gate, "/v1/opt-outs", {"distinct_ids": ["ada"], "purposes": ["marketing"]})
    assert answer.get_json()["error"]["remedy"].startswith("name purposes")
    assert _choose(gate, "/v1/opt-ins", "ada", purposes=["marketing"])["people"] == 1, "what the policy lost can still be lifted"


def test_an_erasure_forgets_what_the_person_refused(gate):
    _put_in_force(gate, PURPOSES)
    _choose(gate, "/v1/opt-outs", "ada", purposes=["marketing"])
    gate.delete("ada")
    gate.work()
    assert gate.rows("SELECT refused_purposes FROM register WHERE state = 'erased'") == [(None,)]
    assert _choose(gate, "/v1/opt-outs", "ada", purposes=["marketing"]) == {"people": 0, "ids": 0, "erased": 1}


def test_two_thousand_ids_at_once_as_a_list_or_as_csv(gate):
    many = [f"u{n}" for n in range(2_000)]
    assert _choose(gate, "/v1/opt-outs", *many)["people"] == 2_000
    text = "distinct_id,name\n" + "\n".join(f'"{each}",x' for each in many)
    assert _post(gate, "/v1/opt-ins", {"distinct_ids": text}).get_json()["people"] == 2_000
    assert set(_states(gate, *many)) == {"opted_in"}
    too_many = _post(gate, "/v1/opt-outs", {"distinct_ids": text + "\nmore,x"})
    assert too_many.status_code == 422
    assert _post(gate, "/v1/opt-outs", {"distinct_ids": ""}).status_code == 422
    quoted = _post(gate, "/v1/opt-outs", {"distinct_ids": '"a ""b"", c"\r\n\r\nd\r\n'})
    assert quoted.get_json()["people"] == 2
    assert _states(gate, 'a "b", c', "d") == ["opted_out", "opted_out"]
