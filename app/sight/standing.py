"""What a credential is told about its own sight: which views narrow it, and which properties are withheld. Names, no values."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.engine import Connection

from app.access.roles import Permission
from app.access.service import Principal
from app.sight.classification import Classification
from app.sight.service import Sights
from policies.model import Scope

CLASSIFIED, VIEW, HIDDEN = "classified", "view", "hidden"
"""Why something is withheld, in the words of the header `Portcullis-Withheld`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """`causes` are why an answer may show less than there is; `classified` the withheld names by scope; `views` how many
    data views it is seen through, 0 where none narrows."""

    causes: tuple[str, ...]
    sees_classified: bool
    classified: dict[Scope, tuple[str, ...]]
    views: int


class Standings:
    """Asked by answers that say what they leave out."""

    def __init__(self, sights: Sights, classification: Classification) -> None:
        self._sights = sights
        self._classification = classification

    def of(self, tx: Connection, by: Principal) -> Standing:
        """What this principal sees now."""
        sight = self._sights.of(tx, by)
        held = {} if sight.classified is None else self._classification.held(tx, by.project)
        hidden = sight.events or sight.withheld_of_events or sight.withheld_of_profiles or sight.withheld_of_groups
        found = {CLASSIFIED: any(held.values()), VIEW: bool(sight.windows), HIDDEN: bool(hidden)}
        causes = tuple(name for name, is_so in found.items() if is_so)
        return Standing(causes, Permission.CLASSIFIED_READ in by.permissions, held, len(sight.windows))
