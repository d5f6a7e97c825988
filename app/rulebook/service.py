"""Add, compare, activate and roll back policy versions; hand the ingest path the gate of the version that is active in its
own transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.tables import project
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.errors import Conflict, NotFound, Unavailable
from app.rulebook import history
from app.rulebook.history import Act
from app.rulebook.review import Review, checked_reason, review
from app.rulebook.tables import policy_version
from policies.compile import compile_policy
from policies.diff import Item, diff, summary
from policies.errors import PolicyError
from policies.gate import Gate
from policies.load import load
from policies.model import Policy

_KEPT_GATES = 64
# What the column holds: no database needs to be asked for more.
_LARGEST_VERSION = 2**31 - 1

# Made once: it is asked for every batch, and making it costs more than running it.
_ACTIVE = sa.select(project.c.active_policy).where(project.c.id == sa.bindparam("project_id"))

Fence = Callable[[Connection, int], None]
"""Waits for every ingest transaction of a project under way, and keeps new ones out until the end of this one."""


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

    def __init__(self, audit: AuditLog, clock: Callable[[], int], fence: Fence) -> None:
        self._audit = audit
        self._clock = clock
        self._fence = fence
        self._gates: dict[tuple[int, int], ActivePolicy] = {}

    # --- changing ----------------------------------------------------------------------------------------------------

    def add(self, tx: Connection, project_id: int, text: str, *, author: str) -> PolicyVersion:
        """Store `text` as the next version, a draft. Raises `policies.errors.PolicyInvalid` with every mistake of the file."""
        policy = load(text)
        compile_policy(policy)
        self._hold(tx, project_id)
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
        self._stage(tx, AuditAction.POLICY_ADDED, project_id, author, made, {})
        return made

    def activate(self, tx: Connection, project_id: int, version: int, *, actor: str, force: str | None = None) -> PolicyVersion:
        """Make `version` the one that every event acknowledged from now on passes.

        Raises `NotFound`, and `Conflict` when a case of the policy fails or lint finds an error. `force` is the reason to
        do it all the same; it is kept in the audit log. Activating the active version changes nothing.
        """
        reason = None if force is None else checked_reason(force)
        chosen = self.version(tx, project_id, version)
        found = review(chosen.text)
        if not found.is_clear and reason is None:
            raise Conflict(
                f"version {version} is not fit to be put in force: {found.objection or 'this release cannot read it'}",
                field="version",
                remedy="mend the policy and add it again, or force it with a reason",
            )
        if found.policy is None:
            raise Conflict("this release cannot read the policy", field="version", remedy="mend its text and add it again")
        self._enter(tx, project_id)
        if self._active_version(tx, project_id) == version:
            return chosen
        return self._put_in_force(tx, project_id, chosen, Act.ACTIVATED, actor, None if found.is_clear else reason, found)

    def rollback(self, tx: Connection, project_id: int, *, actor: str, reason: str | None = None) -> PolicyVersion:
        """Put the version in force that was before the active one; a second time goes back a second step.

        Never held up by cases or lint: it leads to what was in force already. Raises `Conflict` when there was none.
        """
        reason = None if reason is None else checked_reason(reason)
        self._enter(tx, project_id)
        below = history.below(tx, project_id)
        if below is None:
            raise Conflict("no version was in force before this one", remedy="activate the version that you want")
        chosen = self.version(tx, project_id, below.version)
        compile_policy(load(chosen.text))
        return self._put_in_force(tx, project_id, chosen, Act.ROLLED_BACK, actor, reason, None)

    def _put_in_force(
        self,
        tx: Connection,
        project_id: int,
        chosen: PolicyVersion,
        act: Act,
        actor: str,
        reason: str | None,
        found: Review | None,
    ) -> PolicyVersion:
        before = self._active_version(tx, project_id)
        tx.execute(sa.update(project).where(project.c.id == project_id).values(active_policy=chosen.version))
        history.note(tx, project_id, chosen.version, act, actor, reason, self._clock())
        action = AuditAction.POLICY_ACTIVATED if act is Act.ACTIVATED else AuditAction.POLICY_ROLLED_BACK
        facts = {"from_version": "none" if before is None else str(before), **self._changes(tx, project_id, before, chosen)}
        if reason is not None:
            facts["reason"] = reason
        if found is not None and not found.is_clear:
            facts |= {"forced": "yes", "cases_failing": str(len(found.failing)), "lint_errors": str(len(found.errors))}
        self._stage(tx, action, project_id, actor, chosen, facts)
        return self.version(tx, project_id, chosen.version)

    def _changes(self, tx: Connection, project_id: int, before: int | None, chosen: PolicyVersion) -> Mapping[str, str]:
        """A short account of what changes, for the audit entry."""
        if before is None:
            return {}
        try:
            return summary(self._compared(self.version(tx, project_id, before), chosen))
        except PolicyError:
            # A text of an earlier release that this one no longer reads must not stand in the way of its successor.
            return {"diff": "unavailable"}

    def _stage(
        self, tx: Connection, action: AuditAction, project_id: int, actor: str, of: PolicyVersion, more: Mapping[str, str]
    ) -> None:
        facts = {"policy": of.name, "version": str(of.version), "digest": of.digest, **more}
        self._audit.stage(tx, Entry(action, project_id, actor, self._clock(), obj=f"policy/{of.version}", facts=facts))

    def _enter(self, tx: Connection, project_id: int) -> None:
        # A batch that was judged by the old version must be acknowledged before the new one is in force. The fence comes
        # first, as in every transaction that takes it.
        self._fence(tx, project_id)
        self._hold(tx, project_id)

    @staticmethod
    def _hold(tx: Connection, project_id: int) -> None:
        """One change of a project's rulebook at a time."""
        tx.execute(sa.select(project.c.id).where(project.c.id == project_id).with_for_update(key_share=True))

    # --- reading -----------------------------------------------------------------------------------------------------

    def versions(self, tx: Connection, project_id: int) -> list[PolicyVersion]:
        """Every version, newest first."""
        active = self._active_version(tx, project_id)
        rows = tx.execute(
            sa.select(policy_version).where(policy_version.c.project_id == project_id).order_by(policy_version.c.version.desc())
        )
        return [_version(row, active) for row in rows]

    def version(self, tx: Connection, project_id: int, version: int) -> PolicyVersion:
        """One version. Raises `NotFound`."""
        return _version(self._row(tx, project_id, version), self._active_version(tx, project_id))

    def compare(self, tx: Connection, project_id: int, before: int, after: int) -> tuple[Item, ...]:
        """What changes in meaning from one version to another. Raises `NotFound`."""
        return self._compared(self.version(tx, project_id, before), self.version(tx, project_id, after))

    @staticmethod
    def _compared(before: PolicyVersion, after: PolicyVersion) -> tuple[Item, ...]:
        return diff(load(before.text), load(after.text))

    def active(self, tx: Connection, project_id: int) -> ActivePolicy:
        """The gate in force, read in this transaction so that it cannot be stale. Raises `Unavailable`: fail closed."""
        return self.in_force(tx, project_id, self._active_version(tx, project_id))

    def in_force(self, tx: Connection, project_id: int, version: int | None) -> ActivePolicy:
        """The same, of the version that the caller has read from the project's row in this transaction."""
        if version is None:
            raise Unavailable("the project has no active policy", remedy="activate one with `portcullis policy activate`")
        return self.gate(tx, project_id, version)

    def gate(self, tx: Connection, project_id: int, version: int) -> ActivePolicy:
        """The gate of one version, in force or not. Raises `NotFound`, and `Unavailable` when its text was altered."""
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
        found: int | None = tx.execute(_ACTIVE, {"project_id": project_id}).scalar()
        return found

    @staticmethod
    def _row(tx: Connection, project_id: int, version: int) -> sa.Row[Any]:
        wanted = sa.select(policy_version).where(policy_version.c.project_id == project_id, policy_version.c.version == version)
        found = tx.execute(wanted).first() if 0 < version <= _LARGEST_VERSION else None
        if found is None:
            raise NotFound("no such policy version", field="version", remedy="list them with `portcullis policy list`")
        return found


def _version(row: sa.Row[Any], active: int | None) -> PolicyVersion:
    return PolicyVersion(row.version, row.name, row.digest, row.text, row.created_ms, row.version == active)
