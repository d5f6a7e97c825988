"""Projects, principals, and the answer to "who is calling?".

Secrets are 256 random bits, shown once. They are stored as HMAC-SHA-256 under a pepper derived from the master key: at
that entropy a slow hash adds nothing (OWASP ASVS 5.0, 6.5.2), and at ingest rates it would be a lever for denial of service.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.modes import IdentityMode, refuse_zone
from app.access.roles import PERMISSIONS, Permission, Role
from app.access.tables import membership, principal, project
from app.audit.entry import AuditAction, Entry, iso
from app.audit.service import AuditLog
from app.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from app.keys.master import MasterKey
from app.keys.service import Keyring

_TOKEN = re.compile(r"[0-9A-Za-z]{16,64}")
_FIRST_PROJECT_ID = 1_000_001
_USE_NOTED_EVERY_MS = 600_000
# What `_project` takes.
_PROJECT = tuple(
    project.c[name] for name in ("id", "name", "token", "active_policy", "store_url", "region", "identity", "time_zone")
)
_PRINCIPAL = ("id", "username", "role", "expires_ms", "revoked_ms", "last_used_ms")
# Asked for every request, so they are built once, and ask for no more than is looked at.
_OF_KIND = (
    sa.select(*(principal.c[name].label(f"principal_{name}") for name in _PRINCIPAL), *_PROJECT)
    .join(project, project.c.id == principal.c.project_id)
    .where(principal.c.kind == sa.bindparam("kind"))
)
_BY_SECRET = _OF_KIND.where(principal.c.secret_digest == sa.bindparam("digest"))
_BY_SECRET_BEFORE = _OF_KIND.where(
    principal.c.previous_digest == sa.bindparam("digest"), principal.c.previous_until_ms > sa.bindparam("now")
)
_MEMBER_OF = (
    sa.select(membership.c.role.label("held_role"), project)
    .join(project, project.c.id == membership.c.project_id)
    .where(membership.c.principal_id == sa.bindparam("of"))
    .order_by(project.c.id)
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
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, for which project, with which permissions. `used_ms` is when it was last noted that it called."""

    id: str
    project: Project
    role: Role
    used_ms: int | None = field(default=None, compare=False)

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the role holds."""
        return PERMISSIONS[self.role]


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

    def basic(self, tx: Connection, username: str, password: str, project_id: str | None, hint: str | None = None) -> Principal:
        """The principal of HTTP Basic: service account with project id, or project secret with an empty password.

        A service account acts in the project that it names, else in the one that it was made in, else in its first. It is
        nobody in a `project_id` that it is no member of; a `hint` (of a path or a form) only chooses among its own.
        """
        if not password:
            return self._by_secret(tx, username, Kind.PROJECT_SECRET, None)
        found = self._by_secret(tx, password, Kind.SERVICE_ACCOUNT, username)
        member = {str(row.id): row for row in tx.execute(_MEMBER_OF, {"of": found.id})}
        if not member or (project_id is not None and project_id not in member):
            raise _nobody()
        home = str(found.project.id)
        chosen = member.get(project_id or hint or home) or member.get(home) or next(iter(member.values()))
        return replace(found, project=_project(chosen), role=Role(chosen.held_role))

    def token_holder(self, tx: Connection, token: str) -> Principal | None:
        """Whoever sends the public project token as a Basic username: may import, and nothing else."""
        row = tx.execute(sa.select(project).where(project.c.token == token)).first()
        return None if row is None else Principal("project_token", _project(row), Role.INGEST, self._clock())

    def _by_secret(self, tx: Connection, secret: str, kind: Kind, username: str | None) -> Principal:
        # The look-up key is a keyed digest that a caller can neither choose nor predict, so its timing tells nothing.
        digest, now = self._digest(secret), self._clock()
        found = tx.execute(_BY_SECRET, {"digest": digest, "kind": kind.value}).first()
        if found is None:
            found = tx.execute(_BY_SECRET_BEFORE, {"digest": digest, "kind": kind.value, "now": now}).first()
        if found is None or found.principal_revoked_ms is not None:
            raise _nobody()
        if found.principal_expires_ms is not None and found.principal_expires_ms <= now:
            raise _nobody()
        if username is not None and not hmac.compare_digest(username.encode(), (found.principal_username or "").encode()):
            raise _nobody()
        return Principal(found.principal_id, _project(found), Role(found.principal_role), found.principal_last_used_ms)

    def unnoted(self, caller: Principal) -> bool:
        """Whether it is long enough ago that a use of this credential was noted."""
        return caller.used_ms is None or caller.used_ms + _USE_NOTED_EVERY_MS <= self._clock()

    def note_use(self, tx: Connection, caller: Principal) -> None:
        """Keep that the credential was used now."""
        tx.execute(sa.update(principal).where(principal.c.id == caller.id).values(last_used_ms=self._clock()))

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
        self,
        tx: Connection,
        project_id: int,
        kind: Kind,
        role: Role,
        *,
        actor: str,
        label: str | None = None,
        expires_ms: int | None = None,
        member: bool = True,
    ) -> NewPrincipal:
        """A new credential. The secret is in the answer and nowhere else.

        A service account is a `member` of its project, or for the time being of none. `expires_ms` is Unix milliseconds.
        """
        identity = f"{kind.value[:2]}_{secrets.token_hex(8)}"
        username = f"{label or role.value}.{secrets.token_hex(3)}.mp-service-account" if kind is Kind.SERVICE_ACCOUNT else None
        secret, now = _new_secret(kind), self._clock()
        tx.execute(
            sa.insert(principal).values(
                id=identity,
                project_id=project_id,
                kind=kind.value,
                username=username,
                role=role.value,
                secret_digest=self._digest(secret),
                created_ms=now,
                expires_ms=expires_ms,
                created_by=actor,
                number=1 + secrets.randbelow(2**31 - 1) if kind is Kind.SERVICE_ACCOUNT else None,
            )
        )
        if kind is Kind.SERVICE_ACCOUNT and member:
            tx.execute(
                sa.insert(membership).values(principal_id=identity, project_id=project_id, role=role.value, created_ms=now)
            )
        facts = {"role": role.value, "kind": kind.value} | ({"expires": iso(expires_ms)} if expires_ms else {})
        self._audit.stage(tx, Entry(AuditAction.PRINCIPAL_CREATED, project_id, actor, now, obj=identity, facts=facts))
        return NewPrincipal(identity, username, secret)

    def rotate(self, tx: Connection, principal_id: str, overlap_ms: int, *, actor: str) -> str:
        """Give a credential another secret, and return it; the one before is good for `overlap_ms` more. Raises `NotFound`.

        The one before that, if it still was good, is not any more.
        """
        now = self._clock()
        of = sa.select(principal).where(principal.c.id == principal_id, principal.c.revoked_ms.is_(None)).with_for_update()
        row = tx.execute(of).first()
        if row is None:
            raise _no_such()
        secret = _new_secret(Kind(row.kind))
        before = {"previous_digest": row.secret_digest if overlap_ms else None, "previous_until_ms": now + overlap_ms}
        changed = sa.update(principal).where(principal.c.id == principal_id)
        tx.execute(changed.values(secret_digest=self._digest(secret), **before))
        facts = {"before_until": iso(now + overlap_ms)}
        self._audit.stage(tx, Entry(AuditAction.PRINCIPAL_ROTATED, row.project_id, actor, now, obj=principal_id, facts=facts))
        return secret

    def revoke(self, tx: Connection, principal_id: str, *, actor: str) -> None:
        """Stop a credential at once. Raises `NotFound`."""
        now = self._clock()
        stop = sa.update(principal).where(principal.c.id == principal_id).values(revoked_ms=now)
        project_id = tx.execute(stop.returning(principal.c.project_id)).scalar()
        if project_id is None:
            raise _no_such()
        self._audit.stage(tx, Entry(AuditAction.PRINCIPAL_REVOKED, project_id, actor, now, obj=principal_id))

    def set_time_zone(self, tx: Connection, project_id: int, name: str, *, actor: str) -> str:
        """Let dates mean the days of this zone from now on. Returns the zone before; the one in force changes nothing.

        Raises `InvalidInput` for what is no IANA time zone, and `NotFound`.
        """
        refuse_zone(name)
        before = project_by_id(tx, project_id).time_zone
        if before != name:
            tx.execute(sa.update(project).where(project.c.id == project_id).values(time_zone=name))
            facts = {"before": before, "after": name}
            self._audit.stage(tx, Entry(AuditAction.TIME_ZONE_CHANGED, project_id, actor, self._clock(), facts=facts))
        return before


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
    mode = IdentityMode(row.identity)
    return Project(row.id, row.name, row.token, row.active_policy, row.store_url, row.region, mode, row.time_zone)


def _new_secret(kind: Kind) -> str:
    return secrets.token_hex(16) if kind is Kind.PROJECT_SECRET else f"pc_{secrets.token_urlsafe(32)}"


def _no_such() -> NotFound:
    return NotFound("no such credential", field="id", remedy="use the id that was printed when it was created")


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
