"""What a batch is judged by: the policy, the keys and the dictionary of its project, read together in one statement.

They are asked for in the transaction of the batch, after its fence, so no process goes on with what another has replaced:
only what is compiled or unwrapped from them is kept in memory, by the very rows that it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.tables import project
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.keys.service import KEY_COLUMNS, Keyring, ProjectKeys, Purpose, WrappedKey
from app.keys.tables import wrapped_key
from app.lexicon.reading import Entrance
from app.lexicon.service import Lexicon
from app.lexicon.tables import lexicon_project
from app.rulebook.service import ActivePolicy, Rulebook

# One row a key, each with the two versions before it; a left join, so that a project without keys is told from none.
_OF_A_PROJECT = (
    sa.select(project.c.active_policy, lexicon_project.c.version, *KEY_COLUMNS)
    .outerjoin(lexicon_project, lexicon_project.c.project_id == project.c.id)
    .outerjoin(wrapped_key, wrapped_key.c.project_id == project.c.id)
    .where(project.c.id == sa.bindparam("project_id"))
    .order_by(wrapped_key.c.purpose, wrapped_key.c.version.desc())
)


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds for a project in one transaction."""

    policy: ActivePolicy
    keys: ProjectKeys
    entrance: Entrance


class Forces:
    """Reads what is in force. Stateless but for its dependencies; safe to share between threads."""

    def __init__(self, rulebook: Rulebook, keyring: Keyring, lexicon: Lexicon, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._rulebook = rulebook
        self._keyring = keyring
        self._lexicon = lexicon
        self._audit = audit
        self._clock = clock

    def of(self, tx: Connection, project_id: int) -> InForce:
        """What is in force now. Raises `Unavailable` where there is no policy or a key is missing: fail closed."""
        rows = tx.execute(_OF_A_PROJECT, {"project_id": project_id}).all()
        active, dictionary = rows[0][:2] if rows else (None, None)
        policy = self._rulebook.in_force(tx, project_id, active)
        keys = self._keyring.unwrapped(project_id, [WrappedKey(*row[2:]) for row in rows if row.purpose is not None])
        return InForce(policy, keys, self._lexicon.entrance_at(tx, project_id, dictionary))

    def completed(self, tx: Connection, project_id: int) -> InForce:
        """The same in a transaction that may write: a project of an earlier release gets the key that it lacks."""
        found = self.of(tx, project_id)
        if found.keys.tokens is not None:
            return found
        if self._keyring.complete(tx, project_id, self._clock()):
            facts = {"purpose": Purpose.TOKEN.value, "version": "1"}
            self._audit.stage(tx, Entry(AuditAction.KEY_CREATED, project_id, "system", self._clock(), facts=facts))
        return self.of(tx, project_id)
