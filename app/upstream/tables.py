"""Which collector a project forwards to, and what it has not taken yet."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, serial, turn_columns

upstream = sa.Table(
    "upstream",
    metadata,
    *turn_columns(),
    column("base", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("region", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # The token and credentials of the project over there: JSON, sealed under the project's key.
    column("sealed", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
    # Failures in a row and the code of the last; the moment of the last delivery.
    column("failures", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("last_error", sa.Text, holds=Holds.NOT_PERSONAL),
    column("delivered_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("delivered", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)

# What waits to be delivered, in the order in which it came. The body holds uids, never ids: those are put back on the way.
outgoing = sa.Table(
    "outgoing",
    metadata,
    serial("id"),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("time_ms", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("name", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("body", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("queued_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # Why the collector will not have it; such a row waits for an operator.
    column("parked", sa.Text, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "project_id", "parked", "id"),
    sa.Index(None, "project_id", "uid"),
    info={"subject": "uid"},
    sqlite_autoincrement=True,
)
