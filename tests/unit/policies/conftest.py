"""Small builders shared by the tests of the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Decision, Record, Scope
from policies.pseudonym import PseudonymKey

Check = Callable[..., Decision]


@pytest.fixture(scope="session")
def context() -> CheckContext:
    """The ingest path, under a fixed key."""
    return CheckContext(PseudonymKey(1, bytes(range(32))))


@pytest.fixture(scope="session")
def checked(context: CheckContext) -> Check:
    """``checked(yaml, properties)``: the decision of a policy, given without its name, on one event."""

    def check(text: str, properties: dict[str, Any], name: str = "Page Viewed", **options: Any) -> Decision:
        used = options.pop("context", context)
        record = Record(options.pop("scope", Scope.EVENT), name, properties, **options)
        (decision,) = compile_policy(load(f"policy: test\n{text}")).check([record], used)
        return decision

    return check
