"""The audit log. Staged with the act, then sequenced; nothing updates an entry.

`leaf` is the RFC 6962 leaf hash of `body`, written once at sequencing, so that a Merkle tree can be built over the log
without touching an entry.
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
