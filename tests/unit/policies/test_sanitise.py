"""Stored records under a chosen policy: what is left, and the account of it."""

from __future__ import annotations

from typing import Any

import msgspec

from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Record, Scope, SubjectState
from policies.pseudonym import PseudonymKey
from policies.sanitise import OTHER, OWN_ID, UNNAMED, Account, Sanitised, Sanitiser

CONTEXT = CheckContext(PseudonymKey(1, b"k" * 32, 1))
PASS = Sanitiser(compile_policy(load(library.text("passthrough"))))
PSEUDONYM, TOKEN, ENCRYPTED = "p1." + "a" * 32, "t2." + "B" * 30, "e1." + "C" * 30


def _one(properties: dict[str, Any], ids: set[str] | None = None, of: Sanitiser = PASS) -> tuple[Sanitised, dict[str, Any]]:
    account = Account()
    record = Record(Scope.EVENT, "View", properties, SubjectState.OPTED_IN)
    [found] = of.sanitise([record], [ids or set()], CONTEXT, account)
    return found, {each["property"]: each for each in account.shown()}


def test_what_this_service_made_to_recognise_a_person_is_gone_at_any_depth() -> None:
    found, told = _one({"a": PSEUDONYM, "b": [{"c": f"x {TOKEN} y"}], "d": f'{{"e":"{ENCRYPTED}"}}', "f": "p1.short"})
    assert found.properties == {"a": "[pseudonym]", "b": [{"c": "x [token] y"}], "d": '{"e":"[encrypted]"}', "f": "p1.short"}
    assert (told["a"]["changed"], told["f"]["kept"]) == (1, 1)


def test_of_people_who_stay_known_it_stays() -> None:
    lenient = Sanitiser(compile_policy(load(library.text("passthrough"))), unlink=False)
    assert _one({"a": PSEUDONYM}, of=lenient)[0].properties == {"a": PSEUDONYM}


def test_detectors_look_at_what_is_left_whatever_the_policy_thinks() -> None:
    _, told = _one({"a.b": "zoe@example.com", "list": [{"deep": ["call 4111 1111 1111 1111"]}], "fine": "pro"})
    assert told["a.b"]["findings"] == {"email": 1}
    assert told["list"]["findings"] == {"card": 1}
    assert told["fine"]["findings"] == {}


def test_an_own_id_is_found_whole_or_within_a_text_if_it_is_long() -> None:
    _, told = _one(
        {
            "whole": "ADA",
            "part": "for customer-0042 only",
            "nested": {"ada": 1},
            "number": 4711,
            "other": "adapter",
            "short": "x",
        },
        {"ada", "customer-0042", "4711", "x"},
    )
    assert {name for name, each in told.items() if OWN_ID in each["findings"]} == {"whole", "part", "nested", "number"}


def test_names_that_look_personal_are_not_reported() -> None:
    _, told = _one({"zoe@example.com": 1})
    assert set(told) == {UNNAMED}
    assert PASS.label("x" * 201) == PASS.label("a\x1fb") == UNNAMED


def test_what_the_policy_drops_or_holds_does_not_pass() -> None:
    strict = Sanitiser(compile_policy(load(library.text("gdpr-strict"))))
    account = Account()
    records = [Record(Scope.EVENT, name, {"x": 1}, SubjectState.OPTED_IN) for name in ("Debug 1", "Never heard of", "Signed Up")]
    found = strict.sanitise(records, [set()] * 3, CONTEXT, account)
    assert [each.properties is None for each in found] == [True, True, False]
    assert (account.records, account.dropped) == ({"event": 3}, {"event": 2})


def test_an_account_is_bounded_and_survives_a_pause() -> None:
    account = Account()
    for n in range(3_000):
        account.fate("event", "View", f"p{n}").kept += 1
    assert len(account.fates) == 2_001
    again = msgspec.json.decode(msgspec.json.encode(account), type=Account)
    [rest] = [each for each in again.shown() if each["property"] == OTHER]
    assert rest["kept"] == 1_000
