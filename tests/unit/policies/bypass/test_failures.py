"""Whatever fails inside the check: the record at hand is refused with `check_failed`, and its neighbours are judged as if
nothing had happened.

The collaborators of the gate are read off the sources, so a new one fails a test here until it has a probe.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import FrameType
from typing import Any

import msgspec
import pytest

from policies.cipher import TokenKey
from policies.compile import compile_policy
from policies.consent import ConsentTerms
from policies.context import CheckContext
from policies.detect import Scanner
from policies.geolocate import Whereabouts
from policies.load import load
from policies.model import Record, Scope, Signal, SubjectState, Verdict
from policies.pseudonym import PseudonymKey

HOT = ("gate", "shapes", "classify", "walk", "embedded", "transform", "filters", "consent")
"""The modules through which a record walks."""
SECRET = "quillfeather"

POLICY = """
policy: probe
geolocation: city
unknown_properties: {otherwise: allow, restricted: quarantine}
unknown_events: {otherwise: allow, restricted: quarantine}
consent: {purposes: [{id: ads, events: ["Ad *"], signals: [dnt]}], signals: [gpc]}
events:
  drop:
    - {id: never, events: ["*"], where: [{property: internal, is: true}]}
    - {id: huge, events: ["*"], where: [{property: age, above: 1000}]}
rules:
  - {id: hashed, properties: [hashed, "*_hashed"], category: user.contact.email, sensitivity: confidential, action: hash}
  - {id: period, properties: [period], category: user.contact.email, sensitivity: confidential, action: {hash: {period: month}}}
  - {id: encrypted, properties: [encrypted], category: user.contact, sensitivity: confidential, action: encrypt}
  - {id: token, properties: [token], category: user.contact, sensitivity: confidential, action: tokenise}
  - {id: aged, properties: [age], category: user.demographic, sensitivity: confidential, action: {generalise: {bucket: 10}}}
  - {id: masked, properties: [masked], category: user.contact, sensitivity: confidential, action: {mask: {keep_last: 2}}}
  - {id: dropped, properties: [dropped], category: user.contact, sensitivity: confidential, action: drop}
  - {id: cut, properties: [cut], category: user.contact, sensitivity: confidential, action: {truncate: {length: 4}}}
  - {id: redacted, properties: [redacted], category: user.contact.email, sensitivity: confidential, action: redact}
  - {id: campaign, properties: [campaign], category: user.behavior, sensitivity: internal, action: keep, purposes: ads}
  - {id: checkout, properties: [basket], scope: event, events: ["Checkout*"], category: user.contact, sensitivity: confidential, action: drop}
"""
PROPERTIES: dict[str, Any] = {
    "distinct_id": f"{SECRET}@example.com",
    "$insert_id": "4929 3813 3266 4295",
    "ip": "203.0.113.77",
    "hashed": SECRET,
    "period": SECRET,
    "encrypted": SECRET,
    "token": SECRET,
    "age": 42,
    "internal": "no",
    "redacted": SECRET,
    "masked": SECRET,
    "cut": [19, "born", SECRET],
    "dropped": SECRET,
    "basket": SECRET,
    "campaign": SECRET,
    "number": 4929381332664295,
    "note": f"write to {SECRET}@example.com",
    "json": f'{{"dropped": "{SECRET}", "a": 1}}',
    "coded": base64.b64encode(f'{{"dropped": "{SECRET}", "a": [1, 2, 3]}}'.encode()).decode(),
    "blob": base64.b64encode(f"write to {SECRET}@example.com about it".encode()).decode(),
    "ssn": 536228716,
    "latitude": 48.858371,
    "link": f"https://shop.example/?page=2&dropped={SECRET}",
    "broken": f'{{"dropped": "{SECRET}',
    f"{SECRET}@example.com": 1,
    f"{SECRET}.marrow@example.com": 2,
    "items": [{"hashed": SECRET, "note": f"{SECRET}@example.com"}, [1, "x"], {"a": {"b": [1]}}],
}
ERRORS = (ValueError, MemoryError, RecursionError, KeyError)


class Probe:
    """A gate that has not seen anything, and the batch: the record under test between two ordinary ones."""

    def __init__(self) -> None:
        self.gate = compile_policy(load(POLICY))
        self.context = CheckContext(
            PseudonymKey(2, bytes(32)), identifiers="exposed", bridge=(PseudonymKey(1, bytes(range(32))),), tokens=TokenKey(1, bytes(32)),
            ip="203.0.113.9", signals=frozenset({Signal.DNT}), places=lambda _: Whereabouts("FR", "Rhône", "Lyon"),
        )  # fmt: skip
        self.target = Record(
            Scope.EVENT, f"Checkout {SECRET}@example.com", PROPERTIES, SubjectState.OPTED_IN, 1_795_450_828_000,
            frozenset({"ads"}), bytes(32),
        )  # fmt: skip
        # Without a suspicious name, so that the wide pass has its say.
        self.plainer = Record(Scope.EVENT, "Checkout", {name: value for name, value in PROPERTIES.items() if "@" not in name})
        self.before = Record(Scope.EVENT, "Page Viewed", {"plan": "pro", "items": [{"a": 1}]})
        self.after = Record(Scope.PROFILE, "$set", {"hashed": "someone", "plan": "pro"})
        self.reached = False

    def failing(self, really: Callable[..., Any], error: type[Exception]) -> Callable[..., Any]:
        """The same callable, which raises while the record under test is being judged."""

        def fail(*args: Any, **options: Any) -> Any:
            if self._is_at_hand():
                self.reached = True
                raise error
            return really(*args, **options)

        return fail

    def _is_at_hand(self) -> bool:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            for record in (frame.f_locals.get("record"), getattr(frame.f_locals.get("self"), "_record", None)):
                if isinstance(record, Record):
                    return record is self.target
            frame = frame.f_back
        return False

    def check(self) -> list[Any]:
        return self.gate.check([self.before, self.target, self.after], self.context)


def is_collaborator(found: object) -> bool:
    """Whether something imported into a hot module does work: no value, no error, no word of a closed list."""
    if not callable(found) or not getattr(found, "__module__", "").startswith("policies."):
        return False
    if not inspect.isclass(found):
        return True
    values = issubclass(found, Enum | Exception | msgspec.Struct) or dataclasses.is_dataclass(found)
    return not values


def collaborators() -> Iterator[str]:
    """Every function and method by which the hot modules do their work, as ``module:name`` or ``module:Class.method``."""
    classes: set[type] = {Scanner, ConsentTerms}
    for module_name in HOT:
        module = importlib.import_module(f"policies.{module_name}")
        for name, found in vars(module).items():
            if not is_collaborator(found):
                continue
            if inspect.isclass(found):
                classes.add(found)
            elif not name.startswith("__"):
                yield f"{module.__name__}:{name}"
    classes |= {PseudonymKey, TokenKey}
    for each in sorted(classes, key=lambda one: one.__qualname__):
        for name, method in vars(each).items():
            # What the standard library gives to a named tuple is no work of ours.
            if inspect.isfunction(method) and not name.startswith("__") and method.__module__ == each.__module__:
                yield f"{each.__module__}:{each.__qualname__}.{name}"


# The guards themselves, which every other failure ends in.
GUARDS = {
    "policies.gate:Gate.check",
    "policies.gate:Gate._decide",
    "policies.gate:Gate._decided",
    "policies.gate:Gate._is_clean",
}
# Called by the compiler or by somebody else, or from another module, under whose name they are listed.
ELSEWHERE = {
    "policies.classify:Classifier.candidates",
    "policies.cipher:TokenKey.reveal",
    "policies.classify:_regex",
    "policies.detect.scanner:Scanner._is_on",
    "policies.detect.scanner:Scanner.is_doubtful",
    "policies.detect.scanner:Scanner.is_telling",
    "policies.embedded:governed_part",
    "policies.embedded:json_text",
    "policies.embedded:parsed_text",
    "policies.embedded:written_again",
    "policies.filters:_test",
    "policies.gate:_dropped",
    "policies.shapes:unused",
    "policies.transform:is_spread",
}
# Where these fail, each record is judged by itself, value by value, and the decisions are the same.
SHARED = {
    "policies.classify:Classifier.changes",
    "policies.classify:Classifier.remember_untouched",
    "policies.gate:Gate._suspects",
    "policies.gate:Gate._governed",
    "policies.gate:leaves_alone",
    "policies.gate:suspects",
    "policies.gate:is_clean",
}
FOUND = sorted(set(collaborators()) - GUARDS - ELSEWHERE - SHARED)


def replaced(monkeypatch: pytest.MonkeyPatch, where: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    module_name, _, path = where.partition(":")
    target: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        target = getattr(target, part)
    monkeypatch.setattr(target, name, make(getattr(target, name)))


def test_nothing_fails_when_nothing_fails() -> None:
    before, decision, after = Probe().check()
    assert (before.verdict, after.verdict) == (Verdict.CHANGED, Verdict.CHANGED)
    assert SECRET not in repr((decision.name, decision.properties))
    assert "check_failed" not in {remark.reason for remark in decision.remarks}


def test_the_tables_name_nothing_that_is_gone() -> None:
    assert set(collaborators()) >= GUARDS | ELSEWHERE | SHARED
    assert len(FOUND) > 60


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", FOUND)
def test_a_failure_refuses_the_record_at_hand_and_no_other(
    where: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, probe = Probe().check(), Probe()
    replaced(monkeypatch, where, lambda really: probe.failing(really, error))
    # Made anew, because a gate keeps some of its collaborators as they were when it was made.
    probe.gate = compile_policy(load(POLICY))
    reached = 0
    for target in (probe.target, probe.plainer):
        probe.target = target
        probe.reached = False
        before, decision, after = probe.check()
        assert [before, after] == [expected[0], expected[2]]
        if probe.reached:
            reached += 1
            assert decision.verdict is Verdict.DROPPED
            assert [remark.reason for remark in decision.remarks] == ["check_failed"]
            assert (decision.name, decision.properties) == (None, None)
    assert reached, "no record of this test comes here: give PROPERTIES what takes it there"


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", sorted(SHARED))
def test_a_failure_of_what_records_share_changes_no_decision(
    where: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Probe().check()

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    probe = Probe()
    replaced(monkeypatch, where, lambda _: fail)
    assert probe.check() == expected


class Mute:
    """A pattern set that gives no answer, as RE2 does when its memory is used up."""

    def Match(self, _: bytes) -> None:
        return None

    match = Match


@pytest.mark.parametrize("answer", [None, ValueError, MemoryError])
def test_a_pattern_engine_without_an_answer_lets_nothing_pass(answer: type[Exception] | None) -> None:
    probe, mute = Probe(), Mute()

    def fail(_: bytes) -> None:
        if answer is not None:
            raise answer

    suspicion = probe.gate._terms.scanner.suspicion
    silenced = 0
    for name in type(suspicion).__slots__:
        part = getattr(suspicion, name)
        if hasattr(part, "Match"):
            mute.Match = fail  # type: ignore[method-assign]
            setattr(suspicion, name, mute)
            silenced += 1
        elif hasattr(part, "match"):
            part.match = fail
            silenced += 1
    assert silenced
    for record in (probe.target, Record(Scope.EVENT, "e", {"note": f"{SECRET}@example.com"})):
        (decision,) = probe.gate.check([record], probe.context)
        assert SECRET not in repr((decision.name, decision.properties))
        assert decision.verdict is not Verdict.PASS


def test_name_patterns_without_an_answer_refuse_the_record() -> None:
    probe = Probe()
    for patterns in probe.gate._terms.classifier._patterns.values():
        if patterns._globs._match is not None:
            patterns._globs._match = lambda _text: None
    (decision,) = probe.gate.check([Record(Scope.EVENT, "e", {"my_hashed": SECRET})], probe.context)
    assert [remark.reason for remark in decision.remarks] == ["check_failed"]


def test_a_value_that_no_encoder_knows_stops_nobody() -> None:
    probe = Probe()
    batch = [probe.before, Record(Scope.EVENT, "e", {"a": object(), "b": 1}), probe.before]
    decisions = probe.gate.check(batch, probe.context)
    assert decisions[0] == decisions[2] == probe.check()[0]
    assert decisions[1].properties is not None
    assert "a" not in decisions[1].properties
    assert decisions[1].properties["b"] == 1
