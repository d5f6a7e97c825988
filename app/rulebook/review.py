"""What stands for and against a policy text before it is put in force: mistakes, lint findings, its own cases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

from app.errors import InvalidInput
from policies.cases import failures
from policies.compile import compile_policy
from policies.detect import Scanner
from policies.errors import PolicyInvalid, PolicyProblem
from policies.findings import LintFinding, Severity
from policies.lint import lint
from policies.load import load_located
from policies.model import Detector, DetectorTerms, Policy

_LONGEST_REASON = 300
_NAMED = 10


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case of a policy, and what its gate got wrong about it: fields, never values."""

    name: str
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """Everything found in one text. `policy` is None when `problems` are mistakes of the language."""

    policy: Policy | None
    problems: tuple[PolicyProblem, ...] = ()
    findings: tuple[LintFinding, ...] = ()
    cases: tuple[CaseResult, ...] = ()

    @property
    def errors(self) -> tuple[LintFinding, ...]:
        """The findings that stand in the way of activation."""
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)

    @property
    def failing(self) -> tuple[CaseResult, ...]:
        """The cases that do not hold."""
        return tuple(each for each in self.cases if each.wrong)

    @property
    def is_clear(self) -> bool:
        """Whether nothing stands in the way of activation."""
        return not (self.problems or self.errors or self.failing)

    @property
    def objection(self) -> str:
        """What stands in the way, in one sentence; empty when nothing does."""
        parts = []
        if self.failing:
            parts.append(f"its own cases fail: {_some([each.name for each in self.failing])}")
        if self.errors:
            parts.append(f"lint finds errors: {_some([f'line {each.line}: {each.code}' for each in self.errors])}")
        return "; ".join(parts)


@lru_cache(maxsize=16)  # validate, add and activate ask about the same text in turn, and nothing else enters the answer
def review(text: str) -> Review:
    """Examine a policy text. Raises nothing for a text with mistakes: they are in the answer."""
    try:
        policy, positions = load_located(text)
        gate = compile_policy(policy)
    except PolicyInvalid as refused:
        return Review(None, refused.problems)
    wrong = {id(case): faults for case, faults in failures(policy, gate)}
    cases = tuple(CaseResult(case.name, wrong.get(id(case), ())) for case in policy.cases)
    return Review(policy, (), lint(policy, positions, gate), cases)


def checked_reason(reason: str) -> str:
    """A reason that may stand in the audit log for ever. Raises `InvalidInput` for one that is empty, long, or personal."""
    reason = " ".join(reason.split())
    if not 3 <= len(reason) <= _LONGEST_REASON:
        raise InvalidInput(f"a reason has 3 to {_LONGEST_REASON} characters", field="reason", remedy="say why in one sentence")
    if _scanner().find(reason):
        raise InvalidInput(
            "the reason holds what looks like personal data, and the audit log is kept",
            field="reason",
            remedy="name a ticket instead of a person",
        )
    return reason


@cache
def _scanner() -> Scanner:
    return Scanner({detector: DetectorTerms() for detector in Detector}, "US")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"`{each}`" for each in names[:_NAMED]) + more
