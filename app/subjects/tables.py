"""Data-subject requests, whom they concern, and the sealed archives that answer them.

A request row is its own outbox: `next_due`, lease and `fence` say who may work on it and when. Redis knows only its id.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, work_columns

subject_request = sa.Table(
    "subject_request",
    metadata,
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), nullable=False, holds=Holds.NOT_PERSONAL),
    column("kind", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("step", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("compliance_type", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("disclosure_type", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("requested_by", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("id_count", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("unknown_count", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("deadline_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    *work_columns(),
    # JSON of whole numbers by place: what was found before, deleted, and counted again after.
    column("counts", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("certificate", sa.Text, holds=Holds.NOT_PERSONAL),
    # What persons must do on the way, sorted, by comma; and JSON of what the kind needs to know, which names nobody.
    column("required", sa.Text, nullable=False, server_default=sa.text("''"), holds=Holds.NOT_PERSONAL),
    column("terms", sa.Text, nullable=False, server_default=sa.text("'{}'"), holds=Holds.NOT_PERSONAL),
    # The upload that brought it, where there was one.
    column("batch", sa.Text, holds=Holds.NOT_PERSONAL),
    column("outcome", sa.Text, holds=Holds.NOT_PERSONAL),
    # Codes and acting principals: why it was rejected or paused, who verified and approved, how, and when.
    column("reason", sa.Text, holds=Holds.NOT_PERSONAL),
    column("identity_by", sa.Text, holds=Holds.NOT_PERSONAL),
    column("identity_method", sa.Text, holds=Holds.NOT_PERSONAL),
    column("identity_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("approved_by", sa.Text, holds=Holds.NOT_PERSONAL),
    column("approved_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    # The clock of the law, and how far alarms have told of it.
    column("acknowledge_due_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("acknowledged_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("extended_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("extension_reason", sa.Text, holds=Holds.NOT_PERSONAL),
    column("alarm_level", sa.Integer, nullable=False, server_default="0", holds=Holds.NOT_PERSONAL),
    column("next_alarm_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("answered_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("answer_channel", sa.Text, holds=Holds.NOT_PERSONAL),
    column("lifted_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "next_due_ms"),
    sa.Index(None, "next_alarm_ms"),
    sa.Index(None, "batch"),
    sa.Index(None, "project_id", "created_ms"),
)

request_subject = sa.Table(
    "request_subject",
    metadata,
    column("request_id", sa.Text, sa.ForeignKey("subject_request.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.SUBJECT),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # True for an id that the request named; False for one that the closure added.
    column("named", sa.Boolean, nullable=False, holds=Holds.SUBJECT),
    sa.Index(None, "project_id", "uid"),
    info={"subject": "uid"},
    sqlite_with_rowid=False,
)

# An archive may answer for many people at once. When one of them is erased, its key is destroyed for all of them.
archive = sa.Table(
    "archive",
    metadata,
    column("request_id", sa.Text, sa.ForeignKey("subject_request.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("wrapped_key", sa.LargeBinary, holds=Holds.NOT_PERSONAL),
    column("ready", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    column("size", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("chunks", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("sha256", sa.Text, holds=Holds.NOT_PERSONAL),
    column("expires_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "expires_ms"),
)

archive_chunk = sa.Table(
    "archive_chunk",
    metadata,
    column("request_id", sa.Text, sa.ForeignKey("archive.request_id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("seq", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    # Ciphertext under the archive's own key; destroyed with it when a person in the archive is erased.
    column("ciphertext", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
)

# What is to be corrected, sealed under the key of the person whom it concerns; gone once it is done.
correction = sa.Table(
    "correction",
    metadata,
    column("request_id", sa.Text, sa.ForeignKey("subject_request.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("sealed", sa.LargeBinary, nullable=False, holds=Holds.SUBJECT),
    sa.Index(None, "project_id", "uid"),
    info={"subject": "uid"},
)

# That data must be kept although its person asked for its erasure (GDPR article 17(3)), what of it, and why.
legal_hold = sa.Table(
    "legal_hold",
    metadata,
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), nullable=False, holds=Holds.NOT_PERSONAL),
    column("basis", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("reference", sa.Text, holds=Holds.NOT_PERSONAL),
    # JSON: the names of the events that are kept, null for all of them; and whether the profile is.
    column("events", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("profile", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    column("placed_by", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("placed_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("review_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("lifted_by", sa.Text, holds=Holds.NOT_PERSONAL),
    column("lifted_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "project_id", "placed_ms"),
)

hold_subject = sa.Table(
    "hold_subject",
    metadata,
    column("hold_id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.SUBJECT),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "project_id", "uid"),
    info={"subject": "uid"},
    sqlite_with_rowid=False,
)

# What was answered to a request that came with an Idempotency-Key. Key and body are kept as keyed digests.
idempotency = sa.Table(
    "idempotency",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("key_digest", sa.LargeBinary, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("fingerprint", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
    column("request_id", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # JSON of positions in the list that was sent: those of ids that nobody had seen.
    column("unknown", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    sqlite_with_rowid=False,
)
