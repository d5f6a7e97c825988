"""What is probably wrong with a policy although the language allows it. Nothing here is run at check time.

Each check is a function from ``Examined`` to findings; docs/living-with-policies.md explains every code, and a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Callable

from policies import lint_content, lint_events, lint_order
from policies.compile import compile_policy
from policies.findings import Examined, Findings, LintFinding
from policies.gate import Gate
from policies.load import load_located
from policies.located import Positions
from policies.model import Policy
from policies.patterns import BUDGET, Patterns, TooMuch

_CHECKS: tuple[Callable[[Examined], Findings], ...] = (
    lint_order.order,
    lint_order.contradictions,
    lint_content.kept,
    lint_content.pseudonyms,
    lint_content.shortened,
    lint_content.categories,
    lint_content.detectors,
    lint_content.region,
    lint_events.lists,
    lint_events.limited_rules,
    lint_events.filters,
    lint_events.purposes,
    lint_events.retention,
    lint_events.cases,
)

CODES = frozenset(
    {
        "never-matches",
        "partly-shadowed",
        "contradiction",
        "keeps-restricted",
        "hashes-restricted",
        "shared-purpose",
        "mask-hides-nothing",
        "truncates-email",
        "unknown-category",
        "lets-everything-through",
        "detector-off",
        "default-region",
        "allowed-and-blocked",
        "allow-without-effect",
        "rule-for-absent-event",
        "filter-never-reached",
        "purpose-without-events",
        "signal-never-heard",
        "retention-without-rule",
        "no-cases",
        "action-without-case",
        "lint-incomplete",
    }
)
"""Every code that a finding may have."""


def lint(
    policy: Policy, positions: Positions | None = None, gate: Gate | None = None, *, budget: int = BUDGET
) -> tuple[LintFinding, ...]:
    """Every finding about ``policy``, in reading order.

    ``positions`` are those of ``load_located``; ``gate`` is the compiled policy, if there is one already; ``budget`` bounds
    the comparison of patterns. Raises PolicyInvalid for a hand-built policy that cannot be compiled.
    """
    examined = Examined(policy, positions or {}, gate or compile_policy(policy), Patterns(budget))
    found: set[LintFinding] = set()
    for check in _CHECKS:
        try:
            found.update(check(examined))
        except TooMuch:
            found.add(
                examined.doubt("lint-incomplete", "policy", "the policy has too many patterns to compare", "lint parts of it")
            )
    return tuple(sorted(found))


def lint_text(text: str) -> tuple[LintFinding, ...]:
    """The same for a text. Raises PolicyInvalid, with every mistake, when it is not a policy."""
    return lint(*load_located(text))
