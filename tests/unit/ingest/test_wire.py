"""Every sender's encoding decodes to the same records; every hostile body to a `WireError` or one bad record."""

from __future__ import annotations

import base64
import gzip
import json
import re
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from hypothesis import example, given, settings, strategies as st

from app.errors import InvalidInput
from app.ingest import wire
from app.ingest.limits import Limits
from app.ingest.wire import Controls, Fault, Malformed, WireRequest

LIMITS = Limits()
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
NDJSON = "application/x-ndjson"
BEACON = "text/plain;charset=UTF-8"

# The text makes base64 with `+` and `/` in it, which is where encodings differ.
EVENT = {"event": "Kauf ~~~>>>???", "properties": {"token": "T" * 32, "distinct_id": "ü-1", "q": "a+b&c=d%20 é€😀"}}
SECOND = {"event": "E", "properties": {"token": "T" * 32, "n": 2**63, "f": 1795450828.14, "z": None}}
BATCH = [EVENT, SECOND]


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def b64(value: Any) -> bytes:
    return base64.b64encode(json.dumps(value, ensure_ascii=False).encode())


def request(
    body: bytes = b"",
    content_type: str | None = None,
    *,
    query: bytes = b"",
    encoding: str | None = None,
    method: str = "POST",
    endpoint: wire.Endpoint = "track",
) -> WireRequest:
    return WireRequest(method, endpoint, wire.query_pairs(query, LIMITS), content_type, encoding, body)


def decode(*args: Any, limits: Limits = LIMITS, **options: Any) -> wire.Batch:
    return wire.decode(request(*args, **options), limits)


def test_the_sample_needs_the_alphabet_that_encodings_disagree_on() -> None:
    assert b"+" in b64(BATCH)
    assert b"/" in b64(BATCH)


# Each row: the request as that client makes it, the records, whether the body is bare JSON, and the controls.
SENDERS: dict[str, tuple[WireRequest, list[Any], bool, Controls]] = {
    "python Consumer": (
        request(b"data=" + quote_plus(compact(EVENT)).encode() + b"&verbose=1&ip=0", FORM),
        [EVENT], False, Controls(verbose=True, ip=False),
    ),
    "python BufferedConsumer with api_key": (
        request(b"data=" + quote_plus(compact(BATCH)).encode() + b"&verbose=1&ip=0&api_key=K", FORM, endpoint="import"),
        BATCH, False, Controls(verbose=True, ip=False),
    ),
    "python import with a service account": (
        request(b"data=" + quote_plus(compact(EVENT)).encode() + b"&verbose=1&ip=0", FORM,
        query=b"project_id=42", endpoint="import"),
        [EVENT], False, Controls(verbose=True, ip=False, project_id="42"),
    ),
    "mixpanel-utils people": (
        request(b"data=" + quote_plus(b64(BATCH)).encode() + b"&project_id=42", FORM, query=b"verbose=1", endpoint="engage"),
        BATCH, False, Controls(verbose=True, project_id="42"),
    ),
    "mixpanel-utils import_events": (
        request(json.dumps(BATCH).encode(), JSON, query=b"strict=1&project_id=42", endpoint="import"),
        BATCH, True, Controls(strict=True, project_id="42"),
    ),
    "node single call": (
        request(method="GET", query=b"ip=0&verbose=0&data=" + quote(b64(EVENT), safe="").encode()),
        [EVENT], False, Controls(ip=False),
    ),
    "node single call with geolocation and test": (
        request(method="GET", query=b"ip=1&verbose=1&test=1&data=" + quote(b64(EVENT), safe="").encode()),
        [EVENT], False, Controls(ip=True, verbose=True, test=True),
    ),
    "node batch, base64 not percent-encoded": (
        request(b"data=" + b64(BATCH), FORM, query=b"ip=0&verbose=0"),
        BATCH, False, Controls(ip=False),
    ),
    "browser batch": (
        request(b"data=" + quote(b64(BATCH), safe="").encode(), FORM, query=b"verbose=1&ip=1&_=1795451708837"),
        BATCH, False, Controls(verbose=True, ip=True),
    ),
    "browser, api_payload_format json": (
        request(b"data=" + quote(compact(EVENT), safe="").encode(), FORM, query=b"ip=1&_=1"),
        [EVENT], False, Controls(ip=True),
    ),
    "browser sendBeacon": (
        request(b"data=" + quote(b64(BATCH), safe="").encode(), BEACON, query=b"verbose=1&ip=1&_=1"),
        BATCH, False, Controls(verbose=True, ip=True),
    ),
    "browser without CORS": (
        request(method="GET", query=b"ip=1&callback=mp.cb1&data=" + quote(b64(EVENT), safe="").encode()),
        [EVENT], False, Controls(ip=True, callback="mp.cb1"),
    ),
    "pixel": (
        request(method="GET", query=b"img=1&data=" + b64(EVENT)),
        [EVENT], False, Controls(img=True),
    ),
    "go Track": (request(compact(BATCH), JSON, query=b"verbose=1"), BATCH, True, Controls(verbose=True)),
    "go People": (request(compact([EVENT]), JSON, endpoint="engage"), [EVENT], True, Controls()),
    "go Alias": (request(b"data=" + quote_plus(compact(EVENT)).encode(), FORM), [EVENT], False, Controls()),
    "go Import, gzip": (
        request(gzip.compress(compact(BATCH)), JSON, query=b"strict=1&verbose=1&project_id=7",
        encoding="gzip", endpoint="import"),
        BATCH, True, Controls(strict=True, verbose=True, project_id="7"),
    ),
    "mixpanel-import": (
        request(gzip.compress(compact(BATCH)), JSON, query=b"ip=0&verbose=1&strict=1", encoding="gzip", endpoint="import"),
        BATCH, True, Controls(ip=False, strict=True, verbose=True),
    ),
    "ndjson": (
        request(compact(EVENT) + b"\r\n\n" + compact(SECOND) + b"\n", NDJSON, endpoint="import"),
        BATCH, True, Controls(),
    ),
    "ndjson that says it is JSON": (request(compact(EVENT) + b"\n" + compact(SECOND), JSON), BATCH, True, Controls()),
    "array that says it is ndjson": (request(compact(BATCH), NDJSON), BATCH, True, Controls()),
    "curl -d": (request(compact(BATCH), FORM), BATCH, True, Controls()),
    "URL-safe base64 without padding": (
        request(b"data=" + b64(BATCH).translate(bytes.maketrans(b"+/", b"-_")).rstrip(b"="), FORM),
        BATCH, False, Controls(),
    ),
    "base64 in lines": (
        request(b"data=" + quote(base64.encodebytes(compact(BATCH)), safe="").encode(), FORM),
        BATCH, False, Controls(),
    ),
    "byte order mark": (request(b"\xef\xbb\xbf" + compact(BATCH), JSON), BATCH, True, Controls()),
    "pretty-printed object": (request(json.dumps(EVENT, indent=2).encode(), JSON), [EVENT], True, Controls()),
    "data after other fields": (
        request(b"verbose=1&data=" + quote_plus(compact(EVENT)).encode(), FORM),
        [EVENT], False, Controls(verbose=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("sender", SENDERS)
def test_every_known_sender(sender: str) -> None:
    sent, records, bare, controls = SENDERS[sender]
    batch = wire.decode(sent, LIMITS)
    assert list(batch.records) == records
    assert (batch.bare, batch.controls) == (bare, controls)
    assert len(batch.sizes) == len(records)


def test_query_wins_over_form_and_the_first_of_a_name_counts() -> None:
    batch = decode(b"data=%5B1%5D&verbose=1&project_id=form", FORM, query=b"data=%5B2%5D&verbose=0&project_id=a&project_id=b")
    assert list(batch.records) == [2]
    assert batch.controls == Controls(project_id="a")


def test_an_empty_field_gives_way_to_the_next_place() -> None:
    assert list(decode(b"data=%5B1%5D", FORM, query=b"data=").records) == [1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("2", True), ("true", True), ("0", False), ("", False), ("false", False), ("False", False), (" 0 ", False)],
)
def test_verbose_is_read_as_clients_mean_it(value: str, expected: bool) -> None:
    assert decode(b"[]", query=b"verbose=" + quote(value).encode()).controls.verbose is expected


@pytest.mark.parametrize(("query", "expected"), [(b"", None), (b"ip=1", True), (b"ip=0", False), (b"ip=203.0.113.9", False)])
def test_only_an_explicit_yes_looks_at_the_address(query: bytes, expected: bool | None) -> None:
    assert decode(b"[]", query=query).controls.ip is expected


def test_a_project_id_that_no_database_would_take_is_no_project_id() -> None:
    assert decode(b"[]", query=b"project_id=4%002").controls.project_id is None


def test_sizes_are_those_of_the_json_text() -> None:
    assert decode(b' [ {"a": 1} , 23 ]').sizes == (8, 2)


def test_records_are_a_sequence() -> None:
    records = decode(b"[1,2,3]").records
    assert (len(records), records[0], records[-1], records[1:], 3 in records) == (3, 1, 3, [2, 3], True)


# --- what is wrong with a request

gz = gzip.compress(b"[1]")


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (request(gz[:-4], encoding="gzip"), wire.BadGzip),
        (request(gz[:5], encoding="gzip"), wire.BadGzip),
        (request(b"", encoding="gzip"), wire.BadGzip),
        (request(b"[1]", encoding="gzip"), wire.BadGzip),
        (request(gz + b"[2]", encoding="gzip"), wire.BadGzip),
        (request(gz + gz, encoding="gzip"), wire.BadGzip),
        (request(gz[:-8] + b"\0" * 8, encoding="gzip"), wire.BadGzip),
        (request(zlib.compress(b"[1]"), encoding="gzip"), wire.BadGzip),
        (request(gzip.compress(gz), encoding="gzip"), wire.BadGzip),
        (request(gzip.compress(gz), encoding="gzip, gzip"), wire.UnsupportedEncoding),
        (request(b"[1]", encoding="br"), wire.UnsupportedEncoding),
        (request(b"[1]", encoding="deflate"), wire.UnsupportedEncoding),
        (request(gz), wire.BadJson),
        (request(), wire.MissingData),
        (request(method="GET"), wire.MissingData),
        (request(b" \r\n\t"), wire.MissingData),
        (request(b"data=", FORM), wire.MissingData),
        (request(b"data=%20", FORM), wire.MissingData),
        (request(b"\xef\xbb\xbf"), wire.MissingData),
        (request(b"data=*****", FORM), wire.BadBase64),
        (request(b"data=abcde", FORM), wire.BadBase64),
        (request(b"data=ab=cd", FORM), wire.BadBase64),
        (request(b"data=%ff%fe", FORM), wire.BadBase64),
        (request(b"data=" + base64.b64encode(b"hello"), FORM), wire.BadJson),
        (request(b"data=%5B1", FORM), wire.BadJson),
        (request(b"a=1&" * 64 + b"data=%5B%5D", FORM), wire.BadForm),
        (request(b"data=%5B%5D&callback=%ff", FORM), wire.BadForm),
        (request(b"[" + b"1," * 2000 + b"1]"), wire.TooManyRecords),
        (request(b"1\n" * 2001, NDJSON), wire.TooManyRecords),
        (request(b"[NaN" + b",1" * 2000 + b"]"), wire.TooManyRecords),
        (request(b"[" + b"0," * 5_000_000 + b"0]"), wire.TooManyRecords),
    ]
    + [(request(body), wire.BadJson) for body in (
        b"null", b"1", b'"x"', b"nope", b"[", b"[1", b"[1,2", b"{", b'{"a":1', b"[1]]", b"[1] x", b"[1]\0",
        b"[1}x", b'["a', b'["a\\',
        b"[tru]", b"[,]", b'{"a":1}}', b'{"a":\n{}', b"\xff\xfe[\x001\x00]\x00", b"<html></html>", b"--boundary", b"[" * 100_000,
        b"]" * 1000, b'["' * 50_000,
    )],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_refused_as_a_whole(sent: WireRequest, error: type[wire.WireError]) -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.decode(sent, LIMITS)
    assert type(caught.value) is error


def test_a_gzip_bomb_is_given_up_at_the_limit() -> None:
    bomb = gzip.compress(b"[" + b" " * 40_000_000 + b"]", 9)
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(wire.InflatedTooLarge):
            decode(bomb, encoding="gzip")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000, "it was inflated beyond the limit before it was refused"


def test_limits_on_bytes_are_inclusive() -> None:
    small = Limits(body_bytes=30, inflated_bytes=30, record_bytes=30)
    body = b"[" + b" " * 28 + b"]"
    assert list(decode(body, limits=small).records) == []
    with pytest.raises(wire.PayloadTooLarge):
        decode(body + b" ", limits=small)
    wide = Limits(body_bytes=1000, inflated_bytes=30)
    assert list(decode(gzip.compress(body), encoding="gzip", limits=wide).records) == []
    with pytest.raises(wire.InflatedTooLarge):
        decode(gzip.compress(body + b" "), encoding="gzip", limits=wide)


def test_the_limit_on_records_is_inclusive() -> None:
    assert len(decode(b"[" + b"1," * 1999 + b"1]").records) == 2000


def every_error() -> list[type[wire.WireError]]:
    found, queue = [], [wire.WireError]
    while queue:
        found.append(queue.pop())
        queue.extend(found[-1].__subclasses__())
    return found


def test_the_error_tree_is_drawn_as_it_is() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)\s+(\d{3})", wire.WireError.__doc__ or ""))
    assert drawn == {error.__name__: str(error.status) for error in every_error() if error is not wire.WireError}
    assert len({error.code for error in every_error()}) == len(every_error())
    assert issubclass(wire.WireError, InvalidInput)


def test_errors_and_reprs_hold_nothing_that_was_sent() -> None:
    secret = b"jane.doe@example.org"
    for body, kind in ((b"[" + secret, JSON), (b"data=" + secret, FORM), (b'{"a":"' + secret, JSON)):
        with pytest.raises(wire.WireError) as caught:
            decode(body, kind)
        assert secret.decode() not in f"{caught.value!r} {caught.value} {caught.value.remedy} {caught.value.field}"
        assert caught.value.__cause__ is None
    sent = request(b'[{"a":"' + secret + b'"}]', query=b"callback=" + secret)
    assert secret.decode() not in repr(sent) + repr(wire.decode(sent, LIMITS))


# --- what is wrong with one record

GOOD = {"event": "E"}
NOT_JSON, TOO_DEEP, TOO_LARGE = Malformed(Fault.NOT_JSON), Malformed(Fault.TOO_DEEP), Malformed(Fault.TOO_LARGE)
INF = float("inf")

BAD_RECORDS: list[tuple[bytes, Any]] = [
    (b'{"a":"\\ud800"}', {"a": "\ud800"}),
    (b'{"a":"\\ude00\\ud83d"}', {"a": "\ude00\ud83d"}),
    (b'{"a":"\\ud83dx"}', {"a": "\ud83dx"}),
    (b'{"a":"\xff"}', {"a": "\udcff"}),
    (b'{"a":"\xc0\xaf"}', {"a": "\udcc0\udcaf"}),
    (b'{"a":"\xed\xa0\x80"}', {"a": "\udced\udca0\udc80"}),
    (b'{"a":1e999}', {"a": INF}),
    (b'{"a":-1e999}', {"a": -INF}),
    (b'{"a":Infinity}', {"a": INF}),
    (b'{"a":' + b"9" * 4301 + b"}", {"a": INF}),
    (b'{"a":-' + b"9" * 4301 + b"}", {"a": INF}),
    (b"[" * 5000 + b"]" * 5000, TOO_DEEP),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, TOO_DEEP),
    (b'{"a":"' + b"x" * 1_048_576 + b'"}', TOO_LARGE),
    (b'{"a":"\x01"}', NOT_JSON),
    (b'{"a":"\x00"}', NOT_JSON),
    (b'{"a" 1}', NOT_JSON),
    (b'{"a":01}', NOT_JSON),
    (b'{"a":tru}', NOT_JSON),
    (b"{'a':1}", NOT_JSON),
    (b'{"a":"\\x"}', NOT_JSON),
    (b'{"a":"}],[{","b":\\u00}', NOT_JSON),
    (b"{a:[1,{}]}", NOT_JSON),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD_RECORDS, ids=range(len(BAD_RECORDS)))
def test_one_bad_record_leaves_its_neighbours_alone(text: bytes, expected: Any) -> None:
    good = compact(GOOD)
    bodies = {JSON: b"[" + good + b", " + text + b" ," + good + b"]", NDJSON: good + b"\n" + text + b"\n" + good}
    for content_type, body in bodies.items():
        assert list(decode(body, content_type).records) == [GOOD, expected, GOOD]
    as_form = b"data=" + quote(bodies[JSON], safe="").encode()
    assert list(decode(as_form, FORM).records) == [GOOD, expected, GOOD]
    as_base64 = b"data=" + base64.b64encode(bodies[JSON])
    assert list(decode(as_base64, FORM).records) == [GOOD, expected, GOOD]


def test_nan_is_one_bad_record() -> None:
    first, second = decode(b'[{"a":NaN},{"b":1}]').records
    assert first["a"] != first["a"]
    assert second == {"b": 1}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'[{"a":1,"a":2}]', [{"a": 2}]),
        (b"[-0]", [0]),
        (b"[18446744073709551616]", [18446744073709551616]),
        (b'["\\u0000"]', ["\0"]),
        (b'["\xe2\x80\xae"]', ["\u202e"]),
        (b"[]", []),
        (b"[ ]", []),
        (b"{}", [{}]),
        (b"[1,]", [1, NOT_JSON]),
        (b'{"a":' * 100_000, [TOO_DEEP]),
        (b"[" + b"[" * 500 + b"]" * 500 + b"]", None),
    ],
)
def test_odd_but_readable(body: bytes, expected: list[Any] | None) -> None:
    records = list(decode(body).records)
    assert records == (json.loads(body) if expected is None else expected)


def test_a_megabyte_of_key_and_ten_thousand_keys_decode() -> None:
    wide = {f"k{i}": i for i in range(10_000)}
    long = {"k" * 1_000_000: 1}
    assert list(decode(compact([wide, long])).records) == [wide, long]


# --- tokens


@pytest.mark.parametrize(
    ("record", "endpoint", "token"),
    [
        ({"properties": {"token": "abc"}}, "track", "abc"),
        ({"properties": {"token": "abc"}}, "import", "abc"),
        ({"$token": "abc"}, "engage", "abc"),
        ({"$token": "abc"}, "groups", "abc"),
        ({"$token": "abc"}, "track", None),
        ({"properties": {"token": "abc"}}, "engage", None),
        ({"properties": {"token": 5}}, "track", None),
        ({"properties": {"token": ""}}, "track", None),
        ({"properties": {"token": "a\0b"}}, "track", None),
        ({"properties": {"token": "\ud800"}}, "track", None),
        ({"properties": {"token": "x" * 129}}, "track", None),
        ({"properties": []}, "track", None),
        ([], "track", None),
        (NOT_JSON, "engage", None),
    ],
)
def test_token_of_a_record(record: Any, endpoint: wire.Endpoint, token: str | None) -> None:
    assert wire.record_token(record, endpoint) == token


# --- properties that hold for every body

whole = st.integers(-(2**64), 2**64)
text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
batches = st.lists(st.dictionaries(text, values, max_size=5), min_size=1, max_size=5)
quick = settings(database=None, deadline=None, max_examples=200)


def encodings(batch: list[Any], escaped: bool) -> dict[str, WireRequest]:
    dumped = json.dumps(batch, ensure_ascii=escaped).encode()
    lines = b"\n".join(json.dumps(record, ensure_ascii=escaped).encode() for record in batch)
    coded = base64.b64encode(dumped)
    urlsafe = base64.urlsafe_b64encode(dumped).rstrip(b"=")
    return {
        "bare": request(dumped, JSON),
        "gzip": request(gzip.compress(dumped), JSON, encoding="gzip"),
        "ndjson": request(lines, NDJSON),
        "ndjson gzip": request(gzip.compress(lines), NDJSON, encoding="gzip"),
        "form json": request(b"data=" + quote_plus(dumped).encode(), FORM),
        "form base64": request(b"data=" + quote_plus(coded).encode(), FORM),
        "form raw base64": request(b"data=" + coded, FORM),
        "form urlsafe": request(b"data=" + urlsafe, FORM),
        "beacon": request(b"data=" + quote(coded, safe="").encode(), BEACON),
        "form gzip": request(gzip.compress(b"data=" + quote_plus(coded).encode()), FORM, encoding="gzip"),
        "query": request(method="GET", query=b"verbose=1&data=" + quote(coded, safe="").encode()),
        "query json": request(method="GET", query=b"data=" + quote_plus(dumped).encode()),
    }


@quick
@given(batches, st.booleans())
def test_any_batch_encoded_any_way_decodes_to_the_same_records(batch: list[Any], escaped: bool) -> None:
    for way, sent in encodings(batch, escaped).items():
        assert list(wire.decode(sent, LIMITS).records) == batch, way


@quick
@given(batches, st.data())
def test_the_neighbours_of_broken_bytes_survive(batch: list[Any], data: st.DataObject) -> None:
    bad, _ = data.draw(st.sampled_from(BAD_RECORDS))
    at = data.draw(st.integers(0, len(batch)))
    texts = [json.dumps(record).encode() for record in batch]
    texts.insert(at, bad)
    records = list(decode(b"[" + b",".join(texts) + b"]").records)
    assert records[:at] + records[at + 1 :] == batch


fragments = st.sampled_from(
    [b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u", b"d800", b"NaN", b"1e999", b"data=", b"&", b"%", b"%7B", b"=",
    b"+", b"\n", b" ", b"\0", b"\xff", b"\xef\xbb\xbf", b"\x1f\x8b", b'"a":1', b'{"a":1}', b"truefalse"]
)  # fmt: skip
bodies = st.binary(max_size=300) | st.lists(fragments, max_size=30).map(b"".join)
kinds = st.sampled_from([None, JSON, FORM, NDJSON, BEACON, "multipart/form-data; boundary=x", "x" * 50])


@settings(database=None, deadline=None, max_examples=1500)
@given(bodies, kinds, st.sampled_from([None, "", "identity", "gzip", "br", "gzip,gzip"]), bodies, st.booleans())
@example(b'{"a"}\n{\xff}', NDJSON, None, b"", False)
def test_nothing_but_a_wire_error_ever_leaves(
    body: bytes, kind: str | None, encoding: str | None, query: bytes, compressed: bool
) -> None:
    with suppress(wire.WireError):
        sent = request(gzip.compress(body) if compressed else body, kind, encoding=encoding, query=query)
        batch = wire.decode(sent, LIMITS)
        assert len(list(batch.records)) == len(batch.sizes) <= LIMITS.records


@settings(database=None, deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.text(), st.text())))
def test_no_decoded_query_can_do_so_either(query: list[tuple[str, str]]) -> None:
    sent = WireRequest("GET", "track", [*query, ("data", "[1]")], None, None, b"")
    with suppress(wire.WireError):
        assert len(list(wire.decode(sent, LIMITS).records)) >= 1


@quick
@given(
    st.binary(max_size=200) | st.lists(fragments | st.sampled_from([b"%41", b"%c3%A9", b"%zz", b"%%", b"=\r\n"])).map(b"".join)
)
def test_percent_decoding_agrees_with_the_standard_library(raw: bytes) -> None:
    value = raw.replace(b"&", b"")
    ((_, decoded),) = wire.query_pairs(b"k=" + value, LIMITS)
    expected = unquote_plus(value.decode("latin-1"), encoding="latin-1").encode("latin-1")
    assert decoded.encode("utf-8", "surrogateescape") == expected


@quick
@given(st.lists(values, min_size=1, max_size=6))
def test_the_boundary_scanner_agrees_with_the_parser(batch: list[Any]) -> None:
    """A batch with one NaN goes through the scanner; without it, through the parser."""
    dumped = json.dumps(batch).encode()
    scanned = list(decode(dumped[:-1] + b",NaN]").records)
    assert scanned[:-1] == list(decode(dumped).records) == batch


@pytest.mark.parametrize("sender", SENDERS)
def test_the_dialect_is_the_same_without_decoding(sender: str) -> None:
    sent, _, bare, controls = SENDERS[sender]
    assert wire.dialect(sent, LIMITS) == (controls, bare)


def test_the_dialect_of_what_cannot_be_decoded() -> None:
    assert wire.dialect(request(b"data=%5B&verbose=1", FORM), LIMITS) == (Controls(verbose=True), False)
    assert wire.dialect(request(b"oops", JSON, query=b"strict=1", encoding="gzip"), LIMITS) == (Controls(strict=True), True)
    assert wire.dialect(request(b"data=1&callback=%ff", FORM, query=b"verbose=1"), LIMITS) == (Controls(verbose=True), False)
    assert wire.dialect(request(b"[", query=b"callback=%ff"), LIMITS) == (Controls(), True)
