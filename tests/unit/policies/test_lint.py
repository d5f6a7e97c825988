"""Every finding has a policy that provokes it, a line, and a near miss that does not."""

from __future__ import annotations

import pytest

from policies import library
from policies.categories import CATEGORIES
from policies.compile import compile_policy
from policies.findings import LintFinding, Severity
from policies.lint import CODES, lint, lint_text
from policies.load import load, load_located
from policies.located import position
from policies.model import Drop, Policy, Rule, Sensitivity

CASES = "cases:\n  - {name: c, event: E, properties: {zip: '94107'}, expect: {verdict: changed}}\n"


def rule(rule_id: str, properties: str, action: str = "drop", more: str = "", category: str = "user.name") -> str:
    return (
        f"  - {{id: {rule_id}, properties: {properties}, category: {category}, sensitivity: internal, action: {action}{more}}}\n"
    )


def found(text: str, code: str) -> list[LintFinding]:
    return [each for each in lint_text(f"policy: p\n{text}") if each.code == code]


RULES = "rules:\n"
HASH = "{hash: {purpose: p}}"
# code, a policy that provokes it, the line it is told for, whether it is an error, and a policy that is no such case.
TABLE = [
    ("never-matches", RULES + rule("a", '"*email*"', "keep") + rule("b", "[email, user.$email]"), 4, True,
     RULES + rule("b", "[email, user.$email]") + rule("a", '"*email*"', "keep")),
    ("never-matches", RULES + rule("a", "email") + rule("b", "[email, user.email]"), 4, False,
     RULES + rule("a", "email", more=", scope: profile") + rule("b", "email")),
    ("never-matches", RULES + rule("a", "$city", "keep"), 3, True, "geolocation: off\n" + RULES + rule("a", "city", "keep")),
    ("never-matches", RULES + rule("a", "x", more=", scope: event") + rule("b", "x", more=", scope: event, events: [A]"), 4, False,
     RULES + rule("a", "x", more=", scope: event, events: [A]") + rule("b", "x", more=", scope: event")),
    ("partly-shadowed", RULES + rule("a", "email") + rule("b", "[x, Email]"), 4, False, RULES + rule("a", "email") + rule("b", "[x, y]")),
    ("contradiction", RULES + rule("a", "email", "keep") + rule("b", "[x, Email]"), 4, True,
     RULES + rule("a", "email", "keep", ", scope: profile") + rule("b", "[x, email]")),
    ("contradiction", RULES + rule("a", "email", "keep", ", scope: [event, group]") + rule("b", "[email]", more=", scope: [event, profile]"),
     4, False, RULES + rule("a", "email", "keep", ", scope: group") + rule("b", "[email]", more=", scope: profile")),
    ("keeps-restricted", RULES + rule("a", '["*password*"]', "keep"), 3, True, RULES + rule("a", '["password_changed"]', "keep")),
    ("keeps-restricted", RULES + rule("a", "user_ssn", "keep"), 3, False, RULES + rule("a", "assn", "keep")),
    ("keeps-restricted", RULES + rule("a", "card_number", "keep", ", scan: false"), 3, True, RULES + rule("a", "card_number")),
    ("keeps-restricted", RULES + rule("a", "x", "keep").replace("internal", "restricted"), 3, False, RULES + rule("a", "x", "keep")),
    # A wild pattern is also matched with `_` between its words; one form alone covers only itself.
    ("never-matches", RULES + rule("a", '"*userEmail*"') + rule("b", '"*user_email*"', "keep"), 4, True,
     RULES + rule("a", '"*user_email*"') + rule("b", '"*userEmail*"', "keep")),
    # Special categories, by name or by category: the ground must be written down, and then it is a warning.
    *(
        ("keeps-restricted", RULES + rule("a", name, "keep"), 3, True, RULES + rule("a", name))
        for name in ("diagnosis", "user_ethnicity", "trade_union_membership", "politicalParty", "fingerprint", "'*_religion'")
    ),
    ("keeps-restricted", RULES + rule("a", "diagnosis", "keep", ", why: Article 9(2)(j)"), 3, False, RULES + rule("a", "trace", "keep")),
    ("keeps-restricted", RULES + rule("a", "x", "keep", category="user.health_and_medical.genetic"), 3, True,
     RULES + rule("a", "x", "drop", category="user.health_and_medical.genetic")),
    ("keeps-restricted", RULES + rule("a", "x", "keep", ", why: consent", category="user.biometric.voice"), 3, False,
     RULES + rule("a", "x", "keep", category="user.behavior")),
    ("hashes-restricted", RULES + rule("a", "x", "hash").replace("internal", "restricted"), 3, False,
     RULES + rule("a", "x", "{hash: {period: day}}").replace("internal", "restricted")),
    ("shared-purpose", RULES + rule("a", "x", HASH) + rule("b", "y", HASH, category="user.contact.email"), 4, False,
     RULES + rule("a", "x", HASH) + rule("b", "y", HASH)),
    ("mask-hides-nothing", RULES + rule("a", "x", "{mask: {keep_first: 6, keep_last: 4}}"), 3, False,
     RULES + rule("a", "x", "{mask: {keep_first: 6, keep_last: 4}}", category="user.financial.credit_card")),
    ("truncates-email", RULES + rule("a", "x", "{truncate: {length: 4}}", category="user.contact.email"), 3, False,
     RULES + rule("a", "x", "{truncate: {length: 4}}")),
    ("unknown-category", RULES + rule("a", "x", category="user.contact.emial"), 3, False, RULES + rule("a", "x", category="user.contact.email")),
    ("lets-everything-through", "detectors: keep\n", 2, False, "detectors: keep\nunknown_properties: drop\n"),
    ("detector-off", "detectors: {card: keep}\n", 2, False, "detectors: {email: keep}\n"),
    ("default-region", RULES + rule("a", "phone", "hash", category="user.contact.phone_number"), 3, False,
     "default_region: US\n" + RULES + rule("a", "phone", "hash", category="user.contact.phone_number")),
    ("allowed-and-blocked", "events: {allow: [Debug x], block: ['Debug *']}\n", 2, True, "events: {allow: ['D*'], block: ['Debug *']}\n"),
    ("allow-without-effect", "events: {allow: [A]}\n", 2, False, "unknown_events: drop\nevents: {allow: [A]}\n"),
    ("rule-for-absent-event", "events: {block: ['D*']}\n" + RULES + rule("a", "x", more=", scope: event, events: [Debug]"), 4, False,
     "events: {block: ['D*']}\n" + RULES + rule("a", "x", more=", scope: event, events: [Bug]")),
    ("rule-for-absent-event", "unknown_events: drop\nevents: {allow: [A]}\n" + RULES + rule("a", "x", more=", scope: event, events: [B]"), 5,
     False, "unknown_events: drop\nevents: {allow: ['?']}\n" + RULES + rule("a", "x", more=", scope: event, events: [B]")),
    ("filter-never-reached", "events: {block: [A], drop: [{id: f, events: [A], where: [{property: x, is: 1}]}]}\n", 2, False,
     "events: {block: [B], drop: [{id: f, events: [A], where: [{property: x, is: 1}]}]}\n"),
    ("filter-never-reached", "events: {drop: [{id: f, where: [{property: x, is: 1}]},\n"
     "  {id: g, where: [{property: x, is: 1}, {property: y, is: 1}]}]}\n", 3, False,
     "events: {drop: [{id: f, where: [{property: x, is: 1}]},\n  {id: g, where: [{property: x, is: 2}, {property: y, is: 1}]}]}\n"),
    ("purpose-without-events", "unknown_events: drop\nevents: {allow: [A]}\nconsent: {purposes: [{id: ads, events: [B]}]}\n", 4, False,
     "unknown_events: drop\nevents: {allow: [A]}\nconsent: {purposes: [{id: ads, events: ['*']}]}\n"),
    ("purpose-without-events", "consent: {purposes: [{id: ads}]}\n", 2, False, "consent: {purposes: [{id: ads}]}\n" + RULES
     + rule("a", "x", "hash", ", purposes: ads")),
    ("signal-never-heard", "consent: {signals: [gpc], purposes: [{id: ads, events: A, signals: [gpc]}]}\n", 2, False,
     "consent: {signals: [dnt], purposes: [{id: ads, events: A, signals: [gpc]}]}\n"),
    ("retention-without-rule", "retention: [{id: r, category: user.social, days: 3}]\n", 2, False,
     "retention: [{id: r, category: user.contact, days: 3}]\n"),
    ("no-cases", RULES + rule("a", "x"), 1, False, RULES + rule("a", "x", "keep")),
    ("action-without-case", RULES + rule("a", "x") + CASES, 3, False, RULES + rule("a", "zip") + CASES),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "line", "error", "good"), TABLE, ids=lambda part: part if isinstance(part, str) else "")
def test_a_finding_and_its_near_miss(code: str, text: str, line: int, error: bool, good: str) -> None:
    (finding,) = found(text, code)
    assert finding.line == line
    assert finding.column >= 1
    assert (finding.severity is Severity.ERROR) == error
    assert finding.message
    assert found(good, code) == []


def test_every_code_has_a_row_and_no_other() -> None:
    assert {row[0] for row in TABLE} | {"lint-incomplete"} == CODES


@pytest.mark.parametrize("first", ["*a{:04}*b*a*", "x"])
def test_a_policy_of_hostile_size_is_linted_in_part(first: str) -> None:
    globs = ["[" + ", ".join(f"'{form.format(n)}'" for n in range(100)) + "]" for form in ("*a{:04}*b*a*", "*{:04}a*b*a*")]
    if first == "x":
        first, second = (rule(name, "x", more=f", scope: event, events: {each}") for name, each in zip("ab", globs, strict=True))
    else:
        first, second = (rule(name, each) for name, each in zip("ab", globs, strict=True))
    policy = load(f"policy: p\nretention: [{{id: r, category: user.social, days: 3}}]\n{RULES}{first}{second}")
    codes = {each.code for each in lint(policy, budget=10_000)}
    assert {"lint-incomplete", "no-cases", "retention-without-rule"} <= codes
    assert "lint-incomplete" not in {each.code for each in lint(policy)}


def test_several_findings_come_at_once_in_reading_order() -> None:
    findings = lint_text(
        "policy: p\n" + RULES + rule("a", "password", "keep") + rule("b", "password", category="user.nmae") + rule("c", "z")
    )
    assert [(each.line, each.code) for each in findings] == [
        (1, "no-cases"),
        (3, "keeps-restricted"),
        (4, "never-matches"),
        (4, "unknown-category"),
    ]
    assert findings[3].hint == "did you mean `user.name`?"


@pytest.mark.parametrize("name", library.names())
def test_no_shipped_policy_has_an_error(name: str) -> None:
    assert [each for each in lint_text(library.text(name)) if each.severity is Severity.ERROR] == []


def test_a_policy_without_a_text_is_linted_without_lines() -> None:
    twice = [Rule(name, ("x",), "user.name", Sensitivity.PUBLIC, Drop()) for name in ("a", "b")]
    assert [(each.line, each.path) for each in lint(Policy("p", rules=tuple(twice))) if each.code == "never-matches"] == [
        (0, "rules[1].id")
    ]


def test_what_lint_calls_dead_decides_nothing() -> None:
    policy = load("policy: p\n" + RULES + rule("a", '"*mail*"') + rule("b", "[email, user.mail]", "hash"))
    classifier = compile_policy(policy)._terms.classifier
    from policies.model import Scope

    for scope in Scope:
        for path in ("email", "user.mail", "x.email"):
            assert [each.rule.id for each in classifier.candidates(path, scope)] == ["a", "b"] or path == "x.email"
            entry = classifier.place(classifier.root(scope, 0), path).governing
            assert entry is not None
            assert entry.rule.id == "a"


def test_positions_lead_to_the_nearest_part_that_was_written() -> None:
    _, positions = load_located("policy: p\nrules:\n  - id: a\n    properties: [x,\n      y]\n    category: user\n"
                                "    sensitivity: public\n    action: drop\n")  # fmt: skip
    assert positions["rules[0].properties[1]"] == (5, 7)
    assert position(positions, "rules[0].events[3]") == (3, 5)
    assert position(positions, "consent.purposes") == (1, 1)
    assert position({}, "rules[0]") == (0, 0)


def test_the_taxonomy_is_closed_under_parents() -> None:
    assert {each.rpartition(".")[0] for each in CATEGORIES if "." in each} <= CATEGORIES
