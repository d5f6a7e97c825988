"""Which property names the default policy covers, in several languages and styles, and which it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Record, Scope, Verdict
from policies.pseudonym import PseudonymKey

TABLE = Path(__file__).parents[2] / "golden" / "policies" / "names.txt"
GATE = compile_policy(load(library.text("gdpr-analytics")))
CONTEXT = CheckContext(PseudonymKey(1, bytes(32)))


def listed() -> list[tuple[str, str]]:
    """Every (rule, name) of the table."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [(rule, name.strip()) for rule, names in (line.split(":", 1) for line in lines) for name in names.split(",")]


NAMES = listed()
PERSONAL = [(rule, name) for rule, name in NAMES if rule != "innocent"]
INNOCENT = [name for rule, name in NAMES if rule == "innocent"]


def test_the_table_is_large_and_names_nothing_twice() -> None:
    assert len(PERSONAL) >= 250
    assert len(INNOCENT) >= 150
    assert len(set(NAMES)) == len(NAMES)
    assert not {name for _, name in PERSONAL} & set(INNOCENT)


@pytest.mark.parametrize("below", [None, "context"])
def test_personal_names_are_changed_by_their_rule_at_any_depth(below: str | None) -> None:
    wrong = []
    for rule, name in PERSONAL:
        properties = {name: "Zz"} if below is None else {below: [{name: "Zz"}]}
        (decision,) = GATE.check([Record(Scope.EVENT, "e", properties)], CONTEXT)
        found = [remark.rule for remark in decision.remarks]
        if found != [rule] or "Zz" in str(decision.properties).replace(name, ""):
            wrong.append((name, rule, found))
    assert wrong == []


def test_innocent_names_pass() -> None:
    wrong = []
    for name in INNOCENT:
        (decision,) = GATE.check([Record(Scope.EVENT, "e", {name: "Zz", "nested": {name: 3}})], CONTEXT)
        if decision.verdict is not Verdict.PASS:
            wrong.append((name, sorted({remark.rule for remark in decision.remarks})))
    assert wrong == []


@pytest.mark.parametrize("name", ["name", "$name", "nom", "nombre", "nome", "naam", "display_name"])
def test_a_bare_name_is_a_persons_in_a_profile_only(name: str) -> None:
    (profile,) = GATE.check([Record(Scope.PROFILE, "$set", {name: "Zz"})], CONTEXT)
    assert profile.properties == {}
    (event,) = GATE.check([Record(Scope.EVENT, "e", {name: "Zz"})], CONTEXT)
    assert (event.verdict is Verdict.PASS) == (name != "$name")
