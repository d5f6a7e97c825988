"""The legal clocks of subject requests, as data: how long each law gives, what may be extended, and when alarms ring. Pure.

Times are Unix milliseconds; days are those of UTC. Where a law leaves room, the earlier date is taken: a month is counted
from the moment of receipt and not to the end of its last day (Regulation 1182/71 article 3 would give the whole day), it is
not prolonged by a holiday at its end, and of business days only Saturdays and Sundays are left out, no public holidays.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

ALARM_LEVELS = (50, 75, 90, 100)
"""Per cent of the time allowed at which an open request is told of; 100 is overdue."""
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time as laws write it. Months are calendar months: 31 January and one month is the last of February."""

    months: int = 0
    days: int = 0
    business_days: int = 0

    def after(self, start_ms: int) -> int:
        """The moment when the span that begins at `start_ms` is over."""
        return _add_business_days(_add_months(start_ms, self.months) + self.days * _DAY_MS, self.business_days)

    def __str__(self) -> str:
        parts = ((self.months, "calendar month"), (self.days, "day"), (self.business_days, "business day"))
        return ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in parts if n) or "at once"


@dataclass(frozen=True, slots=True)
class Regime:
    """What one law asks. Every span is counted from receipt.

    `answer` is the time to answer and `extended` the longest after one extension with notice, None where there is none.
    `acknowledge` is the time to confirm receipt, None where no law asks for it. `answers` holds the kinds of request with a
    clock of their own, which is never extended nor acknowledged. `look_back_days` bounds a copy, None for everything.
    """

    name: str
    answer: Span
    extended: Span | None
    acknowledge: Span | None
    answers: Mapping[str, Span]
    look_back_days: int | None
    source: str

    def deadline_ms(self, kind: str, received_ms: int) -> int:
        """When a request of this kind must be answered."""
        return self.answers.get(kind, self.answer).after(received_ms)

    def extended_ms(self, kind: str, received_ms: int) -> int | None:
        """The same after an extension, or None where the law gives none."""
        return None if self.extended is None or kind in self.answers else self.extended.after(received_ms)

    def acknowledge_ms(self, kind: str, received_ms: int) -> int | None:
        """When receipt must be confirmed, or None where it need not be."""
        return None if self.acknowledge is None or kind in self.answers else self.acknowledge.after(received_ms)


REGIMES: Mapping[str, Regime] = {
    "GDPR": Regime(
        "GDPR",
        answer=Span(months=1),
        extended=Span(months=3),
        acknowledge=None,
        answers={},
        look_back_days=None,
        source="GDPR article 12(3): one month, and two further months where necessary",
    ),
    "CCPA": Regime(
        "CCPA",
        answer=Span(days=45),
        extended=Span(days=90),
        acknowledge=Span(business_days=10),
        # An opt-out is no request of section 7021: it is heeded within 15 business days, and cannot be extended.
        answers={"objection": Span(business_days=15), "restriction": Span(business_days=15)},
        look_back_days=365,
        source="CCPA regulations (11 CCR) sections 7021, 7026(f) and 7027(g)",
    ),
}
"""The regimes that a request may be made under, by name."""


def next_alarm(received_ms: int, deadline_ms: int, reached: int) -> int | None:
    """When the next alarm after the level `reached` rings, or None after the last one."""
    level = next((each for each in ALARM_LEVELS if each > reached), None)
    return None if level is None else _rings_ms(received_ms, deadline_ms, level)


def level_at(received_ms: int, deadline_ms: int, now_ms: int) -> int:
    """The highest alarm level whose time has come; 0 before the first."""
    return max((each for each in ALARM_LEVELS if _rings_ms(received_ms, deadline_ms, each) <= now_ms), default=0)


def _rings_ms(received_ms: int, deadline_ms: int, level: int) -> int:
    return received_ms + (deadline_ms - received_ms) * level // 100


def _add_months(start_ms: int, months: int) -> int:
    moment = datetime.fromtimestamp(start_ms // 1000, UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = monthrange(year, month + 1)[1]
    there = moment.replace(year=year, month=month + 1, day=min(moment.day, last))
    return int(there.timestamp()) * 1000 + start_ms % 1000


def _add_business_days(start_ms: int, days: int) -> int:
    moment = datetime.fromtimestamp(start_ms // 1000, UTC)
    for _ in range(days):
        moment += timedelta(days=1)
        while moment.weekday() >= 5:
            moment += timedelta(days=1)
    return int(moment.timestamp()) * 1000 + start_ms % 1000
