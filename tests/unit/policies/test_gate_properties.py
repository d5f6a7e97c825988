"""Whatever comes in: the gate answers, changes nothing it was given, lets nothing planted through, and comes to rest."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st

from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Record, Scope, SubjectState, Verdict
from policies.pseudonym import PseudonymKey

GATE = compile_policy(load(library.text("gdpr-analytics")))
CONTEXT = CheckContext(PseudonymKey(1, bytes(32)))
EXPOSED = CheckContext(PseudonymKey(1, bytes(32)), identifiers="exposed")

PLANTS = (
    "jane.doe@example.com",
    "+14155552671",
    "(415) 555-2671",
    "4111 1111 1111 1111",
    "378282246310005",
    "203.0.113.77",
    "2001:db8::8a2e:370:7334",
)

KEYS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["email", "$email", "phone", "zip", "name", "time", "$insert_id", "alias", "ip", "app_version", "a.b"]),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=30)
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)
RECORDS = st.builds(
    Record,
    st.sampled_from(Scope),
    st.text(max_size=20),
    st.dictionaries(KEYS, JSON, max_size=6),
    st.sampled_from([SubjectState.ACTIVE] * 6 + list(SubjectState)),
)


def surrounded(plant: str) -> st.SearchStrategy[str]:
    """The plant inside other words, which must not touch it."""
    edge = st.sampled_from(["", " ", "\n", "é ", " – ", "\u200b", "=", "(", ")", ", ", "; ", "x ", " 7. ", "\t"])
    return st.builds(lambda before, after: f"{before}{plant}{after}", edge, edge)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Properties with one plant somewhere: as text, in a list, in a mapping, as a key, or in a JSON text."""
    plant = draw(st.sampled_from(PLANTS))
    text = draw(surrounded(plant))
    for _ in range(draw(st.integers(0, 4))):
        inner = text
        text = draw(
            st.sampled_from([[inner], {"k": inner}, [{"deep": inner}, 1]])
            if not isinstance(inner, str)
            else st.sampled_from([[inner], {"k": inner}, {inner: 1}, [[inner, None]]])
        )
        if draw(st.booleans()):
            text = msgspec.json.encode(text).decode()
    return plant, {"plan": "pro", "note": text, "count": 3}


@given(st.lists(RECORDS, max_size=4), st.sampled_from([CONTEXT, EXPOSED]))
@settings(max_examples=300, deadline=None)
def test_the_gate_always_answers_and_changes_nothing_it_was_given(records: list[Record], context: CheckContext) -> None:
    before = [(record.name, repr(copy.deepcopy(record.properties))) for record in records]
    decisions = GATE.check(records, context)
    assert [(record.name, repr(record.properties)) for record in records] == before
    assert len(decisions) == len(records)
    for decision in decisions:
        assert (decision.properties is None) == (decision.verdict is Verdict.DROPPED)
        assert "check_failed" not in {remark.reason for remark in decision.remarks}
        assert (decision.verdict is Verdict.PASS) == (not decision.remarks)


@given(planted())
@settings(max_examples=400, deadline=None)
def test_nothing_planted_passes(case: tuple[str, dict[str, Any]]) -> None:
    plant, properties = case
    (decision,) = GATE.check([Record(Scope.EVENT, "Support Asked", properties)], CONTEXT)
    digits = "".join(filter(str.isdigit, plant))
    left = repr(decision.properties)
    assert plant not in left
    assert "@example.com" not in left
    assert len(digits) < 8 or digits not in "".join(filter(str.isdigit, left))
    assert decision.remarks


@given(RECORDS)
@settings(max_examples=300, deadline=None)
def test_checking_what_was_let_through_changes_nothing_more(record: Record) -> None:
    (once,) = GATE.check([record], EXPOSED)
    if once.properties is None or once.name is None:
        return
    (again,) = GATE.check([Record(record.scope, once.name, once.properties)], EXPOSED)
    assert again.remarks == ()
    assert repr(again.properties) == repr(once.properties)


@given(planted())
@settings(max_examples=200, deadline=None)
def test_cleaned_text_comes_to_rest(case: tuple[str, dict[str, Any]]) -> None:
    (once,) = GATE.check([Record(Scope.EVENT, "e", case[1])], CONTEXT)
    (again,) = GATE.check([Record(Scope.EVENT, "e", once.properties or {})], CONTEXT)
    assert again == type(again)(Verdict.PASS, "e", once.properties, ())
