"""Expressions that are kept name nobody: neither by id nor by what the detectors take for personal data."""

from __future__ import annotations

from app.errors import InvalidInput
from app.lexicon.names import personal
from app.where.tree import Expr, Holder, Literal, walk


def refuse_personal(expression: Expr, field: str, ids_remedy: str = "choose people by distinct_ids when you read") -> None:
    """Raises `InvalidInput` for an id, saying `ids_remedy`, and for a text that looks like personal data."""
    for node in walk(expression):
        if isinstance(node, Holder):
            raise InvalidInput("what is kept here names nobody by id", field=field, remedy=ids_remedy)
        if isinstance(node, Literal) and isinstance(node.value, str):
            refuse_personal_text(node.value, field)


def refuse_personal_text(text: str, field: str) -> None:
    """Raises `InvalidInput` for a text that the detectors take for personal data."""
    if personal(text):
        remedy = "compare with what is not personal, or with the pseudonym that is stored"
        raise InvalidInput("a text here looks like personal data", field=field, remedy=remedy)
