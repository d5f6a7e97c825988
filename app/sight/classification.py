"""What is classified is out of sight of every reader who was not given `classified:read`, whatever their role.

The people themselves get everything (GDPR article 15), and what the service looks at for itself shows names, never values.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.roles import Permission
from app.access.service import Project
from app.errors import Unavailable
from app.lexicon.classified import Classified, names_held, seen_names
from app.lexicon.reading import Reading
from app.rulebook.service import ActivePolicy
from app.sight.service import Narrowing, Viewer
from policies.model import Scope

_KEPT = 64
Held = dict[Scope, tuple[str, ...]]
"""The classified properties that a project holds, by scope, sorted."""


class Classification:
    """Asks the policy in force and the marks of the dictionary, in the transaction of the read."""

    def __init__(self, reading: Callable[[Connection, int], Reading], active: Callable[[Connection, int], ActivePolicy]) -> None:
        """`active` raises `Unavailable` where no policy is in force: such a project has marks alone."""
        self._reading = reading
        self._active = active
        self._held: dict[int, tuple[tuple[int, int, int], Held]] = {}

    def rule(self, tx: Connection, viewer: Viewer) -> Narrowing:
        """The rule for `app.sight.service`."""
        by = viewer.principal
        if by is None or Permission.CLASSIFIED_READ in by.permissions:
            return Narrowing()
        reading, policy = self._in_force(tx, viewer.project)
        if policy is None and not reading.marked:
            return Narrowing()
        return Narrowing(classified=_screen(reading, policy))

    def held(self, tx: Connection, project: Project) -> Held:
        """The classified properties that came at some time. A name counts within seconds of its first record, and what stands
        inside another property never does: the screen withholds both all the same."""
        reading, policy = self._in_force(tx, project)
        n = tx.execute(sa.select(sa.func.count()).select_from(seen_names(project.id).subquery())).scalar_one()
        # A name that came once stays for as long as its dictionary has the same version.
        version = (reading.version, 0 if policy is None else policy.version, int(n))
        kept = self._held.get(project.id)
        if kept is None or kept[0] != version:
            if len(self._held) >= _KEPT:
                self._held.clear()
            kept = self._held[project.id] = (version, names_held(tx, project.id, _screen(reading, policy)))
        return kept[1]

    def _in_force(self, tx: Connection, project: Project) -> tuple[Reading, ActivePolicy | None]:
        try:
            policy = self._active(tx, project.id)
        except Unavailable:
            if project.active_policy is not None:
                raise
            policy = None
        return self._reading(tx, project.id), policy


def _screen(reading: Reading, policy: ActivePolicy | None) -> Classified:
    return Classified(reading, None if policy is None else policy.gate.classifier)
