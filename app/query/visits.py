"""Sessions as virtual events (wire section 22): computed when somebody reads, stored nowhere. Pure.

A session ends before a silence longer than the timeout, and at midnight in the project's time zone. It begins with its first
event and ends with its last. Events of the service itself make no session.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from typing import Any

TIMEOUT_MS = 1_800_000
START, END = "Session Start", "Session End"
EXCLUDED = frozenset(
    {
        "$identify",
        "$create_alias",
        "$merge",
        "$hotshard_events",
        "$campaign_delivery",
        "$campaign_bounced",
        "$campaign_marked_spam",
        "$message_suppressed",
        "$unsubscribe",
        "$journey_entered",
    }
)
INHERITED = (
    "$app_build_number",
    "$app_version_string",
    "$browser",
    "$city",
    "$country_code",
    "$current_url",
    "$device",
    "$manufacturer",
    "$os",
    "$region",
    "mp_country_code",
    "mp_lib",
    "mp_platform",
    "utm_campaign",
    "utm_content",
    "utm_source",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as its reader sees it, when it was (Unix ms) and which person's."""

    time_ms: int
    person: int
    view: dict[str, Any] = field(repr=False)


def with_sessions(events: Sequence[Seen], timeout_ms: int = TIMEOUT_MS, zone: tzinfo = UTC) -> list[Seen]:
    """The events, in order of time as they came, with a start before each session and an end after it."""
    starts: dict[int, Seen] = {}
    ends: dict[int, Seen] = {}
    for places in _sessions(events, timeout_ms, zone):
        starts[places[0]], ends[places[-1]] = _marks([events[place] for place in places])
    found: list[Seen] = []
    for place, each in enumerate(events):
        found += [*_at(starts, place), each, *_at(ends, place)]
    return found


def _at(marks: dict[int, Seen], place: int) -> Iterable[Seen]:
    return (marks[place],) if place in marks else ()


def _sessions(events: Sequence[Seen], timeout_ms: int, zone: tzinfo) -> list[list[int]]:
    """The places of the events of each session."""
    found: list[list[int]] = []
    open_now: dict[int, list[int]] = {}
    for place, each in enumerate(events):
        if each.view["event"] in EXCLUDED:
            continue
        current = open_now.get(each.person)
        if current is None or _parts(events[current[-1]].time_ms, each.time_ms, timeout_ms, zone):
            current = open_now[each.person] = []
            found.append(current)
        current.append(place)
    return found


def _parts(last_ms: int, next_ms: int, timeout_ms: int, zone: tzinfo) -> bool:
    return next_ms - last_ms > timeout_ms or _day(next_ms, zone) != _day(last_ms, zone)


def _day(at_ms: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(at_ms // 1000, zone).date()


def _marks(session: Sequence[Seen]) -> tuple[Seen, Seen]:
    first, last = session[0], session[-1]
    inherited: dict[str, Any] = {}
    for name in INHERITED:
        value = next((each.view["properties"][name] for each in session if name in each.view["properties"]), None)
        if value is not None:
            inherited[name] = value
    facts = {
        "$duration_s": (last.time_ms - first.time_ms) // 1000,
        "$event_count": len(session),
        "$origin_start": first.view["event"],
        "$origin_end": last.view["event"],
        **inherited,
    }
    return _mark(START, first, inherited), _mark(END, last, facts)


def _mark(name: str, at: Seen, facts: dict[str, Any]) -> Seen:
    own = {each: at.view["properties"][each] for each in ("time", "distinct_id")}
    return Seen(at.time_ms, at.person, {"event": name, "properties": {**own, **facts}})
