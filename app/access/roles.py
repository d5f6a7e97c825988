"""Permissions, roles, and which role holds which permission: data, not code."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """What a route may ask for."""

    PROJECT_READ = "project:read"
    PROJECT_WRITE = "project:write"
    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    # No route asks for it: nobody grants, or takes over, what he does not hold himself, so that only an owner makes owners.
    ACCOUNTS_OWN = "accounts:own"
    EVENTS_IMPORT = "events:import"
    EVENTS_READ = "events:read"
    COHORTS_WRITE = "cohorts:write"
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
    IDENTITY_WRITE = "identity:write"
    KEYS_READ = "keys:read"
    KEYS_ROTATE = "keys:rotate"
    TOKENS_REVEAL = "tokens:reveal"
    LEXICON_READ = "lexicon:read"
    LEXICON_WRITE = "lexicon:write"
    # What loses data or changes what readers count: block, merge, drop filters, what becomes of new names.
    LEXICON_BLOCK = "lexicon:block"
    # To mark as classified needs no right to see the values.
    LEXICON_CLASSIFY = "lexicon:classify"
    # No route asks for these two. Whoever holds the first is shown the ids of a closure, and whoever holds the second values
    # under `encrypt` in clear where events are read.
    IDS_REVEAL = "ids:reveal"
    VALUES_DECRYPT = "values:decrypt"


class Role(StrEnum):
    """A named set of permissions."""

    INGEST = "ingest"
    PIPELINE = "pipeline"
    OFFICER = "officer"
    AUDITOR = "auditor"
    ADMIN = "admin"
    # With admin, the roles that Mixpanel's clients know (wire section 21).
    OWNER = "owner"
    ANALYST = "analyst"
    CONSUMER = "consumer"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.INGEST: frozenset({Permission.PROJECT_READ, Permission.EVENTS_IMPORT, Permission.POLICY_CHECK}),
    # What a project secret has always been able to do: bulk in, bulk out.
    Role.PIPELINE: frozenset({Permission.PROJECT_READ, Permission.EVENTS_IMPORT, Permission.EVENTS_READ}),
    Role.OFFICER: frozenset(
        {
            Permission.PROJECT_READ,
            Permission.SUBJECTS_READ,
            Permission.SUBJECTS_WRITE,
            Permission.ARCHIVES_DOWNLOAD,
            Permission.POLICY_READ,
            Permission.POLICY_CHECK,
            Permission.KEYS_READ,
            Permission.TOKENS_REVEAL,
            Permission.VALUES_DECRYPT,
            Permission.IDS_REVEAL,
            Permission.POLICY_OBSERVE,
            Permission.QUARANTINE_READ,
            Permission.QUARANTINE_DECIDE,
            Permission.LEXICON_READ,
            Permission.LEXICON_WRITE,
            Permission.LEXICON_CLASSIFY,
        }
    ),
    Role.AUDITOR: frozenset(
        {
            Permission.PROJECT_READ,
            Permission.ACCOUNTS_READ,
            Permission.AUDIT_READ,
            Permission.POLICY_READ,
            Permission.SUBJECTS_READ,
            Permission.KEYS_READ,
            Permission.LEXICON_READ,
        }
    ),
    Role.ADMIN: frozenset(Permission) - {Permission.ACCOUNTS_OWN},
    Role.OWNER: frozenset(Permission),
    Role.ANALYST: frozenset({Permission.PROJECT_READ, Permission.EVENTS_READ, Permission.COHORTS_WRITE, Permission.LEXICON_READ}),
    # Whatever shows people here can be exported, which a consumer may not.
    Role.CONSUMER: frozenset({Permission.PROJECT_READ, Permission.LEXICON_READ}),
}
