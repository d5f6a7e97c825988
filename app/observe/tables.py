"""Counts of what passed, the findings that follow from them, and simulations. No value and no id of a person stands here.

Names of events and paths of properties stand as the gate left them (`<key>` where a name was personal itself). They are
words of the people who built the application, kept for days, and no row can be traced to a person.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, work_columns

# As many rows for one counter, so that concurrent batches do not queue for it.
OBSERVATION_SHARDS = 8

# `path` and `detector` are empty in the rows that count all records of an event: what a share is a share of.
observation = sa.Table(
    "observation",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("bucket_ms", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("scope", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("event", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("path", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("detector", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("shard", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("n", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "bucket_ms"),
    sqlite_with_rowid=False,
)

# One row for each property in which a detector found something; it is opened again when what was mended comes back.
finding = sa.Table(
    "finding",
    metadata,
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), nullable=False, holds=Holds.NOT_PERSONAL),
    column("scope", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("event", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("path", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("detector", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # False once the share has fallen below half of what opened it.
    column("carrying", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    column("hits", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("records", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("first_seen_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("last_seen_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("opened_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("decided_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("decided_by", sa.Text, holds=Holds.NOT_PERSONAL),
    sa.UniqueConstraint("project_id", "scope", "event", "path", "detector"),
)

# A simulation row is its own outbox, as a subject request is: lease and `fence` say who may work on it.
simulation = sa.Table(
    "simulation",
    metadata,
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), nullable=False, holds=Holds.NOT_PERSONAL),
    column("version", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("active_version", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("from_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("to_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("requested_by", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    *work_columns(),
    column("total", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("done", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # Milliseconds that workers spent on it, for the rate.
    column("worked_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # Counters and where in the store they stand, as packed JSON; gone when the simulation ends.
    column("checkpoint", sa.LargeBinary, holds=Holds.NOT_PERSONAL),
    column("report", sa.Text, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "next_due_ms"),
    sa.Index(None, "project_id", "created_ms"),
)
