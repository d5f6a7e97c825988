"""What one sender can make the dictionary remember is bounded."""

from __future__ import annotations

from typing import Any

from app.lexicon import sightings
from app.lexicon.model import Approval, Key, Kind
from app.lexicon.reading import Entrance, Row, entrance_of
from app.lexicon.sightings import Seen, Sightings
from policies.model import Decision, Scope, Verdict


def passed(name: str, **properties: Any) -> Decision:
    return Decision(Verdict.PASS, name, properties, ())


def noted(*decisions: Decision) -> Seen:
    seen = Seen()
    for each in decisions:
        seen.note(Scope.EVENT, each, each)
    return seen


def test_records_of_one_shape_are_one_look_up() -> None:
    seen = noted(*(passed("View", a=1, b="x") for _ in range(1_000)), passed("View", a=1))
    assert {keys: n for (_, _, keys), (n, _) in seen.shapes.items()} == {("a", "b"): 1_000, ("a",): 1}


def test_made_up_names_fill_neither_memory_nor_table(monkeypatch: Any) -> None:
    made = Sightings(None, pause_s=3_600)  # type: ignore[arg-type]
    for batch in range(100):
        made.add(1, noted(*(passed(f"E{batch}-{i}", **{f"p{batch}-{i}-{k}": 1 for k in range(5)}) for i in range(400))), 0)
    waiting = made._waiting[1]
    assert len(waiting.entries) <= sightings._MOST_WAITING
    assert len(waiting.days) <= sightings._MOST_WAITING + 4
    assert sum(n for (key, _), (n, _) in waiting.days.items() if key.kind is Kind.EVENT) == 40_000, "every event is counted"
    assert len(made._named) <= sightings._MOST_REMEMBERED
    if made._timer is not None:
        made._timer.cancel()


def test_an_entrance_without_words_gives_back_the_very_decision() -> None:
    decision = passed("View", a=1)
    assert Entrance().apply(Scope.EVENT, decision) is decision
    strict = entrance_of(Approval.OFF, Approval.OFF, [Row(Key(Kind.EVENT_PROPERTY, "b"), "blocked", None, False)])
    assert strict.apply(Scope.EVENT, decision) is decision
    assert strict.apply(Scope.PROFILE, decision) is decision


def test_nothing_that_is_given_is_changed() -> None:
    properties = {"a": 1, "b": 2}
    strict = entrance_of(Approval.OFF, Approval.OFF, [Row(Key(Kind.EVENT_PROPERTY, "b"), "blocked", None, False)])
    made = strict.apply(Scope.EVENT, Decision(Verdict.PASS, "View", properties, ()))
    assert (made.properties, made.verdict) == ({"a": 1}, Verdict.CHANGED)
    assert properties == {"a": 1, "b": 2}
    assert [(each.rule, each.path, each.reason) for each in made.remarks] == [("lexicon", "properties.b", "lexicon_blocked")]


def test_identity_and_consent_never_wait() -> None:
    strict = entrance_of(Approval.DROP, Approval.DROP, [])
    for name in ("$identify", "$create_alias", "$merge", "$opt_in"):
        decision = passed(name, distinct_id="u", **{"$insert_id": "i"})
        assert strict.apply(Scope.EVENT, decision) is decision
