"""What a batch adds to the counters of detector hits."""

from __future__ import annotations

from collections import Counter

from app.observe.counting import EVENT_NAME, OTHER, UNNAMED, Counting, Hits, Key
from policies.model import ActionKind, Decision, Remark, Scope, Verdict


def hit(path: str, detector: str = "email") -> Remark:
    return Remark(f"detector.{detector}", path, ActionKind.REDACT, f"detected_{detector}")


def passed(name: str, *remarks: Remark) -> Decision:
    return Decision(Verdict.CHANGED if remarks else Verdict.PASS, name, {}, remarks)


def noted(scope: Scope, decisions: list[Decision]) -> Hits:
    """The counts of a batch that arrived in parts of one."""
    hits = Hits(scope)
    for each in decisions:
        hits.note([each])
    return hits


def tallied(scope: Scope, decisions: list[Decision]) -> Counter[Key]:
    return noted(scope, decisions).counts


def test_hits_and_records_are_counted_by_property_without_positions() -> None:
    decisions = [
        passed("View", hit("properties.items[0].note"), hit("properties.items[12].note"), hit("properties.a", "phone")),
        passed("View"),
        passed("Buy", Remark("email", "properties.email", ActionKind.HASH, "classified")),
    ]
    assert tallied(Scope.EVENT, decisions) == {
        ("View", "", ""): 2,
        ("View", "items[].note", "email"): 1,
        ("View", "a", "phone"): 1,
        ("Buy", "", ""): 1,
    }


def test_identifiers_are_outside_the_rules_and_not_counted() -> None:
    remark = Remark("identifiers", "properties.alias", ActionKind.HASH, "detected_email")
    assert tallied(Scope.EVENT, [passed("View", remark)]) == {("View", "", ""): 1}


def test_what_consent_refused_is_not_counted_and_what_a_detector_refused_is() -> None:
    opted_out = Decision(Verdict.DROPPED, None, None, (Remark("consent", "", ActionKind.DROP_EVENT, "opted_out"),))
    detected = Decision(Verdict.DROPPED, None, None, (hit("properties.card", "card"),))
    assert tallied(Scope.EVENT, [opted_out]) == {}
    assert tallied(Scope.EVENT, [detected]) == {(UNNAMED, "", ""): 1, (UNNAMED, "card", "card"): 1}


def test_names_that_do_not_fit_are_only_said_to_be_there() -> None:
    decisions = [passed("x" * 300, hit("properties.a\x00b"), hit("event"), hit("properties.<key>", "phone"))]
    assert set(tallied(Scope.EVENT, decisions)) == {
        (UNNAMED, "", ""), (UNNAMED, UNNAMED, "email"), (UNNAMED, EVENT_NAME, "email"), (UNNAMED, UNNAMED, "phone"),
    }  # fmt: skip


def test_made_up_names_cannot_fill_the_table() -> None:
    decisions = [passed(f"E{n}", hit(f"properties.p{n}")) for n in range(2_000)]
    counts = tallied(Scope.EVENT, decisions)
    assert len(counts) < 400
    assert sum(n for (_, path, _), n in counts.items() if not path) == 2_000
    assert counts[OTHER, OTHER, "email"] > 1_000


def test_profiles_have_no_event_name() -> None:
    assert tallied(Scope.PROFILE, [passed("$set", hit("properties.bio"))]) == {("", "", ""): 1, ("", "bio", "email"): 1}


class Statements:
    """Stands where a transaction does, and remembers what was written."""

    def __init__(self) -> None:
        self.dialect = self
        self.name = "sqlite"
        self.rows: list[list[dict[str, object]]] = []

    def execute(self, _statement: object, rows: list[dict[str, object]]) -> None:
        self.rows.append(rows)


def test_clean_records_wait_and_a_hit_takes_them_along() -> None:
    tx, counting = Statements(), Counting()
    for _ in range(10):
        counting.count(tx, 1, noted(Scope.EVENT, [passed("View")]), 1_000)  # type: ignore[arg-type]
    assert tx.rows == []
    counting.count(tx, 1, noted(Scope.EVENT, [passed("View", hit("properties.note"))]), 1_000)  # type: ignore[arg-type]
    [rows] = tx.rows
    assert [(each["path"], each["n"]) for each in rows] == [("", 11), ("note", 1)]


def test_clean_records_do_not_wait_for_ever() -> None:
    tx, counting = Statements(), Counting()
    counting.count(tx, 1, noted(Scope.EVENT, [passed("View")]), 299_000)  # type: ignore[arg-type]
    counting.count(tx, 2, noted(Scope.EVENT, [passed("Other")]), 299_000)  # type: ignore[arg-type]
    counting.count(tx, 1, noted(Scope.EVENT, [passed("View")]), 304_000)  # type: ignore[arg-type]
    [rows] = tx.rows
    assert [(each["project_id"], each["bucket_ms"], each["n"]) for each in rows] == [(1, 0, 1), (1, 300_000, 1)]
    counting.count(tx, 1, noted(Scope.EVENT, [passed("View")] * 2_000), 304_000)  # type: ignore[arg-type]
    assert len(tx.rows) == 2
