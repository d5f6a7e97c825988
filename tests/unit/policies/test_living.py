"""The pure parts of living with a policy: sketches, shapes, trials, proposals, suggestions."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from policies.compile import classifier, compile_policy
from policies.context import CheckContext
from policies.detect import Scanner
from policies.load import load
from policies.model import Detector, DetectorTerms, Record, Scope, Sensitivity
from policies.names import KNOWN, known, words
from policies.outline import shape, shape_at
from policies.proposal import Proposal, for_detector, nameable, policy_text, rule_text
from policies.sketch import Distinct
from policies.suggest import Suggestion, Survey
from policies.trial import OTHER, Trial

KEEP = "policy: active\nrules: []\n"


# --- sketches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 10, 1_000, 4_000, 50_000])
def test_a_sketch_counts_different_numbers_within_its_error(n: int) -> None:
    draw = random.Random(n)
    sketch = Distinct(11)
    numbers = [draw.getrandbits(62) for _ in range(n)]
    for number in numbers + numbers:
        sketch.add(number)
    assert abs(sketch.count() - n) <= max(4 * 0.023 * n, 1)


def test_neighbours_are_as_different_as_strangers() -> None:
    sketch = Distinct(11)
    for number in range(20_000):
        sketch.add(number)
    assert abs(sketch.count() - 20_000) <= 4 * 0.023 * 20_000


def test_a_sketch_goes_on_where_another_stood() -> None:
    whole, first = Distinct(11), Distinct(11)
    for number in range(3_000):
        whole.add(number)
        if number < 1_500:
            first.add(number)
    second = Distinct(11, first.registers)
    for number in range(1_000, 3_000):
        second.add(number)
    assert second.registers == whole.registers
    with pytest.raises(ValueError, match="precision"):
        Distinct(8, whole.registers)


# --- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("jane@example.com", "string(16)"),
        ("p1." + "a" * 32, "pseudonym"),
        ("t1." + "A" * 30, "token"),
        ("e1." + "A" * 30, "encrypted"),
        ("[encrypted]", "encrypted"),
        ("[email]", "placeholder"),
        (True, "boolean"),
        (3, "integer"),
        (3.5, "number"),
        (None, "null"),
        ([1, 2], "list(2)"),
        ({"a": 1}, "object(1)"),
    ],
)
def test_a_shape_says_no_value(value: Any, form: str) -> None:
    assert shape(value) == form


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("properties.a.b", "string(3)"),
        ("properties.a.dotted.name", "integer"),
        ("properties.items[1].x", "boolean"),
        ("properties.items[9].x", "nothing"),
        ("properties.text.deep.er", "inside string(11)"),
        ("properties.<key>", "nothing"),
        ("properties.absent", "nothing"),
    ],
)
def test_the_shape_at_a_remark_s_path(path: str, form: str) -> None:
    properties = {"a": {"b": "xyz", "dotted.name": 1}, "items": [{}, {"x": True}], "text": '{"deep": 1}'}
    assert shape_at(properties, path) == form
    assert shape_at(None, path) == "nothing"


@given(st.text(), st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_no_shape_and_no_path_fails(value: str, path: str) -> None:
    assert value not in shape(value) or len(value) < 10
    shape_at({value: [value, {value: value}]}, f"properties.{path}")


# --- trials ----------------------------------------------------------------------------------------------------------

DRAFT = """\
policy: draft
events: {block: [Gone]}
rules:
  - {id: mail, properties: [email], category: user.contact.email, sensitivity: confidential, action: hash}
  - {id: note, properties: [note], category: user.content, sensitivity: internal, action: drop}
  - {id: ill, properties: [illness], category: user.health_and_medical, sensitivity: restricted, action: quarantine}
"""


def _records(n: int) -> list[Record]:
    kinds = [
        ("View", {"email": "plain", "items": [{"note": "a"}, {"note": "b"}]}),
        ("View", {"plan": "pro"}),
        ("Gone", {"plan": "pro"}),
        ("View", {"illness": "x"}),
    ]
    return [Record(Scope.EVENT, *kinds[i % 4]) for i in range(n)]


def _watch(trial: Trial, records: Sequence[Record], start: int, context: CheckContext) -> None:
    trial.watch(records, [start + i + 1 for i in range(len(records))], [40] * len(records), context)


def test_a_trial_counts_what_the_draft_does(context: CheckContext) -> None:
    trial = Trial(compile_policy(load(DRAFT)), compile_policy(load(KEEP)))
    _watch(trial, _records(400), 0, context)
    report = trial.report()
    total = report["total"]
    assert (total["records"], total["dropped"], total["changed"], total["quarantined"]) == (400, 100, 100, 100)
    assert total["bytes_before"] == 16_000
    assert 0 < total["bytes_after"] < 16_000
    assert abs(total["people"] - 300) <= 9
    by_path = {(each["event"], each["path"]): each for each in report["properties"]}
    assert by_path["View", "items[].note"]["dropped"] == 100
    assert by_path["View", "email"]["changed"] == 100
    assert by_path["View", "illness"]["quarantined"] == 100
    assert by_path["Gone", "<record>"]["dropped"] == 100
    [sample] = by_path["View", "email"]["samples"]
    assert sample == {"rule": "mail", "action": "hash", "reason": "classified", "before": "string(5)", "after": "pseudonym"}
    assert "plain" not in json.dumps(report)


def test_what_only_the_policy_in_force_takes_away_is_newly_kept(context: CheckContext) -> None:
    trial = Trial(compile_policy(load(KEEP)), compile_policy(load(DRAFT)))
    _watch(trial, _records(400), 0, context)
    report = trial.report()
    assert report["total"]["newly_kept"] == 200  # refused or held today
    assert {each["path"]: each["newly_kept"] for each in report["properties"]} == {
        "email": 100, "items[].note": 100, "illness": 100, "<record>": 100,
    }  # fmt: skip
    assert report["total"]["people"] == 0


def test_a_trial_taken_up_from_a_checkpoint_tells_the_same(context: CheckContext) -> None:
    draft, active = compile_policy(load(DRAFT)), compile_policy(load(KEEP))
    whole = Trial(draft, active)
    _watch(whole, _records(1_000), 0, context)
    part: bytes | None = None
    for start in range(0, 1_000, 100):
        trial = Trial(draft, active, part)
        _watch(trial, _records(100), start, context)
        part = trial.checkpoint()
    assert Trial(draft, active, part).report() == whole.report()


def test_names_beyond_the_bound_are_counted_together(context: CheckContext) -> None:
    trial = Trial(compile_policy(load(KEEP)), compile_policy(load(KEEP)))
    _watch(trial, [Record(Scope.EVENT, f"E{n}", {f"p{n}": "a@example.com"}) for n in range(5_000)], 0, context)
    report = trial.report()
    assert len(report["events"]) <= 501
    assert len(report["properties"]) <= 2_001
    assert report["truncated"] is True
    assert sum(each["records"] for each in report["events"]) == 5_000
    assert any(each["event"] == OTHER for each in report["events"])


# --- proposals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", list(Detector))
@pytest.mark.parametrize("share", [0.02, 0.9])
@pytest.mark.parametrize("scope", [Scope.EVENT, Scope.PROFILE])
def test_every_proposed_rule_is_policy_language(detector: Detector, share: float, scope: Scope) -> None:
    proposal = for_detector(scope, 'Odd "name" *', "items[].no*te: {x}", detector, share)
    assert proposal is not None
    policy = load("policy: pasted\nrules:\n" + rule_text(proposal))
    compile_policy(policy)
    [rule] = policy.rules
    assert rule.scopes == (scope,)
    assert rule.classified


@pytest.mark.parametrize("path", ["distinct_id", "<key>", "a.<key>", "<other>", "", "a..b", ".a", "items[0]", "x" * 201])
def test_what_no_rule_can_name_gets_no_proposal(path: str) -> None:
    assert not nameable(path)
    assert for_detector(Scope.EVENT, "View", path, Detector.EMAIL, 0.9) is None


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), max_size=8))
@settings(max_examples=150, deadline=None)
def test_proposals_for_any_names_load_together(names: list[str]) -> None:
    usable = [name for name in names if nameable(name) and name.isprintable()]
    made = [Proposal(name, Scope.EVENT, "user", Sensitivity.INTERNAL, "keep", why=name) for name in usable]
    assert len(load(policy_text("many", made)).rules) == len(usable)


def test_what_is_known_of_names_is_policy_language() -> None:
    made = [Proposal(f"p{n}", Scope.EVENT, each.category, each.sensitivity, each.action) for n, each in enumerate(KNOWN)]
    assert len(load(policy_text("known", made)).rules) == len(KNOWN)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "category"),
    [
        ("firstName", "user.name"),
        ("user.last_name", "user.name"),
        ("Shipping-Street", "user.contact.address.street"),
        ("billing.zipCode", "user.contact.address.postal_code"),
        ("dateOfBirth", "user.demographic.date_of_birth"),
        ("patient_diagnosis", "user.health_and_medical"),
        ("religion", "user.demographic.religious_belief"),
        ("gender", "user.demographic.gender"),
        ("contacts[].mobile", "user.contact.phone_number"),
        ("address.line2", "user.contact.address.street"),
        ("HTTPPassword", "user.authorization.credentials"),
        ("trace_id", None),
        ("embrace", None),
        ("plan", None),
        ("name", None),
    ],
)
def test_what_a_name_says(path: str, category: str | None) -> None:
    found = known(path, Scope.EVENT)
    assert (None if found is None else found.category) == category


def test_a_bare_name_is_a_person_s_in_profiles_only() -> None:
    found = known("name", Scope.PROFILE)
    assert found is not None
    assert found.category == "user.name"
    assert words("HTTPUserName-2_x") == ["http", "user", "name", "2", "x"]


# --- suggestions -----------------------------------------------------------------------------------------------------


def _survey(text: str = KEEP) -> Survey:
    policy = load(text)
    everything = Scanner({each: DetectorTerms() for each in Detector}, "US")
    return Survey(policy, classifier(policy, Scanner(dict(policy.detectors), "US")), everything, b"k" * 32)


def _suggested(survey: Survey) -> dict[str, Suggestion]:
    return {each.proposal.property: each for each in survey.suggestions()}


def test_every_property_without_a_rule_gets_a_suggestion_with_its_evidence() -> None:
    survey = _survey("policy: p\nrules:\n" + rule_text(Proposal("known", Scope.EVENT, "user", Sensitivity.INTERNAL, "keep")))
    for n in range(200):
        survey.watch(
            Scope.EVENT,
            "Signup",
            {
                "contact": f"p{n}@example.com",
                "remark": "call me" if n % 10 else f"write to p{n}@example.com",
                "first_name": "Ada",
                "plan": ["free", "pro"][n % 2],
                "session": f"{n * 7919:x}-abc",
                "lines": [{"qty": n % 3, "gift_note": "x"}],
                "known": {"inner": 1},
                "$insert_id": f"i{n}",
                "redacted": "see [email]",
                "customer": {"dateOfBirth": f"19{n % 50 + 40}-04-12"},
            },
        )
    found = _suggested(survey)
    assert set(found) == {
        "contact", "remark", "first_name", "plan", "session", "lines[].qty", "lines[].gift_note", "redacted", "customer.dateOfBirth",
    }  # fmt: skip
    contact = found["contact"]
    assert (contact.proposal.category, contact.proposal.action) == ("user.contact.email", "hash")
    assert (contact.records, contact.hits, contact.types) == (200, {"email": 200}, {"string": 1.0})
    assert abs(contact.distinct - 200) < 60
    assert contact.confidence > 0.9
    assert contact.events == ("Signup",)
    assert (found["remark"].proposal.category, found["remark"].proposal.action) == ("user.content", "keep")
    assert found["remark"].hits == {"email": 20}
    assert found["first_name"].proposal.category == "user.name"
    assert found["plan"].proposal.action == "keep"
    assert found["session"].proposal.category == "user.unique_id"
    assert found["redacted"].hits == {"email": 200}
    born = found["customer.dateOfBirth"]
    assert (born.hits, born.grounds, born.proposal.action) == (
        {"birth_date": 200}, ("name", "detector"), "{generalise: {date: year}}",
    )  # fmt: skip
    loaded = load(policy_text("suggested", [each.proposal for each in survey.suggestions()]))
    assert len(loaded.rules) == 9
    again = _survey(policy_text("suggested", [each.proposal for each in survey.suggestions()]))
    again.watch(Scope.EVENT, "Signup", {"contact": "x", "lines": [{"qty": 1}]})
    assert again.suggestions() == []


def test_few_records_make_a_suggestion_less_sure() -> None:
    survey = _survey()
    survey.watch(Scope.EVENT, "Signup", {"email_address": "ada@example.com"})
    [few] = survey.suggestions()
    for _ in range(20):
        survey.watch(Scope.EVENT, "Signup", {"email_address": "ada@example.com"})
    [many] = survey.suggestions()
    assert few.confidence < many.confidence


def test_names_that_hold_personal_data_are_not_told() -> None:
    survey = _survey()
    survey.watch(Scope.EVENT, "Signup", {"ada@example.com": "x", "by": {"bob@example.com": 1}})
    assert survey.suggestions() == []
    assert survey.records == 1


def test_a_survey_remembers_a_bounded_number_of_names() -> None:
    survey = _survey()
    for n in range(3_000):
        survey.watch(Scope.PROFILE, "$set", {f"property{n}": n})
    assert len(survey.suggestions()) == 2_000
    assert survey.left_out == 1_000
