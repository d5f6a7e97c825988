"""What a read of profiles in pages needs to remember between its pages."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, serial

# Pages are ranges of `profile.seq`, which says when a profile was made and not whose it is.
query_session = sa.Table(
    "query_session",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("expires_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("total", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # JSON array: the highest `seq` of each page, rising.
    column("bounds", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "expires_ms"),
)

# Filters of profiles by name. An expression of one may name no id and nothing that the detectors take for personal data.
cohort = sa.Table(
    "cohort",
    metadata,
    serial("id"),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("description", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("expression", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_by", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)
