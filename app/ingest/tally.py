"""What became of a batch: a value that the view answers from and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from app.ingest.answers import FailedRecord
from app.lexicon.sightings import Seen


@dataclass(slots=True)
class Tally:
    """Counts of one batch. `valid` is what the sender is told; what policy refuses is valid and not stored.

    `opted_in` are people whose first consent came with the batch; `withdrawn` are held updates that a `$delete` took along;
    `seen` is what the dictionary learns from one project's part; `honoured` counts records by the
    browser's signal that was heeded in them, whether or not it refused the whole record.
    `links` are claims that two ids are one person, by `app.identity.linking.Outcome`.
    """

    valid: int = 0
    stored: int = 0
    changed: int = 0
    quarantined: int = 0
    opted_in: int = 0
    withdrawn: int = 0
    links: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    honoured: Counter[str] = field(default_factory=Counter)
    failures: list[FailedRecord] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)

    def counts(self) -> dict[str, int]:
        """The figures that stand in the audit entry."""
        figures = {
            "stored": self.stored,
            "changed": self.changed,
            "quarantined": self.quarantined,
            "refused": self.refused.total(),
            "withdrawn": self.withdrawn,
            **{f"links.{outcome}": n for outcome, n in self.links.items()},
        }
        return {name: n for name, n in figures.items() if n}
