"""The audit log. Staged with the act, then sequenced; nothing updates or deletes what is in its place (triggers refuse it).

`leaf` is the RFC 6962 leaf hash of `body`. Of the tree over the leaves only the roots of complete tiles are kept: one row
for 256 entries, one for 65,536 and so on; everything else is computed from them in a few reads.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, serial

audit_staging = sa.Table(
    "audit_staging",
    metadata,
    serial("id"),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("body", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
)

audit_entry = sa.Table(
    "audit_entry",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("idx", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("body", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
    column("leaf", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
)

# `tier` t, `idx` i: the root over the 256**t entries from i * 256**t on. Tier 0 is `audit_entry.leaf`.
audit_node = sa.Table(
    "audit_node",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("tier", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("idx", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("hash", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
)

# Signed checkpoints. The primary key allows one root for one size: a fork cannot be stored.
audit_head = sa.Table(
    "audit_head",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("size", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("root", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
    column("note", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
)
