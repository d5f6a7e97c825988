"""A diff says what changed in meaning, and which way, where that can be said."""

from __future__ import annotations

import pytest

from policies import library
from policies.diff import Change, Direction, Item, diff, summary
from policies.load import load

S, L = Direction.STRICTER, Direction.LOOSER


def rule(rule_id: str, properties: str, action: str = "drop", more: str = "") -> str:
    return (
        f"  - {{id: {rule_id}, properties: {properties}, category: user.name, sensitivity: internal, action: {action}{more}}}\n"
    )


def changes(before: str, after: str) -> list[Item]:
    return list(diff(load(f"policy: p\n{before}"), load(f"policy: p\n{after}")))


def told(before: str, after: str) -> list[tuple[str, str, str, Direction | None]]:
    return [(each.kind, each.name, each.change.value, each.direction) for each in changes(before, after)]


A, B, C = rule("a", "x"), rule("b", "y", "keep"), rule("c", "z")


def test_equal_policies_do_not_differ_however_they_are_written() -> None:
    assert (
        changes("rules:\n" + A, "# a comment\ndescription: other words\nrules:\n" + A.replace("properties: x", "properties: [x]"))
        == []
    )
    assert diff(load(library.text("gdpr-analytics")), load(library.text("gdpr-analytics"))) == ()


def test_rules_are_added_removed_changed_and_moved() -> None:
    assert told("rules:\n" + A + B + C, "rules:\n" + C + A + B) == [("rule", "c", "moved", None)]
    assert told("rules:\n" + A, "rules:\n" + A + C) == [("rule", "c", "added", S)]
    assert told("rules:\n" + A + C, "rules:\n" + A) == [("rule", "c", "removed", L)]
    (moved,) = changes("rules:\n" + A + B + C, "rules:\n" + C + A + B)
    assert moved.details == ("was after `b`", "is first")
    (changed,) = changes("rules:\n" + A, "rules:\n" + rule("a", "x", "hash"))
    assert str(changed) == "changed rule a [looser]: action: drop → hash"
    (changed,) = changes("rules:\n" + rule("a", "[x, y]"), "rules:\n" + rule("a", "[y, z, w]"))
    assert changed.details == ("properties: +z +w -x",)


def test_what_depends_on_other_rules_is_not_judged() -> None:
    assert told("rules:\n" + A, "rules:\n" + rule("b", '"*"', "keep") + A) == [("rule", "b", "added", None)]
    assert told("rules:\n" + A, "rules:\n" + rule("a", "[x, y]")) == [("rule", "a", "changed", None)]
    unknown = "unknown_properties: {otherwise: allow, restricted: drop}\n"
    assert told(unknown, unknown + "rules:\n" + A) == [("rule", "a", "added", None)]


ACTIONS = [
    ("keep", "drop", S),
    ("drop", "drop_event", S),
    ("hash", "redact", S),
    ("hash", "{mask: {keep_last: 2}}", None),
    ("tokenise", "hash", S),
    ("hash", "{hash: {period: day}}", S),
    ("{hash: {period: day}}", "{hash: {period: week}}", None),
    ("{hash: {purpose: a}}", "{hash: {purpose: b}}", None),
    ("{mask: {keep_last: 2}}", "{mask: {keep_last: 4}}", L),
    ("{mask: {keep_first: 1, keep_last: 2}}", "{mask: {keep_first: 2, keep_last: 1}}", None),
    ("{truncate: {length: 4}}", "{truncate: {length: 2}}", S),
    ("{generalise: {bucket: 10}}", "{generalise: {bucket: 20}}", S),
    ("{generalise: {bucket: 10}}", "{generalise: {bucket: 15}}", None),
    ("{generalise: {date: month}}", "{generalise: {date: year}}", S),
    ("{generalise: {postal: 2}}", "{generalise: {postal: 3}}", L),
    ("{generalise: {bands: [18]}}", "{generalise: {bands: [18, 65]}}", L),
    ("{generalise: {bands: [18]}}", "{generalise: {postal: 3}}", None),
    ("quarantine", "redact", L),
]


@pytest.mark.parametrize(("before", "after", "direction"), ACTIONS)
def test_actions(before: str, after: str, direction: Direction | None) -> None:
    assert told("rules:\n" + rule("a", "x", before), "rules:\n" + rule("a", "x", after)) == [("rule", "a", "changed", direction)]
    opposite = {S: L, L: S, None: None}[direction]
    assert told("rules:\n" + rule("a", "x", after), "rules:\n" + rule("a", "x", before)) == [("rule", "a", "changed", opposite)]


REST = [
    ("geolocation: off", "geolocation: city", "geolocation", "changed", L),
    ("default_region: DE", "default_region: US", "default_region", "changed", None),
    ("unknown_properties: allow", "unknown_properties: drop", "unknown_properties", "changed", S),
    (
        "unknown_events: {otherwise: allow, restricted: drop}",
        "unknown_events: {otherwise: allow}",
        "unknown_events",
        "changed",
        L,
    ),
    (
        "unknown_events: {otherwise: quarantine}",
        "unknown_events: {otherwise: allow, restricted: drop}",
        "unknown_events",
        "changed",
        None,
    ),
    ("events: {allow: [A]}", "events: {allow: [A, B]}", "events.allow", "added", L),
    ("events: {block: [A]}", "events: {block: []}", "events.block", "removed", L),
    ("", "events: {drop: [{id: f, where: [{property: x, is: 1}]}]}", "events.drop", "added", S),
    ("", "consent: {default: opted_out}", "consent.default", "changed", S),
    ("consent: {signals: [gpc, dnt]}", "consent: {signals: [gpc]}", "consent.signals", "removed", L),
    ("", "consent: {purposes: [{id: ads, events: A}]}", "consent.purposes", "added", None),
    (
        "consent: {purposes: [{id: ads, events: A}]}",
        "consent: {purposes: [{id: ads, events: A, signals: [gpc]}]}",
        "consent.purposes",
        "changed",
        S,
    ),
    (
        "consent: {purposes: [{id: ads, events: A, signals: [gpc, dnt]}]}",
        "consent: {purposes: [{id: ads, events: A, signals: gpc}]}",
        "consent.purposes",
        "changed",
        L,
    ),
    (
        "consent: {purposes: [{id: ads, events: A}]}",
        "consent: {purposes: [{id: ads, events: B, signals: gpc}]}",
        "consent.purposes",
        "changed",
        None,
    ),
    ("retention: [{id: r, events: A, days: 30}]", "retention: [{id: r, events: A, days: 20}]", "retention", "changed", S),
    ("retention: [{id: r, events: A, days: 30}]", "retention: [{id: r, events: B, days: 20}]", "retention", "changed", None),
    ("retention: [{id: r, events: A, days: 30}]", "", "retention", "removed", L),
    ("detectors: {card: drop}", "detectors: {card: keep}", "detector", "changed", L),
    ("detectors: {card: {confidence: 0.4}}", "detectors: {card: {confidence: 0.9}}", "detector", "changed", L),
    ("detectors: {card: {allow: [a]}}", "detectors: {card: {allow: [a, b]}}", "detector", "changed", L),
    ("detectors: {card: {context: [a]}}", "detectors: {card: {context: [a, b]}}", "detector", "changed", S),
    ("detectors: {card: {confidence: 0.4}}", "detectors: {card: {confidence: 0.9, action: drop}}", "detector", "changed", None),
]


@pytest.mark.parametrize(("before", "after", "kind", "change", "direction"), REST)
def test_the_rest(before: str, after: str, kind: str, change: str, direction: Direction | None) -> None:
    ((found, _, was, points),) = told(before, after)
    assert (found, was, points) == (kind, change, direction)


def test_a_difference_tells_no_example_and_no_constant_of_the_data() -> None:
    case = "cases: [{name: c, event: E, properties: {email: %s}, expect: {verdict: pass, properties: {email: %s}}}]\n"
    filters = "events: {drop: [{id: f, where: [{property: who, is: %s}]}]}\n"
    before, after = filters % "ada-zq" + case % ("ada-zq", "ada-zq"), filters % "bob-zq" + case % ("bob-zq", "bob-zq")
    items = changes(before, after)
    assert [(each.kind, each.details) for each in items] == [("events.drop", ("where",)), ("case", ("record", "expected"))]
    assert "zq" not in " ".join(map(str, items))


def test_a_summary_counts() -> None:
    items = changes("rules:\n" + A + B, "detectors: {card: keep}\nrules:\n" + B + C)
    assert summary(items) == {"detectors_changed": "1", "looser": "2", "rules_added": "1", "rules_removed": "1", "stricter": "1"}
    assert summary(()) == {}
    assert items[0].change is Change.ADDED
