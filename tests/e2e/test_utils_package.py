"""Every public method of the unmodified `mixpanel-utils` (2.2.7, the newest on PyPI) against one running installation.

The plain operations on profiles, import and export are in `test_sdks.py`. The package has no method of its own for groups:
they are read through `query_engage` and `export_people` with `data_group_id`.
"""

from __future__ import annotations

import csv
import gzip
import inspect
import json
import re
import time
from pathlib import Path

import pytest
from mixpanel_utils import MixpanelUtils

from tests.e2e import senders
from tests.e2e.client import Gate
from tests.e2e.installation import Installation

# What somebody tried below or in test_sdks.py.
TRIED = {
    "request", "people_operation", "people_set", "people_set_once", "people_unset", "people_add", "people_append",
    "people_union", "people_remove", "people_delete", "people_change_property_name",
    "people_revenue_property_from_transactions", "deduplicate_people", "sum_transactions", "export_data", "export_events",
    "export_people", "import_events", "import_people", "query_engage", "query_export", "query_jql", "query_jql_events",
    "query_jql_people", "export_jql_events", "export_jql_people", "jql_operation", "event_counts_to_people",
    "import_from_amplitude", "import_from_amplitude_id_mgmt_v3",
}  # fmt: skip


@pytest.fixture
def gate(one: Installation) -> Gate:
    return Gate(one.credentials)


@pytest.fixture
def utils(one: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MixpanelUtils:
    monkeypatch.chdir(tmp_path)  # The package writes its files into the working directory.
    return senders.utils_sdk(one.credentials)


def people(utils: MixpanelUtils, prefix: str) -> dict[str, dict]:
    """The profiles of the ids that begin so, without when they were last seen."""
    found = {each["$distinct_id"]: each["$properties"] for each in utils.query_engage()}
    return {
        name: {key: value for key, value in properties.items() if key != "$last_seen"}
        for name, properties in found.items()
        if name.startswith(prefix)
    }


def days() -> dict[str, str]:
    now = time.time()
    return {name: time.strftime("%Y-%m-%d", time.gmtime(at)) for name, at in (("from_date", now - 86_400), ("to_date", now))}


def bring(utils: MixpanelUtils, name: str, n: int, **properties: object) -> None:
    now = int(time.time())
    events = [
        {
            "event": name,
            "properties": {"distinct_id": f"{name}{i}", "time": now - i, "$insert_id": f"{name}-{i}", "n": i, **properties},
        }
        for i in range(n)
    ]
    utils.import_events(events, timezone_offset=0)


def test_every_method_is_tried() -> None:
    methods = {name for name, _ in inspect.getmembers(MixpanelUtils, inspect.isfunction) if not name.startswith("_")}
    assert methods == TRIED


def test_a_property_is_renamed_for_everybody_who_has_it(utils):
    utils.import_people([{"$distinct_id": f"ren{n}", "$properties": {"old": n}} for n in range(3)])
    utils.import_people([{"$distinct_id": "ren9", "$properties": {"other": 1}}])
    utils.people_change_property_name("old", "new")
    assert people(utils, "ren") == {"ren0": {"new": 0}, "ren1": {"new": 1}, "ren2": {"new": 2}, "ren9": {"other": 1}}


def test_revenue_is_the_sum_of_the_transactions(utils):
    paid = [{"$amount": 2.5, "$time": "2026-01-01T00:00:00"}, {"$amount": 4, "$time": "2026-01-02T00:00:00"}]
    utils.import_people([{"$distinct_id": "rev1", "$properties": {"$transactions": paid}}])
    utils.people_revenue_property_from_transactions()
    assert people(utils, "rev")["rev1"]["Revenue"] == 6.5
    assert MixpanelUtils.sum_transactions({"$properties": {}}) == {"Revenue": 0}


def test_duplicates_are_merged_and_the_last_seen_is_kept(utils, gate):
    # What is kept is the one seen last, so each is seen in a second of its own.
    for name, plan in (("dup1", "free"), ("dup2", "pro")):
        record = {
            "$token": gate.credentials.project_token,
            "$distinct_id": name,
            "$set": {"account": "Acme-7", name: 1, "plan": plan},
        }
        assert senders.node_get(gate.url, "engage", record).body == b"1"
        time.sleep(1.1)
    utils.deduplicate_people(prop_to_match="account", merge_props=True, backup=True, backup_file="dup.json")
    assert people(utils, "dup") == {"dup2": {"account": "Acme-7", "dup1": 1, "dup2": 1, "plan": "pro"}}
    assert len(json.loads(Path("dup.json").read_text())) == 2


def test_updates_are_chosen_by_a_query_and_made_by_a_function(utils):
    utils.import_people([{"$distinct_id": f"dyn{n}", "$properties": {"n": n, "kind": "dyn"}} for n in range(4)])
    chosen = {"where": 'properties["kind"] == "dyn" and properties["n"] > 1'}
    utils.people_operation("$set", lambda each: {"double": each["$properties"]["n"] * 2}, query_params=chosen)
    assert [each.get("double") for _, each in sorted(people(utils, "dyn").items())] == [None, None, 4, 6]


def test_profiles_come_in_as_they_are_and_from_files(utils, one):
    token = one.credentials.project_token
    utils.import_people([{"$token": token, "$distinct_id": "raw1", "$set": {"n": 1}}], raw_record_import=True)
    Path("people.csv").write_text("$distinct_id,n\nraw2,two\n")
    utils.import_people("people.csv")
    Path("people.json").write_text(json.dumps([{"$distinct_id": "raw3", "$properties": {"n": 3}}]))
    utils.import_people("people.json", ignore_alias=True)
    assert people(utils, "raw") == {"raw1": {"n": 1}, "raw2": {"n": "two"}, "raw3": {"n": 3}}


def test_profiles_go_out_to_files(utils):
    utils.import_people([{"$distinct_id": f"out{n}", "$properties": {"n": n, "kind": "out"}} for n in range(3)])
    where = {"where": 'properties["kind"] == "out"'}
    utils.export_people("people.json", where)
    utils.export_people("people.csv", {**where, "output_properties": '["n"]'}, format="csv")
    utils.export_people("packed.json", where, compress=True)
    assert sorted(each["$properties"]["n"] for each in json.loads(Path("people.json").read_text())) == [0, 1, 2]
    with Path("people.csv").open() as file:
        assert sorted(row["n"] for row in csv.DictReader(file)) == ["0", "1", "2"]
    assert len(json.loads(gzip.decompress(Path("packed.json.gz").read_bytes()))) == 3


def test_groups_go_out_too(utils, one):
    sdk = senders.python_sdk(one.credentials)
    for n in range(3):
        sdk.group_set("guild", f"g{n}", {"n": n})
    found = utils.query_engage({"data_group_id": "guild"})
    assert sorted((each["$distinct_id"], each["$properties"]["n"]) for each in found) == [("g0", 0), ("g1", 1), ("g2", 2)]
    utils.export_people("groups.json", {"data_group_id": "guild", "where": 'properties["n"] > 0'})
    assert sorted(each["$distinct_id"] for each in json.loads(Path("groups.json").read_text())) == ["g1", "g2"]


def test_events_go_out_to_files_in_every_way(utils):
    bring(utils, "Filed", 3)
    wanted = {**days(), "event": ["Filed"]}
    utils.export_events("plain.json", wanted)
    utils.export_events("plain.csv", wanted, format="csv")
    utils.export_events("packed.json", wanted, compress=True)
    utils.export_events("day.json", wanted, request_per_day=True)
    utils.export_events("raw.txt", wanted, raw_stream=True)
    utils.export_events("raw2.txt", wanted, raw_stream=True, add_gzip_header=True)
    utils.export_events("later.json", wanted, timezone_offset=-1)
    plain = json.loads(Path("plain.json").read_text())
    assert sorted(each["properties"]["n"] for each in plain) == [0, 1, 2]
    with Path("plain.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert len(json.loads(gzip.decompress(Path("packed.json.gz").read_bytes()))) == 3
    assert sum(len(json.loads(each.read_text())) for each in Path().glob("day_*.json")) == 3
    assert len(Path("raw.txt").read_text().splitlines()) == 3
    # Fewer bytes than are worth packing come as they are, and the package writes down what came.
    packed = Path("raw2.txt.gz").read_bytes()
    lines = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
    assert len(lines.splitlines()) == 3
    later = json.loads(Path("later.json").read_text())
    assert sorted(each["properties"]["time"] for each in later) == sorted(each["properties"]["time"] + 3_600 for each in plain)


def test_events_come_in_from_files(utils):
    now = int(time.time())
    Path("events.json").write_text(
        json.dumps([{"event": "FromJson", "properties": {"distinct_id": "f", "time": now, "$insert_id": "from-json"}}])
    )
    utils.import_events("events.json", timezone_offset=0)
    Path("events.csv").write_text(f"event,distinct_id,time,$insert_id,n\nFromCsv,f,{now},from-csv,7\n")
    utils.import_events("events.csv", timezone_offset=0)
    found = {each["event"]: each["properties"] for each in utils.query_export({**days(), "event": ["FromJson", "FromCsv"]})}
    assert (set(found), str(found["FromCsv"]["n"])) == ({"FromJson", "FromCsv"}, "7")
    assert utils.query_export({**days(), "event": ["Nothing"]}) == []


def test_an_account_of_another_role_reads_and_does_not_write(one, utils, caplog):
    admin = one.credentials.admin_token
    gate = Gate(one.credentials)
    sent = {"username": "reader", "role": "analyst", "projects": [{"id": one.credentials.project_id}]}
    made = gate.post("/api/app/organizations/1/service-accounts", sent, admin).json()["results"]
    bring(utils, "Seen", 2)
    reader = senders.utils_sdk(one.credentials, api_secret=made["token"], service_account_username=made["username"])
    # What is classified is withheld from whoever was not given it by name, and asking so is said.
    assert len(reader.query_export({**days(), "event": ["Seen"], "classified": "withhold"})) == 2
    bring(reader, "Refused", 1)
    assert utils.query_export({**days(), "event": ["Refused"]}) == []
    assert "events:import" in caplog.text


# --- what is not spoken is refused at once, by its name --------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda utils: utils.query_jql("function main() {}"),
        lambda utils: utils.query_jql_events("2026-01-01", "2026-01-02"),
        lambda utils: utils.query_jql_people(),
        lambda utils: utils.export_jql_people("out.json"),
        lambda utils: utils.export_jql_events("out.json", "2026-01-01", "2026-01-02"),
        lambda utils: utils.jql_operation("function main() {}", "$set", backup=False),
        lambda utils: utils.event_counts_to_people("2026-01-01", ["A"]),
    ],
)
def test_scripts_are_refused_by_name(utils, caplog, call):
    began = time.monotonic()
    with pytest.raises(TypeError):  # The package reads the answer that it did not get.
        call(utils)
    assert time.monotonic() - began < 10
    assert "HTTP Error Code: 400" in caplog.text
    assert "JQL" in caplog.text


# --- from another vendor ---------------------------------------------------------------------------------------------

_ELSEWHERE = {
    "event_type": "Moved", "user_id": "moved-1", "device_id": "moved-device", "amplitude_id": 77, "ip_address": "192.0.2.7",
    "country": "DE", "city": "Berlin", "event_properties": {"step": 1}, "user_properties": {"Name": "", "plan": "pro"},
    "event_id": 9, "$insert_id": "moved.1",
}  # fmt: skip


# The first names no `$user_id`: in simplified mode such an event is its device's, whatever its distinct_id (section 10).
@pytest.mark.parametrize(
    ("method", "whose"),
    [("import_from_amplitude", "$device:moved-device"), ("import_from_amplitude_id_mgmt_v3", "moved-1")],
)
def test_what_another_vendor_held_comes_in(utils, monkeypatch, method, whose):
    at = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime())
    name = f"Moved {re.sub('[^a-z0-9]', '', method)}"
    Path("extract").mkdir()
    event = {**_ELSEWHERE, "event_type": name, "event_time": at, "$insert_id": method.replace("_", "-")[:36]}
    Path("extract/a.json").write_text(json.dumps([event]))
    # The download is the other vendor's affair.
    monkeypatch.setattr(MixpanelUtils, "_extract_amplitude_data", lambda *_: "extract")
    getattr(utils, method)("key", "secret", "20260101T00", "20260102T00")
    [found] = utils.query_export({**days(), "event": [name]})
    assert found["properties"]["distinct_id"] == whose
    assert "192.0.2" not in json.dumps(found), "policy keeps no address"
    assert people(utils, "moved-1")["moved-1"]["plan"] == "pro"
