"""The explanation agrees with the gate, whatever the policy and the record, and holds no value."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.explain import DECIDES, Explanation, Outcome, PathExplained, explain
from policies.geolocate import Whereabouts
from policies.load import load
from policies.model import (
    ActionKind,
    Consent,
    Detector,
    DetectorTerms,
    Drop,
    DropEvent,
    Fallback,
    Geolocation,
    Hash,
    Keep,
    Mask,
    Policy,
    Purpose,
    Quarantine,
    Reason,
    Record,
    Redact,
    Rule,
    Scope,
    Sensitivity,
    Signal,
    SubjectState,
    Truncate,
    Unknown,
    Verdict,
)
from policies.pseudonym import PseudonymKey

NAMES = ["a", "b", "Email", "$email", "phone", "zip", "ip", "$city", "alias", "distinct_id", "time", "items", "deep.zip"]
PATTERNS = ["a", "b", "*mail", "a.b", "items[].zip", "zip", "*", "items.*", "ph?ne", "deep.zip"]
ACTIONS = [Keep(), Drop(), Drop(), Drop(), DropEvent(), Quarantine(), Hash(), Mask(1, 1), Truncate(3), Redact()]
CONTEXT = CheckContext(PseudonymKey(1, bytes(32)), identifiers="exposed")

# Values that no policy, path or reason would hold by chance.
VALUES = st.one_of(
    st.sampled_from(["zq-secret-1@example.com", "+14155552671 zqx", "4111 1111 1111 1111 zq", "zq 203.0.113.77", "zq plain zq"]),
    st.integers(10**15, 10**16).map(str),
    st.booleans(),
    st.none(),
    st.floats(0, 1),
)
KEYS = st.sampled_from(NAMES)
NESTED = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(KEYS, inner, min_size=1, max_size=2).map(lambda each: msgspec.json.encode(each).decode())
    ),
    max_leaves=8,
)


@st.composite
def rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    written = []
    for number in range(draw(st.integers(0, 6))):
        scopes = draw(st.sampled_from([(Scope.EVENT,), (Scope.EVENT,), tuple(Scope), (Scope.PROFILE, Scope.GROUP)]))
        events = draw(st.sampled_from([(), ("E*",), ("F",)])) if scopes == (Scope.EVENT,) else ()
        action = draw(st.sampled_from(ACTIONS))
        properties = tuple(draw(st.sets(st.sampled_from(PATTERNS), min_size=1, max_size=2)))
        purposes = draw(st.sampled_from([(), (), ("ads",), ("ads", "reach")]))
        purposes = () if action.kind in (ActionKind.DROP, ActionKind.DROP_EVENT) else purposes
        written.append(
            Rule(f"r{number}", properties, "user.name", Sensitivity.INTERNAL, action, scopes, events, purposes=purposes)
        )
    return tuple(written)


POLICIES = st.builds(
    Policy,
    st.just("random"),
    rules=rules(),
    detectors=st.sampled_from([*list(ActionKind)[:4], ActionKind.HASH, ActionKind.REDACT]).map(
        lambda kind: tuple((each, DetectorTerms(kind)) for each in Detector)
    ),
    geolocation=st.sampled_from(Geolocation),
    unknown_properties=st.builds(Unknown, st.sampled_from(Fallback)),
    unknown_events=st.builds(Unknown, st.sampled_from(Fallback)),
    allowed_events=st.just(("E*",)),
    blocked_events=st.sampled_from([(), (), ("F",)]),
    consent=st.sampled_from(
        [Consent(purposes=(Purpose("ads", ("E*",), signals), Purpose("reach"))) for signals in ((), (Signal.GPC,))]
        + [Consent(purposes=(Purpose("ads", ("G",), (Signal.GPC,)), Purpose("reach", (), (Signal.GPC, Signal.DNT))))]
    ),
)
RECORDS = st.builds(
    Record,
    st.sampled_from([Scope.EVENT, Scope.EVENT, Scope.PROFILE]),
    st.sampled_from(["Ev", "F", "G"]),
    st.dictionaries(KEYS, NESTED, max_size=5),
    st.sampled_from([SubjectState.ACTIVE] * 4 + list(SubjectState)),
)


def strings(value: Any) -> list[str]:
    """Every string value in a JSON value, JSON texts opened."""
    if isinstance(value, dict):
        return [each for item in value.values() for each in strings(item)]
    if isinstance(value, list):
        return [each for item in value for each in strings(item)]
    if isinstance(value, str):
        return [value, *(strings(json.loads(value)) if value[:1] in "{[" else [])]
    return []


def shown(path: str) -> str:
    return re.sub(r"(?:\[\])+$", "", re.sub(r"\[\d+\]", "[]", path))


@given(
    POLICIES, RECORDS, st.sampled_from([frozenset(), frozenset({Signal.GPC})]), st.sampled_from([frozenset(), frozenset({"ads"})])
)
@settings(max_examples=160, deadline=None)
def test_the_winner_is_the_rule_of_the_gate_and_no_value_is_told(
    policy: Policy, record: Record, signals: frozenset[Signal], refused: frozenset[str]
) -> None:
    gate, context = compile_policy(policy), replace(CONTEXT, signals=signals)
    record = msgspec.structs.replace(record, refused_purposes=refused)
    (decision,) = gate.check([record], context)
    told = explain(gate, record, context)
    assert (told.verdict, told.remarks) == (decision.verdict, decision.remarks)
    paths: dict[str, list[PathExplained]] = {}
    for each in told.paths:
        paths.setdefault(each.path, []).append(each)
    for remark in decision.remarks:
        at = paths.get(shown(remark.path), [])
        if remark.reason in (Reason.CLASSIFIED, Reason.IP_NEVER_STORED, Reason.GEOLOCATION_OFF, Reason.GEOLOCATION_COARSENED):
            assert remark.rule in [each.winner for each in at]
            assert remark.action in [each.action for each in at if each.winner == remark.rule]
        elif remark.rule.startswith("detector."):
            assert remark.rule.removeprefix("detector.") in {found.detector for each in at for found in each.found}
        elif remark.rule == "unknown_properties":
            assert remark.action in [each.unknown for each in at]
        elif remark.path and remark.reason in (Reason.GPC_SIGNAL, Reason.PURPOSE_REFUSED):
            assert (remark.rule, remark.reason) in [(each.winner, each.refused) for each in at]
        elif remark.rule == "consent":
            assert told.consent == remark
        elif not remark.path.startswith("properties"):
            assert told.event == remark
    text = json.dumps(told.as_json())
    assert [each for each in strings(dict(record.properties)) if len(each) > 3 and each in text] == []
    assert "zq" not in text


@given(POLICIES, RECORDS)
@settings(max_examples=60, deadline=None)
def test_one_rule_at_most_decides_and_every_shadow_names_it(policy: Policy, record: Record) -> None:
    for each in explain(compile_policy(policy), record).paths:
        winners = [rule for rule in each.rules if rule.outcome in DECIDES]
        assert [rule.rule for rule in winners] == ([each.winner] if each.winner not in (None, "identifiers") else [])
        for rule in each.rules:
            assert (rule.outcome is Outcome.SHADOWED) <= (rule.by == each.winner)


# --- by hand ---------------------------------------------------------------------------------------------------------


def told(text: str, properties: dict[str, Any], name: str = "Signup", **more: Any) -> Explanation:
    context = more.pop("context", None)
    record = Record(more.pop("scope", Scope.EVENT), name, properties, **more)
    return explain(compile_policy(load(f"policy: p\n{text}")), record, context)


def rule(rule_id: str, properties: str, action: str = "drop", more: str = "") -> str:
    return (
        f"  - {{id: {rule_id}, properties: {properties}, category: user.name, sensitivity: internal, action: {action}{more}}}\n"
    )


def outcomes(path: PathExplained) -> list[tuple[str, str, str]]:
    return [(each.rule, each.outcome.value, each.by) for each in path.rules]


def test_every_outcome_is_told() -> None:
    text = (
        "rules:\n"
        + rule("other-event", "email", more=", scope: event, events: [Login]")
        + rule("other-scope", "email", more=", scope: profile")
        + rule("wins", "email", "hash", ", why: Because.")
        + rule("shadowed", '"*mail"', "keep")
        + rule("box", "box", "{truncate: {length: 20}}")
    )
    email, city, box, inner = told(text, {"email": "zq@example.com", "$city": "zq", "box": [{"inner": "zq"}]}).paths
    assert outcomes(email) == [
        ("other-event", "other_event", ""),
        ("other-scope", "other_scope", ""),
        ("wins", "won", ""),
        ("shadowed", "shadowed", "wins"),
    ]
    assert (email.winner, email.action, email.rules[2].why) == ("wins", "hash", "Because.")
    assert outcomes(city) == [("geolocation", "standing_rule", "")]
    assert (inner.path, outcomes(inner)) == ("properties.box[].inner", [("box", "inherited", "properties.box")])
    assert outcomes(box) == [("box", "won", "")]


def test_lists_are_one_path_and_json_in_strings_is_opened() -> None:
    text = "rules:\n" + rule("a", '["items[].email"]')
    paths = told(
        text, {"items": [{"email": "zq"}, {"email": "zq"}], "form": '{"items":[{"email":"zq"}]}', "tags": ["a", "b"]}
    ).paths
    assert [each.path for each in paths] == [
        "properties.items",
        "properties.items[].email",
        "properties.form",
        "properties.form.items",
        "properties.form.items[].email",
        "properties.tags",
    ]
    assert [each.winner for each in paths] == [None, "a", None, None, "a", None]


def test_findings_are_told_by_kind_and_names_that_are_personal_are_not_told() -> None:
    explained = told("detectors: {email: hash}\n", {"note": "zq@example.com", "zq@example.com": 1})
    note, key = explained.paths
    assert [(each.detector, each.action) for each in note.found] == [("email", "hash")]
    assert all(0 <= each.confidence <= 1 for each in note.found)
    assert key.path == "properties.<key>"
    assert key.found
    assert "zq" not in repr(explained)


def test_consent_and_events_are_told_and_the_properties_too() -> None:
    explained = told(
        "consent: {signals: [gpc]}\n", {"x": 1}, context=CheckContext(PseudonymKey(1, bytes(32)), signals=frozenset({Signal.GPC}))
    )
    assert explained.consent is not None
    assert (explained.consent.reason, explained.event, explained.verdict) == ("gpc_signal", None, Verdict.DROPPED)
    assert [each.path for each in explained.paths] == ["properties.x"]
    for text, reason in (
        ("events: {block: [Signup]}\n", "blocked_event"),
        ("unknown_events: drop\n", "unknown_event"),
        ("unknown_events: quarantine\n", "unknown_event"),
        ("events: {drop: [{id: f, where: [{property: x, is: 1}]}]}\n", "drop_filter"),
    ):
        explained = told(text, {"x": 1})
        assert explained.event is not None
        assert explained.event.reason == reason


def test_every_refusal_is_told_and_not_only_the_first() -> None:
    text = "rules:\n" + rule("first", "a", "drop_event") + rule("second", "b", "drop_event")
    explained = told(text, {"a": 1, "box": {"a": 2, "b": 3}})
    assert explained.verdict is Verdict.DROPPED
    assert {each.path: each.winner for each in explained.paths} == {
        "properties.a": "first",
        "properties.box": None,
        "properties.box.a": "first",
        "properties.box.b": "second",
    }


def test_the_parts_of_the_wire_format_and_a_look_up_are_told() -> None:
    places = CheckContext(
        PseudonymKey(1, bytes(32)), identifiers="exposed", ip="203.0.113.9", places=lambda _: Whereabouts("FR", "zq", "zq")
    )
    explained = told("geolocation: country\n", {"distinct_id": "zq@example.com", "time": 1, "$insert_id": "x"}, context=places)
    identifier, clock, insert_id = explained.paths
    assert (identifier.part, identifier.winner, identifier.action) == ("identifier", "identifiers", "hash")
    assert (clock.part, insert_id.part) == ("clock", "insert_id")
    assert explained.geolocated == ("properties.mp_country_code",)
    assert explained.geolocation is Geolocation.COUNTRY


@pytest.mark.parametrize("properties", [{"a": "[" * 50_000}, {1: "x"}, {"a": object()}, {"\ud800": "\ud800"}])
def test_hostile_records_are_explained_too(properties: Any) -> None:
    gate = compile_policy(load(library.text("gdpr-analytics")))
    record = Record(Scope.EVENT, "E", properties)
    assert explain(gate, record).remarks == gate.check([record], CONTEXT)[0].remarks
