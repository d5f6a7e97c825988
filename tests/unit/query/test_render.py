"""Stored rows as a reader sees them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from app.events.port import EventRow, ProfileRow
from app.identity.register import Revealed
from app.query.render import event_line, open_event, profile_view, uids_of

ANN, PHONE, BEN, GHOST = 11, 12, 21, 99
REVEALED = {
    ANN: Revealed("ann", "ann", ANN, hidden=False),
    PHONE: Revealed("$device:phone", "ann", ANN, hidden=False),
    BEN: Revealed("ben", "ben", BEN, hidden=True),
}


def row(properties: Any, *, uid: int = ANN, time_ms: int = 1_700_000_000_999) -> EventRow:
    text = properties if isinstance(properties, str) else msgspec.json.encode(properties).decode()
    return EventRow(time_ms, 1, uid, "Viewed", text, 1, time_ms)


def shown(stored: EventRow, **options: bool) -> Any:
    line = event_line(open_event(stored), REVEALED, **options)
    return None if line is None else json.loads(line)


def test_an_event_begins_with_its_time_in_seconds_and_the_id_of_its_person() -> None:
    line = event_line(open_event(row({"$insert_id": "i", "n": 1})), REVEALED)
    assert line == (b'{"event":"Viewed","properties":{"time":1700000000,"distinct_id":"ann","$insert_id":"i","n":1}}')


def test_time_is_in_milliseconds_when_asked_for() -> None:
    assert shown(row({}), time_in_ms=True)["properties"]["time"] == 1_700_000_000_999


def test_an_event_of_a_device_carries_the_person_and_the_id_before() -> None:
    properties = shown(row({}, uid=PHONE))["properties"]
    assert properties["distinct_id"] == "ann"
    assert properties["$distinct_id_before_identity"] == "$device:phone"


def test_stored_uids_become_ids_again_and_a_device_loses_its_prefix() -> None:
    stored = row({"$user_id": ANN, "$device_id": PHONE})
    assert uids_of([open_event(stored)]) == {ANN, PHONE}
    properties = shown(stored)["properties"]
    assert (properties["$user_id"], properties["$device_id"]) == ("ann", "phone")
    assert "$distinct_id_before_identity" not in properties


@pytest.mark.parametrize("uid", [BEN, GHOST, 0, "ann", -5, 1.5, None, True, {"a": 1}, 1 << 63, 10**40])
def test_an_id_property_of_someone_hidden_or_unknown_is_left_out(uid: object) -> None:
    properties = shown(row({"$user_id": uid, "kept": True}))["properties"]
    assert "$user_id" not in properties
    assert properties["kept"] is True


@pytest.mark.parametrize("uid", [BEN, GHOST])
def test_an_event_of_someone_hidden_or_unknown_is_not_shown(uid: int) -> None:
    assert shown(row({}, uid=uid)) is None


def test_an_event_of_nobody_is_shown_without_an_id() -> None:
    assert shown(row({"a": 1}, uid=0))["properties"] == {"time": 1700000000, "distinct_id": "", "a": 1}
    assert uids_of([open_event(row({}, uid=0))]) == set()


def test_stored_properties_cannot_take_the_place_of_ours() -> None:
    stored = row({"time": 1, "distinct_id": "mallory", "$distinct_id_before_identity": "mallory"})
    assert shown(stored)["properties"] == {"time": 1700000000, "distinct_id": "ann"}


def test_values_keep_the_form_they_are_stored_in() -> None:
    text = '{"big":9007199254740993,"float":1.10,"text":"\\u00e9 é \\n","deep":{"a":[1,{"b":null}]}}'
    line = event_line(open_event(row(text)), REVEALED)
    assert line is not None
    assert text[1:-1].encode() in line


def test_a_line_break_between_stored_tokens_does_not_break_the_line() -> None:
    line = event_line(open_event(row('{\n "a": [1,\r\n 2]\n}')), REVEALED)
    assert line is not None
    assert b"\n" not in line
    assert json.loads(line)["properties"]["a"] == [1, 2]


def test_a_profile_is_shown_under_its_own_id_with_when_it_was_last_seen() -> None:
    view = profile_view(ProfileRow(1, ANN, '{"$name":"A"}', 1_700_000_000_999, 1), REVEALED)
    assert json.loads(msgspec.json.encode(view)) == {
        "$distinct_id": "ann",
        "$properties": {"$name": "A", "$last_seen": "2023-11-14T22:13:20"},
    }


def test_a_profile_set_on_a_device_alone_keeps_the_id_of_the_device() -> None:
    view = profile_view(ProfileRow(1, PHONE, "{}", None, 1), REVEALED)
    assert view == {"$distinct_id": "$device:phone", "$properties": {}}


def test_a_profile_shows_only_the_properties_asked_for() -> None:
    view = profile_view(ProfileRow(1, ANN, '{"a":1,"b":2}', 0, 1), REVEALED, {"b", "absent"})
    assert json.loads(msgspec.json.encode(view))["$properties"] == {"b": 2}


@pytest.mark.parametrize("uid", [BEN, GHOST, 0])
def test_a_profile_of_someone_hidden_or_unknown_is_not_shown(uid: int) -> None:
    assert profile_view(ProfileRow(1, uid, "{}", None, 1), REVEALED) is None


def test_what_holds_ids_or_values_does_not_show_them_in_its_repr() -> None:
    assert "secret" not in repr(open_event(row({"secret": "secret"})))


_NAMES = st.sampled_from(["time", "distinct_id", "$distinct_id_before_identity", "$user_id", "$device_id", "a", "n\n", "é", ""])
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([ANN, PHONE, BEN, GHOST, 0])
    | st.text(max_size=8),
    lambda some: st.lists(some, max_size=2) | st.dictionaries(_NAMES, some, max_size=2),
    max_leaves=4,
)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=5), st.booleans(), st.sampled_from([ANN, PHONE, BEN, GHOST, 0]))
def test_a_row_that_is_cut_says_what_the_same_row_taken_apart_says(
    members: list[tuple[str, Any]], ids_first: bool, uid: int
) -> None:
    properties = dict(members)
    if ids_first:
        properties = {"$user_id": ANN, "$device_id": PHONE, **properties}
    compact = msgspec.json.encode(properties).decode()
    # Spaces between the tokens, or names that are escaped, send the same event the long way.
    for text in (compact, json.dumps(properties, indent=1), json.dumps(properties).replace('"$', '"\\u0024')):
        assert shown(row(text, uid=uid)) == _expected(properties, uid)


def _expected(properties: dict[str, Any], uid: int) -> Any:
    if uid in (BEN, GHOST):
        return None
    ours: dict[str, Any] = {"time": 1_700_000_000, "distinct_id": "ann" if uid else ""}
    if uid == PHONE:
        ours["$distinct_id_before_identity"] = "$device:phone"
    for name in ("$user_id", "$device_id"):
        found = properties.get(name)
        if type(found) is int and found in (ANN, PHONE):
            named = REVEALED[found].identifier
            ours[name] = named.removeprefix("$device:") if name == "$device_id" else named
    names = {"time", "distinct_id", "$distinct_id_before_identity", "$user_id", "$device_id"}
    kept = {name: value for name, value in properties.items() if name not in names}
    return {"event": "Viewed", "properties": {**ours, **kept}}
