"""Events and profiles as the SQL adapter keeps them. No id of a person stands here, only the register's random uid."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

# Clustered by time, the order in which batches arrive and exports read; the digest makes a re-sent event the same row.
event = sa.Table(
    "event",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("time_ms", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.SUBJECT),
    column("dedup", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.SUBJECT),
    column("uid", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("name", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("properties", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("policy_version", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("received_ms", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    sa.Index(None, "project_id", "uid"),
    info={"subject": "uid"},
    sqlite_with_rowid=False,
)

profile = sa.Table(
    "profile",
    metadata,
    # Rising with creation: pages of a read session are ranges of it, so that a profile made meanwhile does not shift them.
    column(
        "seq",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
        holds=Holds.NOT_PERSONAL,
    ),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("properties", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("last_seen_ms", sa.BigInteger, holds=Holds.SUBJECT),
    column("policy_version", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.UniqueConstraint("project_id", "uid"),
    info={"subject": "uid"},
    sqlite_autoincrement=True,
)
