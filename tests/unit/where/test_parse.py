"""How an expression is read, and where an error points."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from app.errors import InvalidInput
from app.where.evaluate import Subject, constant, matches
from app.where.parse import MOST_CHARACTERS, parse
from app.where.tree import About, Call, Comparison, Holder, IdField, Literal, Logic, Not, Property

PLAN = 'properties["plan"] == "pro"'
TIME = 1_700_000_000_000


def true_of(text: str, properties: dict[str, Any] | None = None, *, name: str = "View") -> bool:
    return matches(parse(text, About.EVENT), Subject(properties or {}, TIME, name))


def test_a_comparison_is_a_tree_of_frozen_values() -> None:
    assert parse(PLAN, About.EVENT) == Comparison("==", Property("plan"), Literal("pro"))
    assert parse(" properties['plan']='pro' ", About.EVENT) == parse(PLAN, About.EVENT)


def test_and_binds_closer_than_or_and_words_may_be_in_capitals() -> None:
    tree = parse(f"{PLAN} OR {PLAN} AND not {PLAN}", About.EVENT)
    plan = parse(PLAN, About.EVENT)
    assert tree == Logic("or", (plan, Logic("and", (plan, Not(plan)))))


def test_user_and_properties_mean_the_same_of_a_profile() -> None:
    assert parse('user["a"] == 1', About.PROFILE) == parse('properties["a"] == 1', About.PROFILE)


def test_a_comparison_with_a_date_makes_both_sides_dates() -> None:
    cast = Comparison(">", Call("datetime", (Property("$last_seen"),)), Call("datetime", (Literal("2024-01-01"),)))
    assert parse('properties["$last_seen"] > datetime("2024-01-01")', About.PROFILE) == cast
    assert parse('properties["$last_seen"] > "2024-01-01"', About.PROFILE) == cast


def test_ids_are_kept_apart_until_somebody_binds_them() -> None:
    held = Holder(IdField.SUBJECT, frozenset({"ann", "ben"}))
    assert parse('properties["distinct_id"] in ["ann", "ben"]', About.EVENT) == held
    assert parse('"ann" != properties["$device_id"]', About.EVENT) == Not(Holder(IdField.DEVICE, frozenset({"ann"})))
    with pytest.raises(ValueError, match="bound"):
        matches(held, Subject())


TRUE = [
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "-2 - -3 == 1",
    "7 % 3 == 1 and -7 % 3 == 2",
    '"a" + "b" == "ab"',
    "not (1/0 == 1/0)",
    "not (1/0 > 0)",
    "1/0 != 1",
    "not defined(1/0)",
    "1 in [1, -2, true, 'x'] and -2 in [-2]",
    "not (true == 1)",
    "floor(-1.5) == -2 and ceil(-1.5) == -1 and round(2.5) == 3 and round(-2.5) == -2",
    'number("1e3") == 1000 and not defined(number("x")) and number(true) == 1',
    'boolean("") == false and boolean(2)',
    'string(1.50) == "1.5" and string(true) == "true" and string(7) == "7" and string(-0.0000001) == "0"',
    'string(properties["no"], "undefined") == "undefined"',
    'datetime("2024-02-29") == 1709164800 and not defined(datetime("2023-02-29"))',
    'datetime("2024-02-29T00:00:01Z") - datetime("2024-02-29 00:00:00") == 1',
    'event["name"] == "View" and event["$time"] == 1700000000 and properties["time"] == 1700000000',
    'event["time"] < "2023-11-15" and event["time"] > "2023-11-14"',
]


@pytest.mark.parametrize("text", TRUE)
def test_what_is_always_true(text: str) -> None:
    assert true_of(text)


@pytest.mark.parametrize(
    ("text", "properties", "expected"),
    [
        ('properties["a"] == "x"', {"a": "x"}, True),
        ('properties["a"] != "x"', {}, True),
        ('properties["a"] == 1', {"a": "1"}, False),
        ('properties["a"] > 1', {}, False),
        ('not (properties["a"] > 1)', {}, True),
        ('properties["a"] <= 1 or properties["b"]', {"a": None, "b": True}, True),
        ('"x" in properties["a"]', {"a": ["y", "x"]}, True),
        ('"x" in properties["a"]', {"a": "wxyz"}, True),
        ('"x" in properties["a"]', {"a": 5}, False),
        ('any(v, properties["a"], v == "x" or v > 4)', {"a": [1, 5]}, True),
        ('any(v, properties["a"], v="x")', {"a": "x"}, False),
        ('defined(properties["a"])', {"a": None}, False),
        ('defined(properties["a"])', {"a": {}}, True),
    ],
)
def test_three_values_of_truth(text: str, properties: dict[str, Any], expected: bool) -> None:
    assert true_of(text, properties) is expected


WRONG = [
    ("", 1, "expected a value"),
    ("properties", 11, "expected `[`, found the end"),
    ('properties["a"] ==', 19, "expected a value"),
    ('properties["a"] = = 1', 19, "expected a value"),
    ('properties["a"] == 1 2', 22, "expected an operator"),
    ("properties[a] == 1", 12, "the name of a property in quotes"),
    ('properties["a"', 15, "expected `]`"),
    ('properties["a"] == "x', 20, "does not end"),
    ('properties["a"] == "\\q"', 20, "escape"),
    ("plan == 1", 1, "not of the language"),
    ("1 == 1 and 2", 12, "neither true nor false"),
    ('"a" or 1 == 1', 1, "neither true nor false"),
    ("1", 1, "neither true nor false"),
    ('properties["a"] < "b"', 19, "orders numbers and dates"),
    ("1 < 2 < 3", 7, "do not chain"),
    ('1 - "a" == 1', 5, "takes numbers"),
    ('1 in [properties["a"]]', 7, "a list holds"),
    ('user["a"] == 1', 1, "user[…] is of profiles"),
    ('event["plan"] == 1', 1, "event[“time”]".replace("“", '"').replace("”", '"')),
    ('properties["distinct_id"] > "a"', 1, "an id is compared"),
    ('properties["distinct_id"] + "a" == "a"', 1, "an id is compared"),
    ('"a" in properties["$user_id"]', 8, "an id is compared"),
    ("any(and, 1, true)", 5, "a name for the element"),
    ("1 ~ 2", 3, "not of the language"),
    ("1.2.3 == 1", 1, "number"),
    ("(" * 300 + "true" + ")" * 300, None, "deep"),
    ("-" * 300 + "1 == 1", None, "deep"),
    (" or ".join(["true"] * 300 + ["1 == 1"] * 300), 1, "at most"),
    ("1+" * 100 + "1 == 1", None, "in a row"),
    ("x" * (MOST_CHARACTERS + 1), MOST_CHARACTERS + 1, "at most"),
]


@pytest.mark.parametrize(("text", "column", "message"), WRONG, ids=range(len(WRONG)))
def test_an_error_points_at_the_column_and_says_what_was_expected(text: str, column: int | None, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text, About.EVENT)
    assert message in caught.value.message
    assert caught.value.field == "where"
    assert column is None or caught.value.message.startswith(f"where, column {column}: ")


def test_an_error_never_quotes_what_was_sent() -> None:
    for text in ('properties["canary-1"] == canary2', 'properties["canary-1"] < "canary-3"', '"canary-4'):
        with pytest.raises(InvalidInput) as caught:
            parse(text, About.EVENT)
        assert "canary" not in f"{caught.value.message} {caught.value.remedy}"


def test_an_expression_that_says_the_same_of_everything_is_known() -> None:
    assert constant(parse("1 == 1", About.EVENT)) is True
    assert constant(parse("1 > 1/0", About.EVENT)) is False
    assert constant(parse(PLAN, About.EVENT)) is None


ALPHABET = [
    "properties",
    "[",
    "]",
    '"a"',
    "'b'",
    "(",
    ")",
    "==",
    "<",
    "in",
    "and",
    "or",
    "not",
    "any",
    "x",
    ",",
    "-",
    "1",
    "+",
    "user",
    "true",
    "\\",
    "%",
    " ",
    "defined",
    "é",
    "\0",
    '"',
]


@given(st.lists(st.sampled_from(ALPHABET), max_size=25).map("".join) | st.text(max_size=40))
def test_any_text_is_a_tree_or_an_error_with_a_column(text: str) -> None:
    for about in About:
        try:
            tree = parse(text, about)
        except InvalidInput as wrong:
            if not wrong.message.startswith("where, column "):
                raise
        else:
            assert hash(tree) == hash(parse(text, about))
