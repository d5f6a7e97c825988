"""What each profile operation does (wire section 8)."""

import pytest

from app.events.profile_update import apply


@pytest.mark.parametrize(
    ("before", "operation", "operand", "after"),
    [
        ({"a": 1}, "$set", {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 1}, "$set_once", {"a": 2, "b": 3}, {"a": 1, "b": 3}),
        ({"n": 1}, "$add", {"n": 2, "m": -1}, {"n": 3, "m": -1}),
        ({"n": "text"}, "$add", {"n": 2}, {"n": 2}),
        ({"n": True}, "$add", {"n": 2}, {"n": 2}),
        ({"l": [1]}, "$append", {"l": 1, "k": {"x": 1}}, {"l": [1, 1], "k": [{"x": 1}]}),
        ({"l": "one"}, "$append", {"l": "two"}, {"l": ["one", "two"]}),
        ({"l": [1]}, "$union", {"l": [1, 2, 2], "k": "x"}, {"l": [1, 2], "k": ["x"]}),
        ({"l": [1, 2, 1]}, "$remove", {"l": 1, "none": 1}, {"l": [2]}),
        ({"l": "x"}, "$remove", {"l": "x"}, {"l": "x"}),
        ({"a": 1, "b": 2}, "$unset", ["a", "none"], {"b": 2}),
    ],
)
def test_operations(before, operation, operand, after):
    untouched = {name: list(value) if isinstance(value, list) else value for name, value in before.items()}
    assert apply(before, operation, operand) == after
    assert before == untouched


def test_an_unknown_operation_is_an_error():
    with pytest.raises(KeyError):
        apply({}, "$multiply", {})
