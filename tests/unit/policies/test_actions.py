"""Every action at its edges: numbers as text, negative, huge, NaN, empty, Unicode, nested, lists, yes and no, nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from policies.cipher import TokenKey, decrypted
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.generalise import generalised
from policies.load import load
from policies.model import Decision, Generalise, Record, Scope, Verdict
from policies.pseudonym import PSEUDONYM_CODE, PseudonymKey

KEY = bytes(range(32))
CONTEXT = CheckContext(PseudonymKey(1, KEY), tokens=TokenKey(1, KEY))


def moment(text: str) -> int:
    """Unix milliseconds of an ISO 8601 time."""
    at = datetime.fromisoformat(text)
    return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)


NOON = moment("2026-06-15T12:00:00")


def under(action: str, value: Any, category: str = "user.unique_id", context: CheckContext = CONTEXT, **options: Any) -> Decision:
    """The decision on one value of a property under one action."""
    rule = f"{{id: r, properties: field, category: {category}, sensitivity: internal, action: {action}}}"
    region = options.pop("region", "US")
    gate = compile_policy(load(f"policy: test\ndefault_region: {region}\ndetectors: keep\nrules: [{rule}]"))
    options = {"time_ms": NOON, "subject_key": KEY, **options}
    (decision,) = gate.check([Record(Scope.EVENT, "e", {"field": value}, **options)], context)
    return decision


def left(action: str, value: Any, **options: Any) -> Any:
    decision = under(action, value, **options)
    assert decision.properties is not None
    return decision.properties["field"]


ALL = (
    "keep",
    "quarantine",
    "hash",
    "{hash: {period: week}}",
    "{mask: {keep_last: 2}}",
    "{truncate: {length: 2}}",
    "{generalise: {bucket: 10}}",
    "{generalise: {bands: [18, 65]}}",
    "{generalise: {date: month}}",
    "{generalise: {postal: 3}}",
    "{replace: {with: x}}",
    "redact",
    "encrypt",
    "tokenise",
)
ODD: tuple[Any, ...] = (
    "",
    " ",
    "0",
    "-1",
    "１２３",
    "\ud800",
    "\x00",
    "e\u0301",
    "👩‍👩‍👧",
    0,
    -1,
    -0.0,
    1.5,
    2**63,
    -(2**70),
    10**4000,
    1e308,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    [],
    {},
    ["a", ["b", {"c": "d"}], None],
    {"a": {"b": ["c", 1, True, None]}},
)


@pytest.mark.parametrize("action", ALL)
def test_no_value_stops_the_check(action: str) -> None:
    for value in ODD:
        decision = under(action, value)
        assert decision.verdict in (Verdict.PASS, Verdict.CHANGED, Verdict.QUARANTINED), repr(value)[:40]


@pytest.mark.parametrize("action", [action for action in ALL if action != "keep"])
def test_nothing_stays_nothing_and_every_scalar_of_a_container_is_treated(action: str) -> None:
    assert left(action, None) is None
    assert left(action, {"a": [None, {"b": None}]}) == {"a": [None, {"b": None}]}
    single = left(action, "secret value")
    assert left(action, {"a": ["secret value", {"b": "secret value"}]}) == {"a": [single, {"b": single}]}
    assert "secret value" not in str(single)


@pytest.mark.parametrize("action", ["hash", "mask", "{truncate: {length: 1}}", "{generalise: {bucket: 10}}"])
@pytest.mark.parametrize("value", [True, False])
def test_yes_and_no_stay_under_actions_that_need_characters_or_numbers(action: str, value: bool) -> None:
    assert left(action, value) is value


@pytest.mark.parametrize("action", ["redact", "quarantine", "encrypt", "tokenise", "{replace: {with: x}}"])
@pytest.mark.parametrize("value", [True, False])
def test_yes_and_no_go_under_the_others(action: str, value: bool) -> None:
    assert left(action, value) is not value


@pytest.mark.parametrize(
    ("width", "value", "expected"),
    [
        (10, 34, 30),
        (10, 30, 30),
        (10, 29.999, 20),
        (10, -1, -10),
        (10, -10, -10),
        (10, "34", 30),
        (10, " 34 ", 30),
        (10, "+34", 30),
        (10, "34.5", 30),
        (10, "3e4", None),
        (10, "0x10", None),
        (10, "34 years", None),
        (10, "", None),
        (10, math.nan, None),
        (10, math.inf, None),
        (10, 2**63, 2**63 // 10 * 10),
        (10, 2**65, None),
        (10, "9" * 41, None),
        (0.1, 0.7, 0.7),
        (0.1, 0.3, 0.3),
        (0.1, 0.30000000000000004, 0.3),
        (0.1, 0.39, 0.3),
        (0.25, 0.9, 0.75),
        (1000, 999, 0),
        (1e-6, 1.5, 1.5),
        (1e15, 1e14, 0),
    ],
)
def test_buckets(width: float, value: Any, expected: Any) -> None:
    found = generalised(Generalise(bucket=width), value, NOON, "US")
    if expected is None or abs(expected) < 2**53:
        assert found == expected
    else:
        assert found == pytest.approx(expected, rel=1e-15)
    if found is not None:
        assert generalised(Generalise(bucket=width), found, NOON, "US") == found


@pytest.mark.parametrize(
    ("bounds", "value", "expected"),
    [
        ((18, 65), 17.999, "<18"),
        ((18, 65), 18, "18-64"),
        ((18, 65), "64", "18-64"),
        ((18, 65), 65, "65+"),
        ((18, 65), -5, "<18"),
        ((18, 65), "65+", "65+"),
        ((18, 65), "<18", "<18"),
        ((18, 65), "18-24", None),
        ((18,), 18, "18+"),
        ((0.5, 1.5), 1, "0.5-<1.5"),
        ((0.5, 2), 1, "0.5-<2"),
        ((1_000_000, 12_345_678), 5_000_000, "1000000-12345677"),
        ((18, 65), "adult", None),
        ((18, 65), math.nan, None),
    ],
)
def test_bands(bounds: tuple[float, ...], value: Any, expected: str | None) -> None:
    assert generalised(Generalise(bands=bounds), value, NOON, "US") == expected


@pytest.mark.parametrize(
    ("born", "at", "expected"),
    [
        ("2008-06-15", "2026-06-14T23:59:59", "<18"),
        ("2008-06-15", "2026-06-15T00:00:00", "18+"),
        ("2008-02-29", "2026-02-28T12:00:00", "<18"),
        ("2008-02-29", "2026-03-01T00:00:00", "18+"),
        ("2008-02-29", "2028-02-29T00:00:00", "18+"),
        ("2008-12-31", "2026-12-31T00:00:00", "18+"),
        ("2008", "2026-01-01T00:00:00", "18+"),
        ("2008-06", "2026-06-01T00:00:00", "18+"),
        ("2008-06-15T22:00:00-08:00", "2026-06-15T00:00:00", "18+"),
        ("20080615", "2026-06-15T00:00:00", "18+"),
        (1213488000, "2026-06-15T00:00:00", "18+"),
        (-2208988800, "2026-06-15T00:00:00", "18+"),
        ("2026-06-16", "2026-06-15T00:00:00", None),
        ("15.06.2008", "2026-06-15T00:00:00", None),
        ("06/15/2008", "2026-06-15T00:00:00", None),
        ("2008-13-01", "2026-06-15T00:00:00", None),
        ("2009-02-29", "2026-06-15T00:00:00", None),
        ("0000-01-01", "2026-06-15T00:00:00", None),
        (35, "2026-06-15T00:00:00", None),
    ],
)
def test_ages_at_their_boundaries(born: Any, at: str, expected: str | None) -> None:
    assert generalised(Generalise(bands=(18,)), born, moment(at), "US", born=True) == expected


@pytest.mark.parametrize("time_ms", [0, -1, 10**18])
def test_an_age_without_a_time_is_unknown(time_ms: int) -> None:
    assert generalised(Generalise(bands=(18,)), "1985-04-12", time_ms, "US") is None


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("year", "2026-11-23", "2026"),
        ("month", "2026-11-23T23:59:59.999+05:30", "2026-11"),
        ("day", "2026-11-23 10:00:00 UTC", "2026-11-23"),
        ("day", "2026-11", "2026-11"),
        ("day", "2026", "2026"),
        ("day", 2026, "2026"),
        ("day", "20261123", "2026-11-23"),
        ("day", 20261123, "2026-11-23"),
        ("day", 20261399, None),
        ("day", 1795450828, "2026-11-23"),
        ("day", 1795450828.9, "2026-11-23"),
        ("day", 1795450828123, "2026-11-23"),
        ("day", -1, "1969-12-31"),
        ("day", 0, "1970-01-01"),
        ("day", 12, None),
        ("day", -62135596800, "0001-01-01"),
        ("day", -62135596801, None),
        ("day", -63e9, None),
        ("day", 253402300800, "1978-01-11"),
        ("day", 10**300, None),
        ("day", 1e308, None),
        ("day", math.nan, None),
        ("year", "23.11.2026", None),
        ("year", "11/23/2026", None),
        ("year", "Nov 23, 2026", None),
        ("year", "2026/11/23", None),
        ("year", "26-11-23", None),
        ("year", "２０２６-11-23", None),
        ("year", "2026-02-30", None),
        ("year", "", None),
        ("year", "1795450828", None),
    ],
)
def test_dates(unit: str, value: Any, expected: str | None) -> None:
    found = generalised(Generalise(date=unit), value, NOON, "US")  # type: ignore[arg-type]
    assert found == expected
    if found is not None:
        assert generalised(Generalise(date=unit), found, NOON, "US") == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("region", "length", "value", "expected"),
    [
        ("US", 3, "94107", "941"),
        ("US", 3, "94107-1234", "941"),
        ("US", 3, 94107, "941"),
        ("US", 3, 94107.0, "941"),
        ("US", 3, 2134, "021"),
        ("US", 3, 501, "005"),
        ("US", 3, "03601", "000"),
        ("US", 3, 3601, "000"),
        ("US", 3, "20301", "000"),
        ("US", 3, "20401", "204"),
        ("US", 3, "000", "000"),
        ("US", 5, "03601", "03601"),
        ("DE", 3, "03601", "036"),
        ("DE", 2, "D-10115", "D1"),
        ("GB", 3, "SW1A 1AA", "SW1"),
        ("GB", 2, "SW1A 1AA", "SW"),
        ("GB", 1, "sw1a 1aa", "S"),
        ("CA", 3, "k1a-0b1", "K1A"),
        ("NL", 4, "1012 AB", "1012"),
        ("IE", 3, "D02 X285", "D02"),
        ("PL", 2, "00-950", "00"),
        ("PT", 4, "1000-205", "1000"),
        ("BR", 5, "01310-100", "01310"),
        ("JP", 3, "100-0001", "100"),
        ("IN", 3, 110001, "110"),
        ("MT", 3, "VLT 1117", "VLT"),
        ("SE", 3, "114 55", "114"),
        ("US", 3, "home", None),
        ("US", 3, "Springfield", None),
        ("US", 3, "[postal_code]", None),
        ("US", 3, "12345678901", None),
        ("US", 3, "９４１０７", None),
        ("US", 3, "", None),
        ("US", 3, -1, None),
        ("US", 3, 1.5, None),
        ("US", 3, math.nan, None),
    ],
)
def test_postal_codes(region: str, length: int, value: Any, expected: str | None) -> None:
    found = generalised(Generalise(postal=length), value, NOON, region)
    assert found == expected
    if found is not None:
        assert generalised(Generalise(postal=length), found, NOON, region) == found


@pytest.mark.parametrize(
    ("period", "same", "other"),
    [
        ("day", ("2026-06-15T00:00:00", "2026-06-15T23:59:59.999"), ("2026-06-15T23:59:59.999", "2026-06-16T00:00:00")),
        ("day", ("2026-06-15T20:00:00-04:00", "2026-06-16T00:00:00"), ("2026-06-15T19:59:59-04:00", "2026-06-16T00:00:00")),
        ("week", ("2026-12-28T00:00:00", "2027-01-03T23:59:59"), ("2027-01-03T23:59:59", "2027-01-04T00:00:00")),
        ("week", ("2024-12-30T00:00:00", "2025-01-05T00:00:00"), ("2024-12-29T23:59:59", "2024-12-30T00:00:00")),
        ("month", ("2024-02-01T00:00:00", "2024-02-29T23:59:59"), ("2024-02-29T23:59:59", "2024-03-01T00:00:00")),
        ("month", ("2026-06-01T00:00:00", "2026-06-30T00:00:00"), ("2025-06-15T00:00:00", "2026-06-15T00:00:00")),
        ("quarter", ("2026-04-01T00:00:00", "2026-06-30T23:59:59"), ("2026-06-30T23:59:59", "2026-07-01T00:00:00")),
        ("year", ("2026-01-01T00:00:00", "2026-12-31T23:59:59"), ("2026-12-31T23:59:59", "2027-01-01T00:00:00")),
    ],
)
def test_the_key_of_a_rotating_pseudonym_changes_with_the_period_in_utc(period: str, same: Any, other: Any) -> None:
    def at(text: str) -> Any:
        return left(f"{{hash: {{period: {period}}}}}", "a1", time_ms=moment(text))

    assert at(same[0]) == at(same[1])
    assert at(other[0]) != at(other[1])


def test_pseudonyms_join_spellings_by_the_kind_of_value() -> None:
    phones = {
        left("hash", spelling, category="user.contact.phone_number")
        for spelling in ("+1 415 555 2671", "(415) 555-2671", 4155552671)
    }
    assert len(phones) == 1
    assert left("hash", "Jane", category="user.name") == left("hash", " ｊａｎｅ", category="user.name")
    assert left("hash", "aB", category="user.financial.bank_account") != left(
        "hash", "ab", category="user.financial.bank_account"
    )
    assert PSEUDONYM_CODE.fullmatch(left("hash", ""))


def test_pseudonyms_of_older_keys_are_bridged() -> None:
    older, newer = PseudonymKey(1, bytes(32)), PseudonymKey(2, KEY)
    before = left("hash", "a1", context=CheckContext(older))
    decision = under("hash", "a1", context=CheckContext(newer, bridge=(older,)))
    assert decision.bridges == ((before, decision.properties["field"]),)  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "first", "last", "expected"),
    [
        ("abcdef", 1, 2, "a***ef"),
        ("abc", 1, 2, "***"),
        ("ab", 2, 0, "**"),
        ("abc", 2, 0, "ab*"),
        ("", 1, 1, ""),
        (12345, 0, 2, "***45"),
        (-1.5, 1, 0, "-***"),
    ],
)
def test_masks(value: Any, first: int, last: int, expected: str) -> None:
    assert left(f"{{mask: {{keep_first: {first}, keep_last: {last}}}}}", value) == expected


@pytest.mark.parametrize(
    ("value", "length", "expected"),
    [("abc", 3, "abc"), ("abc", 0, ""), (1985, 4, 1985), (198504, 4, "1985"), (10.0, 2, 10.0), ("é́x", 1, "é")],
)
def test_truncation(value: Any, length: int, expected: Any) -> None:
    assert left(f"{{truncate: {{length: {length}}}}}", value) == expected


@pytest.mark.parametrize(
    ("written", "value"), [("unknown", "unknown"), ("0", 0), ("1.5", 1.5), ("true", True), ("false", False), ('"true"', "true")]
)
def test_replacement_keeps_the_type_that_was_written(written: str, value: Any) -> None:
    for given in ("x", 1, 0, True, 1.5):
        found = left(f"{{replace: {{with: {written}}}}}", given)
        assert (found, type(found)) == (value, type(value))
    changed = under(f"{{replace: {{with: {written}}}}}", 7)
    assert changed.verdict is Verdict.CHANGED


def test_a_number_replaced_by_yes_is_a_change() -> None:
    assert under("{replace: {with: true}}", 1).verdict is Verdict.CHANGED
    assert under("{replace: {with: true}}", True).verdict is Verdict.PASS


def test_encryption_is_of_the_person_and_comes_back_with_its_type() -> None:
    for value in ("blue", 7, 1.5, True, "", "Å 👩‍👩‍👧"):
        found = left("encrypt", value)
        back = decrypted(KEY, found)
        assert (back, type(back)) == (value, type(value))
    assert left("encrypt", "blue") != left("encrypt", "blue", subject_key=bytes(32))
    without = under("encrypt", "blue", subject_key=None)
    assert (without.needs_key, without.properties) == (True, {"field": "[encrypted]"})


def test_tokens_are_of_the_purpose_and_come_back_with_their_type() -> None:
    tokens = TokenKey(1, KEY)
    for value in ("L-1", 7, True):
        back = tokens.reveal("loyalty", left("{tokenise: {purpose: loyalty}}", value))
        assert (back, type(back)) == (value, type(value))
    assert left("{tokenise: {purpose: a}}", "x") != left("{tokenise: {purpose: b}}", "x")
    assert left("tokenise", "x") == left("{tokenise: {purpose: user.unique_id}}", "x")
    without = under("tokenise", "x", context=CheckContext(PseudonymKey(1, KEY)))
    assert (without.needs_key, without.properties) == (False, {"field": "[encrypted]"})


@pytest.mark.parametrize("value", ["[encrypted]", "p1." + "a" * 32, "t1." + "A" * 30, "e1." + "A" * 30])
@pytest.mark.parametrize("action", ["hash", "tokenise", "encrypt"])
def test_text_that_looks_treated_is_treated_like_any_other(action: str, value: str) -> None:
    found = left(action, value)
    assert found != value or (value == "[encrypted]" and action != "hash")


@pytest.mark.parametrize("action", ["drop", "drop_event"])
@pytest.mark.parametrize("value", ["x", None, True, 0, [], {}, {"a": 1}])
def test_what_removes_removes_whatever_the_value(action: str, value: Any) -> None:
    decision = under(action, value)
    assert (decision.verdict, decision.properties) == ((Verdict.CHANGED, {}) if action == "drop" else (Verdict.DROPPED, None))
