"""Stored JSON with encrypted values in clear: still the same JSON, and nothing opened that is not ours."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, strategies as st

from app.identity.bridges import with_newest
from app.query.legible import with_values
from policies.cipher import encrypted

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | WORDS | st.sampled_from(['"', "\\", 'a"b\\"c', "\n"])
JSONS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))


def sealed(value: Any) -> Any:
    """The value with every scalar under the key, containers kept."""
    if isinstance(value, dict):
        return {name: sealed(each) for name, each in value.items()}
    return [sealed(each) for each in value] if isinstance(value, list) else encrypted(KEY, value)


def scalars(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(scalars(each) for each in (value.values() if isinstance(value, dict) else value))
    return 1


@given(JSONS)
def test_everything_comes_back_at_every_depth(value: Any) -> None:
    text, opened = with_values(json.dumps(sealed(value)), [KEY])
    assert json.loads(text) == value
    assert opened == scalars(value)


@given(JSONS, st.integers(1, 3))
def test_also_in_json_that_was_sent_as_text(value: Any, times: int) -> None:
    stored = json.dumps([sealed(value)])
    for _ in range(times):
        stored = json.dumps({"payload": stored})
    shown, opened = with_values(stored, [KEY])
    for _ in range(times):
        shown = json.loads(shown)["payload"]
    assert json.loads(shown) == [value]
    assert opened == scalars(value)


@given(JSONS)
def test_what_no_key_opens_stays_byte_for_byte(value: Any) -> None:
    stored = json.dumps(sealed(value))
    assert with_values(stored, [OTHER]) == (stored, 0)
    assert with_values(stored, []) == (stored, 0)


@given(WORDS, WORDS)
def test_any_key_of_the_person_opens(one: str, other: str) -> None:
    stored = json.dumps([encrypted(KEY, one), encrypted(OTHER, other)])
    text, opened = with_values(stored, [OTHER, KEY])
    assert (json.loads(text), opened) == ([one, other], 2)


@given(st.text(max_size=10), st.text(max_size=10), st.integers(0, 3))
def test_a_ciphertext_within_other_text_never_breaks_the_json(before: str, after: str, quotes: int) -> None:
    code = encrypted(KEY, 'a"b\\c')
    value = before + "\\" * quotes + f'"{code}"' + after
    for stored in (json.dumps([value]), json.dumps({value: code}), json.dumps({code: value})):
        shown = json.loads(with_values(stored, [KEY])[0])
        assert type(shown) is type(json.loads(stored))


def test_a_name_is_not_a_value() -> None:
    stored = json.dumps({encrypted(KEY, 1): 2})
    assert with_values(stored, [KEY]) == (stored, 0)


def test_older_pseudonyms_become_newer_ones_wherever_they_stand() -> None:
    old, new, unknown = (f"p{n}." + letter * 32 for n, letter in ((1, "a"), (2, "b"), (1, "c")))
    text = json.dumps({"email": old, "list": [old, unknown], "note": f"see {old}, {unknown}", "json": json.dumps({"x": old})})
    assert with_newest(text, {old: new}) == text.replace(old, new)
    assert with_newest(text, {}) is text
