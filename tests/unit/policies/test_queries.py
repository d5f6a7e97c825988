"""Names in URLs, forms and cookies: what a rule changes under a name, it changes behind ``name=`` too."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings, strategies as st

from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Record, Scope, Signal
from policies.pseudonym import PseudonymKey
from tests.unit.policies.conftest import Check

RULES = """
rules:
  - {id: names, properties: [first_name, user.email], category: user.name, sensitivity: confidential, action: drop}
  - {id: secrets, properties: ["*password*"], category: user.authorization, sensitivity: restricted, action: drop}
  - {id: handle, properties: [handle], category: user.unique_id, sensitivity: confidential, action: hash}
  - {id: plz, properties: [plz], category: user.contact, sensitivity: confidential, action: {truncate: {length: 2}}}
  - {id: booking, properties: [seat], scope: event, events: ["Booked*"], category: user.content, sensitivity: confidential, action: drop}
"""
GATE = compile_policy(load(f"policy: test\n{RULES}"))
CONTEXT = CheckContext(PseudonymKey(1, bytes(32)))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://x.example/?first_name=Jane&page=2", "https://x.example/?first_name=&page=2"),
        ("https://x.example/?page=2&First-Name=Jane%20Mary#top", "https://x.example/?page=2&First-Name=#top"),
        ("https://x.example/#first_name=Jane", "https://x.example/#first_name="),
        ("https://x.example/?first%5Fname=Jane", "https://x.example/?first%5Fname="),
        ("https://x.example/?first+name=Jane", "https://x.example/?first+name="),
        ("https://x.example/?fir\u0455t_name=Jane", "https://x.example/?fir\u0455t_name="),
        ("https://x.example/?user%5Bemail%5D=Jane&user[email]=Jane", "https://x.example/?user%5Bemail%5D=&user[email]="),
        ("see https://x.example/?first_name=Jane and call", "see https://x.example/?first_name= and call"),
        ("first_name=Jane Doe&page=2", "first_name=&page=2"),
        ('first_name="Jane Doe"&page=2', "first_name=&page=2"),
        ("page=1; first_name=Jane; theme=dark", "page=1; first_name=; theme=dark"),
        ("https://x.example/?plz=10115&a=b", "https://x.example/?plz=10&a=b"),
        ("https://x.example/?my_password=a?b'c=d&a=b", "https://x.example/?my_password=&a=b"),
        ("https://x.example/?next=https://y.example/?first_name=Jane", "https://x.example/?next=https://y.example/?first_name="),
        (
            "https://x.example/?next=https%3A%2F%2Fy.example%2F%3Ffirst_name%3DJane",
            "https://x.example/?next=https://y.example/?first_name=",
        ),
        (quote("https://x.example/?first_name=Jane", safe=""), "https://x.example/?first_name="),
        ("[see](https://x.example/?first_name=Jane)", "[see](https://x.example/?first_name="),
    ],
)
def test_a_pair_is_treated_as_the_property_of_its_name(text: str, left: str, checked: Check) -> None:
    decision = checked(RULES, {"link": text, "inner": [{"links": [text, "x"]}]})
    assert decision.properties == {"link": left, "inner": [{"links": [left, "x"]}]}
    assert all(remark.reason == "classified" for remark in decision.remarks)


def test_a_hashed_pair_joins_with_the_property(checked: Check) -> None:
    decision = checked(RULES, {"handle": "Jane Doe", "link": "https://x.example/?handle=Jane%20Doe&a=1"})
    assert decision.properties is not None
    assert decision.properties["link"] == f"https://x.example/?handle={decision.properties['handle']}&a=1"
    assert [remark.path for remark in decision.remarks] == ["properties.handle", "properties.link.handle"]
    again = checked(RULES, decision.properties)
    assert again.properties == decision.properties


def test_a_rule_of_some_events_leaves_the_pairs_of_others(checked: Check) -> None:
    link = {"link": "https://x.example/?seat=4A"}
    assert checked(RULES, link, name="Booked flight").properties == {"link": "https://x.example/?seat="}
    assert checked(RULES, link, name="Seen").remarks == ()


@pytest.mark.parametrize(
    "text",
    [
        "https://x.example/p?utm_source=mail&page=2#top",
        "https://x.example/?first_name=&page=2",
        "a first_name = Jane",
        "https://x.example/first_name/Jane?x",
        "x == y and b=c",
        "?=1&=2",
        "https://x.example/?q=%3D%26",
    ],
)
def test_other_texts_stay_to_the_byte(text: str, checked: Check) -> None:
    assert checked(RULES, {"link": text}).properties == {"link": text}


def test_a_text_with_more_names_than_are_worth_judging_is_removed_and_costs_little(checked: Check) -> None:
    text = "https://x.example/?" + "&".join(f"n{i}=v" for i in range(20_000))
    begin = time.process_time()
    decision = checked(RULES, {"link": text, "plan": "pro"})
    assert decision.properties == {"plan": "pro"}
    assert [remark.reason for remark in decision.remarks] == ["invalid_type"]
    assert time.process_time() - begin < 2


NAMES = st.sampled_from(["first_name", "First-Name", "handle", "plz", "seat", "page", "utm_source", "x y", "a\u200bpassword", ""])
VALUES = st.text(alphabet="aZ9 =&?#;'\"%[]{}+\\\n\u200b\u0455", max_size=8)
TEXTS = st.lists(st.tuples(st.sampled_from(["?", "&", ";", "#", "", " ", "\n"]), NAMES, VALUES), max_size=4).map(
    lambda pairs: "".join(f"{sign}{name}={value}" for sign, name, value in pairs)
)


@given(st.lists(TEXTS, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_the_cheap_question_misses_nothing_that_the_walk_changes(texts: list[str]) -> None:
    """A suspicious name beside it makes the gate walk through all of a record."""
    records: list[Record] = [Record(Scope.EVENT, "Booked", {"link": text}) for text in texts]
    walked: list[Record] = [Record(Scope.EVENT, "Booked", {"link": text, "x@example.com": 1}) for text in texts]
    for quick, thorough in zip(GATE.check(records, CONTEXT), GATE.check(walked, CONTEXT), strict=True):
        assert quick.properties is not None
        assert thorough.properties is not None
        left: dict[str, Any] = {name: value for name, value in thorough.properties.items() if name == "link"}
        assert quick.properties == left


def test_what_a_refused_purpose_removes_is_removed_behind_its_name_too() -> None:
    text = """
policy: test
consent: {purposes: [{id: ads, signals: [gpc]}]}
rules:
  - {id: click, properties: [click_id], category: user.unique_id, sensitivity: internal, action: keep, purposes: [ads]}
"""
    gate = compile_policy(load(text))
    record = Record(Scope.EVENT, "e", {"note": "https://x.example/?click_id=abc&page=2"})
    (kept,) = gate.check([record], CONTEXT)
    assert kept.properties == record.properties
    (heard,) = gate.check([record], CheckContext(PseudonymKey(1, bytes(32)), signals=frozenset({Signal.GPC})))
    assert heard.properties == {"note": "https://x.example/?click_id=&page=2"}
