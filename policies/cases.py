"""The worked examples a policy carries: read here, run by whoever changes or tests the policy."""

from __future__ import annotations

from typing import Any

from policies.located import Located, Reader, json_value
from policies.model import Case, Decision, Reason, Record, Scope, SubjectState, Verdict
from policies.transform import PSEUDONYM_CODE

_FIELDS = ("name", "scope", "event", "operation", "properties", "state", "expect")
_EXPECT_FIELDS = ("verdict", "event", "properties", "reasons")
_ANY_PSEUDONYM = "<pseudonym>"


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
        reader.member(fields["state"], f"{path}.state", SubjectState, SubjectState.ACTIVE)
        if "state" in fields
        else SubjectState.ACTIVE,
    )
    name = reader.text(fields["name"], f"{path}.name") if "name" in fields else ""
    return _expecting(reader, fields.get("expect"), f"{path}.expect", name, record)


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
    if expected == _ANY_PSEUDONYM:
        return isinstance(found, str) and PSEUDONYM_CODE.fullmatch(found) is not None
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_agrees(value, found[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_agrees, expected, found))
    return type(expected) is type(found) and bool(expected == found)
