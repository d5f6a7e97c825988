"""The language beyond actions: names, filters, unknowns by sensitivity, consent, purposes, signals, places, cases."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from policies.cases import failures
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.errors import PolicyInvalid
from policies.geolocate import Whereabouts
from policies.load import load
from policies.model import Decision, Fallback, Record, Scope, Sensitivity, Signal, SubjectState, Unknown, Verdict
from policies.pseudonym import PseudonymKey
from policies.terms import fallback_of

KEY = PseudonymKey(1, bytes(range(32)))


def decide(
    text: str, properties: Any, name: str = "Page Viewed", context: CheckContext | None = None, **options: Any
) -> Decision:
    record = Record(options.pop("scope", Scope.EVENT), name, properties, **options)
    (decision,) = compile_policy(load(f"policy: test\n{text}")).check([record], context or CheckContext(KEY))
    return decision


def reasons(decision: Decision) -> list[str]:
    return [remark.reason for remark in decision.remarks]


# --- names ------------------------------------------------------------------------------------------------------------

DROP = "rules: [{{id: r, properties: ['{}'], category: user, sensitivity: internal, action: drop}}]"


@pytest.mark.parametrize("pattern", ["first_name", "firstName", "First Name", "first-name", "FIRSTNAME"])
@pytest.mark.parametrize(
    "name",
    [
        "first_name",
        "firstName",
        "FirstName",
        "First Name",
        "first-name",
        "firstname",
        "fIrStNaMe",
        "first__name",
        "ｆｉｒｓｔ＿ｎａｍｅ",
        "first\u200bname",
    ],
)
def test_a_name_is_the_same_in_every_style(pattern: str, name: str) -> None:
    assert decide(DROP.format(pattern), {name: 1, "x": {name: 1}}).properties == {"x": {}}


@pytest.mark.parametrize(
    ("pattern", "hit", "missed"),
    [
        ("*_ip", ["user_ip", "userIp", "User-IP", "client ip", "userIP"], ["ship", "zip", "tooltip"]),
        ("*_name.first", ["user_name.first", "userName.First"], ["user_name.last", "username.first"]),
        ("card_*", ["card_number", "cardNumber", "CARD-NO"], ["cardinal", "discard_x"]),
        ("is_*", ["isActive", "is-active", "is_active"], ["island", "this_is"]),
        ("a?c", ["abc", "ABC"], ["abbc", "a.c"]),
        ("*", ["x", "X Y"], []),
        ("a*b", ["ab", "aXb", "a b"], ["ab c"]),
    ],
)
def test_in_a_pattern_an_underscore_is_a_boundary_between_words(pattern: str, hit: list[str], missed: list[str]) -> None:
    for name in hit:
        assert decide(DROP.format(pattern), {name: 1}).properties == {}, name
    for name in missed:
        assert decide(DROP.format(pattern), {name: 1}).properties == {name: 1}, name


# --- drop filters -----------------------------------------------------------------------------------------------------

ITEMS = {
    "plan": "Pro",
    "n": 7,
    "ok": True,
    "none": None,
    "l": ["a", 3, None],
    "u": {"plan": "free", "tags": [{"k": "x"}, {"k": "Y"}]},
    "e": [],
    "fullName": "J",
}


@pytest.mark.parametrize(
    ("condition", "caught"),
    [
        ("{property: plan, is: pro}", True),
        ("{property: PLAN, is: [basic, PRO]}", True),
        ("{property: plan, is: ＰＲＯ}", True),
        ("{property: plan, is: free}", False),
        ("{property: n, is: 7}", True),
        ("{property: n, is: 7.0}", True),
        ("{property: n, is: '7'}", False),
        ("{property: ok, is: true}", True),
        ("{property: ok, is: 1}", False),
        ("{property: n, is: true}", False),
        ("{property: none, is: null}", True),
        ("{property: missing, is: null}", False),
        ("{property: l, is: 3}", True),
        ("{property: l, is: [b, null]}", True),
        ("{property: plan, is_not: pro}", False),
        ("{property: plan, is_not: [basic, free]}", True),
        ("{property: missing, is_not: x}", True),
        ("{property: l, is_not: a}", False),
        ("{property: e, is_not: a}", True),
        ("{property: plan, contains: R}", True),
        ("{property: plan, contains: [x, ro]}", True),
        ("{property: n, contains: '7'}", False),
        ("{property: n, exists: true}", True),
        ("{property: none, exists: true}", True),
        ("{property: missing, exists: true}", False),
        ("{property: missing, exists: false}", True),
        ("{property: n, exists: false}", False),
        ("{property: e, exists: true}", False),
        ("{property: n, above: 6.9}", True),
        ("{property: n, above: 7}", False),
        ("{property: n, below: 7}", False),
        ("{property: n, below: 7.1}", True),
        ("{property: ok, above: 0}", False),
        ("{property: plan, above: 0}", False),
        ("{property: l, above: 2}", True),
        ("{property: u.plan, is: free}", True),
        ("{property: 'u.tags[].k', is: y}", True),
        ("{property: u.tags.k, is: z}", False),
        ("{property: k, is: y}", False),
        ("{property: full_name, is: j}", True),
    ],
)
def test_every_condition_of_a_drop_filter(condition: str, caught: bool) -> None:
    decision = decide(f"events: {{drop: [{{id: f, where: [{condition}]}}]}}", ITEMS)
    assert reasons(decision) == (["drop_filter"] if caught else [])
    if caught:
        assert (decision.verdict, decision.remarks[0].rule) == (Verdict.DROPPED, "drop.f")


def test_a_filter_needs_all_its_conditions_and_its_events_and_holds_for_events_only() -> None:
    text = "events: {drop: [{id: f, events: ['Page*'], where: [{property: a, is: 1}, {property: b, exists: true}]}]}"
    assert decide(text, {"a": 1, "b": 0}).verdict is Verdict.DROPPED
    assert decide(text, {"a": 1}).verdict is Verdict.PASS
    assert decide(text, {"a": 1, "b": 0}, name="Other").verdict is Verdict.PASS
    assert decide(text, {"a": 1, "b": 0}, name="$set", scope=Scope.PROFILE).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("{property: a}", "exactly one of"),
        ("{property: a, is: 1, above: 2}", "exactly one of"),
        ("{property: a, above: x}", "must be a number"),
        ("{property: a, exists: maybe}", "true or false"),
        ("{property: a, is: {b: 1}}", "one value, or a list"),
        ("{property: a, is: []}", "one value, or a list"),
        ("{property: a, contains: 7}", "must be text"),
        ("{is: 1}", "`property` is missing"),
    ],
)
def test_a_wrong_condition_is_refused(condition: str, words: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        load(f"policy: t\nevents: {{drop: [{{id: f, where: [{condition}]}}]}}")
    assert words in " ".join(problem.message for problem in caught.value.problems)


# --- unknown, by sensitivity ------------------------------------------------------------------------------------------


def test_more_harm_never_gets_less_care() -> None:
    levels = list(Sensitivity)
    for answers in itertools.product([None, *Fallback], repeat=4):
        found = tuple((level, answer) for level, answer in zip(levels, answers, strict=True) if answer is not None)
        for otherwise in Fallback:
            got = [fallback_of(Unknown(otherwise, found), seen) for seen in (None, *levels)]
            assert got == sorted(got, key=list(Fallback).index)
            assert got[0] is otherwise


MAIL, CARD, ADDRESS = "jane@example.com", "4111 1111 1111 1111", "203.0.113.9"


@pytest.mark.parametrize(
    ("unknown", "value", "verdict", "left"),
    [
        ("allow", MAIL, "changed", {"x": "[email]"}),
        ("{otherwise: allow, confidential: drop}", MAIL, "changed", {}),
        ("{otherwise: allow, confidential: drop}", CARD, "changed", {}),
        ("{otherwise: allow, confidential: drop}", ADDRESS, "changed", {"x": "[ip]"}),
        ("{otherwise: allow, confidential: drop}", "blue", "pass", {"x": "blue"}),
        ("{otherwise: allow, internal: quarantine, restricted: drop}", ADDRESS, "quarantined", {"x": "[ip]"}),
        ("{otherwise: allow, internal: quarantine, restricted: drop}", MAIL, "quarantined", {"x": "[email]"}),
        ("{otherwise: allow, internal: quarantine, restricted: drop}", CARD, "changed", {}),
        ("{otherwise: drop, restricted: allow}", CARD, "changed", {}),
        ("{otherwise: allow, restricted: drop}", 4111111111111111, "changed", {}),
        ("{otherwise: allow, restricted: drop}", {"a": [CARD, "blue"]}, "changed", {"x": {"a": ["blue"]}}),
        ("{otherwise: quarantine}", "blue", "quarantined", {"x": "blue"}),
    ],
)
def test_unknown_properties_by_what_is_found_in_them(unknown: str, value: Any, verdict: str, left: Any) -> None:
    decision = decide(f"unknown_properties: {unknown}", {"x": value})
    assert (decision.verdict, decision.properties) == (verdict, left)


def test_a_property_that_a_rule_names_is_not_unknown_whatever_is_found_in_it() -> None:
    keep = "rules: [{id: r, properties: x, category: user, sensitivity: internal, action: keep}]"
    assert decide(f"unknown_properties: {{otherwise: drop, restricted: drop}}\n{keep}", {"x": CARD}).properties == {"x": "[card]"}


@pytest.mark.parametrize(
    ("properties", "name", "verdict"),
    [
        ({"x": "blue"}, "New", "pass"),
        ({"x": ADDRESS}, "New", "changed"),
        ({"x": MAIL}, "New", "quarantined"),
        ({"x": {"y": [CARD]}}, "New", "dropped"),
        ({"x": CARD}, "Page Viewed", "changed"),
        ({}, f"Mail {MAIL}", "quarantined"),
    ],
)
def test_unknown_events_by_the_gravest_thing_in_them(properties: Any, name: str, verdict: str) -> None:
    text = "events: {allow: ['Page *']}\nunknown_events: {otherwise: allow, confidential: quarantine, restricted: drop}"
    assert decide(text, properties, name=name).verdict == verdict


# --- consent ----------------------------------------------------------------------------------------------------------

CONSENT = "consent: {default: opted_out, signals: [gpc, dnt], purposes: [{id: ads, events: ['Ad *']}, {id: reports, events: ['*']}]}\nevents: {block: ['Ad Blocked'], drop: [{id: f, where: [{property: test, is: true}]}]}"
BOTH = frozenset({Signal.GPC, Signal.DNT})
ALL = frozenset({"ads", "reports"})


@pytest.mark.parametrize(
    ("state", "signals", "refused", "name", "reason"),
    [
        # What the person decided comes first, then the default, the signals in the order of the policy, the purposes, the names, the filters.
        ("opted_out", BOTH, ALL, "Ad Blocked", "opted_out"),
        ("restricted", BOTH, ALL, "Ad Blocked", "restricted"),
        ("erasing", BOTH, ALL, "Ad Blocked", "erased"),
        ("erased", BOTH, ALL, "$opt_in", "erased"),
        ("active", BOTH, ALL, "Ad Blocked", "not_opted_in"),
        ("opted_in", BOTH, ALL, "Ad Blocked", "gpc_signal"),
        ("opted_in", {Signal.DNT}, ALL, "Ad Blocked", "dnt_signal"),
        ("opted_in", set(), ALL, "Ad Blocked", "purpose_refused"),
        ("opted_in", set(), set(), "Ad Blocked", "blocked_event"),
        ("opted_in", set(), set(), "Ad Clicked", "drop_filter"),
        ("active", set(), set(), "$opt_in", "drop_filter"),
        ("active", BOTH, set(), "$opt_in", "gpc_signal"),
    ],
)
def test_the_order_in_which_a_record_is_refused(state: str, signals: Any, refused: Any, name: str, reason: str) -> None:
    context = CheckContext(KEY, signals=frozenset(signals))
    decision = decide(CONSENT, {"test": True}, name, context, state=SubjectState(state), refused_purposes=frozenset(refused))
    assert (decision.verdict, reasons(decision)) == (Verdict.DROPPED, [reason])


@pytest.mark.parametrize("scope", [Scope.PROFILE, Scope.GROUP])
def test_opting_in_is_an_event_and_purposes_are_of_events(scope: Scope) -> None:
    assert reasons(decide(CONSENT, {}, "$opt_in", scope=scope)) == ["not_opted_in"]
    opted_in = {"state": SubjectState.OPTED_IN, "refused_purposes": ALL}
    assert decide(CONSENT, {}, "$set", scope=scope, **opted_in).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("refused", "name", "passes"),
    [
        ({"ads"}, "Ad Clicked", True),
        ({"reports"}, "Ad Clicked", True),
        ({"ads", "reports"}, "Ad Clicked", False),
        ({"reports"}, "Page Viewed", False),
        ({"ads"}, "Page Viewed", True),
        ({"something else"}, "Page Viewed", True),
    ],
)
def test_an_event_stays_while_one_of_its_purposes_is_not_refused(refused: set[str], name: str, passes: bool) -> None:
    decision = decide(CONSENT, {}, name, state=SubjectState.OPTED_IN, refused_purposes=frozenset(refused))
    assert (decision.verdict is Verdict.PASS) is passes


def test_an_event_that_serves_no_purpose_needs_none() -> None:
    text = "consent: {purposes: [{id: ads, events: ['Ad *']}]}"
    assert decide(text, {}, refused_purposes=frozenset({"ads"})).verdict is Verdict.PASS


@pytest.mark.parametrize("chosen", ["[]", "gpc", "[dnt]", "[gpc, dnt]"])
def test_only_chosen_signals_are_heard(chosen: str) -> None:
    for signal in Signal:
        decision = decide(f"consent: {{signals: {chosen}}}", {}, context=CheckContext(KEY, signals=frozenset({signal})))
        assert (decision.verdict is Verdict.DROPPED) is (signal.value in chosen)


SALE = """
consent: {purposes: [{id: sale, events: ['Ad *'], signals: [gpc]}, {id: reports, events: ['Ad Seen', 'Page *']}]}
rules:
  - {id: mail, properties: [email], category: user.contact.email, sensitivity: confidential, action: drop}
  - {id: click, properties: [gclid, campaign], category: user.device, sensitivity: internal, action: keep, purposes: sale}
  - {id: reach, properties: [panel], category: user.device, sensitivity: internal, action: hash, purposes: [sale, reports]}
"""
GPC = CheckContext(KEY, signals=frozenset({Signal.GPC}))


@pytest.mark.parametrize(
    ("name", "signals", "refused", "verdict", "said"),
    [
        ("Ad Clicked", {Signal.GPC}, set(), "dropped", ["gpc_signal"]),
        ("Ad Clicked", {Signal.DNT}, set(), "pass", []),
        ("Page Viewed", {Signal.GPC}, set(), "pass", ["gpc_signal"]),
        ("Page Viewed", BOTH, set(), "pass", ["gpc_signal"]),
        # One of two purposes is left, until the person refuses that one as well.
        ("Ad Seen", {Signal.GPC}, set(), "pass", ["gpc_signal"]),
        ("Ad Seen", {Signal.GPC}, {"reports"}, "dropped", ["gpc_signal"]),
        ("Ad Seen", {Signal.GPC}, {"sale"}, "pass", ["gpc_signal"]),
        ("Page Viewed", {Signal.GPC}, {"reports"}, "dropped", ["purpose_refused"]),
    ],
)
def test_a_signal_refuses_the_purposes_that_list_it(name: str, signals: Any, refused: Any, verdict: str, said: list[str]) -> None:
    context = CheckContext(KEY, signals=frozenset(signals))
    decision = decide(SALE, {"plan": "pro"}, name, context, refused_purposes=frozenset(refused))
    assert (decision.verdict, reasons(decision)) == (verdict, said)
    if verdict == "pass":
        assert decision.properties == {"plan": "pro"}


@pytest.mark.parametrize("refused", [frozenset(), frozenset({"sale"})])
@pytest.mark.parametrize("scope", list(Scope))
def test_what_serves_a_refused_purpose_is_removed_at_every_depth_and_in_texts(scope: Scope, refused: frozenset[str]) -> None:
    sent = {
        "plan": "pro",
        "gclid": "g-1",
        "panel": "p-1",
        "items": [{"g_clid": "g-2", "a": 1}],
        "campaign": {"name": "spring", "email": "a@b.example"},
        "text": '{"gclid": "g-3", "b": 2}',
        "cut": '{"gclid": "g-4',
    }
    name = "$set" if scope is not Scope.EVENT else "Signup"
    free = decide(SALE, sent, name, scope=scope)
    assert free.properties is not None
    assert (free.properties["gclid"], free.properties["cut"]) == ("g-1", sent["cut"])
    assert free.properties["campaign"] == {"name": "spring"}, "a rule of its own still decides inside"
    context = CheckContext(KEY) if refused else GPC
    decision = decide(SALE, sent, name, context, scope=scope, refused_purposes=refused)
    assert decision.properties is not None
    assert {key: value for key, value in decision.properties.items() if key != "panel"} == {
        "plan": "pro",
        "items": [{"a": 1}],
        "text": '{"b":2}',
    }
    assert decision.properties["panel"] == free.properties["panel"], "one of its purposes is left"
    assert "g-" not in repr(dict(decision.properties))
    why = "purpose_refused" if refused else "gpc_signal"
    assert {each.path: each.reason for each in decision.remarks if each.rule == "click"} == dict.fromkeys(
        ("properties.gclid", "properties.items[0].g_clid", "properties.campaign", "properties.text.gclid", "properties.cut"), why
    )


def test_a_held_property_whose_purpose_is_refused_holds_nothing() -> None:
    text = SALE.replace("action: keep", "action: quarantine")
    assert decide(text, {"gclid": "g-1"}, "Signup").verdict is Verdict.QUARANTINED
    assert decide(text, {"gclid": "g-1"}, "Signup", GPC).verdict is Verdict.CHANGED
    assert decide(text, {"cut": '{"gclid": "g-4'}, "Signup", GPC).verdict is Verdict.CHANGED


# --- places -----------------------------------------------------------------------------------------------------------

EXPLICIT = {
    "$city": "Lyon",
    "$region": "Rhône",
    "mp_country_code": "FR",
    "$timezone": "Europe/Paris",
    "$latitude": 45.764,
    "$longitude": -0.8357,
}
EXPLICIT_BY_RUNG: dict[str, dict[str, Any]] = {
    "off": {},
    "country": {"mp_country_code": "FR"},
    "region": {"mp_country_code": "FR", "$region": "Rhône", "$timezone": "Europe/Paris", "$latitude": 45, "$longitude": -1},
    "city": {**EXPLICIT, "$latitude": 45.7, "$longitude": -0.9},
}
LOOKED_UP = {
    "off": {},
    "country": {"cc": "DE"},
    "region": {"cc": "DE", "$region": "Berlin"},
    "city": {"cc": "DE", "$region": "Berlin", "$city": "Berlin"},
}


def berlin(address: str) -> Whereabouts | None:
    return Whereabouts("DE", "Berlin", "Berlin") if address == "203.0.113.9" else None


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("rung", list(EXPLICIT_BY_RUNG))
def test_the_ladder_for_what_the_sender_supplies(rung: str, scope: Scope) -> None:
    decision = decide(f"geolocation: {rung}", dict(EXPLICIT), "$set", scope=scope)
    assert decision.properties == EXPLICIT_BY_RUNG[rung]
    assert set(reasons(decision)) <= {"geolocation_off" if rung == "off" else "geolocation_coarsened"}
    nested = decide(f"geolocation: {rung}", {"context": [dict(EXPLICIT)]}, "$set", scope=scope)
    assert nested.properties == {"context": [EXPLICIT_BY_RUNG[rung]]}


@pytest.mark.parametrize("scope", [Scope.EVENT, Scope.PROFILE])
@pytest.mark.parametrize("rung", list(LOOKED_UP))
@pytest.mark.parametrize("source", ["payload", "request", "both"])
def test_the_ladder_for_what_is_looked_up(rung: str, scope: Scope, source: str) -> None:
    properties = {"$ip": "203.0.113.9"} if source != "request" else {}
    context = CheckContext(
        KEY, places=berlin, ip="203.0.113.9" if source == "request" else "198.51.100.1" if source == "both" else None
    )
    decision = decide(f"geolocation: {rung}", properties, "$set", context, scope=scope)
    country = "$country_code" if scope is Scope.PROFILE else "mp_country_code"
    expected = {country if name == "cc" else name: value for name, value in LOOKED_UP[rung].items()}
    assert decision.properties == expected
    assert reasons(decision).count("geolocated") == len(expected)


@pytest.mark.parametrize("rung", ["country", "region", "city"])
def test_what_the_sender_said_is_not_overwritten_and_an_address_of_zero_asks_for_nothing(rung: str) -> None:
    context = CheckContext(KEY, places=berlin, ip="203.0.113.9")
    explicit = decide(f"geolocation: {rung}", {"mp_country_code": "FR"}, context=context)
    assert explicit.properties is not None
    assert explicit.properties["mp_country_code"] == "FR"
    for nothing in ("", "0", 0, None):
        assert decide(f"geolocation: {rung}", {"ip": nothing}, context=context).properties == {}
    assert decide(f"geolocation: {rung}", {"ip": "192.0.2.1"}, context=context).properties == {}


def test_only_setting_a_profile_adds_a_place() -> None:
    context = CheckContext(KEY, places=berlin, ip="203.0.113.9")
    for operation in ("$set_once", "$append", "$union", "$add", "$unset"):
        assert decide("geolocation: city", {"a": 1}, operation, context, scope=Scope.PROFILE).properties == {"a": 1}


# --- cases ------------------------------------------------------------------------------------------------------------

CASES = """\
policy: t
consent: {{signals: [gpc], purposes: [{{id: ads, events: ["*"]}}]}}
rules:
  - {{id: age, properties: born, category: user.demographic.date_of_birth, sensitivity: internal, action: {{generalise: {{bands: [18]}}}}}}
  - {{id: h, properties: h, category: user, sensitivity: internal, action: hash}}
  - {{id: t, properties: t, category: user, sensitivity: internal, action: tokenise}}
  - {{id: e, properties: e, category: user, sensitivity: internal, action: encrypt}}
cases:
  - {{name: n, event: e, {} }}
"""


@pytest.mark.parametrize(
    ("case", "holds"),
    [
        ("time: 2026-06-14, properties: {born: 2008-06-15}, expect: {verdict: changed, properties: {born: '<18'}}", True),
        ("time: 2026-06-15, properties: {born: 2008-06-15}, expect: {verdict: changed, properties: {born: 18+}}", True),
        (
            "time: '2026-06-15T01:00:00+02:00', properties: {born: 2008-06-15}, expect: {verdict: changed, properties: {born: '<18'}}",
            True,
        ),
        ("properties: {born: 2008-06-15}, expect: {verdict: changed, properties: {born: 18+}}", True),
        (
            "properties: {h: a, t: a, e: a}, expect: {verdict: changed, properties: {h: <pseudonym>, t: <token>, e: <encrypted>}}",
            True,
        ),
        (
            "properties: {h: a, t: a, e: a}, expect: {verdict: changed, properties: {h: <token>, t: <pseudonym>, e: <pseudonym>}}",
            False,
        ),
        ("signals: gpc, properties: {}, expect: {verdict: dropped, reasons: [gpc_signal]}", True),
        ("signals: [dnt], properties: {}, expect: {verdict: pass}", True),
        ("refused_purposes: ads, properties: {}, expect: {verdict: dropped, reasons: [purpose_refused]}", True),
        ("state: opted_in, properties: {a: 1}, expect: {verdict: pass, event: e, properties: {a: 1}, reasons: []}", True),
        ("properties: {a: 1}, expect: {verdict: pass, properties: {a: 1.0}}", False),
        ("properties: {a: 1}, expect: {verdict: pass, properties: {a: true}}", False),
        ("properties: {a: 1}, expect: {verdict: pass, properties: {a: 1, b: 2}}", False),
        ("properties: {a: [1, 2]}, expect: {verdict: pass, properties: {a: [2, 1]}}", False),
        ("properties: {a: 1}, expect: {verdict: pass, event: other}", False),
        ("properties: {a: 1}, expect: {verdict: pass, reasons: [classified]}", False),
    ],
)
def test_a_case_says_what_it_tests(case: str, holds: bool) -> None:
    policy = load(CASES.format(case))
    assert (list(failures(policy, compile_policy(policy))) == []) is holds


@pytest.mark.parametrize(
    "case",
    [
        "time: soon",
        "time: 2026-13-01",
        "signals: [abc]",
        "state: gone",
        "unknown_key: 1",
        "expect: {verdict: fine}",
        "properties: [1]",
    ],
)
def test_a_wrong_case_is_refused(case: str) -> None:
    rest = "".join(
        f", {text}"
        for text in ("properties: {}", "expect: {verdict: pass}")
        if text.split(":", maxsplit=1)[0] != case.split(":", maxsplit=1)[0]
    )
    with pytest.raises(PolicyInvalid):
        load(CASES.format(case + rest))
