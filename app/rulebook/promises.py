"""What the policies in force promise to the world at large: whether a signal is honoured, whether places are looked up."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.tables import project
from app.rulebook.tables import policy_version
from policies.errors import PolicyError
from policies.load import load
from policies.model import Geolocation, Signal

_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class Promise:
    """Of one policy in force. `since_ms` is when that version was written, Unix milliseconds."""

    honours_gpc: bool
    locates: bool
    since_ms: int


class Promises:
    """Reads them. A policy's text never changes under its digest, so what was read of it is remembered."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[bool, bool]] = {}

    def active(self, tx: Connection) -> list[Promise]:
        """One for every project that has a policy in force."""
        in_force = sa.and_(policy_version.c.project_id == project.c.id, policy_version.c.version == project.c.active_policy)
        columns = (policy_version.c.digest, policy_version.c.created_ms)
        rows = tx.execute(sa.select(*columns).join(project, in_force)).all()
        return [Promise(*self._of(tx, row.digest), row.created_ms) for row in rows]

    def _of(self, tx: Connection, digest: str) -> tuple[bool, bool]:
        found = self._read.get(digest)
        if found is None:
            text = sa.select(policy_version.c.text).where(policy_version.c.digest == digest).limit(1)
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            found = self._read[digest] = _promised(tx.execute(text).scalar_one())
        return found


def _promised(text: str) -> tuple[bool, bool]:
    try:
        policy = load(text)
    except PolicyError:
        return False, False  # A text that this release cannot read promises nothing; ingest refuses under it.
    heard = {*policy.consent.signals, *(signal for purpose in policy.consent.purposes for signal in purpose.signals)}
    return Signal.GPC in heard, policy.geolocation is not Geolocation.OFF
