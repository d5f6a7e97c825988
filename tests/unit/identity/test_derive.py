"""Which ids an event names (wire section 10, simplified identity)."""

import pytest

from app.access.modes import IdentityMode
from app.identity.derive import Claim, ClaimKind, EventIds, event_ids, text_id, without_claim


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"distinct_id": "ada"}, EventIds("ada", "ada", None)),
        ({"distinct_id": "$device:d1"}, EventIds("$device:d1", None, "$device:d1")),
        ({"$device_id": "d1"}, EventIds("$device:d1", None, "$device:d1")),
        ({"$device_id": "$device:d1"}, EventIds("$device:d1", None, "$device:d1")),
        (
            {"$user_id": "ada", "$device_id": "d1"},
            EventIds("ada", "ada", "$device:d1", None, Claim("device", "ada", "$device:d1")),
        ),
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


ANON = "7b0f6d0e-7f5e-4d0a-9b1e-0d6f3f2a1c55"
ORIGINAL, LEGACY, SIMPLIFIED = IdentityMode.ORIGINAL, IdentityMode.LEGACY, IdentityMode.SIMPLIFIED


@pytest.mark.parametrize(
    ("name", "properties", "claim"),
    [
        ("$identify", {"$identified_id": "ada", "$anon_id": ANON}, Claim("identify", "ada", ANON)),
        # What browsers send.
        (
            "$identify",
            {"distinct_id": "ada", "$anon_distinct_id": f"$device:{ANON}", "$user_id": "ada", "$device_id": ANON},
            Claim("identify", "ada", f"$device:{ANON}"),
        ),
        ("$create_alias", {"distinct_id": "ada", "alias": "a@example.com"}, Claim("alias", "ada", "a@example.com")),
        ("$merge", {"$distinct_ids": ["ada", "ben"]}, Claim("merge", "ada", "ben")),
        ("$merge", {"$distinct_ids": ["ada", "ben", "cy"]}, None),
        ("$merge", {"$distinct_ids": ["ada", "ada"]}, None),
        ("$merge", {"$distinct_ids": "ada"}, None),
        ("$identify", {"distinct_id": "ada"}, None),
        ("View", {"distinct_id": "ada", "$user_id": "ada", "$device_id": "d1", "alias": "x"}, None),
    ],
)
def test_original_mode_claims_by_verbs_in_both_vocabularies(name, properties, claim):
    found = event_ids(properties, ORIGINAL, name)
    assert found.claim == claim
    if claim:
        assert found.subject == claim.keep
        assert {claim.keep, claim.join} <= set(found.judged())


def test_outside_of_simplified_the_distinct_id_goes_first():
    sent = {"distinct_id": "x", "$user_id": "ada", "$device_id": "d1"}
    assert event_ids(sent, ORIGINAL, "View") == EventIds("x", "ada", "$device:d1")
    assert event_ids({"$user_id": "ada"}, LEGACY, "View").subject == "ada"


def test_legacy_heeds_the_alias_alone_and_simplified_no_verb():
    alias = {"distinct_id": "ada", "alias": "b"}
    assert event_ids(alias, LEGACY, "$create_alias").claim == Claim(ClaimKind.LEGACY_ALIAS, "ada", "b")
    assert event_ids({"distinct_id": "ada", "$anon_id": ANON}, LEGACY, "$identify").claim is None
    assert event_ids(alias, SIMPLIFIED, "$create_alias").claim is None


def test_an_identify_that_names_somebody_else_beside_is_judged_by_them_too():
    found = event_ids({"distinct_id": "cy", "$identified_id": "ada", "$anon_id": ANON}, ORIGINAL, "$identify")
    assert found.stray == "cy"


def test_what_a_verb_says_of_ids_is_not_left_in_the_event():
    sent = {"distinct_id": "ada", "alias": "a@example.com", "plan": "pro"}
    assert without_claim(sent, ORIGINAL, "$create_alias") == {"distinct_id": "ada", "plan": "pro"}
    assert without_claim(sent, ORIGINAL, "View") is sent
    assert without_claim(sent, SIMPLIFIED, "$create_alias") is sent
