"""Events and profiles as the SQL adapter keeps them. No id of a person stands here, only the register's random uid."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, serial, turn_columns

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
    serial("seq"),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("properties", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("last_seen_ms", sa.BigInteger, holds=Holds.SUBJECT),
    column("policy_version", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    # When the sender last changed it, by this server's clock; 0 for a row older than the column.
    column("changed_ms", sa.BigInteger, nullable=False, server_default="0", holds=Holds.SUBJECT),
    # The kind of group that the profile is of ("company"), empty for a person's. The group's id stands in the register.
    column("group_key", sa.Text, nullable=False, server_default=sa.text("''"), holds=Holds.NOT_PERSONAL),
    sa.UniqueConstraint("project_id", "uid"),
    sa.Index(None, "project_id", "changed_ms"),
    info={"subject": "uid"},
    sqlite_autoincrement=True,
)

# Whose turn it is to apply the retention of a project, and when it is due again.
retention_turn = sa.Table(
    "retention_turn",
    metadata,
    *turn_columns(),
    column("finished_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
)

# How far one rule got: everything older is done. The digest names what the rule says; a rule that changes begins anew.
retention_mark = sa.Table(
    "retention_mark",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("digest", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("event_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("event_dedup", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("profile_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("profile_seq", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # Since the last audit entry of the rule: JSON of whole numbers.
    column("untold", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # Ever: what the metric shows.
    column("events", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("properties", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)

# The earliest event that arrived behind the marks, to the day. Ingest writes it, the next run goes back to it.
retention_late = sa.Table(
    "retention_late",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("from_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)

# Everything that a data deletion covers was received up to this moment, and what is received from now on is younger.
event_horizon = sa.Table(
    "event_horizon",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("received_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)
