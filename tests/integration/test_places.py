"""Places: the file, the look-up, the ladder, and that no address stays anywhere."""

from __future__ import annotations

import logging
import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from app.errors import StartupRefused
from app.ingest.places import FileState, Outcome, Places, address_of
from policies.geolocate import Whereabouts
from tests import geofile
from tests.integration.gate import build

BERLIN = Whereabouts("DE", "Land Berlin", "Berlin")
V4, V6 = "192.0.2.77", "2001:db8:85a3::8a2e:370:7334"
SPELLINGS = (V4, f" {V4} ", f"{V4}:443", f"::ffff:{V4}", "::ffff:c000:24d", "::FFFF:C000:024D", f"[::ffff:{V4}]:80")
V6_SPELLINGS = (V6, V6.upper(), "2001:0db8:85a3:0000:0000:8a2e:0370:7334", f"[{V6}]:443", f"{V6}%eth0")


class Ticking:
    """A clock that a test moves on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def counted():
    return Counter()


@pytest.fixture
def clock():
    return Ticking()


@pytest.fixture
def places(tmp_path, counted, clock):
    made = Places(geofile.write(tmp_path / "city.mmdb"), lambda outcome: counted.update([outcome]), clock)
    made.refuse_unusable()
    return made


@pytest.mark.parametrize("address", SPELLINGS + V6_SPELLINGS)
def test_every_spelling_of_an_address_is_looked_up(places, counted, address):
    assert places.look_up(address) == BERLIN
    assert counted == {Outcome.FOUND: 1}


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "127.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "::",
    ],
)
def test_a_private_address_is_not_looked_up(places, counted, address):
    assert places.look_up(address) is None
    assert counted == {Outcome.PRIVATE: 1}


@pytest.mark.parametrize(
    "address", ["", "nowhere", "1.2.3", "192.0.2.256", "::g", "[", "0x7f000001", "192.0.2.1, 10.0.0.1", "\0"]
)
def test_what_is_no_address_is_told_apart(places, counted, address):
    assert places.look_up(address) is None
    assert counted == {Outcome.INVALID: 1}
    assert address_of(address) is None


def test_an_address_that_is_not_in_the_file_is_unknown(places, counted):
    assert places.look_up("198.51.100.1") is None
    assert places.look_up("2606:4700::1") is None
    assert counted == {Outcome.UNKNOWN: 2}


def test_a_replaced_file_is_picked_up_and_a_bad_one_leaves_the_old_in_use(places, tmp_path, clock):
    path = tmp_path / "city.mmdb"
    assert places.look_up(V4) == BERLIN
    geofile.write(path, {"192.0.2.0/24": geofile.LYON})
    assert places.look_up(V4) == BERLIN, "within the second it is the file that was read"
    clock.now += 2
    assert places.look_up(V4) == Whereabouts("FR", "Auvergne-Rhone-Alpes", "Lyon")
    broken = tmp_path / "broken"
    broken.write_bytes(b"not a file of places")
    broken.replace(path)
    clock.now += 2
    assert places.look_up(V4).country == "FR"
    assert places.state() is FileState.STALE
    path.unlink()
    clock.now += 2
    assert places.look_up(V4).country == "FR"
    geofile.write(path)
    clock.now += 2
    assert places.look_up(V4) == BERLIN
    assert places.state() is FileState.READY


def test_a_file_that_holds_strange_things_raises_nothing(tmp_path, counted):
    strange = {"192.0.2.0/25": {"country": "DE", "city": [1]}, "192.0.2.128/26": {"subdivisions": []}, "192.0.2.192/27": "text"}
    made = Places(geofile.write(tmp_path / "x.mmdb", strange), lambda outcome: counted.update([outcome]))
    for address in ("192.0.2.1", "192.0.2.130", "192.0.2.200"):
        assert made.look_up(address) is None
    assert counted == {Outcome.UNKNOWN: 3}


def test_a_damaged_file_raises_nothing(tmp_path, counted):
    path = geofile.write(tmp_path / "x.mmdb")
    held = bytearray(path.read_bytes())
    for at in range(0, len(held) - 200, 7):
        held[at] ^= 0xFF
    path.write_bytes(held)
    made = Places(path, lambda outcome: counted.update([outcome]))
    for last in range(256):
        made.look_up(f"192.0.2.{last}")
    assert sum(counted.values()) == 256


@pytest.mark.parametrize("kind", ["absent", "folder", "text", "empty"])
def test_an_unusable_file_is_refused_at_start_with_the_remedy(tmp_path, kind):
    path = tmp_path / "city.mmdb"
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes(b"" if kind == "empty" else b"hello")
    with pytest.raises(StartupRefused) as refused:
        build(tmp_path, None, GEOIP_DB=str(path))
    assert refused.value.field == "GEOIP_DB"
    assert refused.value.remedy


def test_a_missing_library_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "maxminddb", None)
    with pytest.raises(StartupRefused) as refused:
        Places(geofile.write(tmp_path / "x.mmdb"), lambda _: None).refuse_unusable()
    assert "portcullis[geoip]" in (refused.value.remedy or "")


# --- through the gate ------------------------------------------------------------------------------------------------


def policy(ladder: str) -> str:
    return f"policy: places\ngeolocation: {ladder}\ndetectors: keep\n"


@pytest.fixture(params=["sqlite", "postgres"])
def gate(request, tmp_path):
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    path = geofile.write(tmp_path / "city.mmdb")
    built = build(tmp_path, url, GEOIP_DB=str(path), PORTCULLIS_TRUSTED_PROXIES="1")
    yield built
    built.services.close()


def _put_in_force(gate, text):
    answer = gate.client.post("/v1/policies", json={"text": text, "activate": True}, headers=gate.bearer("admin"))
    assert answer.status_code == 201, answer.get_data(as_text=True)


PLACED = {"mp_country_code", "$region", "$city", "$country_code"}


def _places(properties):
    return {name: value for name, value in properties.items() if name in PLACED}


@pytest.mark.parametrize(
    ("ladder", "found"),
    [
        ("off", {}),
        ("country", {"mp_country_code": "DE"}),
        ("region", {"mp_country_code": "DE", "$region": "Land Berlin"}),
        ("city", {"mp_country_code": "DE", "$region": "Land Berlin", "$city": "Berlin"}),
    ],
)
def test_each_rung_lets_so_much_of_a_look_up_in(gate, ladder, found):
    _put_in_force(gate, policy(ladder))
    gate.track(gate.event("ada", "i1", ip=V4), gate.event("ada", "i2", ip=V6), gate.event("ada", "i3", ip="0"))
    kept = {each["properties"]["$insert_id"]: each["properties"] for each in gate.exported()}
    assert _places(kept["i1"]) == _places(kept["i2"]) == found
    assert _places(kept["i3"]) == {}
    assert not any("ip" in each for each in kept.values())


def test_the_address_of_the_request_counts_only_when_the_sender_says_so(gate):
    _put_in_force(gate, policy("country"))
    seen = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"203.0.113.9, {V4}"}
    for n, path in enumerate(["/track?verbose=1", "/track?verbose=1&ip=0", "/track?verbose=1&ip=1"]):
        gate.client.post(path, json=[gate.event("ada", f"i{n}")], environ_overrides=seen)
    gate.client.post("/track?ip=1", json=[gate.event("ada", "own", ip="0")], environ_overrides=seen)
    # A form says it as well as a query.
    form = {"data": __import__("json").dumps([gate.event("ada", "form")]), "ip": "1"}
    gate.client.post("/track", data=form, environ_overrides=seen)
    # A server imports for other people: its address is nobody's.
    imported = gate.client.post(
        "/import?strict=1&ip=1",
        json=[gate.event("ada", "imported")],
        headers=gate.bearer("admin"),
        environ_overrides=seen,
    )
    assert imported.status_code == 200
    kept = {each["properties"]["$insert_id"]: each["properties"].get("mp_country_code") for each in gate.exported()}
    assert kept == {"i0": None, "i1": None, "i2": "DE", "own": None, "form": "DE", "imported": None}


def test_only_what_the_trusted_proxy_appended_is_believed(gate):
    _put_in_force(gate, policy("country"))
    forged = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"{V4}, 203.0.113.9"}
    gate.client.post("/track?ip=1", json=[gate.event("ada", "i1")], environ_overrides=forged)
    assert [each["properties"].get("mp_country_code") for each in gate.exported()] == [None]


def test_proxies_may_be_named_by_their_networks(tmp_path):
    gate = build(tmp_path, None, GEOIP_DB=str(geofile.write(tmp_path / "city.mmdb")), PORTCULLIS_TRUSTED_PROXIES="10.0.0.0/8")
    _put_in_force(gate, policy("country"))
    through = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"203.0.113.9, {V4}, 10.7.0.1"}
    around = {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": V4}
    gate.client.post("/track?ip=1", json=[gate.event("ada", "i1")], environ_overrides=through)
    gate.client.post("/track?ip=1", json=[gate.event("ada", "i2")], environ_overrides=around)
    kept = {each["properties"]["$insert_id"]: each["properties"].get("mp_country_code") for each in gate.exported()}
    assert kept == {"i1": "DE", "i2": None}
    gate.services.close()


def test_without_a_trusted_proxy_the_header_counts_for_nothing(tmp_path):
    gate = build(tmp_path, None, GEOIP_DB=str(geofile.write(tmp_path / "city.mmdb")))
    _put_in_force(gate, policy("country"))
    seen = {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": V4}
    gate.client.post("/track?ip=1", json=[gate.event("ada", "i1")], environ_overrides=seen)
    gate.client.post("/track?ip=1", json=[gate.event("ada", "i2")], environ_overrides={"REMOTE_ADDR": V4})
    kept = {each["properties"]["$insert_id"]: each["properties"].get("mp_country_code") for each in gate.exported()}
    assert kept == {"i1": None, "i2": "DE"}
    gate.services.close()


def test_an_update_of_a_profile_is_placed_by_the_address_beside_it(gate):
    _put_in_force(gate, policy("city"))
    body = {"$token": gate.token, "$set": {"plan": "pro"}}
    seen = {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": V4}
    for person, more in {"own": {"$ip": V6}, "none": {"$ip": 0}, "text": {"$ip": "0"}, "request": {}}.items():
        gate.client.post("/engage?ip=1", json=[{**body, **more, "$distinct_id": person}], environ_overrides=seen)
    gate.client.post("/engage", json=[{**body, "$distinct_id": "silent"}], environ_overrides=seen)
    gate.client.post("/engage", json=[{**body, "$distinct_id": "zero", "$ip": 0}], environ_overrides=seen)
    answer = gate.client.get("/api/2.0/engage", headers=gate.bearer("admin")).get_json()
    kept = {each["$distinct_id"]: _places(each["$properties"]) for each in answer["results"]}
    berlin = {"$country_code": "DE", "$region": "Land Berlin", "$city": "Berlin"}
    assert kept == {"own": berlin, "request": berlin, "none": {}, "text": {}, "silent": {}, "zero": {}}


def test_a_check_for_others_looks_up_as_well_and_gives_no_address_back(gate):
    _put_in_force(gate, policy("country"))
    asked = {"events": [{"event": "View", "properties": {"distinct_id": "ada", "ip": V4}}]}
    answer = gate.client.post("/v1/check", json=asked, headers=gate.bearer("ingest"))
    assert answer.get_json()["results"][0]["event"]["properties"] == {"distinct_id": "ada", "mp_country_code": "DE"}
    assert V4.encode() not in answer.data


@pytest.mark.parametrize("ladder", ["off", "country", "region", "city"])
def test_no_address_stays_anywhere(gate, tmp_path, ladder, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    held = "rules: [{id: hold, properties: [hold], category: user, sensitivity: internal, action: quarantine}]\n"
    # The detectors stay on: what is written into ordinary properties is theirs to find.
    _put_in_force(gate, f"policy: places\ngeolocation: {ladder}\n{held}")
    everywhere = [*SPELLINGS, *V6_SPELLINGS]
    for n, address in enumerate(everywhere):
        seen = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": address.strip()}
        events = [
            gate.event("ada", f"a{n}", ip=address, **{"$ip": address, "nested": {"ip": address}, "list": [{"$ip": address}]}),
            gate.event("ada", f"b{n}", hold="x", ip=address),
            gate.event("ada", f"c{n}"),
        ]
        gate.client.post("/track?ip=1&verbose=1", json=events, environ_overrides=seen)
        update = {
            "$token": gate.token,
            "$distinct_id": f"p{n}",
            "$ip": address,
            "$set": {"plan": "pro", "$ip": address, "ip": address},
        }
        once = {
            "$token": gate.token,
            "$distinct_id": f"p{n}",
            "$ip": address,
            "$set_once": {"ip": address},
            "$append": {"$ip": address},
        }
        gate.client.post("/engage?ip=1", json=[update, once], environ_overrides=seen)
    gate.work()
    assert len(gate.exported()) == 2 * len(everywhere)
    assert gate.rows("SELECT count(*) FROM quarantined") == [(len(everywhere),)]
    request_id = gate.retrieve("ada")
    gate.work()
    archive = gate.client.get(f"/v1/requests/{request_id}/archive", headers=gate.bearer("officer")).data
    (tmp_path / "opened.zip").write_bytes(archive)
    with zipfile.ZipFile(tmp_path / "opened.zip") as opened:
        texts = [opened.read(name) for name in opened.namelist()]
    metrics = gate.client.get("/metrics", headers=gate.bearer("admin")).data
    out, err = capfd.readouterr()
    texts += [metrics, out.encode(), err.encode(), caplog.text.encode(), *_stored(gate, tmp_path)]
    needles = [
        b"192.0.2.77",
        b"c000:24d",
        b"c000:024d",
        b"2001:db8:85a3",
        b"2001:0db8:85a3",
        b"8a2e:370:7334",
        b"\xc0\x00\x02\x4d",
    ]
    needles += [bytes.fromhex("20010db885a3000000008a2e03707334")]
    assert any(b"ip_never_stored" in text or b'"plan"' in text for text in texts), "the search reads what is stored"
    assert [needle for needle in needles if any(needle in text.lower() for text in texts)] == []


def _stored(gate, tmp_path):
    """Every byte of the embedded data folder, or every row of every table of PostgreSQL as text and as bytes."""
    if gate.services.database.sqlite:
        return [Path(folder, name).read_bytes() for folder, _, names in os.walk(tmp_path / "data") for name in names]
    tables = [row[0] for row in gate.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert "event" in tables
    rows = [row for table in tables for row in gate.rows(f"SELECT * FROM {table}")]
    return [part if isinstance(part, bytes) else str(part).encode() for row in rows for part in row]


def test_without_a_file_nothing_is_looked_up_and_everyone_is_told(tmp_path, capfd):
    gate = build(tmp_path, None)
    ready = gate.client.get("/readyz").get_json()
    assert ready["geolocation"] == "off"
    _put_in_force(gate, policy("city"))
    gate.track(gate.event("ada", "i1", ip=V4), gate.event("ada", "i2", ip=V6))
    assert [_places(each["properties"]) for each in gate.exported()] == [{}, {}]
    assert gate.client.get("/readyz").get_json()["geolocation"] == "missing"
    metrics = gate.client.get("/metrics", headers=gate.bearer("admin")).get_data(as_text=True)
    assert 'portcullis_geolocation_lookups_total{outcome="no_file"} 2.0' in metrics
    gate.services.close()
