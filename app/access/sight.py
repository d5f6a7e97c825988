"""What a reader may see, as one frozen value. `app.sight` alone makes it; every read of the event store demands it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from app.errors import NotAllowed
from app.where.evaluate import Subject, matches
from app.where.tree import About, Expr, Property, walk

_NONE: frozenset[str] = frozenset()
# Values stay the bytes that they are in the store.
_PROPERTIES = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Purpose(StrEnum):
    """Why something is read."""

    READER = "reader"
    """A principal reads."""
    OWN_COPY = "own_copy"
    """The people themselves get a copy (GDPR article 15): no view and no classification stands between."""
    INTERNAL = "internal"
    """The service looks for itself and shows counts and names, never values: simulations and suggestions."""


@dataclass(frozen=True, slots=True)
class Sight:
    """An event is seen when `events` is true of it, a profile when `profiles` is; None asks for nothing.

    `withheld` names, for events and for profiles, the properties that are taken out of every row and may not be asked for
    either. `opens_values` says that values under `encrypt` are shown in clear. Who is hidden as a person (restricted, being
    erased, erased) is in nobody's sight; `app.sight.people` leaves them out, and with `profiles` also the events of people
    whose profile this reader may not see.
    """

    project_id: int
    purpose: Purpose
    events: Expr | None = field(default=None, repr=False)
    profiles: Expr | None = field(default=None, repr=False)
    withheld_of_events: frozenset[str] = _NONE
    withheld_of_profiles: frozenset[str] = _NONE
    opens_values: bool = False

    def demanded(self, about: About) -> Expr | None:
        """What has to be true of a row."""
        return self.events if about is About.EVENT else self.profiles

    def withheld(self, about: About) -> frozenset[str]:
        """The names of what is taken out."""
        return self.withheld_of_events if about is About.EVENT else self.withheld_of_profiles

    def shows(self, event: Subject) -> bool:
        """Whether an event that is not in the store is in sight: one that waits in quarantine, or for a collector."""
        return self.events is None or matches(self.events, event)

    def admit(self, asked: Expr | None, about: About, field_name: str = "where") -> None:
        """Raises `NotAllowed` for an expression that asks for what this reader may not see: an answer would tell the value."""
        withheld = self.withheld(about)
        for node in walk(asked) if asked is not None and withheld else ():
            if isinstance(node, Property) and node.name in withheld:
                raise NotAllowed(
                    f"{field_name}, column {node.at}: this property is withheld from this credential",
                    field=field_name,
                    remedy="leave it out, or use a credential that may see classified values",
                )

    def shown(self, properties: str, about: About) -> str:
        """The JSON text of a row's properties without what is withheld."""
        names = self.withheld(about)
        if not names:
            return properties
        members = _PROPERTIES.decode(properties)
        kept = {name: value for name, value in members.items() if name not in names}
        return properties if len(kept) == len(members) else msgspec.json.encode(kept).decode()
