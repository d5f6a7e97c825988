"""Pseudonyms over purposes, periods, versions of the key and canonical forms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from policies import canonical as forms
from policies.canonical import FORM, canonical
from policies.context import CheckContext
from policies.model import Period
from policies.pseudonym import PSEUDONYM_CODE, PseudonymKey, in_period
from tests.unit.policies.conftest import Check

FIRST, SECOND, THIRD = (PseudonymKey(n, bytes(range(n, n + 32))) for n in (1, 2, 3))
TEXTS = st.text(max_size=80)
CATEGORIES = st.sampled_from(["user.contact.email", "user.contact.phone_number", "user.financial.bank_account", "user.name"])
HASH = "rules: [{id: r, properties: [email], category: user.contact.email, sensitivity: internal, action: hash}]"


@given(TEXTS, st.sampled_from([FIRST, SECOND]))
def test_a_key_knows_its_own_and_nothing_else(text: str, key: PseudonymKey) -> None:
    made = key.pseudonym("p", text)
    assert PSEUDONYM_CODE.fullmatch(made)
    assert key.is_own("p", made)
    assert not key.is_own("q", made)
    assert not key.is_own("p", text)
    other = SECOND if key is FIRST else FIRST
    assert not other.is_own("p", made)
    assert not other.is_own("p", f"p{other.version}{made[2:]}")


@given(CATEGORIES, TEXTS)
def test_the_canonical_form_of_a_canonical_form_is_itself(category: str, text: str) -> None:
    once = canonical(category, text, "US")
    assert canonical(category, once, "US") == once


def test_spellings_of_one_value_have_one_form() -> None:
    for category, spellings in {
        "user.contact.email": ["Jane@Example.com", " jane@example.COM\t", "\uff4aane@example.com"],
        "user.contact.phone_number": ["+1 (650) 253-0000", "650-253-0000", "6502530000", "\uff0b16502530000"],
        "user.name": ["STRASSE", "stra\u00dfe", "Stra\u00dfe "],
    }.items():
        assert len({canonical(category, text, "US") for text in spellings}) == 1, category
    assert canonical("user.financial.bank_account", "aB1", "US") != canonical("user.financial.bank_account", "Ab1", "US")


# --- periods ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 253_402_300_799_000), st.sampled_from(Period))
def test_a_period_is_a_stretch_of_time_that_does_not_come_back(at_ms: int, period: Period) -> None:
    lengths = {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 31, Period.QUARTER: 92, Period.YEAR: 366}
    later = at_ms + lengths[period] * 86_400_000
    if later <= 253_402_300_799_000:
        assert in_period("p", period, at_ms) != in_period("p", period, later)
    assert in_period("p", period, at_ms) != in_period("q", period, at_ms)


def test_periods_end_at_midnight_in_utc() -> None:
    def label(at: datetime, period: Period) -> str:
        return in_period("p", period, int(at.timestamp() * 1000))

    end = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    for period in (Period.DAY, Period.MONTH, Period.QUARTER, Period.YEAR):
        assert label(end, period) != label(end + timedelta(seconds=1), period)
        assert label(end, period) == label(end - timedelta(hours=23), period)
    # ISO weeks (ISO 8601): Thursday decides whose year a week is.
    assert label(end, Period.WEEK) == label(end + timedelta(days=3), Period.WEEK)
    assert label(end, Period.WEEK) != label(end + timedelta(days=4), Period.WEEK)


@given(st.integers(), st.sampled_from(Period))
def test_no_time_stops_a_check(at_ms: int, period: Period) -> None:
    assert in_period("p", period, at_ms)


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_within_a_bridge_both_pseudonyms_are_told_and_the_new_one_is_stored(checked: Check) -> None:
    context = CheckContext(SECOND, bridge=(FIRST,))
    decision = checked(HASH, {"email": "Jane@example.com"}, context=context)
    older = checked(HASH, {"email": "jane@example.com"}, context=CheckContext(FIRST)).properties
    assert decision.properties == checked(HASH, {"email": "jane@example.com"}, context=CheckContext(SECOND)).properties
    assert older is not None
    assert decision.properties is not None
    assert decision.bridges == ((older["email"], decision.properties["email"]),)


def test_after_the_bridge_nothing_is_computed_twice(checked: Check) -> None:
    assert checked(HASH, {"email": "jane@example.com"}, context=CheckContext(SECOND, older=(FIRST,))).bridges == ()


@pytest.mark.parametrize(
    "within", [CheckContext(THIRD, bridge=(SECOND,), older=(FIRST,)), CheckContext(THIRD, older=(SECOND, FIRST))]
)
@pytest.mark.parametrize("maker", [FIRST, SECOND, THIRD])
def test_a_pseudonym_that_comes_in_again_stays_and_is_no_bridge(
    checked: Check, within: CheckContext, maker: PseudonymKey
) -> None:
    sent = {"email": maker.pseudonym("user.contact.email", "jane@example.com")}
    decision = checked(HASH, sent, context=within)
    assert decision.properties == sent
    assert decision.bridges == ()
    assert decision.remarks == ()


def test_a_pseudonym_of_another_purpose_or_project_is_hashed(checked: Check) -> None:
    context = CheckContext(SECOND, older=(FIRST,))
    for sent in (FIRST.pseudonym("other", "x"), THIRD.pseudonym("user.contact.email", "x"), "p1." + "a" * 32):
        decision = checked(HASH, {"email": sent}, context=context)
        assert decision.properties is not None
        assert SECOND.is_own("user.contact.email", decision.properties["email"])


def test_another_canonical_form_gives_other_pseudonyms_of_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="canonical form"):
        PseudonymKey(1, FIRST.key, FORM + 1)
    with pytest.raises(ValueError, match="canonical form"):
        canonical("user.name", "x", "US", FORM + 1)
    monkeypatch.setattr("policies.pseudonym.FORMS", forms.FORMS | {FORM + 1})
    assert replace(FIRST, form=FORM + 1).pseudonym("p", "x") != FIRST.pseudonym("p", "x")
