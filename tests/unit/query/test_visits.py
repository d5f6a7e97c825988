"""Sessions as virtual events: where they begin, where they end, and what they say."""

from __future__ import annotations

from typing import Any

from app.query.visits import END, START, TIMEOUT_MS, Seen, with_sessions

MINUTE, DAY = 60_000, 86_400_000
NOON = 20_000 * DAY + DAY // 2


def seen(at_ms: int, name: str = "View", person: int = 1, **properties: Any) -> Seen:
    return Seen(at_ms, person, {"event": name, "properties": {"time": at_ms // 1000, "distinct_id": f"p{person}", **properties}})


def names(events: list[Seen]) -> list[str]:
    return [each.view["event"] for each in events]


def test_a_silence_longer_than_the_timeout_parts_two_sessions() -> None:
    events = [seen(NOON, "A"), seen(NOON + TIMEOUT_MS, "B"), seen(NOON + 2 * TIMEOUT_MS + 1, "C")]
    assert names(with_sessions(events)) == [START, "A", "B", END, START, "C", END]
    assert names(with_sessions(events, 5 * TIMEOUT_MS)) == [START, "A", "B", "C", END]


def test_midnight_cuts_every_session() -> None:
    midnight = 20_001 * DAY
    assert names(with_sessions([seen(midnight - 1, "A"), seen(midnight, "B")])) == [START, "A", END, START, "B", END]


def test_an_end_says_how_long_how_many_and_from_where_to_where() -> None:
    events = [
        seen(NOON, "A"),
        seen(NOON + MINUTE, "B", **{"$os": "Linux"}),
        seen(NOON + 2 * MINUTE, "C", **{"$os": "BSD", "x": 1}),
    ]
    start, *_, end = with_sessions(events)
    assert start.view["properties"] == {"time": NOON // 1000, "distinct_id": "p1", "$os": "Linux"}
    assert end.view["properties"] == {
        "time": (NOON + 2 * MINUTE) // 1000,
        "distinct_id": "p1",
        "$duration_s": 120,
        "$event_count": 3,
        "$origin_start": "A",
        "$origin_end": "C",
        "$os": "Linux",
    }


def test_people_have_sessions_of_their_own_and_excluded_events_make_none() -> None:
    events = [seen(NOON, "A"), seen(NOON + 1, "X", 2), seen(NOON + 2, "$identify"), seen(NOON + 3, "B")]
    assert names(with_sessions(events)) == [START, "A", START, "X", END, "$identify", "B", END]
    assert with_sessions([seen(NOON, "$identify")]) == [seen(NOON, "$identify")]
    assert with_sessions([]) == []
