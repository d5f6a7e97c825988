"""Export and profile query over HTTP on both engines: what is shown, what is not, and what the log says of it."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import mixpanel_utils
import pytest
import sqlalchemy as sa
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import TestResponse

from app.access.roles import Role
from app.access.service import Principal
from app.access.sight import Sight
from app.database import migrate
from app.errors import Unavailable
from app.events.port import EventQuery, EventRow, ProfileRow
from app.events.sql import SqlEventStore
from app.identity import register
from app.query.params import export_params
from app.query.tables import query_session
from policies.model import SubjectState
from tests.installation import Installation, Tenant, count, in_threads, installed
from tests.servers import PostgresServer

DAY = "2026-03-01"
NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1000
DAYS = {"from_date": DAY, "to_date": DAY}
STRANGE_IDS = ["50%", "a_b", "o'hara", 'say "hi"', "back\\slash", "naïve ü 日本", "; DROP TABLE event --", "\U0001f600"]


@pytest.fixture(scope="module")
def sqlite_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("query")
    url = f"sqlite:///{folder}/portcullis.db"
    migrate(url)
    with installed(url, folder) as home:
        yield home


@pytest.fixture(scope="module")
def postgres_home(
    postgres_server: PostgresServer, template_ready: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    url = postgres_server.new_database(template_ready)
    with installed(url, tmp_path_factory.mktemp("query")) as home:
        yield home
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite_home", "postgres_home"])
def tenant(request: pytest.FixtureRequest) -> Tenant:
    """A new project on each engine in turn."""
    home: Installation = request.getfixturevalue(request.param)
    return home.tenant()


class Stock:
    """Puts people, events and profiles into a project, past the gate, and hides people."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.services = tenant.home.services

    def people(self, identifiers: Sequence[str]) -> dict[str, register.Row]:
        with self.services.database.write() as tx:
            keys = self.services.keyring.of(tx, self.tenant.id)
            register.enrol(tx, keys, identifiers, NOON)
            return register.resolve(tx, keys, identifiers)

    def events(self, rows: Sequence[tuple[int, int, str, Mapping[str, Any]]]) -> None:
        """Rows of (time, uid, name, properties); equal times are told apart by their place."""
        with self.services.database.write() as tx:
            store = self.services.stores.of(None)
            store.append(
                tx,
                self.tenant.id,
                [EventRow(at, n, uid, name, json.dumps(p), 1, NOON) for n, (at, uid, name, p) in enumerate(rows)],
            )

    def profiles(self, uids: Sequence[int], properties: Mapping[str, Any] | None = None) -> None:
        with self.services.database.write() as tx:
            for uid in uids:
                row = ProfileRow(0, uid, json.dumps(properties or {"n": uid % 7}), None, 1)
                self.services.stores.of(None).put_profiles(tx, self.tenant.id, [row])

    def set_state(self, uids: Sequence[int], state: SubjectState) -> None:
        with self.services.database.write() as tx:
            register.set_state(tx, self.tenant.id, uids, state)

    def entomb(self, uids: Sequence[int]) -> None:
        with self.services.database.write() as tx:
            register.entomb(tx, self.tenant.id, uids)

    def log(self, action: str) -> list[dict[str, Any]]:
        entries = self.services.audit.entries(self.tenant.id, 0, 10_000)
        return [body for body in (json.loads(entry.body) for entry in entries) if body["action"] == action]

    def reader(self) -> Principal:
        with self.services.database.read() as tx:
            return self.services.access.bearer(tx, self.tenant.bearer["admin"])


@pytest.fixture
def stock(tenant: Tenant) -> Stock:
    return Stock(tenant)


def export(tenant: Tenant, **params: Any) -> TestResponse:
    headers = {**tenant.auth(Role.ADMIN), **params.pop("headers", {})}
    return tenant.client.get("/api/2.0/export", query_string={**DAYS, **params}, headers=headers)


def events_of(answer: TestResponse) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.data.decode().splitlines()]


def engage(tenant: Tenant, **params: Any) -> TestResponse:
    return tenant.client.get("/api/2.0/engage", query_string=params, headers=tenant.auth(Role.ADMIN))


def ids_of(page: Mapping[str, Any]) -> list[str]:
    return [each["$distinct_id"] for each in page["results"]]


# --- export: what is shown -------------------------------------------------------------------------------------------


def test_what_was_sent_comes_back_under_the_canonical_id(tenant: Tenant) -> None:
    now = tenant.home.clock()
    today = datetime.fromtimestamp(now / 1000, UTC).date().isoformat()
    sent = [
        tenant.event("Before", distinct_id=None, **{"$device_id": "phone", "$insert_id": "i1"}),
        tenant.event("Login", distinct_id=None, **{"$device_id": "phone", "$user_id": "ann", "n": 1.5}),
    ]
    assert tenant.send(sent).status_code == 200
    found = {each["event"]: each["properties"] for each in events_of(export(tenant, from_date=today, to_date=today))}
    assert list(found["Before"])[:2] == ["time", "distinct_id"]
    assert found["Before"]["time"] == now // 1000
    assert found["Before"]["distinct_id"] == "ann"
    assert found["Before"]["$distinct_id_before_identity"] == "$device:phone"
    assert found["Before"]["$insert_id"] == "i1"
    assert (found["Login"]["distinct_id"], found["Login"]["$user_id"]) == ("ann", "ann")
    assert (found["Login"]["$device_id"], found["Login"]["n"]) == ("phone", 1.5)
    assert "$distinct_id_before_identity" not in found["Login"]


def test_days_are_inclusive_and_in_order_of_time(stock: Stock) -> None:
    uid = stock.people(["ann"])["ann"].uid or 0
    midnight, day = NOON - 43_200_000, 86_400_000
    times = [midnight + day, midnight + day - 1, midnight, midnight - 1]
    stock.events([(at, uid, f"E{n}", {}) for n, at in enumerate(times)])
    found = events_of(export(stock.tenant, time_in_ms="true"))
    assert [each["event"] for each in found] == ["E2", "E1"]
    assert [each["properties"]["time"] for each in found] == [midnight, midnight + day - 1]


def test_events_are_chosen_by_name_and_cut_at_a_limit(stock: Stock) -> None:
    uid = stock.people(["ann"])["ann"].uid or 0
    stock.events([(NOON + n, uid, name, {}) for n, name in enumerate(["A", "B", "50%_'\"", "A", "B"])])
    names = lambda **params: [each["event"] for each in events_of(export(stock.tenant, **params))]  # noqa: E731
    assert names(event='["A"]') == ["A", "A"]
    assert names(event="B") == ["B", "B"]
    assert names(event=json.dumps(["50%_'\"", "A"]), limit=2) == ["A", "50%_'\""]
    assert names(event="%") == []
    assert names(event="[]") == []
    assert names(limit=4) == ["A", "B", "50%_'\"", "A"]


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}])
def test_an_empty_export_is_zero_bytes(stock: Stock, headers: dict[str, str]) -> None:
    answer = export(stock.tenant, headers=headers)
    assert (answer.status_code, answer.data) == (200, b"")
    assert "Content-Encoding" not in answer.headers


def test_an_export_is_plain_text_that_no_cache_keeps(stock: Stock) -> None:
    stock.events([(NOON, 0, "Anonymous", {})])
    answer = export(stock.tenant)
    assert answer.data == b'{"event":"Anonymous","properties":{"time":%d,"distinct_id":""}}\n' % (NOON // 1000)
    assert answer.mimetype == "text/plain"
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_export_is_packed_for_those_who_ask(stock: Stock) -> None:
    uid = stock.people(["ann"])["ann"].uid or 0
    stock.events([(NOON + n, uid, "E", {"n": n}) for n in range(2500)])
    plain, packed = export(stock.tenant), export(stock.tenant, headers={"Accept-Encoding": "gzip, deflate"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.data) == plain.data
    assert "Content-Encoding" not in export(stock.tenant, headers={"Accept-Encoding": "gzip;q=0"}).headers


@pytest.mark.parametrize("spread", [0, 1, 700, 40_000_000])
def test_every_event_comes_once_whatever_the_density(stock: Stock, spread: int) -> None:
    # With spread 0 thousands of events share one millisecond, so reads must go on in the midst of it.
    uid = stock.people(["ann"])["ann"].uid or 0
    number = 300 if spread > 1000 else 11_000
    stock.events([(NOON + n * spread, uid, "E", {"n": n}) for n in range(number)])
    found = events_of(export(stock.tenant, to_date="2027-01-01"))
    assert [each["properties"]["n"] for each in found] == list(range(number))


def test_large_events_are_read_a_few_at_a_time(stock: Stock) -> None:
    uid = stock.people(["ann"])["ann"].uid or 0
    stock.events([(NOON + n, uid, "E", {"n": n, "text": "x" * 200_000}) for n in range(60)])
    params = export_params(DAYS)
    with closing(stock.services.query.export(stock.reader(), params)) as chunks:
        sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) > 60 * 200_000
    assert max(sizes) < 5_000_000


# --- export: what is not shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [SubjectState.RESTRICTED, SubjectState.ERASING])
def test_events_of_the_hidden_are_not_shown_nor_their_id_in_the_events_of_others(stock: Stock, state: SubjectState) -> None:
    people = stock.people(["ann", "ben"])
    ann, ben = people["ann"].uid or 0, people["ben"].uid or 0
    stock.events([(NOON, ann, "A", {"$user_id": ann}), (NOON, ben, "B", {"$user_id": ann, "n": 1})])
    stock.set_state([ann], state)
    found = events_of(export(stock.tenant))
    assert found == [{"event": "B", "properties": {"time": NOON // 1000, "distinct_id": "ben", "n": 1}}]


def test_events_of_the_opted_out_are_still_shown(stock: Stock) -> None:
    uid = stock.people(["ann"])["ann"].uid or 0
    stock.events([(NOON, uid, "A", {})])
    stock.set_state([uid], SubjectState.OPTED_OUT)
    assert len(events_of(export(stock.tenant))) == 1


def test_events_without_a_row_in_the_register_are_not_shown(stock: Stock) -> None:
    uid = stock.people(["ann"])["ann"].uid or 0
    stock.events([(NOON, uid, "A", {}), (NOON, 12345, "B", {})])
    stock.entomb([uid])
    assert export(stock.tenant).data == b""


def test_a_limit_counts_what_is_shown(stock: Stock) -> None:
    people = stock.people(["ann", "ben"])
    ann, ben = people["ann"].uid or 0, people["ben"].uid or 0
    stock.events([(NOON + n, ben if n < 3000 else ann, "E", {"n": n}) for n in range(3010)])
    stock.set_state([ben], SubjectState.RESTRICTED)
    assert [each["properties"]["n"] for each in events_of(export(stock.tenant, limit=5))] == list(range(3000, 3005))


@pytest.mark.parametrize("end", ["hide", "entomb"])
def test_whoever_is_hidden_while_an_export_runs_is_not_in_its_next_chunk(stock: Stock, end: str) -> None:
    people = stock.people(["ann", "ben"])
    ann, ben = people["ann"].uid or 0, people["ben"].uid or 0
    stock.events([(NOON + n, ben if n % 2 else ann, "E", {"n": n}) for n in range(4000)])
    with closing(stock.services.query.export(stock.reader(), export_params(DAYS))) as chunks:
        first = next(chunks).decode().splitlines()
        stock.set_state([ben], SubjectState.ERASING)
        if end == "entomb":
            stock.entomb([ben])
        rest = b"".join(chunks).decode().splitlines()
    assert {json.loads(line)["properties"]["distinct_id"] for line in first} == {"ann", "ben"}
    assert {json.loads(line)["properties"]["distinct_id"] for line in rest} == {"ann"}
    assert len(first) == 2500
    assert len(rest) == 750


def test_no_transaction_is_open_while_the_reader_is_slow(stock: Stock) -> None:
    uid = stock.people(["ann"])["ann"].uid or 0
    stock.events([(NOON + n, uid, "E", {}) for n in range(3000)])
    with closing(stock.services.query.export(stock.reader(), export_params(DAYS))) as chunks:
        next(chunks)
        assert stock.services.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_another_projects_events_are_not_shown(stock: Stock) -> None:
    stock.events([(NOON, 0, "A", {})])
    other = stock.tenant.home.tenant()
    assert export(other).data == b""


@pytest.mark.parametrize("identifier", STRANGE_IDS)
def test_strange_ids_come_back_as_they_were(stock: Stock, identifier: str) -> None:
    uid = stock.people([identifier])[identifier].uid or 0
    stock.events([(NOON, uid, identifier, {"$user_id": uid})])
    stock.profiles([uid])
    [found] = events_of(export(stock.tenant, event=json.dumps([identifier])))
    assert found["event"] == found["properties"]["distinct_id"] == found["properties"]["$user_id"] == identifier
    assert ids_of(engage(stock.tenant, distinct_id=identifier).json or {}) == [identifier]


# --- export: refusals and the log ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"), [("from_date", "zq7"), ("to_date", "zq7"), ("limit", "zq7"), ("event", '["zq7'), ("where", "zq7")]
)
def test_a_refused_export_is_one_line_of_text_and_leaves_no_entry(stock: Stock, field: str, value: str) -> None:
    answer = export(stock.tenant, **{field: value})
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert field in answer.text
    assert "zq7" not in answer.text
    assert stock.log("events.exported") == []


def test_reading_needs_a_credential_with_the_permission(tenant: Tenant) -> None:
    for path in ("/api/2.0/export", "/api/2.0/engage", "/api/query/engage"):
        assert tenant.client.get(path).status_code == 401
        for role in (Role.INGEST, Role.OFFICER, Role.AUDITOR):
            assert tenant.client.get(path, headers=tenant.auth(role)).status_code == 403
    assert tenant.client.get("/api/2.0/export").mimetype == "text/plain"
    assert (tenant.client.get("/api/2.0/engage").json or {})["status"] == "error"


def test_a_credential_reads_its_own_project_only(tenant: Tenant) -> None:
    assert export(tenant, project_id=str(tenant.id)).status_code == 200
    assert export(tenant, project_id=str(tenant.id + 1)).status_code == 403
    form = {"project_id": "elsewhere"}
    answer = tenant.client.post("/api/2.0/engage", data=form, headers=tenant.auth(Role.ADMIN))
    assert answer.status_code == 403
    assert "elsewhere" not in answer.text


@pytest.mark.parametrize("path", ["/api/2.0/export", "/api/2.0/engage", "/api/query/engage"])
def test_a_slash_at_the_end_makes_no_difference(tenant: Tenant, path: str) -> None:
    for spelling in (path, path + "/"):
        assert tenant.client.get(spelling, query_string=DAYS, headers=tenant.auth(Role.ADMIN)).status_code == 200


def test_an_export_stands_in_the_log_from_its_beginning_to_its_end(stock: Stock) -> None:
    stock.events([(NOON + n, 0, "E", {}) for n in range(3)])
    assert export(stock.tenant, event='["E"]').data
    begun, ended = stock.log("events.exported")
    assert begun["facts"] == {"from": DAY, "to": DAY, "phase": "begun"}
    assert begun["n"] == {"names": 1}
    assert ended["facts"] == {"phase": "finished"}
    assert ended["n"] == {"events": 3}
    assert begun["obj"] == ended["obj"]
    assert begun["actor"] == stock.tenant.ids["admin"]


def test_a_reader_who_goes_away_is_in_the_log_with_what_was_sent(stock: Stock) -> None:
    stock.events([(NOON + n, 0, "E", {}) for n in range(3000)])
    answer = stock.tenant.client.get("/api/2.0/export", query_string=DAYS, headers=stock.tenant.auth(Role.ADMIN), buffered=False)
    next(iter(answer.response))
    assert len(stock.log("events.exported")) == 1
    answer.close()
    ended = stock.log("events.exported")[-1]
    assert ended["facts"] == {"phase": "broken_off"}
    assert ended["n"]["events"] in (2500, 3000)


def test_head_reads_nothing(stock: Stock) -> None:
    answer = stock.tenant.client.head("/api/2.0/export", query_string=DAYS, headers=stock.tenant.auth(Role.ADMIN))
    assert (answer.status_code, answer.data) == (200, b"")
    assert stock.log("events.exported") == []


class _Failing(SqlEventStore):
    """Fails at the nth event."""

    def __init__(self, at: int) -> None:
        self._left = at

    def scan(self, tx: Any, sight: Sight, query: EventQuery) -> Iterator[EventRow]:
        for row in super().scan(tx, sight, query):
            self._left -= 1
            if self._left < 0:
                raise Unavailable("the store is gone")
            yield row


@pytest.fixture
def failing(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def fail_at(event: int) -> None:
        store = _Failing(event)
        monkeypatch.setattr(stock.services.stores, "_default", store)

    stock.events([(NOON + n, 0, "E", {}) for n in range(8000)])
    return fail_at


def test_a_failure_before_the_first_line_is_a_status(stock: Stock, failing: Callable[[int], None]) -> None:
    failing(10)
    answer = export(stock.tenant)
    assert (answer.status_code, answer.mimetype) == (503, "text/plain")
    assert stock.log("events.exported")[-1]["facts"] == {"phase": "broken_off"}


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}])
def test_a_failure_midway_breaks_the_connection(stock: Stock, failing: Callable[[int], None], headers: dict[str, str]) -> None:
    failing(6000)
    received: list[bytes] = []
    answer = stock.tenant.client.get(
        "/api/2.0/export",
        query_string=DAYS,
        headers={**stock.tenant.auth(Role.ADMIN), **headers},
        buffered=False,
    )
    with closing(answer), pytest.raises(Unavailable):
        received.extend(answer.response)
    body = b"".join(received)
    text = zlib.decompressobj(wbits=31).decompress(body) if headers else body
    assert [json.loads(line)["event"] for line in text.splitlines()] == ["E"] * 5000
    ended = stock.log("events.exported")[-1]
    assert (ended["facts"], ended["n"]) == ({"phase": "broken_off"}, {"events": 5000})


# --- profiles --------------------------------------------------------------------------------------------------------


def test_a_profile_comes_back_as_it_was_set(tenant: Tenant) -> None:
    tenant.engage([{"$token": tenant.token, "$distinct_id": "ann", "$set": {"$name": "A", "n": [1, {"b": None}]}}])
    seen = datetime.fromtimestamp(tenant.home.clock() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    page = engage(tenant).json or {}
    assert list(page) == ["page", "page_size", "results", "session_id", "status", "total"]
    assert {**page, "session_id": ""} == {
        "page": 0,
        "page_size": 1000,
        "results": [{"$distinct_id": "ann", "$properties": {"$name": "A", "n": [1, {"b": None}], "$last_seen": seen}}],
        "session_id": "",
        "status": "ok",
        "total": 1,
    }


def test_profiles_are_chosen_by_any_id_of_the_person(tenant: Tenant) -> None:
    tenant.send([tenant.event("Login", distinct_id=None, **{"$device_id": "phone", "$user_id": "ann"})])
    for name in ("ann", "ben"):
        tenant.engage([{"$token": tenant.token, "$distinct_id": name, "$set": {"n": 1}}])
    for params in (
        {"distinct_id": "ann"},
        {"distinct_id": "$device:phone"},
        {"distinct_ids": '["ann","$device:phone","nobody"]'},
    ):
        page = engage(tenant, **params).json or {}
        assert (ids_of(page), page["total"]) == (["ann"], 1)
    for params in ({"distinct_id": "nobody"}, {"distinct_ids": "[]"}, {"distinct_id": "an%"}):
        page = engage(tenant, **params).json or {}
        assert (ids_of(page), page["total"]) == ([], 0)


def test_a_form_asks_as_well_as_a_query(stock: Stock) -> None:
    people = stock.people(["ann", "ben"])
    stock.profiles([row.uid or 0 for row in people.values()], {"a": 1, "b": 2})
    form = {"distinct_ids": '["ben"]', "output_properties": '["b"]', "project_id": str(stock.tenant.id)}
    for path in ("/api/2.0/engage", "/api/query/engage"):
        answer = stock.tenant.client.post(path, data=form, headers=stock.tenant.auth(Role.ADMIN))
        assert (answer.json or {})["results"] == [{"$distinct_id": "ben", "$properties": {"b": 2}}]


def test_a_refused_query_names_the_parameter_and_not_its_value(tenant: Tenant) -> None:
    for name in ("where", "selector", "behaviors", "filter_by_cohort", "page", "distinct_ids"):
        answer = engage(tenant, **{name: "zq7"})
        body = answer.json or {}
        assert (answer.status_code, body["status"]) == (400, "error")
        assert name in body["error"]
        assert "zq7" not in body["error"]


@pytest.fixture
def crowd(stock: Stock) -> Iterator[list[str]]:
    """2,500 people with profiles, the first five hundred and every third of the rest hidden; yields the visible."""
    names = [f"p{n:05}" for n in range(2500)]
    people = stock.people(names)
    stock.profiles([people[name].uid or 0 for name in names])
    hidden = {name for n, name in enumerate(names) if n < 500 or n % 3 == 0}
    stock.set_state([people[name].uid or 0 for name in hidden], SubjectState.RESTRICTED)
    return [name for name in names if name not in hidden]


def test_pages_hold_every_visible_profile_once_and_the_total_counts_them(stock: Stock, crowd: list[str]) -> None:
    first = engage(stock.tenant).json or {}
    assert first["total"] == len(crowd)
    second = engage(stock.tenant, page=1, session_id=first["session_id"]).json or {}
    assert (second["page"], second["total"], second["session_id"]) == (1, len(crowd), first["session_id"])
    assert (len(first["results"]), ids_of(first) + ids_of(second)) == (1000, crowd)


def test_pages_stay_as_they_are_while_people_come_and_go(stock: Stock, crowd: list[str]) -> None:
    first = engage(stock.tenant).json or {}
    people = stock.people([*crowd[:10], crowd[1100], "late"])
    stock.profiles([people["late"].uid or 0])
    with stock.services.database.write() as tx:
        gone = [people[name].uid or 0 for name in crowd[:10]]
        stock.services.stores.of(None).delete_profiles(tx, stock.tenant.id, gone)
    stock.set_state([people[crowd[1100]].uid or 0], SubjectState.ERASING)
    second = engage(stock.tenant, page=1, session_id=first["session_id"]).json or {}
    assert ids_of(second) == [name for name in crowd[1000:] if name != crowd[1100]]


def test_pages_can_be_read_at_once(stock: Stock, crowd: list[str]) -> None:
    first = engage(stock.tenant).json or {}
    read = lambda: ids_of(engage(stock.tenant, page=1, session_id=first["session_id"]).json or {})  # noqa: E731
    assert in_threads([read] * 6) == [crowd[1000:]] * 6


def test_a_reader_who_stops_at_a_short_page_ends_without_an_error(stock: Stock) -> None:
    people = stock.people([f"p{n}" for n in range(1000)])
    stock.profiles([row.uid or 0 for row in people.values()])
    found, page, session = 0, 0, None
    while True:
        params = {"session_id": session} if session else {}
        answer = engage(stock.tenant, page=page, **params).json or {}
        found += len(answer["results"])
        if len(answer["results"]) < answer["page_size"]:
            break
        page, session = page + 1, answer["session_id"]
    assert (found, page) == (1000, 1)


def test_a_page_needs_a_live_session_of_the_same_query_and_project(stock: Stock) -> None:
    people = stock.people(["ann", "ben"])
    stock.profiles([row.uid or 0 for row in people.values()])
    session = (engage(stock.tenant, distinct_ids='["ann","ben"]').json or {})["session_id"]
    other = stock.tenant.home.tenant()

    def status(tenant: Tenant, page: int = 1, **params: Any) -> int:
        answer = engage(tenant, page=page, **params)
        if answer.status_code != 200:
            assert "request for page in uncached query for params" in (answer.json or {})["error"]
        return answer.status_code

    assert status(stock.tenant, session_id=session, distinct_ids='["ben","ann"]') == 200
    assert status(stock.tenant, 2, session_id=session, distinct_ids='["ben","ann"]') == 400
    assert status(stock.tenant, session_id=session) == 400
    assert status(stock.tenant, session_id=session, distinct_ids='["ann"]') == 400
    assert status(other, session_id=session, distinct_ids='["ann","ben"]') == 400
    assert status(stock.tenant) == 400
    assert status(stock.tenant, session_id="\0 naïve") == 400


def test_a_session_ends_after_an_hour_and_is_then_removed(stock: Stock) -> None:
    session = (engage(stock.tenant).json or {})["session_id"]
    mine = (query_session.c.project_id == stock.tenant.id,)
    clock = stock.tenant.home.clock
    clock.advance(minutes=59)
    assert engage(stock.tenant, page=0 + 1, session_id=session).status_code in (200, 400)
    clock.advance(minutes=1)
    assert engage(stock.tenant, page=1, session_id=session).status_code == 400
    assert count(stock.tenant.home, query_session, *mine) == 1
    engage(stock.tenant)
    assert count(stock.tenant.home, query_session, *mine) == 1


def test_hidden_people_are_not_found_by_id(stock: Stock) -> None:
    uid = stock.people(["ann"])["ann"].uid or 0
    stock.profiles([uid])
    stock.set_state([uid], SubjectState.ERASING)
    page = engage(stock.tenant, distinct_id="ann").json or {}
    assert (page["results"], page["total"]) == ([], 0)


def test_a_session_remembers_nobody(stock: Stock) -> None:
    uid = stock.people(["ann-secret"])["ann-secret"].uid or 0
    stock.profiles([uid])
    engage(stock.tenant, distinct_id="ann-secret")
    with stock.services.database.read() as tx:
        [row] = tx.execute(sa.select(query_session).where(query_session.c.project_id == stock.tenant.id)).all()
    assert "ann-secret" not in str(row)
    assert str(uid) not in str(row)


def test_every_page_that_is_read_stands_in_the_log(stock: Stock) -> None:
    people = stock.people(["ann", "ben"])
    stock.profiles([row.uid or 0 for row in people.values()])
    first = engage(stock.tenant).json or {}
    engage(stock.tenant, page=1, session_id=first["session_id"])
    engage(stock.tenant, distinct_id="ann")
    log = stock.log("profiles.read")
    assert [entry["n"] for entry in log] == [
        {"profiles": 2, "page": 0},
        {"profiles": 0, "page": 1},
        {"profiles": 1, "page": 0},
    ]
    assert [entry["facts"]["selected"] for entry in log] == ["all", "all", "by_id"]
    with stock.services.database.read() as tx:
        ref = register.audit_ref(tx, stock.tenant.id, people["ann"].uid or 0)
    assert [entry.get("ref") for entry in log] == [None, None, ref]


# --- the client that people use --------------------------------------------------------------------------------------


class _Quiet(WSGIRequestHandler):
    def log(self, *_args: Any) -> None:
        pass


@pytest.fixture
def utils(tenant: Tenant) -> Iterator[mixpanel_utils.MixpanelUtils]:
    """mixpanel-utils, pointed at this installation over a real socket."""
    server = make_server("127.0.0.1", 0, tenant.home.app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    username, secret = tenant.account
    found = mixpanel_utils.MixpanelUtils(secret, service_account_username=username, project_id=tenant.id, token=tenant.token)
    found.raw_api = found.formatted_api = f"http://127.0.0.1:{server.server_port}/api"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_mixpanel_utils_reads_every_page(utils: Any, crowd: list[str]) -> None:
    assert sorted(each["$distinct_id"] for each in utils.query_engage()) == crowd


def test_mixpanel_utils_exports_events(utils: Any, stock: Stock, tmp_path: Path) -> None:
    assert utils.query_export(dict(DAYS)) == []
    uid = stock.people(["ann"])["ann"].uid or 0
    stock.events([(NOON + n, uid, "E", {"n": n}) for n in range(1500)])
    found = utils.query_export({**DAYS, "event": ["E"]})
    assert [each["properties"]["n"] for each in found] == list(range(1500))
    utils.export_events(str(tmp_path / "events"), dict(DAYS), add_gzip_header=True, raw_stream=True)
    [kept] = tmp_path.iterdir()
    lines = gzip.decompress(kept.read_bytes()).splitlines()
    assert [json.loads(line)["properties"]["n"] for line in lines] == list(range(1500))


def test_a_query_string_of_a_real_client_is_read(tenant: Tenant) -> None:
    query = urlencode({**DAYS, "event": json.dumps(["A", "B"]), "project_id": tenant.id})
    username, secret = tenant.account
    answer = tenant.client.get(f"/api/2.0/export?{query}", auth=(username, secret))
    assert answer.status_code == 200
