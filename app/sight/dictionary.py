"""What the dictionary takes out of sight, hidden events and properties, and under which names what it merges is read.

The people themselves get everything (GDPR article 15), and what the service looks at for itself shows names, never values.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Connection

from app.access.sight import Merges, Purpose
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
        # An event that is read as a hidden one is as hidden.
        names = {name for each in found.hidden_events for name in found.events_read_as(each)}
        hidden = tuple(Literal(name) for name in sorted(names))
        return Narrowing(
            events=Not(Inside(Name(), hidden)) if hidden else None,
            withheld_of_events=frozenset(
                name for each in found.hidden_anywhere(Scope.EVENT) for name in found.properties_read_as(each)
            ),
            withheld_of_profiles=found.hidden_anywhere(Scope.PROFILE),
            withheld_of_groups=found.hidden_anywhere(Scope.GROUP),
            merges=Merges(found.merged_events, found.merged_properties),
        )

    return rule
