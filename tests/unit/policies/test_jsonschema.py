"""The schema for editors accepts every policy there is, refuses what the reader refuses, and knows every word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from policies import actions, cases, library, schema
from policies.errors import PolicyInvalid
from policies.jsonschema import policy_schema
from policies.load import load, plain
from policies.model import ActionKind, Detector
from tests.unit.policies.test_load import MISTAKES

SCHEMA = policy_schema()
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA)
DOCS = sorted((Path(__file__).parents[3] / "docs").rglob("*.md"))
EXAMPLES = [
    text
    for path in DOCS
    for text in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    if "policy:" in text
]
# What only the reader can see.
NOT_STRUCTURAL = ("is already given in line",)


def test_it_is_a_schema() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("text", [*map(library.text, library.names()), *EXAMPLES])
def test_every_policy_that_is_shown_is_accepted(text: str) -> None:
    load(text)
    VALIDATOR.validate(plain(text))


def test_the_docs_have_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize(("text", "words"), [(text, words) for text, _, _, words in MISTAKES])
def test_every_structural_mistake_is_refused(text: str, words: str) -> None:
    if any(each in words for each in NOT_STRUCTURAL) or "already given" in words:
        with pytest.raises(PolicyInvalid):
            plain(text)
        return
    assert not VALIDATOR.is_valid(plain(text))


FULL = """\
policy: full
description: all of it
geolocation: region
default_region: DE
unknown_properties: {otherwise: allow, confidential: quarantine, restricted: drop}
unknown_events: drop
events: {allow: [A, 404], block: "B*", drop: [{id: f, events: A, where: [{property: x.y, is: [1, b, null]}, {property: z, exists: false}]}]}
consent: {default: opted_out, signals: [gpc, dnt], purposes: [{id: ads, events: "Ad *", signals: gpc}, {id: reach}]}
detectors: {email: hash, phone: {action: drop, confidence: 0.7, context: [ring], allow: "555*"}}
rules:
  - {id: a, properties: [x, "y[].z"], scope: [event], events: [A], category: user.name, sensitivity: restricted,
     action: {hash: {purpose: join, period: month}}, classified: true, purposes: [ads, reach], why: because}
  - {id: b, properties: z, category: user, sensitivity: public, action: {mask: {keep_first: 1, keep_last: 2}}}
  - {id: c, properties: w, category: user, sensitivity: public, action: {truncate: {length: 4}}}
  - {id: d, properties: v, category: user, sensitivity: public, action: keep, scan: false}
  - {id: e, properties: u, category: user, sensitivity: public, action: {generalise: {bands: [18, 65]}}}
  - {id: f, properties: t, category: user, sensitivity: public, action: {replace: {with: 1}}}
  - {id: g, properties: s, category: user, sensitivity: public, action: {tokenise: {purpose: p}}, scope: event, events: A}
  - {id: h, properties: r, category: user, sensitivity: public, action: encrypt}
retention: [{id: r, category: user.contact, days: 30}, {id: s, events: "*", days: 365}]
cases:
  - {name: c, scope: profile, operation: $set, properties: {x: 1}, state: opted_in, time: 2026-06-15, signals: gpc, refused_purposes: [ads],
     expect: {verdict: changed, properties: {}, reasons: [classified]}}
"""


def test_everything_the_language_has_is_accepted() -> None:
    load(FULL)
    VALIDATOR.validate(plain(FULL))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("geolocation: region", "geolocation: village"),
        ("otherwise: allow, ", ""),
        ("is: [1, b, null]", "is: [1], is_not: [2]"),
        ("default: opted_out", "default: maybe"),
        ("signals: [gpc, dnt]", "signals: [gcp]"),
        ("email: hash", "email: encrypt"),
        ("confidence: 0.7", "confidence: 7"),
        ("period: month", "period: decade"),
        ("bands: [18, 65]", "bands: []"),
        ("generalise: {bands: [18, 65]}", "generalise: {bands: [18], postal: 3}"),
        ("replace: {with: 1}", "replace: {}"),
        ("category: user.contact, days: 30", "days: 30"),
        ("days: 30", "days: 0"),
        ("operation: $set", "event: $set"),
        ("state: opted_in", "state: asleep"),
    ],
)
def test_mistakes_in_the_newer_parts_are_refused_by_both(before: str, after: str) -> None:
    text = FULL.replace(before, after)
    assert text != FULL
    with pytest.raises(PolicyInvalid):
        load(text)
    assert not VALIDATOR.is_valid(plain(text))


def keys(part: dict[str, Any]) -> set[str]:
    return set(part["properties"])


def test_it_knows_the_keys_that_the_reader_knows() -> None:
    defs = SCHEMA["$defs"]
    assert keys(SCHEMA) == set(schema._POLICY_FIELDS)
    assert keys(defs["rule"]) == set(schema._RULE_FIELDS)
    assert set(defs["rule"]["required"]) == set(schema._RULE_REQUIRED)
    assert keys(defs["detector"]["oneOf"][1]) == set(schema._DETECTOR_FIELDS)
    assert defs["detector"]["oneOf"][0]["enum"] == list(schema._DETECTOR_ACTIONS)
    assert keys(SCHEMA["properties"]["detectors"]["oneOf"][1]) == set(Detector)
    condition = defs["filter"]["properties"]["where"]["items"]
    assert keys(condition) == {"property", *schema._TESTS}
    assert keys(defs["case"]) == set(cases._FIELDS)
    assert keys(defs["case"]["properties"]["expect"]) == set(cases._EXPECT_FIELDS)


def test_it_knows_every_action_with_and_without_settings() -> None:
    bare = {each["const"] for each in SCHEMA["$defs"]["action"]["oneOf"] if "const" in each}
    settled = {next(iter(each["properties"])) for each in SCHEMA["$defs"]["action"]["oneOf"] if "properties" in each}
    assert bare == {*actions._SIMPLE, *actions._WITHOUT_SETTINGS}
    assert settled == set(actions._READERS)
    assert bare | settled == set(ActionKind)
    assert all(each.get("description") or each["properties"] for each in SCHEMA["$defs"]["action"]["oneOf"])
