"""What holds for every policy and every record: the gate answers, comes to rest, and judges each record by itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st

from policies.cipher import TokenKey
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.geolocate import Whereabouts
from policies.model import Decision, Fallback, Geolocation, Policy, Record, Scope, Signal, Unknown, Verdict
from policies.pseudonym import PseudonymKey
from tests.unit.policies.strategies import CHANGING, policies, records

KEY = bytes(range(32))


def lyon(_: str) -> Whereabouts:
    return Whereabouts("FR", "Rhône", "Lyon")


CONTEXTS = st.builds(
    lambda identifiers, tokens, signals, places, older: CheckContext(
        PseudonymKey(2, KEY),
        identifiers=identifiers,
        bridge=(PseudonymKey(1, bytes(32)),) * older,
        tokens=tokens,
        ip="203.0.113.9",
        signals=signals,
        places=places,
    ),
    st.sampled_from(["sealed", "exposed"]),
    st.sampled_from([None, TokenKey(1, KEY)]),
    st.sampled_from([frozenset[Signal](), frozenset[Signal](), frozenset({Signal.DNT})]),
    st.sampled_from([None, lyon]),
    st.integers(0, 1),
)
EXAMPLES = settings(max_examples=20, deadline=None)


def comparable(decision: Decision) -> str:
    """Everything a decision says, so that NaN equals NaN and 1 differs from True."""
    return repr(msgspec.structs.astuple(decision))


@given(policies(), st.lists(records(), max_size=3), CONTEXTS)
@EXAMPLES
def test_the_gate_answers_and_changes_nothing_it_was_given(policy: Policy, batch: list[Record], context: CheckContext) -> None:
    before = [repr(msgspec.structs.astuple(copy.deepcopy(record))) for record in batch]
    decisions = compile_policy(policy).check(batch, context)
    assert [repr(msgspec.structs.astuple(record)) for record in batch] == before
    for decision in decisions:
        assert "check_failed" not in {remark.reason for remark in decision.remarks}
        assert (decision.properties is None) == (decision.name is None) == (decision.verdict is Verdict.DROPPED)
        assert (decision.verdict is Verdict.PASS) == (not decision.remarks)


@given(policies(), st.lists(records(), min_size=1, max_size=5), CONTEXTS, st.randoms(use_true_random=False))
@EXAMPLES
def test_a_record_is_judged_by_itself(policy: Policy, batch: list[Record], context: CheckContext, random: Any) -> None:
    """Neither neighbours, nor order, nor batches, nor what a gate saw before make a difference."""
    warm = compile_policy(policy)
    together = [comparable(decision) for decision in warm.check(batch, context)]
    assert [comparable(decision) for decision in warm.check(batch, context)] == together
    order = list(range(len(batch)))
    random.shuffle(order)
    shuffled = warm.check([batch[i] for i in order], context)
    assert [comparable(decision) for decision in shuffled] == [together[i] for i in order]
    fresh = compile_policy(policy)
    for record, expected in reversed(list(zip(batch, together, strict=True))):
        (alone,) = fresh.check([record], context)
        assert comparable(alone) == expected


@given(policies(filters=False), records(), CONTEXTS)
@settings(max_examples=60, deadline=None)
def test_checking_again_what_was_stored_changes_nothing(policy: Policy, record: Record, context: CheckContext) -> None:
    gate = compile_policy(policy)
    (once,) = gate.check([record], context)
    if once.properties is None or once.name is None or once.verdict is Verdict.QUARANTINED:
        return
    # The address of the sender was used up: whoever checks again has none.
    stored = msgspec.structs.replace(record, name=once.name, properties=once.properties)
    (again,) = gate.check([stored], replace(context, ip=None))
    assert again.remarks == ()
    assert repr(again.properties) == repr(once.properties)


@given(policies(actions=CHANGING, filters=False), records())
@EXAMPLES
def test_a_record_without_its_persons_key_says_so_and_is_whole_with_it(policy: Policy, record: Record) -> None:
    context = CheckContext(PseudonymKey(1, KEY), tokens=TokenKey(1, KEY))
    gate = compile_policy(policy)
    (without,) = gate.check([msgspec.structs.replace(record, subject_key=None)], context)
    (with_it,) = gate.check([msgspec.structs.replace(record, subject_key=KEY)], context)
    assert not with_it.needs_key
    if without.verdict is not Verdict.DROPPED and "e1." in repr(with_it.properties).replace("e1." + "A" * 30, ""):
        assert without.needs_key
    assert [(each.rule, each.path) for each in without.remarks] == [(each.rule, each.path) for each in with_it.remarks]


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def kept(decision: Decision) -> int:
    return 0 if decision.properties is None else sum(1 for _ in leaves(decision.properties))


@given(policies(), records(), CONTEXTS)
@EXAMPLES
def test_a_stricter_fallback_never_keeps_more(policy: Policy, record: Record, context: CheckContext) -> None:
    verdicts = []
    amounts = []
    for fallback in Fallback:
        unknown = Unknown(fallback)
        gate = compile_policy(replace(policy, unknown_properties=unknown, unknown_events=unknown))
        (decision,) = gate.check([record], context)
        amounts.append(kept(decision))
        verdicts.append(decision.verdict)
    assert amounts == sorted(amounts, reverse=True)
    if verdicts[0] is Verdict.DROPPED:
        assert verdicts[1:] == [Verdict.DROPPED] * 2
    if verdicts[0] is Verdict.QUARANTINED:
        assert verdicts[1] is Verdict.QUARANTINED


PLACES = {
    "$city": "Lyon",
    "$region": "Rhône",
    "mp_country_code": "FR",
    "$country_code": "FR",
    "$timezone": "Europe/Paris",
    "$latitude": 45.764,
    "$longitude": 4.8357,
}


@given(policies(filters=False), st.sampled_from(Scope), st.sets(st.sampled_from(sorted(PLACES))), CONTEXTS)
@EXAMPLES
def test_a_higher_rung_of_the_ladder_shows_whatever_a_lower_one_does(
    policy: Policy, scope: Scope, given_names: set[str], context: CheckContext
) -> None:
    record = Record(scope, "$set" if scope is not Scope.EVENT else "Page Viewed", {name: PLACES[name] for name in given_names})
    shown: set[str] = set()
    for rung in Geolocation:
        gate = compile_policy(replace(policy, geolocation=rung, unknown_properties=Unknown(), rules=()))
        (decision,) = gate.check([record], context)
        if decision.properties is None:
            return
        assert "203.0.113.9" not in repr(decision.properties)
        assert shown <= decision.properties.keys()
        shown = set(decision.properties)
        if rung in (Geolocation.OFF, Geolocation.COUNTRY):
            assert not shown & {"$city", "$latitude", "$longitude", "$region", "$timezone"}
        if rung is Geolocation.REGION:
            assert "$city" not in shown
            assert decision.properties.get("$latitude", 45) == 45
