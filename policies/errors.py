"""Errors of the rules.

PolicyError
 ├── PolicyInvalid           the text, or a Policy built by hand, breaks the language; carries every problem
 │    └── PolicySyntaxError  the text is not even acceptable YAML
 └── PolicyNotFound          no policy of that name ships in the library
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class PolicyProblem:
    """One mistake. ``line`` and ``column`` count from 1 (0 when there is no text); ``path`` is like
    ``rules[2].action``."""

    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """One line for a person: place, field, what is wrong, and the remedy when there is one."""
        where = f"line {self.line}, column {self.column}: " if self.line else ""
        field = f"{self.path}: " if self.path else ""
        return f"{where}{field}{self.message}" + (f" ({self.hint})" if self.hint else "")


class PolicyError(Exception):
    """Any failure that has to do with a policy itself, never with a record. ``code`` is stable."""

    code = "policy_error"


class PolicyInvalid(PolicyError):
    """The policy cannot be used. ``problems`` lists everything wrong with it, in reading order."""

    code = "policy_invalid"

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        """Take at least one problem."""
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class PolicySyntaxError(PolicyInvalid):
    """The text is not YAML this language accepts: malformed, aliased, tagged, too large or too deep."""

    code = "policy_syntax"


class PolicyNotFound(PolicyError):
    """The library has no policy of that name."""

    code = "policy_not_found"
