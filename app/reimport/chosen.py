"""The policy that a re-import was asked for: a version of the project, or one that ships; always the same text."""

from __future__ import annotations

from functools import cache

from sqlalchemy.engine import Connection

from app.errors import Conflict, InvalidInput, NotFound
from app.reimport.model import Terms
from app.rulebook.service import Rulebook
from policies import library
from policies.compile import compile_policy
from policies.errors import PolicyNotFound
from policies.gate import Gate
from policies.load import load


def chosen(rulebook: Rulebook, tx: Connection, project_id: int, policy: int | str) -> Gate:
    """The gate of a version or of a shipped policy. Raises `NotFound`."""
    if isinstance(policy, bool) or not isinstance(policy, int | str):
        raise InvalidInput("a policy is a version or the name of one that ships", field="policy", remedy='say 3 or "gdpr-strict"')
    if isinstance(policy, int):
        return rulebook.gate(tx, project_id, policy).gate
    try:
        return _shipped(policy)
    except PolicyNotFound:
        names = ", ".join(library.names())
        raise NotFound("no policy of that name ships", field="policy", remedy=f"choose one of {names}, or a version") from None


def gate_of(rulebook: Rulebook, tx: Connection, project_id: int, terms: Terms) -> Gate:
    """The gate that was chosen when the re-import was created. Raises `Conflict` when this release ships another text."""
    gate = chosen(rulebook, tx, project_id, terms.library if terms.version is None else terms.version)  # type: ignore[arg-type]
    if gate.digest != terms.digest:
        raise Conflict(
            "the policy is not the one that was reviewed: this release ships another text under its name",
            field="policy",
            remedy="cancel, and begin again",
        )
    return gate


@cache
def _shipped(name: str) -> Gate:
    return compile_policy(load(library.text(name)))
