"""The way back from a match to a value: whatever deserves a closer look by itself is found among its neighbours."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st

from benchmarks.check import events
from benchmarks.corpus import corpus
from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Record, Scope
from policies.pseudonym import PseudonymKey
from policies.wide import is_clean, suspects

GATE = compile_policy(load(library.text("gdpr-analytics")))
SUSPICION = GATE.terms.scanner.suspicion
QUERIES = GATE.terms.queries
CONTEXT = CheckContext(PseudonymKey(1, bytes(32)))
TEXTS = [text.text for text in corpus(seed=12, size=1_000)]

VALUES = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(
        ["", "web", 'a","b', "[", "]\n[", '\\"', "call me", "born", "4111111111111111", 4111111111111111, None, True, 1.5]
    ),
    st.text(max_size=8),
    st.lists(st.sampled_from(TEXTS), max_size=2),
    st.dictionaries(st.text(max_size=4), st.sampled_from(TEXTS), max_size=2),
)
ROWS = st.lists(st.lists(VALUES, max_size=5), min_size=1, max_size=8)


@given(ROWS)
@settings(max_examples=400, deadline=None)
def test_every_value_that_is_suspicious_by_itself_is_named(rows: list[list[Any]]) -> None:
    found = suspects(SUSPICION, QUERIES, rows)
    if found is None:
        return
    for at, row in enumerate(rows):
        for index, value in enumerate(row):
            assert index in found.get(at, ()) or is_clean(SUSPICION, QUERIES, [value]), (at, index)
    assert all(index < len(rows[at]) for at, indices in found.items() for index in indices)


def test_the_place_is_told_and_not_only_that_there_is_one() -> None:
    rows: list[list[Any]] = [["web", "free"], [], ["x", "write to jane.doe@example.com now", 5], ["pro", "203.0.113.77"]]
    assert suspects(SUSPICION, QUERIES, rows) == {2: {1}, 3: {1}}
    assert suspects(SUSPICION, QUERIES, [["web"], ["free"]]) == {}


def test_a_record_fares_the_same_among_others_as_alone() -> None:
    records = [Record(Scope.EVENT, event["event"], event["properties"]) for event in events(5)[:600]]
    for index, text in enumerate(TEXTS):
        records.insert(index, Record(Scope.EVENT, "Said", {"plan": "pro", "what": text, "size": index, "inner": {"it": text}}))
    together = GATE.check(records, CONTEXT)
    assert sum(bool(decision.remarks) for decision in together) > 300
    for record, decision in zip(records, together, strict=True):
        (alone,) = GATE.check([record], CONTEXT)
        assert msgspec.to_builtins(decision) == msgspec.to_builtins(alone)
