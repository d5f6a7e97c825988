"""Every mistake in a policy file is reported at once, where it stands, with what was probably meant."""

from __future__ import annotations

import pytest

from policies.compile import compile_policy
from policies.errors import PolicyInvalid, PolicyProblem, PolicySyntaxError
from policies.load import load
from policies.model import ActionKind, Detector, Geolocation, Hash, Mask, Policy, Rule, Scope, Sensitivity, Truncate

RULE = "rules:\n  - {id: a, properties: x, category: user, sensitivity: internal, action: drop"


def problems(text: str) -> list[PolicyProblem]:
    with pytest.raises(PolicyInvalid) as caught:
        load(text)
    return list(caught.value.problems)


def test_five_mistakes_are_reported_at_once_with_line_and_column() -> None:
    text = """\
policy: test
unknwon_properties: allow
detectors:
  emial: redact
rules:
  - id: email
    properties: [email]
    category: user.contact.email
    sensitivity: secret
    action: hsah
    classified: maybe
  - id: email
    properties: [phone]
    category: user.contact
    sensitivity: internal
    action: {mask: {keep_last: two}}
"""
    found = [(one.line, one.column, one.path, one.hint) for one in problems(text)]
    assert found == [
        (2, 1, "", "did you mean `unknown_properties`?"),
        (4, 3, "detectors", "did you mean `email`?"),
        (9, 18, "rules[0].sensitivity", "one of public, internal, confidential, restricted"),
        (10, 13, "rules[0].action", "did you mean `hash`?"),
        (11, 17, "rules[0].classified", ""),
        (12, 9, "rules[1].id", ""),
        (16, 32, "rules[1].action.mask.keep_last", ""),
    ]


MISTAKES = [
    ("policy: a\npolicy: b", 2, 1, "`policy` is already given in line 1"),
    ("description: x", 1, 1, "`policy` is missing"),
    ("policy: [a]", 1, 9, "must be text, not a list"),
    ("policy: A b", 1, 9, "joined by dashes"),
    ("- policy", 1, 1, "must be a mapping, not a list"),
    ("policy: a\nrules: {}", 2, 8, "must be a list, not a mapping"),
    ("policy: a\nrules: [drop]", 2, 9, "must be a mapping, not a single value"),
    ("policy: a\ngeolocation: village", 2, 14, "unknown value `village`"),
    ("policy: a\ndefault_region: usa", 2, 17, "country code"),
    ("policy: a\ndetectors: {email: mask}", 2, 20, "needs a whole value"),
    ("policy: a\n" + RULE + ", events: [x]}", 3, 89, "only events have names"),
    ("policy: a\n" + RULE + ", scan: false}", 3, 87, "only a property that is kept"),
    ("policy: a\n" + RULE.replace("x,", "distinct_id,") + "}", 3, 25, "belongs to the wire format"),
    ("policy: a\n" + RULE.replace("x,", '"a[0].b",') + "}", 3, 25, "not a property path"),
    ("policy: a\n" + RULE.replace("x,", "[],") + "}", 3, 25, "at least one property"),
    ("policy: a\n" + RULE.replace("user,", "email,") + "}", 3, 38, "fideslang key"),
    ("policy: a\n" + RULE.replace("drop", "truncate") + "}", 3, 75, "`truncate` needs settings"),
    ("policy: a\n" + RULE.replace("drop", "{truncate: {length: -1}}") + "}", 3, 95, "whole number from 0"),
    ("policy: a\n" + RULE.replace("drop", "{drop: {x: 1}}") + "}", 3, 82, "`drop` has no settings"),
    ("policy: a\n" + RULE.replace("drop", "{mask: {}, drop: {}}") + "}", 3, 75, "must be one action"),
    ("policy: a\ncases: [{name: x, properties: {}, expect: {verdict: fine}}]", 2, 53, "unknown value `fine`"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), MISTAKES)
def test_a_mistake_names_its_place(text: str, line: int, column: int, words: str) -> None:
    assert [(one.line, one.column) for one in problems(text) if words in one.message] == [(line, column)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("policy: a\nrules: [", "not valid YAML"),
        ("policy: a\x00", "character"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("policy: !!python/object:os.system a", "tags"),
        ("policy: a\n---\npolicy: b", "one policy"),
        ("policy: " + "[" * 30_000, "deeper"),
        ("policy: a #" + "x" * 300_000, "larger than 256 KiB"),
        ("a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*c,*c]", "aliases"),
    ],
)
def test_dangerous_yaml_is_refused(text: str, words: str) -> None:
    with pytest.raises(PolicySyntaxError) as caught:
        load(text)
    assert words in str(caught.value)
    assert caught.value.problems[0].line >= 1


def test_a_full_policy_is_read_as_written() -> None:
    policy = load(
        """\
policy: full
geolocation: off
default_region: DE
detectors: {email: hash, phone: keep}
events: {allow: [A], block: "B*"}
unknown_events: drop
rules:
  - {id: a, properties: [x, "y[].z"], scope: [event, group], category: user.name, sensitivity: restricted,
     action: {hash: {purpose: join}}, classified: true, why: because}
  - {id: b, properties: z, category: user, sensitivity: public, action: {mask: {keep_first: 1, keep_last: 2}}}
  - {id: c, properties: w, category: user, sensitivity: public, action: {truncate: {length: 4}}}
"""
    )
    assert policy.geolocation is Geolocation.OFF
    assert {name: terms.action for name, terms in policy.detectors} == {
        **dict.fromkeys(Detector, ActionKind.REDACT),
        Detector.EMAIL: ActionKind.HASH,
        Detector.PHONE: ActionKind.KEEP,
    }
    assert (policy.allowed_events, policy.blocked_events) == (("A",), ("B*",))
    assert policy.rules[0] == Rule(
        "a",
        ("x", "y[].z"),
        "user.name",
        Sensitivity.RESTRICTED,
        Hash("join"),
        (Scope.EVENT, Scope.GROUP),
        classified=True,
        why="because",
    )
    assert [rule.action for rule in policy.rules[1:]] == [Mask(1, 2), Truncate(4)]


def test_a_policy_built_by_hand_is_held_to_the_same_rules() -> None:
    twice = Rule("a", (), "user", Sensitivity.PUBLIC, Hash())
    with pytest.raises(PolicyInvalid) as caught:
        compile_policy(Policy("x", rules=(twice, twice), detectors=(), default_region="?"))
    assert len(caught.value.problems) == 4 + len(Detector)


MISSPELT = [
    ("conset: {}", "consent"),
    ("retenion: []", "retention"),
    ("detectors: {nationl_id: drop}", "national_id"),
    ("detectors: {card: {acton: drop}}", "action"),
    ("detectors: {card: {confidense: 1}}", "confidence"),
    ("events: {blok: [a]}", "block"),
    ("events: {drop: [{id: a, wher: []}]}", "where"),
    ("events: {drop: [{id: a, where: [{proprty: x, is: 1}]}]}", "property"),
    ("events: {drop: [{id: a, where: [{property: x, contain: y}]}]}", "contains"),
    ("consent: {defalt: opted_in}", "default"),
    ("consent: {default: optd_in}", "opted_in"),
    ("consent: {signls: gpc}", "signals"),
    ("consent: {purposes: [{id: a, event: x}]}", "events"),
    ("retention: [{id: a, categry: user, days: 3}]", "category"),
    ("geolocation: contry", "country"),
    ("unknown_properties: {otherwize: allow}", "otherwise"),
    ("unknown_events: {otherwise: alow}", "allow"),
    (RULE.replace("drop", "{genralise: {date: month}}") + "}", "generalise"),
    (RULE.replace("drop", "{generalise: {dat: month}}") + "}", "date"),
    (RULE.replace("drop", "{generalise: {date: mnth}}") + "}", "month"),
    (RULE.replace("drop", "{hash: {perod: day}}") + "}", "period"),
    (RULE.replace("drop", "{hash: {period: dya}}") + "}", "day"),
    (RULE.replace("drop", "{tokenise: {purpos: x}}") + "}", "purpose"),
    (RULE.replace("drop", "{replace: {wth: x}}") + "}", "with"),
    (RULE.replace("drop", "encript") + "}", "encrypt"),
    ("cases: [{name: a, event: b, properties: {}, expect: {verdct: pass}}]", "verdict"),
    ("cases: [{name: a, event: b, propertis: {}, expect: {verdict: pass}}]", "properties"),
    ("cases: [{name: a, event: b, properties: {}, state: optd_out, expect: {verdict: pass}}]", "opted_out"),
    ("cases: [{name: a, event: b, properties: {}, signals: [gcp], expect: {verdict: pass}}]", "gpc"),
    ("consent: {purposes: [{id: a, events: x, signals: [gcp]}]}", "gpc"),
]


@pytest.mark.parametrize(("text", "meant"), MISSPELT)
def test_every_key_and_word_is_guessed(text: str, meant: str) -> None:
    assert f"did you mean `{meant}`?" in {each.hint for each in problems(f"policy: a\n{text}")}
    assert all(each.line == 2 or "rules" in text for each in problems(f"policy: a\n{text}"))


def test_mistakes_in_every_part_are_told_at_once() -> None:
    text = "policy: a\n" + "\n".join(
        text for text, _ in (MISSPELT[0], MISSPELT[2], MISSPELT[5], MISSPELT[14], MISSPELT[15], MISSPELT[17])
    )
    assert {each.line for each in problems(text)} >= {2, 3, 4, 5, 6, 8}


def test_a_rule_names_purposes_that_there_are() -> None:
    text = "policy: a\nconsent: {purposes: [{id: sale, signals: gpc}]}\nrules:\n  - {id: a, properties: [x], category: user, "
    text += "sensitivity: internal, action: keep, purposes: [sal]}"
    (problem,) = problems(text)
    assert (problem.path, problem.hint) == ("rules[0].purposes[0]", "did you mean `sale`?")
    (problem,) = problems(text.replace("consent: {purposes: [{id: sale, signals: gpc}]}\n", ""))
    assert problem.hint == "list it under `consent.purposes`"
    (problem,) = problems(text.replace("[sal]", "sale").replace("keep", "drop"))
    assert (problem.path, problem.hint) == ("rules[0].purposes", "remove `purposes`")
    assert load(text.replace("[sal]", "sale")).rules[0].purposes == ("sale",)
