"""What belongs to the workflow of subject requests, in one place: the composition root makes it with one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.audit.service import AuditLog
from app.database import Database
from app.doorbell import Doorbell
from app.events.placement import EventStores
from app.keys.service import Keyring
from app.rulebook.service import Rulebook
from app.settings import Settings
from app.subjects.acts import Acts
from app.subjects.choices import Choices
from app.subjects.clocks import Clocks
from app.subjects.corrections import Corrections
from app.subjects.holds import Holds
from app.subjects.service import Subjects
from app.subjects.upload import Uploads


@dataclass(frozen=True, slots=True)
class Cases:
    """The services of the workflow. All of them are safe to share between threads."""

    choices: Choices
    subjects: Subjects
    acts: Acts
    corrections: Corrections
    clocks: Clocks
    holds: Holds
    uploads: Uploads

    @classmethod
    def of(
        cls,
        database: Database,
        keyring: Keyring,
        stores: EventStores,
        rulebook: Rulebook,
        audit: AuditLog,
        doorbell: Doorbell,
        clock: Callable[[], int],
        settings: Settings,
    ) -> Cases:
        """Build them."""
        choices = Choices(database, keyring, rulebook, audit, clock)
        subjects = Subjects(database, keyring, choices, audit, doorbell, clock, settings)
        return cls(
            choices=choices,
            subjects=subjects,
            acts=Acts(database, keyring, choices, audit, doorbell, clock, settings),
            corrections=Corrections(database, keyring, stores, rulebook, audit, clock),
            clocks=Clocks(database, audit, clock),
            holds=Holds(database, keyring, audit, doorbell, clock),
            uploads=Uploads(database, subjects, audit, clock),
        )
