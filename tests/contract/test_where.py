"""What an expression means is one thing: the reference, SQLite and PostgreSQL agree on every row."""

from __future__ import annotations

import json
import secrets
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from app.access.sight import Purpose, Sight
from app.events.port import EventQuery, EventRow
from app.where.evaluate import Subject, matches
from app.where.tree import Expr, IdField
from tests.installation import Installation
from tests.where_strategies import documents, expressions

TIME = 1_700_000_000_123


def found(home: Installation, documents: list[dict[str, Any]], *asked: Expr, name: str = "Viewed") -> list[set[int]]:
    """Which of these documents, stored as events, each expression is true of."""
    sight, store = Sight(secrets.randbits(40), Purpose.INTERNAL), home.services.stores.of(None)
    rows = [EventRow(TIME, n, n + 1, name, json.dumps(each, ensure_ascii=False), 1, 1) for n, each in enumerate(documents)]
    with home.services.database.engine.connect() as tx:
        store.append(tx, sight.project_id, rows)
        chosen = [{row.dedup for row in store.scan(tx, sight, EventQuery(where=each))} for each in asked]
        assert [len(each) for each in chosen] == [store.count(tx, sight, EventQuery(where=each)) for each in asked]
        tx.rollback()
    return chosen


def meant(documents: list[dict[str, Any]], node: Expr, name: str = "Viewed") -> set[int]:
    subjects = [Subject(each, TIME, name, {IdField.SUBJECT: n + 1}) for n, each in enumerate(documents)]
    return {n for n, subject in enumerate(subjects) if matches(node, subject)}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(documents, min_size=1, max_size=6), st.lists(expressions(), min_size=1, max_size=6))
def test_every_engine_computes_what_the_reference_says(home: Installation, rows: list[dict[str, Any]], asked: list[Expr]) -> None:
    for node, chosen in zip(asked, found(home, rows, *asked), strict=True):
        assert chosen == meant(rows, node), node
