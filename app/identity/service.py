"""The identity mode of a project, changed on purpose; and digests of form for ids of an earlier release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from app.access.modes import IdentityMode
from app.access.service import project_by_id
from app.access.tables import project
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.identity import fence, register
from app.identity.forms import form_of
from app.identity.tables import register as table
from app.keys.service import Keyring

_AT_ONCE = 500


class Identity:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(self, database: Database, keyring: Keyring, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._clock = clock

    def mode(self, project_id: int) -> IdentityMode:
        """The mode in force. Raises `NotFound`."""
        with self._database.read() as tx:
            return project_by_id(tx, project_id).identity

    def set_mode(self, project_id: int, mode: IdentityMode, *, actor: str) -> IdentityMode:
        """Put a mode in force for every event that is acknowledged after this returns; what is linked stays linked.

        Returns the mode before. Setting the one in force changes and logs nothing. Raises `NotFound`.
        """
        with self._database.write() as tx:
            # A batch under way commits first, by the mode that it began with.
            fence.enter_exclusive(tx, project_id)
            before = project_by_id(tx, project_id).identity
            if before is not mode:
                tx.execute(sa.update(project).where(project.c.id == project_id).values(identity=mode.value))
                facts = {"before": before.value, "after": mode.value}
                self._audit.stage(tx, Entry(AuditAction.IDENTITY_CHANGED, project_id, actor, self._clock(), facts=facts))
        return before

    def fill_forms(self) -> int:
        """Give some ids of an earlier release the digest of their form; 0 when none is left. Returns how many.

        Until they have it, another spelling of them is not recognised. A tombstone of that release never gets one: its id
        is gone.
        """
        with self._database.read() as tx:
            wanted = sa.select(table.c.project_id, table.c.uid).where(table.c.form.is_(None), table.c.uid.is_not(None))
            some = list(tx.execute(wanted.order_by(table.c.project_id).limit(_AT_ONCE)))
        by_project: dict[int, list[int]] = {}
        for project_id, uid in some:
            by_project.setdefault(project_id, []).append(uid)
        return sum(self._fill(project_id, uids) for project_id, uids in by_project.items())

    def _fill(self, project_id: int, uids: list[int]) -> int:
        with self._database.write() as tx:
            fence.enter_shared(tx, project_id)
            keys = self._keyring.of(tx, project_id)
            revealed = register.reveal(tx, keys, uids)
            rows: list[dict[str, Any]] = [
                {"of": uid, "digest": keys.form_of(form_of(each.identifier))} for uid, each in sorted(revealed.items())
            ]
            mine = sa.and_(table.c.project_id == project_id, table.c.uid == sa.bindparam("of"), table.c.form.is_(None))
            if rows:
                tx.execute(sa.update(table).where(mine).values(form=sa.bindparam("digest")), rows)
        return len(rows)
