"""Service accounts: who may see, make and end them, and in which projects they act as what (wire sections 20 and 21).

An installation is one organisation. What somebody may do with its accounts follows from the projects that he manages: he
sees the accounts of these, grants no role that holds more than he does there, and takes over (by a new secret) or
ends only an account that is nowhere more than he is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.access.roles import PERMISSIONS, Permission, Role
from app.access.service import Access, Kind, Principal, project_by_id
from app.access.tables import membership, principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.errors import Conflict, InvalidInput, NotAllowed, NotFound

MOST_ACCOUNTS = 1_000
"""How many service accounts a project makes; no more are ever listed for it at once."""
MOST_OVERLAP_HOURS = 720
_HOUR_MS = 3_600_000
# No colon, which ends a Basic username, and no @: a name tells what for, not who.
_LABEL = re.compile(r"[0-9A-Za-z][0-9A-Za-z _.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Manager:
    """Who manages, and what he may do in each project that is his; `reach` None is everything everywhere (the machine)."""

    actor: str
    reach: Mapping[int, frozenset[Permission]] | None = None

    def manages(self, project_id: int) -> bool:
        """Whether the project is his."""
        return self.reach is None or project_id in self.reach

    def outranks(self, project_id: int, role: Role) -> bool:
        """Whether he holds whatever this role would hold in the project."""
        return self.reach is None or PERMISSIONS[role] <= self.reach.get(project_id, frozenset())


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """One account, without its secret. Times are Unix milliseconds; `creator` is the number of the account that made it.

    `role` is what it is where nothing else was said when it was made; `roles` what it is in each project.
    """

    number: int
    principal_id: str
    home: int
    username: str
    role: Role
    created_ms: int
    expires_ms: int | None
    last_used_ms: int | None
    creator: int | None
    roles: Mapping[int, Role] = field(default_factory=dict)


class ServiceAccounts:
    """The accounts of an installation. Stateless but for its dependencies; every method acts in the caller's transaction."""

    def __init__(self, access: Access, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._access = access
        self._audit = audit
        self._clock = clock

    def manager(self, tx: Connection, by: Principal, permission: Permission) -> Manager:
        """What `by` may do here: in every project in which it holds `permission`."""
        rows = tx.execute(sa.select(membership.c.project_id, membership.c.role).where(membership.c.principal_id == by.id))
        roles = {row.project_id: Role(row.role) for row in rows} or {by.project.id: by.role}
        return Manager(by.id, {of: PERMISSIONS[role] for of, role in roles.items() if permission in PERMISSIONS[role]})

    # --- looking -----------------------------------------------------------------------------------------------------

    def listed(self, tx: Connection, manager: Manager, project_id: int | None = None) -> list[ServiceAccount]:
        """The accounts that the manager sees, oldest first; with `project_id` those that act in this project.

        Raises `NotFound` for a project that is not the manager's.
        """
        condition = _seen_by(manager)
        if project_id is not None:
            _refuse_foreign(manager, [project_id])
            project_by_id(tx, project_id)
            condition = principal.c.id.in_(sa.select(membership.c.principal_id).where(membership.c.project_id == project_id))
        return self._read(tx, condition)

    def one(self, tx: Connection, manager: Manager, number: int) -> ServiceAccount:
        """The account of this number. Raises `NotFound`, also for one that the manager may not see."""
        return self._several(tx, manager, [number])[0]

    def of(self, tx: Connection, by: Principal) -> ServiceAccount | None:
        """The account that is calling; None for a credential of another kind."""
        return next(iter(self._read(tx, principal.c.id == by.id)), None)

    def _several(self, tx: Connection, manager: Manager, numbers: Collection[int]) -> list[ServiceAccount]:
        found = self._read(tx, sa.and_(principal.c.number.in_(list(numbers)), _seen_by(manager)))
        if len(found) != len(set(numbers)):
            remedy = "use an id of GET /api/app/organizations/1/service-accounts"
            raise NotFound("no such service account", field="service_account_ids", remedy=remedy)
        return found

    @staticmethod
    def _read(tx: Connection, condition: sa.ColumnElement[bool]) -> list[ServiceAccount]:
        maker = principal.alias("maker")
        rows = tx.execute(
            sa.select(principal, maker.c.number.label("creator"))
            .outerjoin(maker, maker.c.id == principal.c.created_by)
            .where(principal.c.kind == Kind.SERVICE_ACCOUNT.value, principal.c.revoked_ms.is_(None), condition)
            .order_by(principal.c.created_ms, principal.c.number)
        ).all()
        roles: dict[str, dict[int, Role]] = {row.id: {} for row in rows}
        of = membership.c.principal_id.in_(sa.select(principal.c.id).where(condition))
        for held in tx.execute(sa.select(membership).where(of).order_by(membership.c.project_id)):
            roles.get(held.principal_id, {})[held.project_id] = Role(held.role)
        return [_account(row, roles[row.id]) for row in rows]

    # --- changing ----------------------------------------------------------------------------------------------------

    def create(
        self,
        tx: Connection,
        manager: Manager,
        home: int,
        label: str,
        role: Role,
        projects: Mapping[int, Role],
        expires_ms: int | None = None,
    ) -> tuple[ServiceAccount, str]:
        """A new account of the project `home`, a member of `projects`, and its secret, which is kept nowhere.

        Raises `InvalidInput` for its name or an end that is past, `NotAllowed` for a role that the manager does not hold
        himself, `NotFound` for a project that is not his, and `Conflict` for one account too many.
        """
        if not _LABEL.fullmatch(label):
            remedy = "send up to 64 letters, digits, spaces, dots, hyphens and underscores, and nobody's address"
            raise InvalidInput("username is not the name of an account", field="username", remedy=remedy)
        if expires_ms is not None and expires_ms <= self._clock():
            raise InvalidInput("expires is past", field="expires", remedy="send a moment to come, or leave it out")
        _refuse_foreign(manager, [home, *projects])
        if not manager.outranks(home, role):
            raise _too_high("role")
        if self._made_by(tx, home) >= MOST_ACCOUNTS:
            remedy = "delete accounts that nobody uses: last_used tells"
            raise Conflict(f"the project has {MOST_ACCOUNTS} service accounts", field="username", remedy=remedy)
        made = self._access.create_principal(
            tx, home, Kind.SERVICE_ACCOUNT, role, actor=manager.actor, label=label, expires_ms=expires_ms, member=False
        )
        (account,) = self._read(tx, principal.c.id == made.id)
        self._grant(tx, manager, [account], projects)
        return self._read(tx, principal.c.id == made.id)[0], made.secret

    def add(self, tx: Connection, manager: Manager, projects: Mapping[int, Role], numbers: Collection[int]) -> None:
        """Make accounts members of projects, or what they are there another role.

        Raises `NotFound` for a project that is not the manager's or an account that he does not see, and `NotAllowed` for a
        role, new or before, that holds more than he does.
        """
        _refuse_foreign(manager, projects)
        self._grant(tx, manager, self._several(tx, manager, numbers), projects)

    def remove(self, tx: Connection, manager: Manager, projects: Mapping[int, Collection[int]]) -> None:
        """Take accounts out of projects, each at once. One that is no member is passed over. Raises as `add`."""
        _refuse_foreign(manager, projects)
        for project_id, numbers in sorted(projects.items()):
            for account in self._several(tx, manager, numbers):
                self._take(tx, manager, account, project_id)

    def rotate(self, tx: Connection, manager: Manager, number: int, overlap_hours: int) -> tuple[ServiceAccount, str]:
        """Another secret for an account; the one before is good for so many hours more, at most `MOST_OVERLAP_HOURS`.

        Raises `NotFound`, and `NotAllowed` where the account is more than the manager: with its secret he would be too.
        """
        account = self.one(tx, manager, number)
        _refuse_takeover(manager, account)
        return account, self._access.rotate(tx, account.principal_id, overlap_hours * _HOUR_MS, actor=manager.actor)

    def delete(self, tx: Connection, manager: Manager, number: int) -> None:
        """End an account everywhere, at once. Raises as `rotate`."""
        account = self.one(tx, manager, number)
        _refuse_takeover(manager, account)
        for project_id in account.roles:
            self._take(tx, manager, account, project_id)
        self._access.revoke(tx, account.principal_id, actor=manager.actor)

    def _grant(self, tx: Connection, manager: Manager, accounts: Iterable[ServiceAccount], projects: Mapping[int, Role]) -> None:
        now = self._clock()
        insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
        for project_id, role in sorted(projects.items()):
            project_by_id(tx, project_id)
            for account in accounts:
                before = account.roles.get(project_id)
                if not all(manager.outranks(project_id, each) for each in (role, before) if each is not None):
                    raise _too_high("projects.role")
                if before is role:
                    continue
                row = {"principal_id": account.principal_id, "project_id": project_id, "role": role.value, "created_ms": now}
                keys = ["principal_id", "project_id"]
                tx.execute(insert(membership).values(row).on_conflict_do_update(index_elements=keys, set_={"role": role.value}))
                self._tell(tx, manager, account, project_id, before, role)

    def _take(self, tx: Connection, manager: Manager, account: ServiceAccount, project_id: int) -> None:
        before = account.roles.get(project_id)
        if before is None:
            return
        if not manager.outranks(project_id, before):
            raise _too_high("projects")
        of = sa.and_(membership.c.principal_id == account.principal_id, membership.c.project_id == project_id)
        tx.execute(sa.delete(membership).where(of))
        self._tell(tx, manager, account, project_id, before, None)

    def _tell(
        self,
        tx: Connection,
        manager: Manager,
        account: ServiceAccount,
        project_id: int,
        before: Role | None,
        after: Role | None,
    ) -> None:
        facts = {"before": before.value if before else "none", "after": after.value if after else "none"}
        obj, now = account.principal_id, self._clock()
        self._audit.stage(tx, Entry(AuditAction.MEMBERSHIP_CHANGED, project_id, manager.actor, now, obj=obj, facts=facts))

    @staticmethod
    def _made_by(tx: Connection, home: int) -> int:
        of = sa.and_(
            principal.c.project_id == home, principal.c.kind == Kind.SERVICE_ACCOUNT.value, principal.c.revoked_ms.is_(None)
        )
        return int(tx.execute(sa.select(sa.func.count()).select_from(principal).where(of)).scalar_one())


def _account(row: Any, roles: Mapping[int, Role]) -> ServiceAccount:
    return ServiceAccount(
        number=row.number,
        principal_id=row.id,
        home=row.project_id,
        username=row.username,
        role=Role(row.role),
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        last_used_ms=row.last_used_ms,
        creator=row.creator,
        roles=roles,
    )


def _seen_by(manager: Manager) -> sa.ColumnElement[bool]:
    if manager.reach is None:
        return sa.true()
    mine = list(manager.reach)
    members = sa.select(membership.c.principal_id).where(membership.c.project_id.in_(mine))
    return sa.or_(principal.c.project_id.in_(mine), principal.c.id.in_(members))


def _refuse_foreign(manager: Manager, projects: Iterable[int]) -> None:
    if not all(manager.manages(each) for each in projects):
        remedy = "name projects in which this credential manages service accounts: GET /api/app/me lists its own"
        raise NotFound("no such project for this credential", field="projects", remedy=remedy)


def _refuse_takeover(manager: Manager, account: ServiceAccount) -> None:
    if not all(manager.outranks(*held) for held in (account.roles or {account.home: account.role}).items()):
        raise NotAllowed(
            "the account is more, or in more projects, than this credential manages",
            field="serviceAccountId",
            remedy="remove it from your own projects, or let somebody do it who manages all of its projects",
        )


def _too_high(place: str) -> NotAllowed:
    remedy = "name a role that holds no more than your own"
    return NotAllowed("nobody grants or takes away a role that holds more than his own", field=place, remedy=remedy)
