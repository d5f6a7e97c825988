"""Add and activate policy versions; hand the ingest path the gate of the version that is active in its own transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.tables import project
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.errors import NotFound, Unavailable
from app.rulebook.tables import policy_version
from policies.compile import compile_policy
from policies.gate import Gate
from policies.load import load
from policies.model import Policy

_KEPT_GATES = 64


@dataclass(frozen=True, slots=True)
class ActivePolicy:
    """The gate of one policy version of one project, and the policy as it was written."""

    name: str
    version: int
    gate: Gate
    written: Policy


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One immutable version as written."""

    version: int
    name: str
    digest: str
    text: str
    created_ms: int
    active: bool


class Rulebook:
    """The policy versions of every project. Compiled gates are kept by (project, version), which never change."""

    def __init__(self, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._audit = audit
        self._clock = clock
        self._gates: dict[tuple[int, int], ActivePolicy] = {}

    def add(self, tx: Connection, project_id: int, text: str, *, author: str) -> PolicyVersion:
        """Store `text` as the next version. Raises `policies.errors.PolicyInvalid` with every mistake of the file."""
        policy = load(text)
        compile_policy(policy)
        newest = tx.execute(
            sa.select(sa.func.max(policy_version.c.version)).where(policy_version.c.project_id == project_id)
        ).scalar()
        made = PolicyVersion(
            version=int(newest or 0) + 1,
            name=policy.name,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            text=text,
            created_ms=self._clock(),
            active=False,
        )
        tx.execute(
            sa.insert(policy_version).values(
                project_id=project_id,
                version=made.version,
                name=made.name,
                digest=made.digest,
                text=text,
                author=author,
                created_ms=made.created_ms,
            )
        )
        return made

    def activate(self, tx: Connection, project_id: int, version: int, *, actor: str) -> None:
        """Make `version` the one that every event acknowledged from now on passes. Raises `NotFound`."""
        chosen = self._row(tx, project_id, version)
        tx.execute(sa.update(project).where(project.c.id == project_id).values(active_policy=version))
        facts = {"policy": chosen.name, "version": str(version), "digest": chosen.digest}
        entry = Entry(AuditAction.POLICY_ACTIVATED, project_id, actor, self._clock(), obj=f"policy/{version}", facts=facts)
        self._audit.stage(tx, entry)

    def versions(self, tx: Connection, project_id: int) -> list[PolicyVersion]:
        """Every version, newest first."""
        active = self._active_version(tx, project_id)
        rows = tx.execute(
            sa.select(policy_version).where(policy_version.c.project_id == project_id).order_by(policy_version.c.version.desc())
        )
        return [PolicyVersion(row.version, row.name, row.digest, row.text, row.created_ms, row.version == active) for row in rows]

    def active(self, tx: Connection, project_id: int) -> ActivePolicy:
        """The gate in force, read in this transaction so that it cannot be stale. Raises `Unavailable`: fail closed."""
        version = self._active_version(tx, project_id)
        if version is None:
            raise Unavailable("the project has no active policy", remedy="activate one with `portcullis policy activate`")
        held = self._gates.get((project_id, version))
        if held is None:
            if len(self._gates) >= _KEPT_GATES:
                self._gates.clear()
            held = self._gates[project_id, version] = self._compile(tx, project_id, version)
        return held

    def _compile(self, tx: Connection, project_id: int, version: int) -> ActivePolicy:
        row = self._row(tx, project_id, version)
        if hashlib.sha256(row.text.encode()).hexdigest() != row.digest:
            raise Unavailable("the stored policy does not have its digest", remedy="activate another version")
        written = load(row.text)
        return ActivePolicy(row.name, version, compile_policy(written), written)

    @staticmethod
    def _active_version(tx: Connection, project_id: int) -> int | None:
        found: int | None = tx.execute(sa.select(project.c.active_policy).where(project.c.id == project_id)).scalar()
        return found

    @staticmethod
    def _row(tx: Connection, project_id: int, version: int) -> sa.Row[Any]:
        found = tx.execute(
            sa.select(policy_version).where(policy_version.c.project_id == project_id, policy_version.c.version == version)
        ).first()
        if found is None:
            raise NotFound("no such policy version", field="version", remedy="list them with `portcullis policy list`")
        return found
