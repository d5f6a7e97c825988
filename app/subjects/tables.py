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
    sa.Index(None, "next_due_ms"),
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
