"""What an expression means is one thing: the reference, SQLite and PostgreSQL agree on every row."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from app.access.sight import Purpose, Sight
from app.errors import InvalidInput
from app.events.port import EventQuery, EventRow, ProfileQuery, ProfileRow
from app.where.evaluate import Subject, matches
from app.where.parse import parse
from app.where.tree import About, Among, Expr, IdField
from tests.installation import Installation
from tests.where_strategies import documents, expressions

TIME = 1_700_000_000_123
A = 'properties["a"]'
# Forms that nest, n deep.
NESTED: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "(" * n + f"{A} == 1" + ")" * n,
    "not": lambda n: "not " * n + A,
    "minus": lambda n: "-" * n + f"{A} == 1",
    "plus": lambda n: "(" * n + A + "+1)" * n + " == 1",
    "modulo": lambda n: "(" * n + A + "%2)" * n + " == 1",
    "cast": lambda n: "number(string(" * n + A + "))" * n + " == 1",
    "date": lambda n: "datetime(string(" * n + A + "))" * n + " == 1",
    "ceil": lambda n: "ceil(" * n + A + ")" * n + " == 1",
    "logic": lambda n: f"({A} and ({A} or " * n + A + "))" * n,
    "in": lambda n: "(" * n + A + f" in {A})" * n,
    "any": lambda n: "".join(f"any(x{i}, {A if i == 0 else f'x{i - 1}'}, " for i in range(n)) + f"x{n - 1} == 1" + ")" * n,
    "equal": lambda n: "(" * n + A + " == true)" * n,
}


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


@pytest.mark.parametrize("form", NESTED)
def test_an_expression_is_refused_before_an_engine_gives_up_on_it(home: Installation, form: str) -> None:
    for n in range(1, 60):
        try:
            node = parse(NESTED[form](n), About.EVENT)
            found(home, [{"a": 1}], node)
        except InvalidInput:
            assert n > 3, "what people write is not refused"
            return
    pytest.fail("nothing bounds it")


HOSTILE = [
    "'; DROP TABLE event; --",
    '" OR 1=1 --',
    ":where_0",
    "%s %(x)s %%",
    "$.a",
    '$."a"',
    "a\\",
    "é",
    "[0]",
    "#-1",
    "{}",
    "?1",
    "v1",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_texts_of_a_caller_are_never_sql(home: Installation, text: str) -> None:
    quoted = json.dumps(text)
    rows: list[dict[str, Any]] = [{text: text}, {text: "other"}, {"a": text}, {"list": ["x", text]}]
    asked = [
        parse(f"properties[{quoted}] == {quoted}", About.EVENT),
        parse(f"{quoted} in properties[{quoted}]", About.EVENT),
        parse(f'properties["a"] in ["x", {quoted}]', About.EVENT),
        parse(f'{quoted} in properties["list"] or any(x, properties["list"], x == {quoted})', About.EVENT),
    ]
    assert found(home, rows, *asked) == [{0}, {0}, {2}, {3}]


def test_profiles_are_asked_alike_and_their_last_visit_by_its_name(home: Installation) -> None:
    sight, store = Sight(secrets.randbits(40), Purpose.INTERNAL), home.services.stores.of(None)
    with home.services.database.engine.connect() as tx:
        rows = [ProfileRow(0, n, json.dumps({"n": n}), n * 1_000, 1) for n in range(1, 6)] + [ProfileRow(0, 9, "{}", None, 1)]
        store.put_profiles(tx, sight.project_id, rows)

        def chosen(text: str, **more: Any) -> list[int]:
            query = ProfileQuery(where=parse(text, About.PROFILE), **more)
            uids = [row.uid for row in store.scan_profiles(tx, sight, query)]
            assert store.count_profiles(tx, sight, query) == len(uids)
            return uids

        assert chosen('user["n"] > 2') == [3, 4, 5]
        assert chosen('user["n"] > 2', uids=[1, 4]) == [4]
        assert chosen('user["$last_seen"] == "1970-01-01T00:00:02"') == [2]
        assert chosen('user["$last_seen"] >= datetime(4)') == [4, 5]
        assert chosen('not defined(properties["$last_seen"])') == [9]
        tx.rollback()


def test_uids_are_among_those_that_ids_were_bound_to(home: Installation) -> None:
    rows: list[dict[str, Any]] = [{"$user_id": 7}, {"$user_id": "7"}, {}]
    among = [Among(IdField.SUBJECT, frozenset({1, 3})), Among(IdField.USER, frozenset({7})), Among(IdField.DEVICE, frozenset())]
    assert found(home, rows, *among)[0] == {0, 2}
    assert 0 in found(home, rows, *among)[1]
    assert found(home, rows, *among)[2] == set()
