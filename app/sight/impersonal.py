"""Expressions that are kept name nobody: neither by an id nor by a text that looks like personal data."""

from __future__ import annotations

from app.errors import InvalidInput
from app.where.tree import Expr, Holder, Literal, walk
from policies.detect import Scanner
from policies.model import Detector, DetectorTerms


class Impersonal:
    """Refuses expressions that name people. Safe to share between threads."""

    def __init__(self) -> None:
        self._scanner = Scanner({each: DetectorTerms() for each in Detector}, "US")

    def demand(self, expression: Expr, field_name: str, ids_remedy: str) -> None:
        """Raises `InvalidInput` for an id, saying `ids_remedy`, and for a text that the detectors take for personal data."""
        for node in walk(expression):
            if isinstance(node, Holder):
                raise InvalidInput("what is kept here names nobody by id", field=field_name, remedy=ids_remedy)
            if isinstance(node, Literal) and isinstance(node.value, str):
                self.demand_text(node.value, field_name)

    def demand_text(self, text: str, field_name: str) -> None:
        """Raises `InvalidInput` for a text that the detectors take for personal data."""
        if self._scanner.find(text):
            remedy = "compare with what is not personal, or with the pseudonym that is stored"
            raise InvalidInput("a text here looks like personal data", field=field_name, remedy=remedy)
