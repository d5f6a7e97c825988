"""Filters that are kept name nobody: neither by id nor by what the detectors take for personal data."""

from __future__ import annotations

from app.errors import InvalidInput
from app.lexicon.names import personal
from app.where.tree import Expr, Holder, Literal, walk


def refuse_personal(expression: Expr, field: str) -> None:
    """Raises `InvalidInput` for an expression that must not be saved."""
    for node in walk(expression):
        if isinstance(node, Holder):
            remedy = "choose people by distinct_ids when you read"
            raise InvalidInput("a saved filter names nobody by id", field=field, remedy=remedy)
        if isinstance(node, Literal) and isinstance(node.value, str) and personal(node.value):
            remedy = "compare with what is not personal, or with the pseudonym that is stored"
            raise InvalidInput("a text in this filter looks like personal data", field=field, remedy=remedy)
