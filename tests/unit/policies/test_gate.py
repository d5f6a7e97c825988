"""What the gate decides: actions, precedence, matching, consent, fallbacks, identifiers."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest

from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Decision, Reason, Record, Remark, Scope, SubjectState, Verdict
from policies.pseudonym import PSEUDONYM_CODE, PseudonymKey


def rules(*lines: str) -> str:
    """A ``rules:`` section from lines like ``email: hash``."""
    body = []
    for number, line in enumerate(lines):
        name, _, action = line.partition(": ")
        body.append(
            f'  - {{id: r{number}, properties: ["{name}"], category: user.contact.email, sensitivity: internal, {action}}}'
        )
    return "rules:\n" + "\n".join(body)


def reasons(decision: Decision) -> list[str]:
    return [remark.reason for remark in decision.remarks]


@pytest.mark.parametrize(
    ("action", "value", "expected"),
    [
        ("action: keep", "blue", "blue"),
        ("action: redact", "blue", "[email]"),
        ("action: {mask: {keep_first: 1, keep_last: 2}}", "abcdef", "a***ef"),
        ("action: mask", "abc", "***"),
        ("action: {mask: {keep_last: 4}}", "abc", "***"),
        ("action: {truncate: {length: 3}}", "94107", "941"),
        ("action: {truncate: {length: 3}}", 94107, "941"),
        ("action: {truncate: {length: 9}}", 94107, 94107),
        ("action: {mask: {keep_last: 2}}", ["12345", 6789], ["***45", "**89"]),
        ("action: redact", {"a": {"b": "x"}, "c": None, "d": True}, {"a": {"b": "[email]"}, "c": None, "d": "[email]"}),
    ],
)
def test_actions_that_change_a_value(checked: Any, action: str, value: Any, expected: Any) -> None:
    decision = checked(rules(f"field: {action}"), {"field": value, "other": 1})
    assert decision.properties == {"field": expected, "other": 1}
    assert decision.verdict is (Verdict.PASS if value == expected else Verdict.CHANGED)


def test_drop_removes_the_property_and_says_so(checked: Any) -> None:
    decision = checked(rules("field: action: drop"), {"field": "x", "other": 1})
    assert decision == Decision(
        Verdict.CHANGED, "Page Viewed", {"other": 1}, (Remark("r0", "properties.field", "drop", "classified"),)
    )


def test_drop_event_refuses_the_record(checked: Any) -> None:
    decision = checked(rules("field: action: drop_event"), {"a": {"field": "x"}})
    assert decision == Decision(Verdict.DROPPED, None, None, (Remark("r0", "properties.a.field", "drop_event", "classified"),))


def test_quarantine_holds_a_form_that_is_already_clean(checked: Any) -> None:
    decision = checked(rules("field: action: quarantine"), {"field": "x", "note": "jane@example.com"})
    assert decision.verdict is Verdict.QUARANTINED
    assert decision.properties == {"field": "[email]", "note": "[email]"}


def test_hash_joins_spellings_and_types_and_separates_purposes_and_keys(checked: Any) -> None:
    text = rules("a: action: hash", "b: action: hash", "c: action: {hash: {purpose: other}}")
    decision = checked(text, {"a": " Jane@Example.com", "b": "jane@example.com", "c": "jane@example.com"})
    assert decision.properties["a"] == decision.properties["b"] != decision.properties["c"]
    assert PSEUDONYM_CODE.fullmatch(decision.properties["c"])
    numbers = checked(text, {"a": 42, "b": [42.0, "42"]}).properties
    assert numbers["b"] == [numbers["a"], numbers["a"]]
    other = checked(text, {"a": "jane@example.com"}, context=CheckContext(PseudonymKey(2, bytes(32))))
    assert other.properties["a"].startswith("p2.")
    assert other.properties["a"][3:] != decision.properties["a"][3:]


def test_a_pseudonym_of_ours_is_not_hashed_again_but_a_forged_one_is(checked: Any) -> None:
    text = rules("a: action: hash")
    once = checked(text, {"a": "jane@example.com"})
    again = checked(text, once.properties)
    assert again.verdict is Verdict.PASS
    assert again.properties == once.properties
    forged = "p1." + "a" * 32
    assert checked(text, {"a": forged}).properties["a"] != forged
    shouted = once.properties["a"].upper()
    assert checked(text, {"a": shouted}).properties["a"] != shouted


SPELLINGS: list[dict[str, Any]] = [
    {"email": "x"},
    {"EMAIL": "x"},
    {"ｅｍａｉｌ": "x"},
    {"e\u200bmail": "x"},
    {"\ufeffemail ": "x"},
    {"user": {"email": "x"}},
    {"users": [{"email": "x"}]},
    {"users": [[{"Email": "x"}]]},
    {"email": ["x", ["x"]]},
    {"email": {"value": "x"}},
    {"email": {"list": [{"value": "x"}]}},
    {"user.email": "x"},
    {"blob": '{"email": "x"}'},
    {"blob": ' [{"user": {"EMAIL": "x"}}]'},
    {"blob": '"{\\"email\\": \\"x\\"}"'},
    {"blob": ['\ufeff{"email": "x"}']},
    {"blob": '{"email": "x", "email": true}'},
    {"blob": {"blob": '{"blob": "{\\"email\\": \\"x\\"}"}'}},
]


@pytest.mark.parametrize("properties", SPELLINGS, ids=range(len(SPELLINGS)))
def test_no_spelling_nesting_type_or_encoding_evades_a_rule(checked: Any, properties: dict[str, Any]) -> None:
    decision = checked(rules("email: action: hash"), properties)
    assert decision.verdict is Verdict.CHANGED
    assert '"x"' not in str(decision.properties).replace("'", '"')


@pytest.mark.parametrize("pattern", ["address.zip", "address[].zip", "ADDRESS.zip", "addr*.z?p"])
@pytest.mark.parametrize(
    "properties",
    [{"address": {"zip": "1"}}, {"address": [{"zip": "1"}]}, {"a": {"Address": {"ZIP": "1"}}}, {"address.zip": "1"}],
)
def test_paths(checked: Any, pattern: str, properties: dict[str, Any]) -> None:
    assert reasons(checked(rules(f"{pattern}: action: drop"), properties)) == ["classified"]
    assert checked(rules(f"{pattern}: action: drop"), {"zip": "1", "address": {"zipper": "1"}}).remarks == ()


def test_precedence_the_first_rule_that_names_a_property_decides(checked: Any) -> None:
    exception_first = rules("*_email: action: keep", "work_email: action: drop")
    assert checked(exception_first, {"work_email": "x"}).verdict is Verdict.PASS
    assert checked(rules("work_email: action: drop", "*_email: action: keep"), {"work_email": "x"}).properties == {}


def test_precedence_a_part_is_governed_by_its_own_rule_before_that_of_its_container(checked: Any) -> None:
    text = rules("contact: action: redact", "zip: action: keep")
    assert checked(text, {"contact": {"zip": "941", "who": "J"}}).properties == {"contact": {"zip": "941", "who": "[email]"}}


def test_precedence_what_is_dropped_is_dropped_with_all_its_parts(checked: Any) -> None:
    assert checked(rules("zip: action: keep", "contact: action: drop"), {"contact": {"zip": "941"}}).properties == {}


def test_precedence_consent_before_blocked_before_properties(checked: Any) -> None:
    text = "events: {block: ['*']}\n" + rules("a: action: drop_event")
    assert reasons(checked(text, {"a": 1}, state=SubjectState.OPTED_OUT)) == ["opted_out"]
    assert reasons(checked(text, {"a": 1})) == ["blocked_event"]


def test_rules_may_be_limited_to_scopes_and_events(checked: Any) -> None:
    text = rules("a: action: drop, scope: profile", "b: action: drop, scope: event, events: ['Sign*']")
    assert checked(text, {"a": 1, "b": 1}).properties == {"a": 1, "b": 1}
    assert checked(text, {"a": 1, "b": 1}, name="SIGNED UP").properties == {"a": 1}
    assert checked(text, {"a": 1, "b": 1}, name="$set", scope=Scope.PROFILE).properties == {"b": 1}


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (SubjectState.OPTED_OUT, "opted_out"),
        (SubjectState.RESTRICTED, "restricted"),
        (SubjectState.ERASING, "erased"),
        (SubjectState.ERASED, "erased"),
    ],
)
def test_consent(checked: Any, scope: Scope, state: SubjectState, reason: str) -> None:
    decision = checked("", {"a": 1}, scope=scope, state=state)
    assert decision == Decision(Verdict.DROPPED, None, None, (Remark("consent", "", "drop_event", reason),))


def test_events_allowed_blocked_and_unknown(checked: Any) -> None:
    text = "events: {allow: ['Page *'], block: ['Debug*']}\nunknown_events: "
    assert checked(text + "drop", {}).verdict is Verdict.PASS
    assert checked(text + "drop", {}, name="$identify").verdict is Verdict.PASS
    assert reasons(checked(text + "drop", {}, name="Other")) == ["unknown_event"]
    assert reasons(checked(text + "allow", {}, name="ＤＥＢＵＧ x")) == ["blocked_event"]
    held = checked(text + "quarantine", {"a": "jane@example.com"}, name="Other")
    assert (held.verdict, held.properties) == (Verdict.QUARANTINED, {"a": "[email]"})
    assert checked(text + "drop", {}, name="$set", scope=Scope.PROFILE).verdict is Verdict.PASS


def test_unknown_properties(checked: Any) -> None:
    text = rules("known: action: keep", "page.title: action: keep") + "\nunknown_properties: "
    given = {"time": 1, "distinct_id": "u", "$insert_id": "i", "known": {"x": [1]}, "new": 2}
    dropped = checked(text + "drop", given)
    assert dropped.properties == {"time": 1, "distinct_id": "u", "$insert_id": "i", "known": {"x": [1]}}
    assert dropped.remarks == (Remark("unknown_properties", "properties.new", "drop", "unknown_property"),)
    assert checked(text + "quarantine", given).verdict is Verdict.QUARANTINED
    assert checked(text + "quarantine", given).properties == given
    assert checked(text + "allow", given).verdict is Verdict.PASS
    nested = {"page": {"title": "t", "secret": 1, "l": [{"x": 1}]}, "only": {"y": [1]}, "empty": []}
    assert checked(text + "drop", nested).properties == {"page": {"title": "t"}}


@pytest.mark.parametrize("key", ["ip", "$ip", "IP"])
def test_ip_is_never_stored_whatever_the_policy_says(checked: Any, key: str) -> None:
    text = rules("*: action: keep, scan: false") + "\ndetectors: {ip: keep}"
    for value in ("203.0.113.9", 0, None, ["203.0.113.9"]):
        decision = checked(text, {key: value, "context": {key: value}, "a": 1})
        assert decision.properties == {"context": {}, "a": 1}
        assert reasons(decision) == ["ip_never_stored", "ip_never_stored"]


@pytest.mark.parametrize("scope", list(Scope))
def test_geolocation_off(checked: Any, scope: Scope) -> None:
    names = ("$city", "$region", "$country_code", "mp_country_code", "$latitude", "$longitude", "$timezone", "$geo_source")
    decision = checked("", {**dict.fromkeys(names, "x"), "city": "x"}, scope=scope)
    assert decision.properties == {"city": "x"}
    assert set(reasons(decision)) == {"geolocation_off"}


@pytest.mark.parametrize(
    ("action", "expected", "verdict"),
    [
        ("redact", {"note": "hi [email]", "n": 1}, Verdict.CHANGED),
        ("drop", {"n": 1}, Verdict.CHANGED),
        ("drop_event", None, Verdict.DROPPED),
        ("quarantine", {"note": "hi [email]", "n": 1}, Verdict.QUARANTINED),
        ("keep", {"note": "hi jane@example.com", "n": 1}, Verdict.PASS),
    ],
)
def test_detector_actions(checked: Any, action: str, expected: Any, verdict: Verdict) -> None:
    decision = checked(f"detectors: {{email: {action}}}", {"note": "hi jane@example.com", "n": 1})
    assert (decision.properties, decision.verdict) == (expected, verdict)


def test_a_detected_address_has_the_pseudonym_of_a_classified_one(checked: Any) -> None:
    text = "detectors: {email: hash}\n" + rules("email: action: hash")
    decision = checked(text, {"email": "JANE@example.com", "note": "by jane%40example.com!"})
    assert decision.properties["note"] == f"by {decision.properties['email']}!"


def test_detection_in_keys_names_numbers_and_depth(checked: Any) -> None:
    decision = checked(
        "",
        {"jane@example.com": 1, "joe@example.com": 2, "n": 4111111111111111, "l": [{"x": ["+14155552671"]}]},
        name="Mail to jane@example.com",
    )
    assert decision.name == "Mail to [email]"
    assert decision.properties == {"[email]": 1, "[email]#2": 2, "n": "[card]", "l": [{"x": ["[phone]"]}]}
    assert [remark.path for remark in decision.remarks] == [
        "event",
        "properties.<key>",
        "properties.n",
        "properties.l[0].x[0]",
    ]


def test_a_detector_that_drops_cannot_leave_an_event_without_a_name(checked: Any) -> None:
    assert checked("detectors: {email: drop}", {}, name="jane@example.com").verdict is Verdict.DROPPED


def test_what_an_action_leaves_is_still_scanned(checked: Any) -> None:
    text = rules("note: action: {truncate: {length: 40}}", "kept: action: keep", "trusted: action: keep, scan: false")
    mail = "jane@example.com"
    decision = checked(text, {"note": mail + " " * 99, "kept": mail, "trusted": mail})
    assert decision.properties["note"].startswith("[email]")
    assert (decision.properties["kept"], decision.properties["trusted"]) == ("[email]", mail)


@pytest.mark.parametrize("outer", ["", " ", "\u200b", "[email]", "."])
def test_a_name_that_folds_to_nothing_does_not_lift_its_parts_to_the_top(checked: Any, outer: str) -> None:
    decision = checked("", {outer: {"distinct_id": "jane@example.com"}})
    assert list(decision.properties.values()) == [{"distinct_id": "[email]"}]


@pytest.mark.parametrize("action", ["{truncate: {length: 3}}", "{truncate: {length: 30}}", "{mask: {keep_first: 20}}"])
def test_an_action_has_the_last_word_over_a_placeholder(checked: Any, action: str) -> None:
    text = rules(f"a: action: {action}")
    once = checked(text, {"a": "::1 jane@example.com and 203.0.113.9"}).properties
    assert checked(text, once).verdict is Verdict.PASS


def test_identifiers_are_left_to_the_register_on_the_ingest_path(checked: Any) -> None:
    ids = dict.fromkeys(("distinct_id", "$distinct_id", "$user_id", "$device_id"), "jane@example.com")
    assert checked(rules("*: action: drop"), {**ids, "x": 1}).properties == ids
    assert checked("", {"distinct_id": {"a": "jane@example.com"}}).properties == {"distinct_id": {"a": "[email]"}}


def test_identifiers_become_pseudonyms_for_a_caller_who_stores_elsewhere(checked: Any) -> None:
    exposed = CheckContext(PseudonymKey(1, bytes(32)), identifiers="exposed")
    given = {"distinct_id": "Jane@example.com", "$user_id": "u-1", "$device_id": 4111111111111111, "time": 1}
    decision = checked("", given, context=exposed)
    assert PSEUDONYM_CODE.fullmatch(decision.properties["distinct_id"])
    assert PSEUDONYM_CODE.fullmatch(decision.properties["$device_id"])
    assert (decision.properties["$user_id"], decision.properties["time"]) == ("u-1", 1)
    assert {remark.rule for remark in decision.remarks} == {"identifiers"}
    same = checked("", {"$user_id": "jane@EXAMPLE.com"}, context=exposed).properties["$user_id"]
    assert same == decision.properties["distinct_id"]
    assert checked("", decision.properties, context=exposed).verdict is Verdict.PASS


def test_linked_ids_never_pass_raw(checked: Any) -> None:
    decision = checked("", {"alias": "jane@example.com", "$distinct_ids": ["jane@example.com", "u-1"]}, name="$merge")
    assert decision.properties["$distinct_ids"] == [decision.properties["alias"], "u-1"]
    assert PSEUDONYM_CODE.fullmatch(decision.properties["alias"])


def test_clocks_and_insert_ids_are_never_damaged(checked: Any) -> None:
    given = {
        "time": 4111111111111111,
        "$time": 1795450828.837,
        "mp_processing_time_ms": 1795450828123,
        "$mp_api_timestamp_ms": 1795450828123,
        "$insert_id": "29fc2962b5054d8b9d0f5d1f6e3f0a11",
        "$browser_version": "131.0.0.1",
        "$app_version": "10.1.2.3",
    }
    assert checked(rules("*time*: action: drop", "*id: action: drop"), given).verdict is Verdict.PASS
    assert checked("", {"time": "jane@example.com"}).properties == {"time": "[email]"}
    assert checked("", {"$insert_id": "jane@example.com"}).properties == {"$insert_id": "[email]"}


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = {"a": leaf}
    return leaf


def test_depth_is_bounded_without_recursion_errors(checked: Any) -> None:
    assert checked("", {"a": nested(18, "x")}).verdict is Verdict.PASS
    deep = checked("", {"a": nested(sys.getrecursionlimit() * 3, "jane@example.com"), "b": 1})
    assert reasons(deep) == ["too_deep"]
    assert checked("", {"a": "[" * 100_000 + "]" * 100_000}).properties == {}


def test_types_that_json_does_not_have_are_removed(checked: Any) -> None:
    decision = checked("", {"a": b"jane@example.com", "b": {1: "x"}, "c": object(), "d": ("x",), "e": "\ud800"})
    assert decision.properties == {"b": {}, "d": ["x"], "e": "\ud800"}
    assert set(reasons(decision)) == {"invalid_type"}


def test_a_record_that_cannot_be_judged_is_dropped_alone(context: CheckContext) -> None:
    gate = compile_policy(load("policy: test"))
    broken = Record(Scope.EVENT, "e", None)  # type: ignore[arg-type]
    fine = Record(Scope.EVENT, "e", {"a": 1})
    unknown_state = Record(Scope.EVENT, "e", {}, "nonsense")  # type: ignore[arg-type]
    decisions = gate.check([broken, fine, unknown_state], context)
    assert [decision.verdict for decision in decisions] == [Verdict.DROPPED, Verdict.PASS, Verdict.DROPPED]
    assert decisions[0].remarks == (Remark("gate", "", "drop_event", Reason.CHECK_FAILED),)


def test_a_record_whose_values_cannot_be_judged_is_dropped_alone(context: CheckContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    gate = compile_policy(load("policy: test"))
    monkeypatch.setattr("policies.gate.Walk", fail)
    records = [Record(Scope.EVENT, "e", {"note": note}) for note in ("write to jane@example.com", "thanks")]
    decisions = gate.check(records, context)
    assert [decision.verdict for decision in decisions] == [Verdict.DROPPED, Verdict.PASS]
    assert decisions[0].remarks == (Remark("gate", "", "drop_event", Reason.CHECK_FAILED),)


def test_nothing_given_is_changed(context: CheckContext) -> None:
    gate = compile_policy(load("policy: test"))
    given = {"a": "x", "l": [{"e": "jane@example.com"}], "j": '{"e": "jane@example.com"}'}
    before = copy.deepcopy(given)
    (decision,) = gate.check([Record(Scope.EVENT, "e", given)], context)
    assert decision.properties is not given
    assert given == before


def test_what_passes_untouched_is_not_copied(context: CheckContext) -> None:
    properties = {"a": 1, "title": "a blue teapot", "tags": ["new"]}
    (decision,) = compile_policy(load("policy: test")).check([Record(Scope.EVENT, "e", properties)], context)
    assert decision.properties is properties


def test_personal_data_is_in_no_representation(checked: Any) -> None:
    decision = checked("detectors: {email: keep}", {"a": "jane@example.com"}, name="jane@example.com")
    key = PseudonymKey(1, b"k" * 32)
    text = repr(decision) + repr(Record(Scope.EVENT, "jane@example.com", {"jane": 1})) + repr(key)
    assert "jane" not in text
    assert "kkkk" not in text


def test_the_digest_names_the_rules_and_not_their_examples() -> None:
    def digest(text: str) -> str:
        return compile_policy(load(f"policy: test\n{text}")).digest

    case = "cases: [{name: a, event: e, properties: {}, expect: {verdict: pass}}]"
    assert digest("") == digest(case) != digest(rules("a: action: drop"))
    assert len(digest("")) == 64


@pytest.mark.parametrize("key", [b"short", b"x" * 33])
def test_a_key_of_the_wrong_size_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PseudonymKey(1, key)
