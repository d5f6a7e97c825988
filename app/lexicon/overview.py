"""Entries beside what else is known of them: what the policy says, how often they came, what they lack."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from app.database import Database
from app.errors import Unavailable
from app.lexicon.by_policy import Said, said
from app.lexicon.model import Entry, Kind, State
from app.lexicon.service import Lexicon
from app.lexicon.sightings import utc_day
from app.lexicon.spreadsheet import moment
from app.lexicon.standards import lacks
from policies.classify import Classifier

_PAGE = 500
_DAYS = 30
Place = tuple[str, str, str]
"""Kind, event and name: where a page begins."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry as it is shown. `volume` is of 30 days, taken and refused; None within one event, where it is not counted."""

    entry: Entry
    said: Said
    volume: tuple[int, int] | None
    lacks: tuple[str, ...]


class Overview:
    """Looks entries up for people. `classifier` gives that of the policy in force, or raises `Unavailable`."""

    def __init__(
        self,
        database: Database,
        lexicon: Lexicon,
        classifier: Callable[[Connection, int], Classifier],
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._lexicon = lexicon
        self._classifier = classifier
        self._clock = clock

    def page(
        self,
        project_id: int,
        kinds: Collection[Kind] = tuple(Kind),
        *,
        event: str | None = "",
        state: State | None = None,
        after: Place | None = None,
        limit: int = _PAGE,
    ) -> list[Shown]:
        """At most `limit` entries beyond `after`, by kind, event and name."""
        with self._database.read() as tx:
            found = self._lexicon.entries(tx, project_id, kinds, event=event, state=state, after=after, limit=limit)
            entries = list(found)
            standards = self._lexicon.settings(tx, project_id).standards
            counted = [each.key for each in entries if not each.key.event]
            volumes = self._lexicon.volumes(tx, project_id, counted, self.days_ago(_DAYS - 1))
            classifier = self._classifier_of(tx, project_id)
        return [
            Shown(
                each,
                said(classifier, each),
                None if each.key.event else volumes.get(each.key, (0, 0)),
                lacks(standards, each),
            )
            for each in entries
        ]

    def all(self, project_id: int) -> Iterator[Shown]:
        """Every entry, a page at a time."""
        after: Place | None = None
        while page := self.page(project_id, event=None, after=after):
            yield from page
            after = place_of(page[-1].entry)

    def rows(self, project_id: int) -> Iterator[tuple[Entry, Sequence[Any]]]:
        """Every entry beside the cells that `spreadsheet.SHOWN` names."""
        for each in self.all(project_id):
            entry, by_policy = each.entry, each.said
            seen = (" ".join(entry.types), moment(entry.first_ms), moment(entry.last_ms))
            words = (by_policy.category or "", by_policy.sensitivity or "", str(by_policy.classified).lower())
            yield entry, (*words, *seen, "" if each.volume is None else each.volume[0], " ".join(each.lacks))

    def days_ago(self, days: int) -> str:
        """The UTC date so many days before today."""
        return (date.fromisoformat(utc_day(self._clock())) - timedelta(days=days)).isoformat()

    def _classifier_of(self, tx: Connection, project_id: int) -> Classifier | None:
        try:
            return self._classifier(tx, project_id)
        except Unavailable:
            return None  # No policy in force: nothing is said of any property, and nothing enters either.


def place_of(entry: Entry) -> Place:
    """Where the page after this entry begins."""
    return entry.key.kind.value, entry.key.event, entry.key.name
