"""Values sent in pieces, and names of which a detector takes a part: what a rule is about does not slip by it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policies.conftest import Check

BIRTH = """
rules:
  - {{id: birth, properties: [birthday], category: user.demographic.date_of_birth, sensitivity: confidential, action: {action}}}
"""
SECRET = """
detectors: {{email: {action}}}
rules:
  - {{id: secrets, properties: [password], category: user.authorization.credentials, sensitivity: restricted, action: drop}}
"""


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [one for part in value.values() for one in _scalars(part)]
    return [one for part in value for one in _scalars(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    "value",
    [
        [1985, 4, 12],
        ["1985", "04", "12"],
        [[1985], [4], [12]],
        {"year": 1985, "month": 4, "day": 12},
        [{"month": "4"}, 12, 1985],
        ["1985-04", "12"],
    ],
)
@pytest.mark.parametrize("action", ["{truncate: {length: 4}}", "{truncate: {length: 6}}", "{generalise: {date: year}}"])
def test_a_date_in_pieces_says_no_more_than_in_one(action: str, value: Any, checked: Check) -> None:
    decision = checked(BIRTH.format(action=action), {"birthday": value})
    assert decision.properties is not None
    assert not {4, 12, "4", "04", "12", "1985-04"} & set(_scalars(decision.properties["birthday"]))
    again = checked(BIRTH.format(action=action), dict(decision.properties))
    assert again.properties == decision.properties


def test_what_the_action_would_leave_of_the_whole_stays(checked: Check) -> None:
    policy = BIRTH.format(action="{truncate: {length: 10}}")
    assert checked(policy, {"birthday": [1985, 4, 12]}).properties == {"birthday": [1985, 4, 12]}
    assert checked(policy, {"birthday": [None, True, "1985"]}).properties == {"birthday": [None, True, "1985"]}
    assert checked(policy, {"birthday": ["abcdefghijkl", "bcdefghijklm"]}).properties == {
        "birthday": ["abcdefghij", "bcdefghijk"]
    }


def test_a_postal_code_in_pieces(checked: Check) -> None:
    policy = BIRTH.format(action="{generalise: {postal: 3}}")
    assert checked(policy, {"birthday": ["94", "10", "7"]}).properties == {"birthday": ["[date_of_birth]"] * 3}
    assert checked(policy, {"birthday": ["94107", "10001"]}).properties == {"birthday": ["941", "100"]}


@pytest.mark.parametrize("action", ["redact", "hash"])
@pytest.mark.parametrize(
    "name", ["password jane@example.com", "jane@example.com Pass-Word", "jane@example.com password bob@example.com"]
)
def test_a_name_of_which_a_detector_takes_a_part_is_judged_by_the_rest(name: str, action: str, checked: Check) -> None:
    policy = SECRET.format(action=action)
    for properties in ({name: "hunter2"}, {"a": [{name: "hunter2"}]}):
        decision = checked(policy, properties)
        assert "hunter2" not in repr(decision.properties)
        assert "secrets" in {remark.rule for remark in decision.remarks}


def test_a_name_that_tells_nothing_else_keeps_its_value(checked: Check) -> None:
    assert checked(SECRET.format(action="redact"), {"a jane@example.com": "x"}).properties == {"a [email]": "x"}


def test_more_names_that_may_be_personal_data_than_are_worth_judging_are_removed(checked: Check) -> None:
    decision = checked(SECRET.format(action="redact"), {**{f"a{i}@example.com": i for i in range(400)}, "plan": "pro"})
    assert decision.properties is not None
    assert (len(decision.properties), decision.properties["plan"]) == (256, "pro")
    assert decision.remarks[-1].reason == "invalid_type"
    assert "example.com" not in repr(decision)


@pytest.mark.parametrize("deep", [False, True])
def test_a_name_too_long_to_be_judged_is_removed(deep: bool, checked: Check) -> None:
    properties = {"password" + "\u0301" * 2_000: "hunter2", "x" * 1_024: 1}
    decision = checked(SECRET.format(action="redact"), {"a": properties} if deep else properties)
    assert decision.properties == ({"a": {"x" * 1_024: 1}} if deep else {"x" * 1_024: 1})
    assert [(remark.rule, remark.reason) for remark in decision.remarks] == [("gate", "invalid_type")]
