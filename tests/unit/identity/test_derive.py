"""Which ids an event names (wire section 10, simplified identity)."""

import pytest

from app.identity.derive import EventIds, event_ids, text_id


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"distinct_id": "ada"}, EventIds("ada", "ada", None)),
        ({"distinct_id": "$device:d1"}, EventIds("$device:d1", None, "$device:d1")),
        ({"$device_id": "d1"}, EventIds("$device:d1", None, "$device:d1")),
        ({"$device_id": "$device:d1"}, EventIds("$device:d1", None, "$device:d1")),
        ({"$user_id": "ada", "$device_id": "d1"}, EventIds("ada", "ada", "$device:d1")),
        ({"$user_id": "ada", "distinct_id": "other"}, EventIds("ada", "ada", None, "other")),
        ({"distinct_id": 7}, EventIds("7", "7", None)),
        ({"distinct_id": ""}, EventIds(None, None, None)),
        ({}, EventIds(None, None, None)),
    ],
)
def test_the_subject_is_the_user_before_the_device_before_the_distinct_id(properties, expected):
    assert event_ids(properties) == expected


def test_every_id_is_named_once():
    assert event_ids({"$user_id": "ada", "$device_id": "d1"}).all() == ("ada", "$device:d1")
    assert event_ids({"distinct_id": "ada"}).all() == ("ada",)


def test_a_device_and_a_user_of_one_spelling_stay_two():
    assert event_ids({"$device_id": "x"}).subject != event_ids({"$user_id": "x"}).subject


@pytest.mark.parametrize(
    ("value", "expected"), [(True, None), (1.0, "1"), (1.5, "1.5"), (10**25, str(10**25)), ([], None), (None, None)]
)
def test_an_id_is_text_or_a_number(value, expected):
    assert text_id(value) == expected


def test_ids_stay_out_of_the_representation():
    assert "ada" not in repr(event_ids({"distinct_id": "ada"}))
