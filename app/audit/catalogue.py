"""What each audit entry says: one line an action. `docs/audit.md` holds this list, and a test compares the two."""

from __future__ import annotations

from collections.abc import Mapping

from app.audit.entry import AuditAction

MEANING: Mapping[AuditAction, str] = {
    AuditAction.PROJECT_CREATED: "a project was made",
    AuditAction.IDENTITY_CHANGED: "how ids become people was changed; before and after",
    AuditAction.SUBJECTS_PREVIEWED: "somebody was shown what a request would reach; how many ids and rows",
    AuditAction.PRINCIPAL_CREATED: "a credential was made; its role and kind",
    AuditAction.PRINCIPAL_REVOKED: "a credential was revoked",
    AuditAction.POLICY_ADDED: "a policy version was stored; its digest",
    AuditAction.POLICY_ACTIVATED: "a policy version was put in force; its digest, what it replaced, the reason if it was forced",
    AuditAction.POLICY_ROLLED_BACK: "an older policy version was put in force again",
    AuditAction.INGEST_ACCEPTED: "a batch was judged: how many events were stored, refused, dropped, held",
    AuditAction.PROFILES_CHANGED: "a batch of profile updates was judged: how many passed",
    AuditAction.OPT_OUT_SET: "people were opted out by an officer; how many ids",
    AuditAction.OPT_IN_SET: "people were opted in by an officer; how many ids",
    AuditAction.OPT_IN_RECEIVED: "a person's own `$opt_in` was honoured",
    AuditAction.SIGNAL_HONOURED: "a browser's signal (GPC, DNT) refused something for the first time",
    AuditAction.PURPOSES_REFUSED: "purposes were refused for people",
    AuditAction.PURPOSES_ALLOWED: "purposes were allowed for people again",
    AuditAction.RETENTION_APPLIED: "a retention rule removed events or properties; the rule and how many",
    AuditAction.TOMBSTONE_LIFTED: "an erased id is accepted again after a re-consent; the reason",
    AuditAction.EVENTS_EXPORTED: "events were read in bulk; how many, and over which days",
    AuditAction.PROFILES_READ: "profiles were read; how many",
    AuditAction.ACTIVITY_READ: "what some people did was read; how many people and events",
    AuditAction.COHORT_CREATED: "a filter of profiles was saved",
    AuditAction.COHORT_DELETED: "a saved filter was deleted",
    AuditAction.REQUEST_CREATED: "a subject request was accepted; its kind, regime, deadline and number of ids",
    AuditAction.REQUEST_CANCELLED: "a waiting request was cancelled",
    AuditAction.REQUEST_RETRIED: "a failed request was sent on its way again",
    AuditAction.REQUEST_STARTED: "a worker began a request",
    AuditAction.REQUEST_FAILED: "a request failed; the reason code",
    AuditAction.ERASURE_DELETED: "rows were deleted in every place; how many in each",
    AuditAction.ERASURE_VERIFIED: "every place was counted again and is empty",
    AuditAction.ERASURE_SHREDDED: "ids and keys were destroyed; how many tombstones stay",
    AuditAction.ERASURE_PURGED: "bytes were purged; the method in each place",
    AuditAction.ERASURE_CERTIFIED: "a certificate was signed; its digest",
    AuditAction.ARCHIVE_READY: "an archive can be downloaded; how many rows are in it",
    AuditAction.ARCHIVE_DOWNLOADED: "an archive was downloaded",
    AuditAction.ARCHIVE_EXPIRED: "an archive was destroyed because its days were over",
    AuditAction.ARCHIVE_REVOKED: "an archive was destroyed because somebody in it was erased",
    AuditAction.QUARANTINE_READ: "a held record was read",
    AuditAction.QUARANTINE_RELEASED: "held records were released",
    AuditAction.QUARANTINE_DISCARDED: "held records were discarded",
    AuditAction.QUARANTINE_EXPIRED: "held records were destroyed because their days were over",
    AuditAction.FINDING_OPENED: "a property was found to carry personal data",
    AuditAction.FINDING_ACKNOWLEDGED: "a finding was taken note of",
    AuditAction.FINDING_RESOLVED: "a finding was resolved; how",
    AuditAction.FINDING_EXPIRED: "a finding called expected speaks again",
    AuditAction.SIMULATION_CREATED: "a policy version is being tried on history",
    AuditAction.SIMULATION_DONE: "a simulation ended",
    AuditAction.SIMULATION_CANCELLED: "a simulation was cancelled",
    AuditAction.SIMULATION_FAILED: "a simulation failed; the reason code",
    AuditAction.SUGGESTIONS_MADE: "rules were suggested from stored events",
    AuditAction.FILTER_PREVIEWED: "a drop filter was tried on history",
    AuditAction.LEXICON_CHANGED: "an entry of the dictionary was changed; before and after",
    AuditAction.LEXICON_DELETED: "an entry of the dictionary was deleted; what it said",
    AuditAction.LEXICON_SETTINGS_CHANGED: "the settings of the dictionary were changed; before and after",
    AuditAction.LEXICON_DIGEST_SENT: "a digest of what waits was sent",
    AuditAction.LEXICON_ANOMALY_OPENED: "the volume of a name was odd on a day",
    AuditAction.LEXICON_ANOMALY_ACKNOWLEDGED: "an odd volume was taken note of",
    AuditAction.AUDIT_READ: "the log was pulled; how many entries",
    AuditAction.KEY_CREATED: "a key that was missing was made",
    AuditAction.KEY_ROTATED: "a new version of a key is in force; how long its bridge lasts",
    AuditAction.KEY_RETIRED: "the bridge of an older key ended",
    AuditAction.TOKENS_REVEALED: "somebody was shown what tokens stand for; how many, and the reason",
    AuditAction.UPSTREAM_CHOSEN: "a project forwards to a collector",
    AuditAction.UPSTREAM_STOPPED: "a project forwards to nobody any more",
    AuditAction.UPSTREAM_DELIVERED: "parcels were delivered to the collector; how many",
    AuditAction.UPSTREAM_RETRIED: "parked parcels were sent on their way again",
}


def table() -> str:
    """The catalogue as it stands in the documentation."""
    lines = [f"| `{action.value}` | {MEANING[action]} |" for action in AuditAction]
    return "\n".join(("| action | says |", "| --- | --- |", *lines))
