"""Retention, compiled: whose time is over, and what a stored record loses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from policies.compile import compile_policy
from policies.load import load
from policies.model import Scope
from policies.retention import Expiry

TEXT = """\
policy: kept
detectors: keep
rules:
  - {id: mail, properties: [email], category: user.contact.email, sensitivity: confidential, action: keep}
  - {id: near, properties: [contacted], category: user.contacted, sensitivity: internal, action: keep}
  - {id: seen, properties: [seen], scope: profile, category: user.contact, sensitivity: internal, action: keep}
  - {id: box, properties: [box], category: user.other, sensitivity: internal, action: keep}
retention:
  - {id: views, events: ["View *"], days: 3}
  - {id: contact, category: user.contact, days: 2}
"""
DAY = 86_400_000


def expiries(text: str = TEXT) -> list[Expiry]:
    policy = load(text)
    gate = compile_policy(policy)
    return [Expiry(entry, policy, gate) for entry in policy.retention]


VIEWS, CONTACT = expiries()


def without(properties: Any, scope: Scope = Scope.EVENT) -> tuple[Any, int]:
    return CONTACT.without(scope, "Bought", properties)


def test_the_time_is_counted_in_whole_days_back_from_now() -> None:
    assert (VIEWS.before_ms(10 * DAY), CONTACT.before_ms(10 * DAY)) == (7 * DAY, 8 * DAY)


def test_events_are_chosen_as_the_policy_names_them() -> None:
    assert VIEWS.whole
    assert not CONTACT.whole
    assert VIEWS.covers("View page")
    assert VIEWS.covers("ｖｉｅｗ page")
    assert not VIEWS.covers("View")
    assert not VIEWS.covers("Re: View page")


def test_a_category_covers_what_lies_below_it_and_not_what_is_spelt_alike() -> None:
    assert without({"email": 1, "contacted": 2, "seen": 3, "x": 4}) == ({"contacted": 2, "seen": 3, "x": 4}, 1)
    assert without({"seen": 3, "x": 4}, Scope.PROFILE) == ({"x": 4}, 1)


def test_identifiers_and_clocks_are_no_properties_of_a_category() -> None:
    kept = {"$user_id": 7, "$device_id": 8, "$insert_id": "i", "time": 5}
    everything = TEXT.replace("[email]", '["*", email]')
    assert expiries(everything)[1].without(Scope.EVENT, "Bought", {**kept, "plan": "pro"}) == (kept, 1)


@pytest.mark.parametrize(
    ("sent", "left", "removed"),
    [
        ({"box": {"email": 1, "n": 2}}, {"box": {"n": 2}}, 1),
        ({"box": [{"email": 1}, [{"email": 2}], 3]}, {"box": [{}, [{}], 3]}, 2),
        ({"a": '{"email":"x","n":1}'}, {"a": '{"n":1}'}, 1),
        ({"a": ' \ufeff[{"email":"x"}]'}, {"a": "[{}]"}, 1),
        ({"a": json.dumps(json.dumps({"email": "x"}))}, {"a": json.dumps("{}")}, 1),
        ({"a": '{"email": broken'}, {"a": '{"email": broken'}, 0),
        ({"a": "[email]", "b": "", "c": '"', "d": None}, {"a": "[email]", "b": "", "c": '"', "d": None}, 0),
        ({"EMAIL": 1, "e\u200bmail": 2}, {}, 2),
    ],
)
def test_what_lies_inside_is_found(sent: Any, left: Any, removed: int) -> None:
    assert without(sent) == (left, removed)


def test_what_is_nested_without_end_raises_nothing() -> None:
    deep: Any = {"email": 1}
    for _ in range(400):
        deep = {"n": deep}
    assert without(deep)[1] == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.sampled_from(["", "x", "[email]", '{"email":1,"n":[]}']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["email", "n", "box", "x"]), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["email", "a", "box"]), JSON, max_size=4))
def test_nothing_of_the_category_is_left_and_a_second_time_changes_nothing(properties: dict[str, Any]) -> None:
    before = json.dumps(properties)
    kept, removed = without(properties)
    assert json.dumps(properties) == before
    assert '"email"' not in json.dumps(kept)
    assert without(kept) == (kept, 0)
    assert (removed == 0) == (kept == properties)


def test_a_digest_changes_with_what_would_be_chosen_and_not_with_the_days() -> None:
    later = expiries(TEXT.replace("days: 3", "days: 9").replace("days: 2", "days: 9"))
    assert [VIEWS.digest, CONTACT.digest] == [each.digest for each in later]
    unrelated = expiries(TEXT + "unknown_properties: drop\n")
    assert [VIEWS.digest, CONTACT.digest] == [each.digest for each in unrelated]
    renamed = expiries(TEXT.replace("[box]", "[boxes]"))
    assert (renamed[0].digest, renamed[1].digest == CONTACT.digest) == (VIEWS.digest, False), "a category is what the rules say"
    other = expiries(TEXT.replace("View *", "Views *"))
    assert other[0].digest != VIEWS.digest
    assert len({VIEWS.digest, CONTACT.digest}) == 2
