"""The bytes of every answer, and what each client makes of them (read from its source or recorded)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from app.ingest.answers import Answer, FailedRecord, ingest_answer, ingest_error
from app.ingest.wire import Controls, Endpoint

BAD = FailedRecord(1, "abc-1", "properties.time", "'properties.time' is invalid: must be specified as seconds since epoch")
NAMELESS = FailedRecord(4, "", "", "record is invalid: must be a JSON object")
QUIET, VERBOSE, STRICT = Controls(), Controls(verbose=True), Controls(strict=True)
BOTH = Controls(verbose=True, strict=True)
PIXEL = Controls(img=True, callback="f", verbose=True)
CALLED, CALLED_VERBOSE = Controls(callback="a.b$1"), Controls(callback="f", verbose=True)

TEXT, OBJECT, SCRIPT = "text/plain; charset=utf-8", "application/json", "text/javascript; charset=utf-8"
TIME = BAD.message
FAILED = (
    b'{"code":400,"error":"some data points in the request failed validation","failed_records":[{"field":"properties.time",'
    b'"index":1,"insert_id":"abc-1","message":"\'properties.time\' is invalid: must be specified as seconds since epoch"}],'
    b'"num_records_imported":%d,"status":"Bad Request"}'
)

ANSWERS: list[tuple[Controls, Endpoint, bool, int, list[FailedRecord], int, bytes, str]] = [
    (QUIET, "track", False, 1, [], 200, b"1", TEXT),
    (QUIET, "track", True, 2, [BAD], 200, b"1", TEXT),
    (QUIET, "track", False, 0, [BAD], 200, b"0", TEXT),
    (QUIET, "track", False, 0, [], 200, b"0", TEXT),
    (QUIET, "engage", True, 1, [], 200, b"1", TEXT),
    (QUIET, "groups", True, 1, [], 200, b"1", TEXT),
    (VERBOSE, "track", False, 1, [], 200, b'{"error":null,"status":1}', OBJECT),
    (VERBOSE, "track", True, 1, [BAD], 200, b'{"error":null,"status":1}', OBJECT),
    (VERBOSE, "engage", False, 0, [BAD], 200, b'{"error":"%s","status":0}' % TIME.encode(), OBJECT),
    (VERBOSE, "track", False, 0, [], 200, b'{"error":"data, missing or empty","status":0}', OBJECT),
    (STRICT, "track", True, 1, [BAD], 200, b"1", TEXT),
    (PIXEL, "track", False, 1, [], 200, b"GIF89a", "image/gif"),
    (PIXEL, "track", False, 0, [BAD], 200, b"GIF89a", "image/gif"),
    (CALLED, "track", False, 1, [], 200, b"a.b$1(1);", SCRIPT),
    (CALLED, "track", False, 0, [BAD], 200, b"a.b$1(0);", SCRIPT),
    (CALLED_VERBOSE, "track", False, 1, [], 200, b'f({"error":null,"status":1});', SCRIPT),
    (QUIET, "import", True, 3, [], 200, b'{"code":200,"num_records_imported":3,"status":"OK"}', OBJECT),
    (QUIET, "import", True, 3, [BAD], 200, b'{"code":200,"num_records_imported":3,"status":"OK"}', OBJECT),
    (VERBOSE, "import", True, 3, [], 200, b'{"code":200,"num_records_imported":3,"status":"OK"}', OBJECT),
    (BOTH, "import", True, 3, [], 200, b'{"code":200,"num_records_imported":3,"status":"OK"}', OBJECT),
    (BOTH, "import", True, 2, [BAD], 400, FAILED % 2, OBJECT),
    (STRICT, "import", False, 0, [BAD], 400, FAILED % 0, OBJECT),
    (Controls(strict=True, img=True), "import", True, 1, [], 200, b'{"code":200,"num_records_imported":1,"status":"OK"}', OBJECT),
    (QUIET, "import", False, 1, [], 200, b"1", TEXT),
    (QUIET, "import", False, 0, [BAD], 200, b"0", TEXT),
    (VERBOSE, "import", False, 1, [], 200, b'{"error":null,"status":1}', OBJECT),
    (STRICT, "engage", False, 2, [], 200, b'{"code":200,"error":null,"num_good_events":2,"status":1}', OBJECT),
    (BOTH, "groups", True, 0, [], 200, b'{"code":200,"error":"data, missing or empty","num_good_events":0,"status":0}', OBJECT),
    (STRICT, "engage", True, 1, [NAMELESS], 200,
        b'{"code":200,"error":"some data points in the request failed validation","failed_records":[{"field":"","index":4,'
        b'"insert_id":"","message":"record is invalid: must be a JSON object"}],"num_good_events":1,"status":1}', OBJECT),
    (Controls(strict=True, callback="f"), "engage", False, 1, [], 200, b"f(1);", SCRIPT),
]  # fmt: skip


@pytest.mark.parametrize("row", ANSWERS)
def test_answers_byte_for_byte(row: tuple[Controls, Endpoint, bool, int, list[FailedRecord], int, bytes, str]) -> None:
    controls, endpoint, bare, accepted, failures, status, body, content_type = row
    answer = ingest_answer(controls, endpoint, bare, accepted, failures)
    shown = answer.body[:6] if content_type == "image/gif" else answer.body
    assert (answer.status, shown, answer.content_type) == (status, body, content_type)
    assert dict(answer.headers) == {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def test_the_pixel_is_one_transparent_pixel() -> None:
    body = ingest_answer(PIXEL, "track", False, 1).body
    assert struct.unpack("<HH", body[6:10]) == (1, 1)
    control = body.index(b"\x21\xf9\x04")
    assert body[control + 3] & 1, "the transparency flag is set"
    assert body.endswith(b";")


ERRORS: list[tuple[Controls, Endpoint, bool, int, bytes]] = [
    (VERBOSE, "track", False, 400, b'{"error":"why","status":0}'),
    (VERBOSE, "engage", False, 503, b'{"error":"why","status":0}'),
    (QUIET, "track", False, 401, b'{"error":"why","status":"error"}'),
    (QUIET, "groups", True, 413, b'{"error":"why","status":"error"}'),
    (STRICT, "engage", True, 400, b'{"error":"why","status":"error"}'),
    (QUIET, "import", True, 401, b'{"code":401,"error":"why","status":"Unauthorized"}'),
    (BOTH, "import", True, 413, b'{"code":413,"error":"why","status":"Request Entity Too Large"}'),
    (STRICT, "import", False, 429, b'{"code":429,"error":"why","status":"Too Many Requests"}'),
    (QUIET, "import", False, 400, b'{"code":400,"error":"why","status":"Bad Request"}'),
    (VERBOSE, "import", True, 503, b'{"code":503,"error":"why","status":"Service Unavailable"}'),
    (VERBOSE, "import", False, 401, b'{"error":"why","status":0}'),
    (Controls(img=True), "track", False, 400, b'{"error":"why","status":"error"}'),
    (CALLED, "track", False, 400, b'a.b$1({"error":"why","status":0});'),
    (QUIET, "import", True, 599, b'{"code":599,"error":"why","status":"Error"}'),
]


@pytest.mark.parametrize(("controls", "endpoint", "bare", "status", "body"), ERRORS)
def test_errors_byte_for_byte(controls: Controls, endpoint: Endpoint, bare: bool, status: int, body: bytes) -> None:
    answer = ingest_error(controls, endpoint, bare, status, "some_code", "why")
    assert (answer.status, answer.body) == (status, body)
    assert dict(answer.headers)["Portcullis-Error"] == "some_code"
    assert "Retry-After" not in dict(answer.headers)


def test_errors_say_when_to_come_back_and_what_they_understand() -> None:
    assert dict(ingest_error(QUIET, "track", False, 503, "c", "m", 7).headers)["Retry-After"] == "7"
    assert dict(ingest_error(QUIET, "track", False, 415, "c", "m").headers)["Accept-Encoding"] == "gzip"


# --- what clients make of it. Each function is the client's own test for success, from its source.


def python_client(answer: Answer) -> bool:
    response = json.loads(answer.body)
    if response["status"] == 1:
        return True
    assert response["error"], "a missing key is a KeyError there, which callers do not catch"
    return False


def node_client(answer: Answer) -> bool:
    return answer.body == b"1"


def go_number(answer: Answer) -> bool:
    value = json.loads(answer.body)
    return answer.status == 200 and type(value) is int and value != 0


def go_track(answer: Answer) -> bool:
    value = json.loads(answer.body)
    assert type(value["status"]) is int
    return bool(value["status"] != 0)


def go_import(answer: Answer) -> bool:
    value = json.loads(answer.body)
    return answer.status == 200 == value["code"] and type(value["num_records_imported"]) is int


def utils_client(answer: Answer) -> bool:
    value = json.loads(answer.body)
    return answer.status < 400 and (value == 1 or (isinstance(value, dict) and value["status"] in (1, "OK")))


CLIENTS: list[tuple[str, Callable[[Answer], bool], Controls, Endpoint, bool]] = [
    ("python", python_client, VERBOSE, "track", False),
    ("python", python_client, VERBOSE, "engage", False),
    ("python import", python_client, VERBOSE, "import", False),
    ("node", node_client, QUIET, "track", False),
    ("node import", node_client, QUIET, "import", False),
    ("node verbose", lambda a: json.loads(a.body)["status"] == 1, VERBOSE, "track", False),
    ("go people", go_number, QUIET, "engage", True),
    ("go alias", go_number, QUIET, "track", False),
    ("go merge", go_number, QUIET, "import", False),
    ("go track", go_track, VERBOSE, "track", True),
    ("go import", go_import, BOTH, "import", True),
    ("mixpanel-import", go_import, BOTH, "import", True),
    ("mixpanel-utils import", utils_client, STRICT, "import", True),
    ("mixpanel-utils people", utils_client, VERBOSE, "engage", False),
    ("mixpanel-utils groups", utils_client, QUIET, "groups", False),
]


@pytest.mark.parametrize(("name", "succeeded", "controls", "endpoint", "bare"), CLIENTS)
def test_every_client_knows_success_from_failure(
    name: str, succeeded: Callable[[Answer], bool], controls: Controls, endpoint: Endpoint, bare: bool
) -> None:
    assert succeeded(ingest_answer(controls, endpoint, bare, 1)), name
    assert not succeeded(ingest_answer(controls, endpoint, bare, 0, [BAD])), name
    assert not succeeded(ingest_error(controls, endpoint, bare, 503, "c", "m")), name


# --- properties that hold for every combination

controls_of_any_kind = st.builds(
    Controls,
    verbose=st.booleans(),
    img=st.booleans(),
    callback=st.none() | st.text() | st.sampled_from(["f", "a.b", "f(", "f\n", "1f", "é", "f" * 129, "</script>", "f\u2028"]),
    strict=st.booleans(),
)
endpoints: st.SearchStrategy[Any] = st.sampled_from(["track", "import", "engage", "groups"])
every = settings(database=None, deadline=None, max_examples=300)


@every
@given(controls_of_any_kind, endpoints, st.booleans(), st.sampled_from([400, 401, 413, 415, 429, 503]), st.text())
def test_every_error_body_carries_error_and_status(
    controls: Controls, endpoint: Endpoint, bare: bool, status: int, message: str
) -> None:
    answer = ingest_error(controls, endpoint, bare, status, "c", message)
    text = answer.body.decode()
    if answer.content_type == SCRIPT:
        assert controls.callback is not None
        text = text.removeprefix(controls.callback + "(").removesuffix(");")
    told = json.loads(text)
    assert told["error"] == message
    assert "status" in told


@every
@given(controls_of_any_kind, endpoints, st.booleans(), st.integers(0, 9), st.text())
def test_no_callback_can_write_the_script(
    controls: Controls, endpoint: Endpoint, bare: bool, accepted: int, message: str
) -> None:
    answer = ingest_answer(controls, endpoint, bare, accepted, [FailedRecord(0, "", "f", message)])
    if answer.content_type != SCRIPT:
        return
    name, _, rest = answer.body.decode().partition("(")
    assert name.isascii()
    assert name.replace(".", "").replace("$", "").isidentifier() or set(name) <= set("$._0123456789")
    assert not set(rest) & set("<>\u2028\u2029\n\r")
    assert rest.endswith(");")


@pytest.mark.parametrize("name", ["", "f(", "f;g", "1f", "f\n", "alert`1`", "f" * 129, "é", "a b", "<b>"])
def test_a_callback_that_is_no_name_is_not_called(name: str) -> None:
    assert ingest_answer(Controls(callback=name), "track", False, 1).body == b"1"


def test_a_message_cannot_end_the_script_it_stands_in() -> None:
    refused = FailedRecord(0, "", "", "</script>\u2028\u2029&")
    body = ingest_answer(CALLED_VERBOSE, "track", False, 0, [refused]).body
    assert body == rb'f({"error":"\u003c/script\u003e\u2028\u2029\u0026","status":0});'
