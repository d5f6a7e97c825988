"""What a policy check other than the language itself has to say: findings, and what the checks look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from policies.gate import Gate
from policies.located import Positions, position
from policies.model import Fallback, Policy
from policies.patterns import Patterns, is_wild


class Severity(StrEnum):
    """ERROR: the policy does not do what it says; it is not put in force without a reason. WARNING: look at it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class LintFinding:
    """One finding. ``line`` and ``column`` count from 1, 0 when the policy has no text; ``path`` is like
    ``rules[2].action``; ``code`` is stable and explained in docs/living-with-policies.md."""

    line: int
    column: int
    path: str
    code: str
    severity: Severity
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.severity}[{self.code}]: {self.message}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True)
class Examined:
    """A policy under examination: as written, where its parts stand in the text, and as it works."""

    policy: Policy
    positions: Positions
    gate: Gate
    patterns: Patterns = field(default_factory=Patterns)

    def fault(self, code: str, path: str, message: str, hint: str = "") -> LintFinding:
        """A finding that stands in the way of activation."""
        return LintFinding(*position(self.positions, path), path, code, Severity.ERROR, message, hint)

    def doubt(self, code: str, path: str, message: str, hint: str = "") -> LintFinding:
        """A finding to look at."""
        return LintFinding(*position(self.positions, path), path, code, Severity.WARNING, message, hint)

    @cached_property
    def globs(self) -> int:
        """How many property patterns have wildcards."""
        return sum(is_wild(each) for rule in self.policy.rules for each in rule.properties)

    @cached_property
    def lists_events(self) -> bool:
        """Whether an event that is not in ``events.allow`` is refused, whatever it holds."""
        return self.policy.unknown_events.otherwise is Fallback.DROP


Findings = Iterator[LintFinding]
