"""What ingest keeps beside events: counts of refusals, and events that wait for a person to look at them."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

# Sharded, so that concurrent batches do not queue for one counter row.
REFUSAL_SHARDS = 8

refusal = sa.Table(
    "refusal",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("day", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("reason", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("shard", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("n", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)

# The cleaned form of the event, sealed under the key of its subject (or the project's, when it belongs to nobody).
quarantined = sa.Table(
    "quarantined",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("sealed", sa.LargeBinary, nullable=False, holds=Holds.SUBJECT),
    column("reason", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("received_ms", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("expires_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "project_id", "uid"),
    sa.Index(None, "expires_ms"),
    info={"subject": "uid"},
)
