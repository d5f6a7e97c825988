"""One record at a time: what is kept, what is refused and with which words, what is passed over."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from app.ingest.limits import Limits
from app.ingest.outcome import safe_name
from app.ingest.validate import (
    DISALLOWED_IDS,
    TOKEN_MISSING,
    VERBS,
    Event,
    Ignored,
    Rejected,
    Update,
    validate_event,
    validate_update,
)
from app.ingest.values import epoch_ms
from app.ingest.wire import Fault, Malformed

NOW = 1_795_450_829_000
LIMITS = Limits()
DAY = 86_400_000
EPOCH = "'properties.time' is invalid: must be specified as seconds since epoch"


def event(name: Any = "E", **properties: Any) -> dict[str, Any]:
    return {"event": name, "properties": {"token": "T", "time": NOW, "distinct_id": "u1", "$insert_id": "i-1"} | properties}


def check(raw: Any, endpoint: Literal["track", "import"] = "import", strict: bool = True, **more: Any) -> Any:
    return validate_event(raw, endpoint=endpoint, now_ms=NOW, limits=more.pop("limits", LIMITS), strict=strict, **more)


def kept(raw: Any, endpoint: Literal["track", "import"] = "import", strict: bool = True, **more: Any) -> Event:
    result = check(raw, endpoint, strict, **more)
    assert isinstance(result, Event), result
    return result


def refused(raw: Any, endpoint: Literal["track", "import"] = "import", strict: bool = True, **more: Any) -> tuple[str, str]:
    result = check(raw, endpoint, strict, **more)
    assert isinstance(result, Rejected), result
    return result.field, result.message


def without(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return raw | {"properties": {key: value for key, value in raw["properties"].items() if key not in names}}


# --- shape, name, token


def test_an_event_as_it_is_kept() -> None:
    result = kept(event(plan="pro", n=1, f=-0.5, ok=True, none=None, items=[{"a": [1]}]))
    assert result == Event(
        "E",
        {
            "distinct_id": "u1",
            "$insert_id": "i-1",
            "plan": "pro",
            "n": 1,
            "f": -0.5,
            "ok": True,
            "none": None,
            "items": [{"a": [1]}],
        },
        NOW,
        "i-1",
        "T",
    )


def test_the_input_is_not_changed_and_bookkeeping_is_taken_away() -> None:
    raw = event(**{"$ignore": False, "bucket": "x", "$bucket": "y", "$time": 5, "n": [{"a": "\0"}]})
    copy = msgspec.json.decode(msgspec.json.encode(raw))
    assert set(kept(raw, "track").properties) == {"distinct_id", "$insert_id", "n"}
    assert raw == copy


@pytest.mark.parametrize(
    ("raw", "field", "message"),
    [
        (None, "", "record is invalid: must be a JSON object"),
        ([], "", "record is invalid: must be a JSON object"),
        (Malformed(Fault.NOT_JSON), "", "record is invalid: must be valid JSON"),
        (Malformed(Fault.TOO_DEEP), "", "record is invalid: must not be nested so deeply"),
        (Malformed(Fault.TOO_LARGE), "", "record is invalid: must be at most 1048576 bytes as JSON"),
        ({"event": "E"}, "properties", "'properties' is invalid: must be an object"),
        ({"event": "E", "properties": []}, "properties", "'properties' is invalid: must be an object"),
        (event(None), "event", "'event' must not be missing or blank"),
        (event(""), "event", "'event' must not be missing or blank"),
        (event(" \t"), "event", "'event' must not be missing or blank"),
        (event(5), "event", "'event' is invalid: must be a string"),
        (event("a\ud800"), "event", "'event' is invalid: string should be valid utf8"),
    ],
)
def test_shape(raw: Any, field: str, message: str) -> None:
    assert refused(raw, "import") == refused(raw, "track", strict=False) == (field, message)


@pytest.mark.parametrize("token", [None, "", 5, "a\0", "\ud800", "x" * 129, ["T"]])
def test_track_needs_a_token_and_import_does_not(token: Any) -> None:
    assert refused(event(token=token), "track") == ("properties.token", TOKEN_MISSING)
    assert kept(event(token=token), "import").token is None


# --- time


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (1795450828, 1_795_450_828_000),
        (1795450828.14, 1_795_450_828_140),
        (1795450828140, 1_795_450_828_140),
        (1795450828140.0, 1_795_450_828_140),
        ("1795450828", 1_795_450_828_000),
        ("1795450828.14", 1_795_450_828_140),
        (" 1795450828140 ", 1_795_450_828_140),
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        (0, 0),
        (-5, -5000),
    ],
)
def test_seconds_and_milliseconds(sent: Any, expected: int) -> None:
    assert epoch_ms(sent) == expected


@pytest.mark.parametrize(
    "sent", [True, False, float("nan"), float("inf"), "", "now", "2026-11-23T00:00:00", "nan", "1e9", "1_000", "٣",
    "9" * 400, [], {}, "1.2.3", "0x10"]
)  # fmt: skip
def test_what_is_no_time(sent: Any) -> None:
    assert epoch_ms(sent) is None
    assert refused(event(time=sent)) == ("properties.time", EPOCH)
    assert refused(event(time=sent), "track", strict=False) == ("properties.time", EPOCH)


@pytest.mark.parametrize("offset", [1, 3_600_000])
def test_up_to_an_hour_ahead_becomes_now(offset: int) -> None:
    assert kept(event(time=NOW + offset)).time_ms == NOW
    assert kept(event(time=NOW + offset), "track").time_ms == NOW


@pytest.mark.parametrize("sent", [NOW + 3_600_001, 10**300, 1e308, 32_503_680_000])
def test_further_ahead_is_refused(sent: Any) -> None:
    message = "'properties.time' is invalid: must not be more than one hour in the future"
    assert refused(event(time=sent)) == refused(event(time=sent), "track") == ("properties.time", message)


def test_import_takes_any_age_since_1971_and_track_five_days() -> None:
    assert kept(event(time=31_536_000)).time_ms == 31_536_000_000
    assert refused(event(time=31_535_999))[1] == "'properties.time' is invalid: must not be before 1971-01-01"
    assert refused(event(time=-1))[0] == "properties.time"
    assert kept(event(time=NOW - 5 * DAY), "track").time_ms == NOW - 5 * DAY
    assert check(event(time=NOW - 5 * DAY - 1), "track") == Ignored("too_old")
    assert check(event(time=-1), "track") == Ignored("too_old")


@pytest.mark.parametrize("missing", [{}, {"time": None}])
def test_a_missing_time_is_now_for_track_and_an_error_for_import(missing: dict[str, Any]) -> None:
    raw = without(event(), "time")
    raw["properties"] |= missing
    assert kept(raw, "track").time_ms == NOW
    assert refused(raw, strict=False) == ("properties.time", EPOCH)
    raw["properties"]["$time"] = NOW - 7
    assert kept(raw).time_ms == NOW - 7


# --- ids


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("", ""), (7, "7"), (7.0, "7"), (7.5, "7.5"), (-3, "-3"), (2**70, str(2**70)), (True, "true"), (False, "false"),
     ("' OR 1=1", "' OR 1=1"), ("%_", "%_"), ("../x", "../x"), ("a\r\nSet-Cookie: b", "a\r\nSet-Cookie: b"), ("аdmin\u202e",
     "аdmin\u202e")],
)  # fmt: skip
def test_ids_become_text_and_keep_every_character(sent: Any, expected: str) -> None:
    for name in ("distinct_id", "$user_id", "$device_id"):
        assert kept(event(**{name: sent}), "track").properties[name] == expected


@pytest.mark.parametrize(
    "sent",
    [
        [],
        {},
        ["a"],
        float("nan"),
        float("inf"),
        "x" * 256,
        "é" * 128,
        10**400,
        pytest.param(10**5000, id="5001 digits"),
        1e308,
        "\ud800",
    ],
)
def test_ids_that_cannot_be_kept_are_refused_and_never_cut(sent: Any) -> None:
    field, message = refused(event(distinct_id=sent), "track")
    assert field == "properties.distinct_id"
    assert message.startswith("properties.distinct_id is invalid: ")


def test_distinct_id_may_be_missing_unless_the_project_needs_it() -> None:
    raw = without(event(), "distinct_id")
    assert "distinct_id" not in kept(raw).properties
    assert refused(raw, distinct_id_required=True) == (
        "properties.distinct_id", "'properties.distinct_id' is invalid: must not be missing"
    )  # fmt: skip
    assert kept(raw, "track", distinct_id_required=True).name == "E"
    raw["properties"]["$distinct_id"] = 5
    assert kept(raw).properties == {"$insert_id": "i-1", "distinct_id": "5"}
    assert "distinct_id" not in kept(event(distinct_id=None)).properties


def test_there_are_seventeen_values_that_stand_for_nobody() -> None:
    assert len(DISALLOWED_IDS) == 17


@pytest.mark.parametrize("value", [*sorted(DISALLOWED_IDS), "NULL", "None", True, 0, -1, 0.0])
def test_strict_import_refuses_them(value: Any) -> None:
    field, message = refused(event(distinct_id=value))
    assert field == "properties.distinct_id"
    assert str(value) not in message.removeprefix("'properties.distinct_id' is invalid: ").split()
    assert kept(event(distinct_id=value), strict=False).name == "E"
    assert kept(event(distinct_id=value), "track").name == "E"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "must not be missing"), ("", "must not be missing"), (5, "must be a string"),
        ("a" * 37, "must be at most 36 bytes"),
        ("a_b", "must only contain alphanumeric or hyphen '-' characters"), ("é",
        "must only contain alphanumeric or hyphen '-' characters"),
        ("a\n", "must only contain alphanumeric or hyphen '-' characters"),
        ("null", "must not be one of the values that identify nothing"), ("0",
        "must not be one of the values that identify nothing"),
    ],
)  # fmt: skip
def test_insert_id_of_strict_import(value: Any, reason: str) -> None:
    assert refused(event(**{"$insert_id": value})) == ("$insert_id", f"'$insert_id' is invalid: {reason}")
    kept(event(**{"$insert_id": value}), strict=False)


@pytest.mark.parametrize("value", ["0a1B-", "a" * 36, "550e8400-e29b-41d4-a716-446655440000"])
def test_insert_ids_that_real_senders_use(value: str) -> None:
    assert kept(event(**{"$insert_id": value})).insert_id == value


@pytest.mark.parametrize(
    ("value", "expected"), [("evt_1", "evt_1"), ("", None), (5, None), ("null", None), ("x" * 256, None), ("a\0", "a\ufffd")]
)
def test_lenient_insert_ids_identify_only_what_they_can(value: Any, expected: str | None) -> None:
    assert kept(event(**{"$insert_id": value}), "track").insert_id == expected


@pytest.mark.parametrize(
    ("value", "echoed"), [("abc-1", "abc-1"), ("jane@example.org", ""), ("a" * 37, ""), (5, ""), ("a\n", ""), ("\ud800", "")]
)
def test_an_insert_id_is_echoed_only_in_the_published_shape(value: Any, echoed: str) -> None:
    assert check(event(time="x", **{"$insert_id": value})).insert_id == echoed


# --- what is passed over


@pytest.mark.parametrize(
    ("value", "ignored"), [(True, True), ("x", True), ("false", True), (1, True), (False, False), ("", False), (None, False)]
)
def test_ignore(value: Any, ignored: bool) -> None:
    for endpoint in ("track", "import"):
        result = check(event(**{"$ignore": value}), endpoint)
        assert (result == Ignored("ignore")) is ignored
        assert ignored or "$ignore" not in result.properties


MERGE = {"event": "$merge", "properties": {"$distinct_ids": ["a", 5], "token": "T"}}
ALIAS = {"event": "$create_alias", "properties": {"distinct_id": "a", "alias": 5, "token": "T"}}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_simplified_projects_pass_over_the_verbs(verb: str) -> None:
    assert check(event(verb), "track") == check(event(verb), "import") == Ignored("identity_verb")


def test_original_projects_keep_links_that_carry_neither_time_nor_insert_id() -> None:
    assert kept(MERGE, identity="original").properties == {"$distinct_ids": ["a", "5"]}
    assert kept(ALIAS, "track", identity="original").properties == {"distinct_id": "a", "alias": "5"}
    assert kept(ALIAS, identity="original").time_ms == NOW
    assert check(MERGE, "track", identity="original") == Ignored("merge_on_track")
    assert kept(event(alias={"a": 1}), identity="original").properties["alias"] == {"a": 1}
    bad = {"event": "$merge", "properties": {"$distinct_ids": "a", "token": "T"}}
    assert refused(bad, identity="original") == (
        "properties.$distinct_ids", "properties.$distinct_ids is invalid: should be a list of strings"
    )  # fmt: skip


# --- values


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("x" * 255, "x" * 255), ("x" * 256, "x" * 255), ("é" * 127 + "x", "é" * 127 + "x"), ("é" * 128, "é" * 127),
        ("😀" * 64, "😀" * 63), ("x" * 254 + "é", "x" * 254), (["y" * 300], ["y" * 255]), ({"k": "y" * 300}, {"k": "y" * 255}),
    ],
)  # fmt: skip
def test_long_strings_are_cut_between_code_points(sent: Any, expected: Any) -> None:
    assert kept(event(a=sent)).properties["a"] == expected
    assert kept(event(a=sent), limits=Limits(string_bytes=1000)).properties["a"] == sent


def test_names_are_cut_at_255_characters() -> None:
    result = kept(event("é" * 300, **{"ü" * 300: 1, "n" * 256: {"k" * 300: 2}}))
    assert result.name == "é" * 255
    assert result.properties["ü" * 255] == 1
    assert result.properties["n" * 255] == {"k" * 255: 2}


@pytest.mark.parametrize("at", ["value", "nested", "key", "nested key", "event"])
def test_nul_is_replaced_or_on_strict_import_refused(at: str) -> None:
    raws = {
        "value": event(a="x\0y"), "nested": event(a=[{"b": "x\0y"}]), "key": event(**{"x\0y": 1}),
        "nested key": event(a={"x\0y": 1}), "event": event("x\0y"),
    }  # fmt: skip
    result = kept(raws[at], "track")
    assert "\0" not in f"{result.name}{result.properties}"
    assert "x\ufffdy" in f"{result.name}{result.properties}"
    field, message = refused(raws[at])
    assert field == {"key": "properties.<key>", "event": "event"}.get(at, "properties.a")
    assert message.endswith("string should not contain the NUL character")


@pytest.mark.parametrize("value", ["\ud800", "x" * 300 + "\ud83d", ["\udcff"], {"\udcff": 1}, [{"a": ["\ud800"]}]])
def test_text_that_is_no_utf8_is_refused_everywhere(value: Any) -> None:
    expected = ("properties.plan", "properties.plan is invalid: string should be valid utf8")
    assert refused(event(plan=value), "track") == refused(event(plan=value)) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "number should be finite"), (float("inf"), "number should be finite"),
        ([-float("inf")], "number should be finite"),
        (2**64, "number should fit in 64 bits"), (-(2**63) - 1, "number should fit in 64 bits"),
        ([2**64], "number should fit in 64 bits"),
        ([0] * 256, "list should have at most 255 elements"), ([[0] * 256], "list should have at most 255 elements"),
        ({str(i): 0 for i in range(256)}, "object should have at most 255 keys"),
        (["x" * 200] * 50, "a list or object should be at most 8192 bytes as JSON"),
        ([[[[]]]], "should be nested at most 3 deep"), ({"a": {"b": {"c": {}}}}, "should be nested at most 3 deep"),
        (object(), "should be a JSON value"),
    ],
)  # fmt: skip
def test_values_over_a_limit_are_refused_by_name(value: Any, reason: str) -> None:
    assert refused(event(plan=value)) == ("properties.plan", f"properties.plan is invalid: {reason}")


@pytest.mark.parametrize(
    "value", [2**64 - 1, -(2**63), 1e308, [0] * 255, {str(i): 0 for i in range(255)}, [[[1]]], ["x" * 100] * 70, []]
)
def test_values_at_the_limit_are_kept(value: Any) -> None:
    assert kept(event(plan=value)).properties["plan"] == value


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_other_senders_may_nest_to_twenty() -> None:
    assert kept(event(a=nested(20)), "track").properties["a"] == nested(20)
    assert refused(event(a=nested(21)), "track")[1] == "properties.a is invalid: should be nested at most 20 deep"
    assert refused(event(a=nested(400)), "track")[0] == "properties.a"


@pytest.mark.parametrize("many", [254, 255])
def test_at_most_255_properties(many: int) -> None:
    raw = {"event": "E", "properties": {"token": "T", "time": NOW} | {f"p{i}": i for i in range(many)}}
    assert len(kept(raw, "track").properties) == many


@pytest.mark.parametrize("many", [256, 10_000])
def test_more_are_refused_with_the_limit(many: int) -> None:
    raw = {"event": "E", "properties": {"token": "T", "time": NOW} | {f"p{i}": i for i in range(many)}}
    assert refused(raw, "track") == ("properties", "'properties' is invalid: must have at most 255 properties")


# --- what a message may say


@pytest.mark.parametrize("name", ["plan", "$browser", "UTM Source", "a.b-c_1", "x12345", "_", "n" * 64])
def test_plain_names_are_shown(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name", ["jane@example.org", "n" * 65, "call 491701", "4111111111111111", "1a", "", "ключ", "a\n", "a/b", "\ud800", "+49170"]
)
def test_names_that_may_be_someone_are_not(name: str) -> None:
    assert safe_name(name) == "<key>"
    if name:
        assert refused(event(**{name: float("nan")}), "track")[0] == "properties.<key>"


SECRET = "jane.doe@example.org +491701234567"


@pytest.mark.parametrize(
    "raw",
    [
        event(SECRET * 20 + "\ud800"), event(time=SECRET), event(distinct_id=[SECRET]), event(distinct_id=SECRET * 20),
        event(a=SECRET + "\ud800"), event(a=[[[[SECRET]]]]), event(**{"$insert_id": SECRET}), event(**{SECRET: float("nan")}),
        event(**{SECRET: [SECRET] * 300}), {"event": "E", "properties": SECRET}, SECRET,
    ],
)  # fmt: skip
def test_no_message_or_repr_holds_what_was_sent(raw: Any) -> None:
    result = check(raw)
    assert isinstance(result, Rejected)
    for part in SECRET.split():
        assert part not in repr(result)


def test_reprs_of_what_is_kept_hold_nothing_personal() -> None:
    assert repr(kept(event(SECRET, distinct_id=SECRET, token=SECRET), "track")) == f"Event(time_ms={NOW})"
    update = validate_update(
        {"$token": "TOKEN", "$distinct_id": SECRET, "$set": {SECRET: SECRET}}, kind="profile", now_ms=NOW, limits=LIMITS
    )
    for part in (*SECRET.split(), "TOKEN"):
        assert part not in repr(update)


# --- updates


def update(raw: Any, kind: Literal["profile", "group"] = "profile") -> Update:
    result = validate_update(raw, kind=kind, now_ms=NOW, limits=LIMITS)
    assert isinstance(result, Update), result
    return result


def update_refused(raw: Any, kind: Literal["profile", "group"] = "profile") -> tuple[str, str]:
    result = validate_update(raw, kind=kind, now_ms=NOW, limits=LIMITS)
    assert isinstance(result, Rejected), result
    return result.field, result.message


def profile(**more: Any) -> dict[str, Any]:
    return {"$token": "T", "$distinct_id": "u1"} | more


# Each row: an operation as one of the clients sends it, and what is to be done.
OPERATIONS: list[tuple[dict[str, Any], tuple[tuple[str, Any], ...]]] = [
    ({"$set": {"$email": "e", "n": None}}, (("$set", {"$email": "e", "n": None}),)),
    ({"$set": {}}, (("$set", {}),)),
    ({"$set_once": {"initial_utm_source": None}}, (("$set_once", {"initial_utm_source": None}),)),
    ({"$add": {"n": -2, "f": 0.5}}, (("$add", {"n": -2, "f": 0.5}),)),
    ({"$append": {"$transactions": {"$amount": 9.99}}}, (("$append", {"$transactions": {"$amount": 9.99}}),)),
    ({"$union": {"a": ["x", "y"], "b": "z", "c": None}}, (("$union", {"a": ["x", "y"], "b": ["z"], "c": [None]}),)),
    ({"$remove": {"a": "x"}}, (("$remove", {"a": "x"}),)),
    ({"$unset": ["a", "b"]}, (("$unset", ["a", "b"]),)),
    ({"$unset": "a"}, (("$unset", ["a"]),)),
    ({"$delete": ""}, (("$delete", None),)),
    ({"$delete": "null"}, (("$delete", None),)),
    ({"$delete": None}, (("$delete", None),)),
    ({"$delete": "u1"}, (("$delete", None),)),
    ({"$delete": "", "$set": {"a": 1}}, (("$delete", None),)),
    ({"$unset": ["e"], "$remove": {"d": 1}, "$union": {"c": [1]}, "$append": {"b": 1}, "$add": {"a": 1}, "$set": {"a": 1},
    "$set_once": {"a": 1}},
        (("$set_once", {"a": 1}), ("$set", {"a": 1}), ("$add", {"a": 1}), ("$append", {"b": 1}), ("$union", {"c": [1]}),
        ("$remove", {"d": 1}),
         ("$unset", ["e"]))),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "operations"), OPERATIONS)
def test_operations_as_clients_send_them(sent: dict[str, Any], operations: tuple[tuple[str, Any], ...]) -> None:
    assert update(profile(**sent)) == Update("T", operations, NOW, "u1")
    group = {"$token": "T", "$group_key": "company", "$group_id": 7.0} | sent
    assert update(group, "group") == Update("T", operations, NOW, group_key="company", group_id="7")


def test_control_keys_are_consumed_and_unknown_ones_ignored() -> None:
    browser = {"$device_id": "d", "$user_id": "u", "$had_persisted_distinct_id": True, "$mystery": 1}
    place = {"$ip": "0", "$latitude": 1.5, "$longitude": 2.5, "$time": 1795450828.14, "$ignore_time": True}
    result = update(profile(**{"$set": {"a": 1}, "$ignore_alias": "true"}, **browser, **place))
    assert result == Update("T", (("$set", {"a": 1}),), 1_795_450_828_140, "u1", ignore_alias=True, ignore_time=True, ip="0")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (True, True),
        ("true", True),
        ("True", True),
        (1, True),
        (False, False),
        ("false", False),
        (None, False),
        ("", False),
        (0, False),
    ],
)
def test_flags_come_as_booleans_and_as_words(sent: Any, expected: bool) -> None:
    assert update(profile(**{"$set": {}, "$ignore_alias": sent})).ignore_alias is expected


@pytest.mark.parametrize(("sent", "expected"), [(NOW + 1, NOW), (10**300, NOW), (-5, 0), (None, NOW), ("5", 5000), (5, 5000)])
def test_the_time_of_an_update(sent: Any, expected: int) -> None:
    assert update(profile(**{"$set": {}, "$time": sent})).time_ms == expected


@pytest.mark.parametrize(
    ("raw", "field", "message"),
    [
        (Malformed(Fault.NOT_JSON), "", "record is invalid: must be valid JSON"),
        ("x", "", "record is invalid: must be a JSON object"),
        ({"$distinct_id": "u", "$set": {}}, "$token", TOKEN_MISSING),
        ({"$token": "T", "$set": {}}, "$distinct_id", "'$distinct_id' is invalid: must not be missing"),
        (profile(**{"$distinct_id": "", "$set": {}}), "$distinct_id", "'$distinct_id' is invalid: must not be missing"),
        (profile(**{"$distinct_id": [], "$set": {}}), "$distinct_id", "'$distinct_id' is invalid: should be a string"),
        (profile(), "", "record is invalid: must have an operation, for example $set"),
        (profile(**{"$mystery": {}}), "", "record is invalid: must have an operation, for example $set"),
        (profile(**{"$set": []}), "$set", "'$set' is invalid: must be an object"),
        (profile(**{"$set": None}), "$set", "'$set' is invalid: must be an object"),
        (profile(**{"$add": {"n": "5"}}), "$add.n", "$add.n is invalid: must be a number"),
        (profile(**{"$add": {"n": True}}), "$add.n", "$add.n is invalid: must be a number"),
        (profile(**{"$add": {"n": float("inf")}}), "$add.n", "$add.n is invalid: number should be finite"),
        (profile(**{"$add": {"n": 2**64}}), "$add.n", "$add.n is invalid: number should fit in 64 bits"),
        (profile(**{"$remove": {"n": ["a"]}}), "$remove.n", "$remove.n is invalid: must be one value, not a list"),
        (profile(**{"$unset": {"a": 1}}), "$unset", "'$unset' is invalid: must be a list of property names"),
        (profile(**{"$unset": ["a", 5]}), "$unset", "'$unset' is invalid: must be a list of property names"),
        (profile(**{"$unset": ["\ud800"]}), "$unset", "'$unset' is invalid: string should be valid utf8"),
        (profile(**{"$set": {"a": "\ud800"}}), "$set.a", "$set.a is invalid: string should be valid utf8"),
        (profile(**{"$set": {"a@b": "\ud800"}}), "$set.<key>", "$set.<key> is invalid: string should be valid utf8"),
        (profile(**{"$set": {str(i): 1 for i in range(2001)}}), "$set", "'$set' is invalid: must have at most 2000 properties"),
        (profile(**{"$unset": ["a"] * 2001}), "$unset", "'$unset' is invalid: must have at most 2000 properties"),
        (profile(**{"$set": {}, "$time": "soon"}), "$time", "'$time' is invalid: must be specified as seconds since epoch"),
    ],
)  # fmt: skip
def test_updates_that_are_refused(raw: Any, field: str, message: str) -> None:
    assert update_refused(raw) == (field, message)


@pytest.mark.parametrize("missing", ["$group_key", "$group_id"])
def test_a_group_needs_both_ids(missing: str) -> None:
    raw = {"$token": "T", "$group_key": "k", "$group_id": "g", "$set": {}}
    del raw[missing]
    assert update_refused(raw, "group") == (missing, f"'{missing}' is invalid: must not be missing")


def test_profiles_hold_larger_lists_than_events_and_lose_nul() -> None:
    large = ["x" * 200] * 250
    assert update(profile(**{"$set": {"a": large}})).operations == (("$set", {"a": large}),)
    assert update(profile(**{"$set": {"a\0": "b\0"}})).operations == (("$set", {"a\ufffd": "b\ufffd"}),)
    objects = [{str(key): "x" * 200 for key in range(6)}] * 250
    assert update_refused(profile(**{"$set": {"a": objects}}))[1].endswith("should be at most 262144 bytes as JSON")


# --- properties that hold for every record

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "\0", "x" * 300, 2**70, 1795450829]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("\ud800"), inner, max_size=4),
    max_leaves=15,
)
names = st.sampled_from(
    ["token", "time", "distinct_id", "$user_id", "$device_id", "$insert_id", "$ignore", "$distinct_ids", "alias"]
)
sent_events: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"event": st.sampled_from(["E", "$merge", "$identify", "$create_alias"]) | anything},
    optional={"properties": st.dictionaries(names | st.text(), anything, max_size=8) | anything},
)


def with_essentials(raw: dict[str, Any]) -> dict[str, Any]:
    sent = raw.get("properties")
    return raw | {"properties": {"token": "T", "time": NOW} | sent} if isinstance(sent, dict) else raw


raws = sent_events.map(with_essentials)
thorough = settings(database=None, deadline=None, max_examples=500)


def storable(value: Any) -> None:
    """Encodes as strict JSON and UTF-8, and a PostgreSQL text column would take it."""
    text = msgspec.json.encode(value)
    assert msgspec.json.decode(text) == value
    assert b"\\u0000" not in text


@thorough
@given(raws | anything, st.sampled_from(["track", "import"]), st.booleans(), st.sampled_from(["simplified", "original"]))
@example({"event": "E", "properties": {"token": "T", "time": NOW, "a\0": "b\0"}}, "track", False, "simplified")
def test_every_event_is_kept_storable_or_answered(raw: Any, endpoint: Any, strict: bool, identity: Any) -> None:
    result = check(raw, endpoint, strict, identity=identity)
    if isinstance(result, Event):
        storable([result.name, result.properties, result.insert_id])
        assert result.time_ms <= NOW
        assert not {"token", "time", "$time", "$ignore", "bucket", "$bucket"} & set(result.properties)
        assert all(isinstance(result.properties.get(name, ""), str) for name in ("distinct_id", "$user_id", "$device_id"))
        # What has been made clean stays as it is: a second pass over the same event changes nothing.
        again = check(
            {"event": result.name, "properties": result.properties | {"token": "T", "time": result.time_ms}},
            endpoint,
            strict,
            identity=identity,
        )
        assert isinstance(again, Event)
        assert again.properties == result.properties
    else:
        assert isinstance(result, Rejected | Ignored)
        if isinstance(result, Rejected):
            storable([result.field, result.message, result.insert_id])


operations = st.sampled_from(
    ["$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete", "$time", "$ignore_alias", "$x"]
)


@thorough
@given(st.dictionaries(operations | st.sampled_from(["$token", "$distinct_id"]), anything, max_size=6) | anything)
def test_every_update_is_kept_storable_or_answered(raw: Any) -> None:
    raw = {"$token": "T", "$distinct_id": "u"} | raw if isinstance(raw, dict) else raw
    result = validate_update(raw, kind="profile", now_ms=NOW, limits=LIMITS)
    if isinstance(result, Update):
        storable([result.distinct_id, [list(operation) for operation in result.operations]])
        assert 0 <= result.time_ms <= NOW
    else:
        storable([result.field, result.message])
