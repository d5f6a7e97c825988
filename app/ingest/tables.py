"""What ingest keeps beside events: counts of refusals."""

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
