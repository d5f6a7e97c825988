"""Legal clocks: month ends, business days, extensions, alarms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from policies.regimes import ALARM_LEVELS, REGIMES, Span, level_at, next_alarm

DAY_MS = 86_400_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("start", "span", "end"),
    [
        ("2026-01-31T10:30:00", Span(months=1), "2026-02-28T10:30:00"),
        ("2028-01-31T10:30:00", Span(months=1), "2028-02-29T10:30:00"),
        ("2026-11-30T23:59:59", Span(months=3), "2027-02-28T23:59:59"),
        ("2026-12-15T00:00:00", Span(months=1), "2027-01-15T00:00:00"),
        ("2026-11-24T12:00:00", Span(days=45), "2027-01-08T12:00:00"),
        ("2026-11-24T12:00:00", Span(business_days=10), "2026-12-08T12:00:00"),  # a Tuesday
        ("2026-11-28T12:00:00", Span(business_days=1), "2026-11-30T12:00:00"),  # received on a Saturday
        ("2026-11-27T12:00:00", Span(business_days=1), "2026-11-30T12:00:00"),  # on a Friday
        ("2026-11-24T12:00:00", Span(business_days=15), "2026-12-15T12:00:00"),
    ],
)
def test_a_span_ends_where_the_calendar_says(start: str, span: Span, end: str) -> None:
    assert span.after(ms(start)) == ms(end)


def test_milliseconds_are_kept() -> None:
    assert Span(months=1).after(ms("2026-01-01T00:00:00") + 7) % 1000 == 7


@pytest.mark.parametrize(
    ("regime", "kind", "end"),
    [
        ("GDPR", "erasure", "2026-12-24T12:00:00"),
        ("GDPR", "objection", "2026-12-24T12:00:00"),
        ("CCPA", "erasure", "2027-01-08T12:00:00"),
        ("CCPA", "objection", "2026-12-15T12:00:00"),
    ],
)
def test_each_regime_has_its_deadline(regime: str, kind: str, end: str) -> None:
    assert REGIMES[regime].deadline_ms(kind, ms("2026-11-24T12:00:00")) == ms(end)


def test_extensions_count_from_receipt() -> None:
    received = ms("2026-11-24T12:00:00")
    assert REGIMES["GDPR"].extended_ms("access", received) == ms("2027-02-24T12:00:00")
    assert REGIMES["CCPA"].extended_ms("access", received) == received + 90 * DAY_MS
    assert REGIMES["CCPA"].extended_ms("objection", received) is None


def test_only_the_ccpa_asks_for_an_acknowledgement() -> None:
    received = ms("2026-11-24T12:00:00")
    assert REGIMES["GDPR"].acknowledge_ms("access", received) is None
    assert REGIMES["CCPA"].acknowledge_ms("access", received) == ms("2026-12-08T12:00:00")


@given(start=st.integers(0, 4_000_000_000_000), months=st.integers(1, 24))
def test_a_month_never_goes_beyond_the_next_one(start: int, months: int) -> None:
    end = Span(months=months).after(start)
    before, after = datetime.fromtimestamp(start // 1000, UTC), datetime.fromtimestamp(end // 1000, UTC)
    assert (after.year * 12 + after.month) - (before.year * 12 + before.month) == months
    assert after.day <= before.day
    assert end > start


@given(start=st.integers(0, 4_000_000_000_000), days=st.integers(1, 60))
def test_business_days_are_at_least_as_long_and_end_on_one(start: int, days: int) -> None:
    end = Span(business_days=days).after(start)
    assert end - start >= days * DAY_MS
    assert datetime.fromtimestamp(end // 1000, UTC).weekday() < 5


@given(length=st.integers(1_000, 10**10), now=st.integers(-(10**9), 2 * 10**10))
def test_the_level_reached_and_the_next_alarm_fit_together(length: int, now: int) -> None:
    level = level_at(0, length, now)
    following = next_alarm(0, length, level)
    assert level in (0, *ALARM_LEVELS)
    assert following is None or following > now
    assert (following is None) == (level == 100)


def test_a_span_reads_as_people_say_it() -> None:
    assert str(Span(months=1)) == "1 calendar month"
    assert str(Span(days=45)) == "45 days"
    assert str(Span(business_days=10)) == "10 business days"
