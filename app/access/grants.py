"""Permissions that one credential holds beyond its role: given and withdrawn by name, each with its audit entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.roles import GRANTED_ONLY, Permission
from app.access.tables import principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.errors import InvalidInput, NotFound


@dataclass(frozen=True, slots=True)
class Grant:
    """What one live credential holds beyond its role."""

    principal: str
    kind: str
    role: str
    permissions: tuple[Permission, ...]


class Grants:
    """Gives and withdraws. In force for every request that begins after the change is acknowledged."""

    def __init__(self, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._audit = audit
        self._clock = clock

    def of(self, tx: Connection, project_id: int) -> list[Grant]:
        """Every live credential that holds more than its role does, by id."""
        mine = sa.select(principal).where(principal.c.project_id == project_id, principal.c.revoked_ms.is_(None))
        rows = tx.execute(mine.where(principal.c.granted != "").order_by(principal.c.id))
        return [Grant(row.id, row.kind, row.role, tuple(map(Permission, row.granted.split()))) for row in rows]

    def give(self, tx: Connection, project_id: int, principal_id: str, permission: str, *, actor: str) -> Grant:
        """Give one permission. One that it holds already changes nothing and stands in no log.

        Raises `NotFound` for a credential that is not of the project or revoked, `InvalidInput` for what cannot be given.
        """
        return self._change(tx, project_id, principal_id, _grantable(permission), actor, give=True)

    def withdraw(self, tx: Connection, project_id: int, principal_id: str, permission: str, *, actor: str) -> Grant:
        """Take it away again, at once. Raises as `give` does."""
        return self._change(tx, project_id, principal_id, _grantable(permission), actor, give=False)

    def _change(
        self, tx: Connection, project_id: int, principal_id: str, permission: Permission, actor: str, *, give: bool
    ) -> Grant:
        live = sa.and_(principal.c.project_id == project_id, principal.c.id == principal_id, principal.c.revoked_ms.is_(None))
        row = tx.execute(sa.select(principal).where(live).with_for_update()).first()
        if row is None:
            remedy = "use the id that GET /v1/sight shows it"
            raise NotFound("no such credential in this project", field="principal", remedy=remedy)
        before = set(map(Permission, row.granted.split()))
        after = before | {permission} if give else before - {permission}
        if after != before:
            tx.execute(sa.update(principal).where(live).values(granted=_written(after)))
            action = AuditAction.PERMISSION_GRANTED if give else AuditAction.PERMISSION_WITHDRAWN
            facts = {"permission": permission.value, "before": _written(before) or "none", "after": _written(after) or "none"}
            self._audit.stage(tx, Entry(action, project_id, actor, self._clock(), obj=principal_id, facts=facts))
        return Grant(row.id, row.kind, row.role, tuple(sorted(after)))


def _written(permissions: set[Permission]) -> str:
    return " ".join(sorted(each.value for each in permissions))


def _grantable(name: str) -> Permission:
    found = next((each for each in GRANTED_ONLY if each.value == name), None)
    if found is None:
        wanted = ", ".join(sorted(each.value for each in GRANTED_ONLY))
        raise InvalidInput("this permission is given by role only", field="permission", remedy=f"what can be given is {wanted}")
    return found
