"""Values that can come back: under a person's key, and as tokens of a project's key."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from policies import library
from policies.cipher import ENCRYPTED_CODE, TOKEN_CODE, NotOurs, TokenKey, decrypted, encrypted
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Record, Scope, Verdict
from policies.pseudonym import PseudonymKey

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
# Text that is not Unicode cannot be written as JSON; a number is compared with its type, because 1 is not true.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
)
CODES = ("e1.", "t1.", "t2.")


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


@given(SCALARS)
def test_what_is_encrypted_comes_back_as_it_was(value: Any) -> None:
    code = encrypted(KEY, value)
    assert ENCRYPTED_CODE.fullmatch(code)
    assert same(decrypted(KEY, code), value)


@given(SCALARS)
def test_a_token_comes_back_as_it_was(value: Any) -> None:
    code = TokenKey(3, KEY).token("user.contact.email", value)
    assert TOKEN_CODE.fullmatch(code)
    assert same(TokenKey(3, KEY).reveal("user.contact.email", code), value)


@given(SCALARS)
def test_treating_a_value_twice_is_treating_it_once(value: Any) -> None:
    key = TokenKey(1, KEY)
    assert encrypted(KEY, encrypted(KEY, value)) == encrypted(KEY, value)
    assert key.token("p", key.token("p", value)) == key.token("p", value)


@given(SCALARS)
def test_another_key_purpose_or_version_opens_nothing(value: Any) -> None:
    code, token = encrypted(KEY, value), TokenKey(1, KEY).token("p", value)
    for refused in (
        lambda: decrypted(OTHER, code),
        lambda: decrypted(KEY, "e1." + token[3:]),
        lambda: TokenKey(1, OTHER).reveal("p", token),
        lambda: TokenKey(1, KEY).reveal("q", token),
        lambda: TokenKey(2, KEY).reveal("p", token),
        lambda: TokenKey(2, KEY).reveal("p", "t2." + token[3:]),
        lambda: TokenKey(1, KEY).reveal("p", "t1." + code[3:]),
    ):
        with pytest.raises(NotOurs):
            refused()


@given(SCALARS, st.data())
def test_a_changed_code_does_not_open(value: Any, data: st.DataObject) -> None:
    code = encrypted(KEY, value)
    at = data.draw(st.integers(3, len(code) - 1))
    letter = data.draw(st.sampled_from("ABCDwxyz0189-_+/=.\n"))
    changed = code[:at] + letter + code[at + 1 :]
    if changed != code:
        # Also where the decoder would pass over the difference: one value of one person has one text.
        with pytest.raises(NotOurs):
            decrypted(KEY, changed)


@given(st.text(max_size=80) | st.sampled_from(CODES).flatmap(lambda code: st.text(max_size=80).map(code.__add__)))
def test_any_text_is_opened_or_refused_and_nothing_else(text: str) -> None:
    for refused in (lambda: decrypted(KEY, text), lambda: TokenKey(1, KEY).reveal("p", text)):
        with pytest.raises(NotOurs):
            refused()


def test_a_length_does_not_tell_yes_from_no_nor_a_small_number_from_another() -> None:
    for few in ((True, False, None, 0, 123_456), ("yes", "no", ""), ("F", "M", "divers")):
        assert len({len(encrypted(KEY, value)) for value in few}) == 1
        assert len({len(TokenKey(1, KEY).token("p", value)) for value in few}) == 1


def test_equal_values_have_equal_codes_for_one_person_only() -> None:
    assert encrypted(KEY, "jane") == encrypted(KEY, "jane")
    assert encrypted(KEY, "jane") != encrypted(OTHER, "jane")
    assert encrypted(KEY, 1) != encrypted(KEY, True)
    assert encrypted(KEY, 1) != encrypted(KEY, "1")


def test_what_json_does_not_have_is_written_as_nothing() -> None:
    assert decrypted(KEY, encrypted(KEY, math.nan)) is None
    assert decrypted(KEY, encrypted(KEY, "a\ud800")) == "a?"


# --- rotation ---------------------------------------------------------------------------------------------------------


@given(SCALARS)
def test_tokens_of_older_versions_stay_readable_and_become_new_when_they_come_in_again(value: Any) -> None:
    first = TokenKey(1, KEY)
    second = TokenKey(2, OTHER, (first,))
    old = first.token("p", value)
    assert same(second.reveal("p", old), value)
    assert second.token("p", old) == second.token("p", value)
    assert second.token("p", value).startswith("t2.")
    # An older token of another purpose is text like any other.
    assert same(second.reveal("q", second.token("q", old)), old)


def test_a_version_says_itself_exactly() -> None:
    key = TokenKey(1, KEY)
    token = key.token("p", "jane")
    for text in ("t01." + token[3:], "t." + token[3:], "T1." + token[3:], "t1" + token[3:], " " + token, token + " "):
        with pytest.raises(NotOurs):
            key.reveal("p", text)


@pytest.mark.parametrize(("version", "key"), [(0, KEY), (1, KEY[:31]), (1, b"")])
def test_a_token_key_that_is_none_is_refused(version: int, key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        TokenKey(version, key)


def test_keys_are_not_shown() -> None:
    shown = repr(TokenKey(2, OTHER, (TokenKey(1, KEY),)))
    assert repr(KEY) not in shown
    assert "older" not in shown


def test_no_detector_takes_our_own_codes_for_personal_data() -> None:
    gate = compile_policy(load(library.text("gdpr-analytics")))
    context = CheckContext(PseudonymKey(1, KEY))
    records = [
        Record(
            Scope.EVENT,
            "Viewed",
            {
                "a": encrypted(OTHER, f"{n}@example.com, and more"),
                "b": TokenKey(1, OTHER).token("p", n),
                "c": PseudonymKey(1, OTHER).pseudonym("p", str(n)),
            },
        )
        for n in range(500)
    ]
    assert {decision.verdict for decision in gate.check(records, context)} == {Verdict.PASS}
