"""Projects, principals, and the answer to "who is calling?".

Secrets are 256 random bits, shown once. They are stored as HMAC-SHA-256 under a pepper derived from the master key: at
that entropy a slow hash adds nothing (OWASP ASVS 5.0, 6.5.2), and at ingest rates it would be a lever for denial of service.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.modes import IdentityMode
from app.access.roles import PERMISSIONS, Permission, Role
from app.access.tables import principal, project
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from app.keys.master import MasterKey
from app.keys.service import Keyring

_TOKEN = re.compile(r"[0-9A-Za-z]{16,64}")
_FIRST_PROJECT_ID = 1_000_001
# Asked for every request, so it is built once.
_BY_SECRET = (
    sa.select(principal, project)
    .join(project, project.c.id == principal.c.project_id)
    .where(principal.c.secret_digest == sa.bindparam("digest"), principal.c.kind == sa.bindparam("kind"))
)


class Kind(StrEnum):
    """How a principal proves itself (wire section 2)."""

    BEARER = "bearer"
    SERVICE_ACCOUNT = "service_account"
    PROJECT_SECRET = "project_secret"  # noqa: S105 - the name of a form, not a secret


@dataclass(frozen=True, slots=True)
class Project:
    """One project: its public token, its active policy version, and where its events live."""

    id: int
    name: str
    token: str
    active_policy: int | None
    store_url: str | None = field(repr=False)
    region: str = "default"
    identity: IdentityMode = IdentityMode.SIMPLIFIED


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, for which project, with which permissions."""

    id: str
    project: Project
    role: Role
    granted: frozenset[Permission] = frozenset()

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the role holds, and what was given to this credential by name."""
        return PERMISSIONS[self.role] | self.granted


@dataclass(frozen=True, slots=True)
class NewPrincipal:
    """A principal just made, with the secret that is shown this once."""

    id: str
    username: str | None
    secret: str = field(repr=False)


class Access:
    """Looks credentials up, and makes projects and principals."""

    def __init__(self, master: MasterKey, keyring: Keyring, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._master = master
        self._keyring = keyring
        self._audit = audit
        self._clock = clock

    # --- who is calling ----------------------------------------------------------------------------------------------

    def bearer(self, tx: Connection, token: str) -> Principal:
        """The principal of a bearer token. Raises `NotAuthenticated`."""
        return self._by_secret(tx, token, Kind.BEARER, None)

    def basic(self, tx: Connection, username: str, password: str, project_id: str | None) -> Principal:
        """The principal of HTTP Basic: service account with project id, or project secret with an empty password."""
        if not password:
            return self._by_secret(tx, username, Kind.PROJECT_SECRET, None)
        found = self._by_secret(tx, password, Kind.SERVICE_ACCOUNT, username)
        if project_id is not None and project_id != str(found.project.id):
            raise _nobody()
        return found

    def token_holder(self, tx: Connection, token: str) -> Principal | None:
        """Whoever sends the public project token as a Basic username: may import, and nothing else."""
        row = tx.execute(sa.select(project).where(project.c.token == token)).first()
        return None if row is None else Principal("project_token", _project(row), Role.INGEST)

    def _by_secret(self, tx: Connection, secret: str, kind: Kind, username: str | None) -> Principal:
        # The look-up key is a keyed digest that a caller can neither choose nor predict, so its timing tells nothing.
        found = tx.execute(_BY_SECRET, {"digest": self._digest(secret), "kind": kind.value}).first()
        if found is None or found.revoked_ms is not None:
            raise _nobody()
        if found.expires_ms is not None and found.expires_ms <= self._clock():
            raise _nobody()
        if username is not None and not hmac.compare_digest(username.encode(), (found.username or "").encode()):
            raise _nobody()
        columns = found._mapping
        return Principal(
            id=columns[principal.c.id],
            role=Role(found.role),
            granted=frozenset(map(Permission, found.granted.split())),
            project=Project(
                columns[project.c.id],
                found.name,
                found.token,
                found.active_policy,
                found.store_url,
                found.region,
                IdentityMode(found.identity),
            ),
        )

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._master.pepper, secret.encode("utf-8", "replace"), "sha256")

    # --- making them -------------------------------------------------------------------------------------------------

    def create_project(
        self,
        tx: Connection,
        name: str,
        *,
        actor: str,
        region: str = "default",
        identity: IdentityMode = IdentityMode.SIMPLIFIED,
        token: str | None = None,
    ) -> Project:
        """A new project with its own keys, and a token of its own or the one that its senders use already.

        Raises `Conflict` when the name or the token is taken, `InvalidInput` for text that is no token.
        """
        if token is not None:
            _refuse_token(tx, token)
        if tx.execute(sa.select(project.c.id).where(project.c.name == name)).first():
            raise Conflict("a project of this name exists", field="name", remedy="choose another name")
        newest = tx.execute(sa.select(sa.func.max(project.c.id))).scalar()
        made = Project(
            id=_FIRST_PROJECT_ID if newest is None else int(newest) + 1,
            name=name,
            token=token or secrets.token_hex(16),
            active_policy=None,
            store_url=None,
            region=region,
            identity=identity,
        )
        now = self._clock()
        kept = {"name": name, "token": made.token, "region": region, "created_ms": now, "identity": identity.value}
        tx.execute(sa.insert(project).values(id=made.id, **kept))
        self._keyring.create(tx, made.id, now)
        facts = {"identity": identity.value}
        self._audit.stage(tx, Entry(AuditAction.PROJECT_CREATED, made.id, actor, now, obj=str(made.id), facts=facts))
        return made

    def create_principal(
        self, tx: Connection, project_id: int, kind: Kind, role: Role, *, actor: str, label: str | None = None
    ) -> NewPrincipal:
        """A new credential. The secret is in the answer and nowhere else."""
        identity = f"{kind.value[:2]}_{secrets.token_hex(8)}"
        username = f"{label or role.value}.{secrets.token_hex(3)}.mp-service-account" if kind is Kind.SERVICE_ACCOUNT else None
        secret = secrets.token_hex(16) if kind is Kind.PROJECT_SECRET else f"pc_{secrets.token_urlsafe(32)}"
        tx.execute(
            sa.insert(principal).values(
                id=identity,
                project_id=project_id,
                kind=kind.value,
                username=username,
                role=role.value,
                secret_digest=self._digest(secret),
                created_ms=self._clock(),
            )
        )
        facts = {"role": role.value, "kind": kind.value}
        self._audit.stage(tx, Entry(AuditAction.PRINCIPAL_CREATED, project_id, actor, self._clock(), obj=identity, facts=facts))
        return NewPrincipal(identity, username, secret)

    def revoke(self, tx: Connection, principal_id: str, *, actor: str) -> None:
        """Stop a credential at once. Raises `NotFound`."""
        now = self._clock()
        stop = sa.update(principal).where(principal.c.id == principal_id).values(revoked_ms=now)
        project_id = tx.execute(stop.returning(principal.c.project_id)).scalar()
        if project_id is None:
            raise NotFound("no such credential", field="id", remedy="use the id that was printed when it was created")
        self._audit.stage(tx, Entry(AuditAction.PRINCIPAL_REVOKED, project_id, actor, now, obj=principal_id))


def project_of_token(tx: Connection, token: str) -> Project:
    """The project that a public project token names. Raises `NotFound`."""
    row = tx.execute(sa.select(project).where(project.c.token == token)).first()
    if row is None:
        raise NotFound("no project has this token", field="token", remedy="use the project token of this installation")
    return _project(row)


def project_by_id(tx: Connection, project_id: int) -> Project:
    """The project with this id. Raises `NotFound`."""
    row = tx.execute(sa.select(project).where(project.c.id == project_id)).first()
    if row is None:
        raise NotFound("no such project", field="project_id", remedy="see `portcullis project list`")
    return _project(row)


def all_projects(tx: Connection) -> list[Project]:
    """Every project, in id order."""
    return [_project(row) for row in tx.execute(sa.select(project).order_by(project.c.id))]


def _project(row: Any) -> Project:
    return Project(row.id, row.name, row.token, row.active_policy, row.store_url, row.region, IdentityMode(row.identity))


def _refuse_token(tx: Connection, token: str) -> None:
    if not _TOKEN.fullmatch(token):
        raise InvalidInput(
            "a project token is 16 to 64 letters and digits", field="token", remedy="copy it from the SDK's set-up"
        )
    if tx.execute(sa.select(project.c.id).where(project.c.token == token)).first():
        raise Conflict("a project has this token", field="token", remedy="see `portcullis project list`")


def _nobody() -> NotAuthenticated:
    return NotAuthenticated(
        "invalid credentials",
        field="Authorization",
        remedy="send a bearer token, a service account or a project secret",
    )
