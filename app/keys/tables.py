"""Wrapped keys. A row is useless without the master key, which is never in the database."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

wrapped_key = sa.Table(
    "wrapped_key",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("purpose", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("version", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("wrapped", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # Until when a key in state `bridge` is still used beside the primary one.
    column("bridge_until_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    # The canonical form of values (policies.canonical) that a pseudonym key was made for.
    column("form", sa.Integer, nullable=False, server_default="1", holds=Holds.NOT_PERSONAL),
)
