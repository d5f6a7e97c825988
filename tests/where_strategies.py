"""Expressions and values at random, for the comparison of the reference with what each engine computes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from app.where.tree import (
    Arithmetic,
    Call,
    Comparison,
    Element,
    Expr,
    Inside,
    Literal,
    Logic,
    Moment,
    Name,
    Negative,
    Not,
    Property,
    Some,
)

NAMES = ("a", "b", "c", "$os", 'odd"\\ näme', "list")
TEXTS = (
    "",
    "a",
    "ab",
    "B",
    "true",
    "7",
    "-0.5",
    "1e3",
    "01",
    " 1",
    "1e999",
    "2024-02-29",
    "2023-02-29",
    "2024-02-29T23:59:59",
    "it's % _ \\ \"",
    "日本",
    "x" * 50,
)
# Of few digits: engines read the last place of a double of seventeen digits differently.
NUMBERS = (0.0, 1.0, -1.0, 2.5, -2.5, 0.1, 3.0, 7.0, 1e15, 1e16, -123456.789, 1e-7, 1e200, 1e-200, 86400.0, 9e9, 0.000001)
_texts = st.sampled_from(TEXTS)
_numbers = st.sampled_from(NUMBERS) | st.integers(-1000, 1000).map(float)
_scalars = _texts | _numbers | st.booleans()
json_values = (
    _scalars
    | st.none()
    | st.lists(_scalars | st.none(), max_size=3)
    | st.just({"k": 1})
    | st.just([["a"], {"k": 1}])
    | st.integers(-(2**63), 2**63 - 1)
)
documents = st.dictionaries(st.sampled_from(NAMES), json_values, max_size=5)

literals = _scalars.map(Literal)
_lists = st.lists(literals, max_size=3).map(tuple)


def expressions(*, in_any: bool = False, depth: int = 3) -> st.SearchStrategy[Expr]:
    """Trees that the parser could make, and some that it would refuse: they too have one meaning."""
    leaves: Any = literals | st.sampled_from(NAMES).map(Property) | st.just(Moment()) | st.just(Name())
    if in_any:
        leaves = leaves | st.just(Element("x"))
    return leaves if depth == 0 else st.deferred(lambda: _larger(leaves, in_any, depth))


def _larger(leaves: Any, in_any: bool, depth: int) -> st.SearchStrategy[Expr]:
    inner = expressions(in_any=in_any, depth=depth - 1)
    calls = st.sampled_from(["defined", "boolean", "number", "string", "datetime", "floor", "round", "ceil"])
    larger = [
        leaves,
        st.builds(Comparison, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner, inner),
        st.builds(Arithmetic, st.sampled_from("+-*/%"), inner, inner),
        st.builds(Logic, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Inside, inner, inner | _lists),
        st.builds(Not, inner),
        st.builds(Negative, inner),
        st.builds(Call, calls, st.tuples(inner)),
        st.builds(Call, st.just("string"), st.tuples(inner, inner)),
    ]
    if not in_any:
        larger.append(st.builds(Some, st.just("x"), inner, expressions(in_any=True, depth=min(depth - 1, 1))))
    return st.one_of(larger)
