"""Permissions, roles, and which role holds which permission: data, not code."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """What a route may ask for."""

    EVENTS_IMPORT = "events:import"
    EVENTS_READ = "events:read"
    POLICY_CHECK = "policy:check"
    POLICY_READ = "policy:read"
    POLICY_WRITE = "policy:write"
    POLICY_OBSERVE = "policy:observe"
    QUARANTINE_READ = "quarantine:read"
    QUARANTINE_DECIDE = "quarantine:decide"
    SUBJECTS_READ = "subjects:read"
    SUBJECTS_WRITE = "subjects:write"
    ARCHIVES_DOWNLOAD = "archives:download"
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"
    KEYS_READ = "keys:read"
    KEYS_ROTATE = "keys:rotate"
    TOKENS_REVEAL = "tokens:reveal"
    UPSTREAM_READ = "upstream:read"
    UPSTREAM_WRITE = "upstream:write"
    # No route asks for this one: whoever holds it is shown values under `encrypt` in clear where events are read.
    VALUES_DECRYPT = "values:decrypt"


class Role(StrEnum):
    """A named set of permissions."""

    INGEST = "ingest"
    PIPELINE = "pipeline"
    OFFICER = "officer"
    AUDITOR = "auditor"
    ADMIN = "admin"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.INGEST: frozenset({Permission.EVENTS_IMPORT, Permission.POLICY_CHECK}),
    # What a project secret has always been able to do: bulk in, bulk out.
    Role.PIPELINE: frozenset({Permission.EVENTS_IMPORT, Permission.EVENTS_READ}),
    Role.OFFICER: frozenset(
        {
            Permission.SUBJECTS_READ,
            Permission.SUBJECTS_WRITE,
            Permission.ARCHIVES_DOWNLOAD,
            Permission.POLICY_READ,
            Permission.POLICY_CHECK,
            Permission.KEYS_READ,
            Permission.TOKENS_REVEAL,
            Permission.VALUES_DECRYPT,
            Permission.POLICY_OBSERVE,
            Permission.QUARANTINE_READ,
            Permission.QUARANTINE_DECIDE,
            Permission.UPSTREAM_READ,
        }
    ),
    Role.AUDITOR: frozenset(
        {Permission.AUDIT_READ, Permission.POLICY_READ, Permission.SUBJECTS_READ, Permission.KEYS_READ, Permission.UPSTREAM_READ}
    ),
    Role.ADMIN: frozenset(Permission),
}
