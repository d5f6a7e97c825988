"""The worked examples a policy carries: read here, run by whoever changes or tests the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from policies.cipher import ENCRYPTED_CODE, TOKEN_CODE, TokenKey
from policies.context import CheckContext
from policies.located import Located, Reader, json_value
from policies.model import Case, Decision, Policy, Reason, Record, Scope, Signal, SubjectState, Verdict
from policies.pseudonym import PSEUDONYM_CODE, PseudonymKey

if TYPE_CHECKING:
    from policies.gate import Gate

T = TypeVar("T")

_FIELDS = ("name", "scope", "event", "operation", "properties", "state", "time", "signals", "refused_purposes", "expect")
_EXPECT_FIELDS = ("verdict", "event", "properties", "reasons")
# What depends on a key and cannot be written down, by the word that stands for any of it.
_KEYED = {"<pseudonym>": PSEUDONYM_CODE, "<token>": TOKEN_CODE, "<encrypted>": ENCRYPTED_CODE}
# 2026-06-15T12:00:00Z: the time of a case that names none, so that ages and periods can be written down.
_CASE_TIME_MS = 1_781_524_800_000
_CASE_KEY = bytes(range(32))


def read_case(reader: Reader, node: Located, path: str) -> Case:
    """One entry of ``cases``."""
    fields = reader.fields(node, path, _FIELDS, ("name", "properties", "expect"))
    scope = reader.member(fields["scope"], f"{path}.scope", Scope, Scope.EVENT) if "scope" in fields else Scope.EVENT
    needed = "event" if scope is Scope.EVENT else "operation"
    if needed not in fields:
        reader.note(node, path, f"`{needed}` is missing")
    record = Record(
        scope,
        reader.text(fields[needed], f"{path}.{needed}") if needed in fields else "",
        _object(reader, fields.get("properties"), f"{path}.properties"),
        state=reader.member(fields["state"], f"{path}.state", SubjectState, SubjectState.ACTIVE)
        if "state" in fields
        else SubjectState.ACTIVE,
        time_ms=_time(reader, fields.get("time"), f"{path}.time"),
        refused_purposes=frozenset(_listed(reader, fields.get("refused_purposes"), f"{path}.refused_purposes", reader.text)),
        subject_key=_CASE_KEY,
    )

    def signal(item: Located, at: str) -> Signal:
        return reader.member(item, at, Signal, Signal.GPC)

    name = reader.text(fields["name"], f"{path}.name") if "name" in fields else ""
    signals = frozenset(_listed(reader, fields.get("signals"), f"{path}.signals", signal))
    return replace(_expecting(reader, fields.get("expect"), f"{path}.expect", name, record), signals=signals)


def _listed(reader: Reader, node: Located | None, path: str, read: Callable[[Located, str], T]) -> tuple[T, ...]:
    return () if node is None else reader.items(node, path, read, single=True)


def _time(reader: Reader, node: Located | None, path: str) -> int:
    """An ISO 8601 date or time, UTC unless it says otherwise, as Unix milliseconds."""
    if node is None:
        return _CASE_TIME_MS
    try:
        at = datetime.fromisoformat(reader.text(node, path))
        return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)
    except ValueError:
        reader.note(node, path, "must be a date or time", "for example `2026-06-15`")
        return _CASE_TIME_MS


def _expecting(reader: Reader, node: Located | None, path: str, name: str, record: Record) -> Case:
    if node is None:
        return Case(name, record, Verdict.PASS)
    fields = reader.fields(node, path, _EXPECT_FIELDS, ("verdict",))
    verdict = Verdict.PASS
    if "verdict" in fields:
        verdict = reader.member(fields["verdict"], f"{path}.verdict", Verdict, Verdict.PASS)
    reasons = None
    if "reasons" in fields:
        reasons = reader.items(
            fields["reasons"],
            f"{path}.reasons",
            lambda item, at: reader.member(item, at, Reason, Reason.CLASSIFIED),
        )
    return Case(
        name,
        record,
        verdict,
        reader.text(fields["event"], f"{path}.event") if "event" in fields else None,
        _object(reader, fields["properties"], f"{path}.properties") if "properties" in fields else None,
        reasons,
    )


def _object(reader: Reader, node: Located | None, path: str) -> dict[str, Any]:
    if node is None:
        return {}
    if not isinstance(node.value, dict):
        reader.note(node, path, f"must be a mapping, not {node.kind}")
        return {}
    return {name: json_value(value) for name, (_, value) in node.value.items()}


def failures(policy: Policy, gate: Gate) -> Iterator[tuple[Case, tuple[str, ...]]]:
    """Every case of ``policy`` that ``gate`` does not answer as written, with what differs. The keys are fixed ones, so
    that nothing secret is needed to test a policy."""
    for case in policy.cases:
        (decision,) = gate.check([case.record], case_context(case))
        wrong = disagreements(case, decision)
        if wrong:
            yield case, wrong


def case_context(case: Case | None = None) -> CheckContext:
    """What cases are checked with: fixed keys, so that nothing secret is needed, and the signals of the case."""
    signals = frozenset[Signal]() if case is None else case.signals
    return CheckContext(PseudonymKey(1, _CASE_KEY), tokens=TokenKey(1, _CASE_KEY), signals=signals)


def disagreements(case: Case, decision: Decision) -> tuple[str, ...]:
    """What a decision got wrong about a case, as fields and never as values; empty when the case holds."""
    wrong = []
    if decision.verdict is not case.verdict:
        wrong.append(f"verdict is {decision.verdict}, expected {case.verdict}")
    if case.expected_name is not None and decision.name != case.expected_name:
        wrong.append("the name differs")
    if case.expected is not None and not _agrees(dict(case.expected), decision.properties):
        wrong.append("the properties differ")
    if case.reasons is not None and sorted(case.reasons) != sorted(remark.reason for remark in decision.remarks):
        wrong.append(f"reasons are {', '.join(sorted(remark.reason for remark in decision.remarks)) or 'none'}")
    return tuple(wrong)


def _agrees(expected: Any, found: Any) -> bool:
    if isinstance(expected, str) and expected in _KEYED:
        return isinstance(found, str) and _KEYED[expected].fullmatch(found) is not None
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_agrees(value, found[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_agrees, expected, found))
    return type(expected) is type(found) and bool(expected == found)
