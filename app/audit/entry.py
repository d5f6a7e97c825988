"""One audit entry: its fields, its closed list of actions, and its canonical bytes.

Canonical form: JSON with sorted keys, no white space, no floats, UTF-8; the bytes are hashed as they stand.
An entry names people only by the random reference of their register row, which dies with the row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

_MAX_BYTES = 16_384


class AuditAction(StrEnum):
    """Everything that is written to the log."""

    PROJECT_CREATED = "project.created"
    IDENTITY_CHANGED = "identity.changed"
    TIME_ZONE_CHANGED = "time_zone.changed"
    SUBJECTS_PREVIEWED = "subjects.previewed"
    PRINCIPAL_CREATED = "principal.created"
    PRINCIPAL_REVOKED = "principal.revoked"
    PRINCIPAL_ROTATED = "principal.rotated"
    MEMBERSHIP_CHANGED = "membership.changed"
    PERMISSION_GRANTED = "permission.granted"
    PERMISSION_WITHDRAWN = "permission.withdrawn"
    DATA_VIEW_CREATED = "data_view.created"
    DATA_VIEW_CHANGED = "data_view.changed"
    DATA_VIEW_DELETED = "data_view.deleted"
    DATA_VIEW_PREVIEWED = "data_view.previewed"
    TEAM_CREATED = "team.created"
    TEAM_CHANGED = "team.changed"
    TEAM_DELETED = "team.deleted"
    POLICY_ADDED = "policy.added"
    POLICY_ACTIVATED = "policy.activated"
    POLICY_ROLLED_BACK = "policy.rolled_back"
    INGEST_ACCEPTED = "ingest.accepted"
    PROFILES_CHANGED = "profiles.changed"
    OPT_OUT_SET = "opt_out.set"
    OPT_IN_SET = "opt_in.set"
    OPT_IN_RECEIVED = "opt_in.received"
    SIGNAL_HONOURED = "signal.honoured"
    PURPOSES_REFUSED = "purposes.refused"
    PURPOSES_ALLOWED = "purposes.allowed"
    RETENTION_APPLIED = "retention.applied"
    TOMBSTONE_LIFTED = "tombstone.lifted"
    EVENTS_EXPORTED = "events.exported"
    PROFILES_READ = "profiles.read"
    ACTIVITY_READ = "activity.read"
    COHORT_CREATED = "cohort.created"
    COHORT_DELETED = "cohort.deleted"
    REQUEST_CREATED = "request.created"
    REQUEST_CANCELLED = "request.cancelled"
    REQUEST_RETRIED = "request.retried"
    REQUEST_STARTED = "request.started"
    REQUEST_FAILED = "request.failed"
    REQUEST_IDENTIFIED = "request.identity_verified"
    REQUEST_APPROVED = "request.approved"
    REQUEST_REJECTED = "request.rejected"
    REQUEST_PAUSED = "request.paused"
    REQUEST_RESUMED = "request.resumed"
    REQUEST_ACKNOWLEDGED = "request.acknowledged"
    REQUEST_EXTENDED = "request.extended"
    REQUEST_ALARM = "request.alarm"
    REQUEST_DONE = "request.done"
    REQUEST_ANSWERED = "request.answered"
    REQUEST_REOPENED = "request.reopened"
    REQUESTS_UPLOADED = "requests.uploaded"
    REQUESTS_REPORTED = "requests.reported"
    RESTRICTION_SET = "restriction.set"
    RESTRICTION_LIFTED = "restriction.lifted"
    CORRECTION_PREVIEWED = "correction.previewed"
    CORRECTION_APPLIED = "correction.applied"
    HOLD_PLACED = "hold.placed"
    HOLD_LIFTED = "hold.lifted"
    ERASURE_DELETED = "erasure.deleted"
    ERASURE_VERIFIED = "erasure.verified"
    ERASURE_SHREDDED = "erasure.shredded"
    ERASURE_PURGED = "erasure.purged"
    ERASURE_CERTIFIED = "erasure.certified"
    DELETION_PREVIEWED = "deletion.previewed"
    DELETION_CREATED = "deletion.created"
    DELETION_UNDONE = "deletion.undone"
    DELETION_STARTED = "deletion.started"
    DELETION_ERASED = "deletion.erased"
    DELETION_VERIFIED = "deletion.verified"
    DELETION_PURGED = "deletion.purged"
    DELETION_CERTIFIED = "deletion.certified"
    ARCHIVE_READY = "archive.ready"
    ARCHIVE_DOWNLOADED = "archive.downloaded"
    ARCHIVE_EXPIRED = "archive.expired"
    ARCHIVE_REVOKED = "archive.revoked"
    QUARANTINE_READ = "quarantine.read"
    QUARANTINE_RELEASED = "quarantine.released"
    QUARANTINE_DISCARDED = "quarantine.discarded"
    QUARANTINE_EXPIRED = "quarantine.expired"
    FINDING_OPENED = "finding.opened"
    FINDING_ACKNOWLEDGED = "finding.acknowledged"
    FINDING_RESOLVED = "finding.resolved"
    FINDING_EXPIRED = "finding.expired"
    SIMULATION_CREATED = "simulation.created"
    SIMULATION_DONE = "simulation.done"
    SIMULATION_CANCELLED = "simulation.cancelled"
    SIMULATION_FAILED = "simulation.failed"
    SUGGESTIONS_MADE = "suggestions.made"
    FILTER_PREVIEWED = "filter.previewed"
    LEXICON_CHANGED = "lexicon.changed"
    LEXICON_DELETED = "lexicon.deleted"
    LEXICON_SETTINGS_CHANGED = "lexicon.settings_changed"
    LEXICON_DIGEST_SENT = "lexicon.digest_sent"
    LEXICON_ANOMALY_OPENED = "lexicon.anomaly_opened"
    LEXICON_ANOMALY_ACKNOWLEDGED = "lexicon.anomaly_acknowledged"
    AUDIT_READ = "audit.read"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_RETIRED = "key.retired"
    TOKENS_REVEALED = "tokens.revealed"
    REIMPORT_PREVIEWED = "reimport.previewed"
    REIMPORT_CREATED = "reimport.created"
    REIMPORT_REVIEWABLE = "reimport.reviewable"
    REIMPORT_OVERRIDDEN = "reimport.overridden"
    REIMPORT_APPROVED = "reimport.approved"
    REIMPORT_FROZEN = "reimport.frozen"
    REIMPORT_ORDERED = "reimport.ordered"
    REIMPORT_CANCELLED = "reimport.cancelled"
    REIMPORT_UNDONE = "reimport.undone"
    REIMPORT_DONE = "reimport.done"
    UPSTREAM_CHOSEN = "upstream.chosen"
    UPSTREAM_STOPPED = "upstream.stopped"
    UPSTREAM_DELIVERED = "upstream.delivered"
    UPSTREAM_RETRIED = "upstream.retried"
    UPSTREAM_DISCARDED = "upstream.discarded"
    UPSTREAM_TESTED = "upstream.tested"
    UPSTREAM_ASKED = "upstream.asked"
    UPSTREAM_ANSWERED = "upstream.answered"
    UPSTREAM_ARCHIVE_SHOWN = "upstream.archive_shown"


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, before it is sequenced. `counts` are whole numbers; `facts` are short codes, never a value of a person."""

    action: AuditAction
    project_id: int
    actor: str
    at_ms: int
    obj: str | None = None
    ref: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def canonical(self) -> bytes:
        """The bytes that are stored and hashed. Raises `ValueError` over 16 KiB."""
        fields: dict[str, object] = {
            "v": 1,
            "t": iso(self.at_ms),
            "project": self.project_id,
            "actor": self.actor,
            "action": self.action.value,
        }
        optional = {"obj": self.obj, "ref": self.ref, "n": dict(self.counts), "facts": dict(self.facts)}
        fields.update({name: value for name, value in optional.items() if value})
        body = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        if len(body) > _MAX_BYTES:
            raise ValueError("an audit entry is larger than 16 KiB")
        return body


def iso(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, for example `2026-11-24T10:00:00.000Z`."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
