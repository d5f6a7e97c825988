"""What the dictionary takes out of sight: hidden events and properties, and properties that somebody marked as classified.

The people themselves get everything (GDPR article 15), and what the service looks at for itself shows names, never values.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Connection

from app.access.sight import Purpose
from app.lexicon.reading import Reading
from app.sight.service import Narrowing, Rule, Viewer
from app.where.tree import Inside, Literal, Name, Not
from policies.model import Scope


def by_dictionary(reading: Callable[[Connection, int], Reading]) -> Rule:
    """The rule, asking for the dictionary as it is in the transaction of the read."""

    def rule(tx: Connection, viewer: Viewer) -> Narrowing:
        if viewer.purpose is not Purpose.READER:
            return Narrowing()
        found = reading(tx, viewer.project.id)
        hidden = tuple(Literal(name) for name in sorted(found.hidden_events))
        return Narrowing(
            events=Not(Inside(Name(), hidden)) if hidden else None,
            withheld_of_events=_withheld(found, Scope.EVENT),
            withheld_of_profiles=_withheld(found, Scope.PROFILE),
        )

    return rule


def _withheld(found: Reading, scope: Scope) -> frozenset[str]:
    # A reader of many events asks for a name in all of them, so what is meant within one event is withheld in each.
    return found.hidden_anywhere(scope) | found.marked_anywhere(scope)
