"""JSON texts in strings that are not quite JSON: what a rule forbids does not hide in them."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from tests.unit.policies.conftest import Check

RULES = """
rules:
  - {id: secrets, properties: ["*password*"], category: user.authorization.credentials, sensitivity: restricted, action: drop}
  - {id: street, properties: [home.street], category: user.contact.address.street, sensitivity: confidential, action: hash}
"""
CLEAN = {"plan": "pro"}
WHOLE = '{"user_password": "hunter2", "plan": "pro"}'


@pytest.mark.parametrize(
    "text",
    [
        WHOLE[:35],
        WHOLE + " and more",
        WHOLE + "\n" + WHOLE,
        '{"a": 1}\n' + WHOLE,
        WHOLE.replace('"', "'"),
        WHOLE.replace('"', '\\"'),
        WHOLE.replace('"', "&quot;"),
        '{"log": ' + json.dumps(WHOLE)[:50],
        '{"home": {"street": "hunter2", ',
        '{,"user_p\\u0061ssword": "hunter2"}',
        '{"home": {"zip": "}", "street": "hunter2", ',
    ],
)
def test_a_text_like_json_that_does_not_parse_goes_whole_when_it_names_what_a_rule_changes(text: str, checked: Check) -> None:
    decision = checked(RULES, {"log": text, "plan": "pro"})
    assert decision.properties == CLEAN
    assert [remark.reason for remark in decision.remarks] == ["classified"]


@pytest.mark.parametrize(
    "text",
    [
        quote(WHOLE),
        quote(quote(quote(WHOLE, safe=""), safe=""), safe=""),
        "\x00" + WHOLE,
        "\u2028\ufeff" + WHOLE + "\x00",
        WHOLE.replace("hunter2", "hun\nter2"),
    ],
)
def test_a_text_that_decodes_to_json_is_judged_as_what_it_encodes(text: str, checked: Check) -> None:
    decision = checked(RULES, {"log": text, "plan": "pro"})
    assert decision.properties == {"log": '{"plan":"pro"}', "plan": "pro"}


def test_base64_of_json_is_judged_where_the_detectors_take_a_closer_look(checked: Check) -> None:
    code = base64.b64encode(WHOLE.encode()).decode()
    decision = checked(RULES, {"log": [code, base64.urlsafe_b64encode(b'[{"plan": "pro"}]').decode()]})
    assert decision.properties == {"log": ['{"plan":"pro"}', "W3sicGxhbiI6ICJwcm8ifV0="]}


@pytest.mark.parametrize("text", ['{"plan": "pro"', "{not json}", "[1] see", '"quoted" text', "{", quote('{"plan": "pro"}')])
def test_harmless_texts_like_json_stay_as_they_are(text: str, checked: Check) -> None:
    assert checked(RULES, {"log": text}).properties == {"log": text}


def test_a_broken_text_with_more_names_than_are_worth_judging_is_removed(checked: Check) -> None:
    decision = checked(RULES, {"log": "{" + '"a": 1, ' * 2_000, "plan": "pro"})
    assert decision.properties == CLEAN
    assert [remark.reason for remark in decision.remarks] == ["invalid_type"]


def test_json_that_utf8_or_64_bits_cannot_hold_is_cleaned_and_not_refused(checked: Check) -> None:
    text = '{"user_password": "hunter2", "cut": "\\ud83d", "huge": 1' + "0" * 30 + "}"
    decision = checked(RULES, {"log": text})
    assert decision.properties == {"log": '{"cut":"\\ud83d","huge":1' + "0" * 30 + "}"}


def test_a_property_name_that_is_a_json_text_is_judged_as_one(checked: Check) -> None:
    decision = checked(RULES, {'{"a": {"home": {"street": "hunter2"}}}': 1})
    assert "hunter2" not in repr(decision.properties)


@pytest.mark.parametrize(
    "name", ["pass\x00word", "pass\ufffdword", "p\u0338assw\u0332ord", "\u2800password", "pass\u200bword", "\x1fpass\x7fword\t"]
)
def test_what_nobody_sees_in_a_name_makes_no_difference(name: str, checked: Check) -> None:
    assert checked(RULES, {name: "hunter2", "plan": "pro"}).properties == CLEAN


def test_marks_that_make_another_letter_in_other_scripts_stay(checked: Check) -> None:
    rules = RULES.replace('"*password*"', "हिन्दी, größe")
    assert checked(rules, {"हनद": 1, "GRÖSSE": 2, "plan": "pro"}).properties == {"हनद": 1, "plan": "pro"}
