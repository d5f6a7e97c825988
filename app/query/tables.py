"""What a read of profiles in pages needs to remember between its pages."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

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
