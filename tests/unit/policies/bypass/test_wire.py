"""The whole way in, from bytes: decoded, validated, checked. What the wire does to a record must not blind the gate."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from app.ingest.limits import Limits
from app.ingest.outcome import Event, Update
from app.ingest.updates import validate_update
from app.ingest.validate import validate_event
from app.ingest.wire import Endpoint, WireRequest, decode
from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Decision, Record, Scope
from policies.pseudonym import PseudonymKey
from tests.unit.policies.bypass.mutations import buried
from tests.unit.policies.bypass.oracle import readable

GATE = compile_policy(load(library.text("gdpr-analytics")))
CONTEXT = CheckContext(PseudonymKey(1, bytes(32)), identifiers="exposed")
NOW = 1_795_450_828_000
SECRET = "quillfeathermarrowby"
ADDRESS = f"{SECRET}@example.com"
NEEDLES = [SECRET[:12], SECRET[8:]]


def through(endpoint: Endpoint, body: bytes, kind: str = "application/json", limits: Limits | None = None) -> list[Decision]:
    """What becomes of every record of a body, up to the moment it would be stored."""
    limits = limits or Limits()
    batch = decode(WireRequest("POST", endpoint, [], kind, None, body), limits)
    records: list[Record] = []
    for raw in batch.records:
        if endpoint in ("track", "import"):
            event = validate_event(
                raw, endpoint="track" if endpoint == "track" else "import", now_ms=NOW, limits=limits, strict=False
            )
            if isinstance(event, Event):
                records.append(Record(Scope.EVENT, event.name, event.properties, time_ms=event.time_ms))
        else:
            update = validate_update(raw, kind="profile", now_ms=NOW, limits=limits)
            if isinstance(update, Update):
                records += [
                    Record(Scope.PROFILE, name, operand)
                    for name, operand in update.operations
                    if name not in ("$unset", "$delete")
                ]
    return GATE.check(records, CONTEXT)


def assert_hidden(decisions: list[Decision]) -> None:
    for decision in decisions:
        assert not readable(NEEDLES, [decision.name, decision.properties])


def event(properties: str, name: str = "Support Asked") -> bytes:
    return f'[{{"event":"{name}","properties":{{"token":"t","time":{NOW},{properties}}}}}]'.encode()


BODIES = {
    "one of two equal names": event(f'"password":"x","password":"{SECRET}"'),
    "the other of them": event(f'"password":"{SECRET}","password":"x"'),
    "equal names that escapes hide": event(f'"pass\\u0077ord":"{SECRET}","password":{{"a":"{SECRET}"}}'),
    "NUL in a name": event(f'"pass\\u0000word":"{SECRET}"'),
    "NUL in a value": event(f'"note":"a\\u0000{ADDRESS}"'),
    "as a name": event(f'"{ADDRESS}":1'),
    "as the name of the event": event('"a":1', ADDRESS),
    "a surrogate beside it": event(f'"a":"\\ud800","note":"{ADDRESS}"'),
    "a huge number beside it": event(f'"a":1{"0" * 400},"note":"{ADDRESS}"'),
    "not a number beside it": event(f'"a":NaN,"note":"{ADDRESS}"'),
    "JSON that the wire cuts": event(f'"log":{json.dumps(json.dumps({"a": {"password": SECRET}, "b": "x" * 300}))}'),
    "base64 of JSON": event(f'"log":"{base64.b64encode(json.dumps({"password": SECRET}).encode()).decode()}"'),
    "an address where the wire cuts": event(f'"note":"{"lorem " * 39}{ADDRESS} and more"'),
    "an address just where the wire cuts": event(f'"note":"{"lorem " * 38}{ADDRESS} {"and more " * 9}"'),
    "a hundred thousand deep": event(f'"a":{"[" * 100_000}"{ADDRESS}"{"]" * 100_000}'),
    "twenty deep": event(f'"a":{"[" * 20}"{ADDRESS}"{"]" * 20}'),
    "nineteen deep and in JSON": event(f'"a":{"[" * 19}{json.dumps(json.dumps({"password": SECRET}))}{"]" * 19}'),
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("endpoint", ["track", "import"])
def test_events(what: str, endpoint: Endpoint) -> None:
    assert_hidden(through(endpoint, BODIES[what]))


@pytest.mark.parametrize("what", BODIES)
def test_events_in_a_form(what: str) -> None:
    code = base64.b64encode(BODIES[what]).replace(b"+", b"%2B")
    assert_hidden(through("track", b"data=" + code, "application/x-www-form-urlencoded"))


@pytest.mark.parametrize("padding", [" ", "\u200b", "\u0301", "_", "-", ".", "\x01", "\u2800", "\u00ad", " _", "\u200b "])
@pytest.mark.parametrize("name", ["{0}password", "{0}password{0}", "a {0} user_password{0}"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_name_padded_beyond_where_the_wire_cuts(padding: str, name: str, deep: bool) -> None:
    member = json.dumps({name.format(padding * 300): SECRET})
    decisions = through("import", event(f'"a":{member}' if deep else member[1:-1]))
    assert len(decisions) == 1
    assert_hidden(decisions)


@pytest.mark.parametrize("operation", ["$set", "$set_once", "$append", "$union", "$remove", "$add"])
@pytest.mark.parametrize(
    "value", [f'"{ADDRESS}"', f'["{ADDRESS}"]', f'{{"a":"{ADDRESS}"}}', "4929381332664295", f'{{"password":"{SECRET}"}}']
)
def test_profiles(operation: str, value: str) -> None:
    body = f'[{{"$token":"t","$distinct_id":"u","{operation}":{{"note":{value},"$email":{value},"{ADDRESS}":{value}}}}}]'
    decisions = through("engage", body.encode())
    assert_hidden(decisions)
    assert not readable(["4929381332664295"], [decision.properties for decision in decisions])


@pytest.mark.parametrize("number", ["4929 3813 3266 4295", "4929381332664295", "+1 415 555 2671"])
@pytest.mark.parametrize("at", range(236, 256, 3))
def test_a_number_where_the_wire_cuts(number: str, at: int) -> None:
    text = ("lorem ipsum " * 30)[:at] + " " + number + " and more" * 5
    digits = "".join(filter(str.isdigit, number))
    (decision,) = through("import", event(f'"note":"{text}"'))
    assert not readable([digits[:6]], decision.properties)


def test_an_ordinary_text_is_cut_where_the_wire_says() -> None:
    (decision,) = through("import", event(f'"note":"{"lorem ipsum " * 30}"'))
    assert decision.properties is not None
    assert len(decision.properties["note"]) == 255


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_text_of_five_megabytes(place: int) -> None:
    """Only a caller of the check sends such a text; ingest refuses the record."""
    text = buried(f"write to {ADDRESS}", 5_000_000, place)
    (decision,) = GATE.check([Record(Scope.EVENT, "e", {"note": text})], CONTEXT)
    assert decision.properties is not None
    assert SECRET not in decision.properties["note"]
    assert through("import", event(f'"note":"{text}"')) == []


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_a_hundred_thousand_levels(wrap: Any) -> None:
    value: Any = ADDRESS
    for _ in range(100_000):
        value = wrap(value)
    (decision,) = GATE.check([Record(Scope.EVENT, "e", {"a": value, "b": 1})], CONTEXT)
    assert_hidden([decision])
    assert [remark.reason for remark in decision.remarks] == ["too_deep"]


def test_the_oracle_sees_what_the_wire_lets_through() -> None:
    seen = 0
    for body in BODIES.values():
        for raw in decode(WireRequest("POST", "import", [], "application/json", None, body), Limits()).records:
            event = validate_event(raw, endpoint="import", now_ms=NOW, limits=Limits(), strict=False)
            seen += isinstance(event, Event) and readable(NEEDLES, [event.name, event.properties])
    # Four are refused for what stands beside, one for its depth, and two lose the address where the wire cuts.
    assert seen >= len(BODIES) - 7
