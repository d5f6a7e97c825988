"""Events and changes to profiles that wait for a person to look at them."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

# The cleaned form of the record and the remarks that held it, sealed under the key of its subject (or the project's, when
# it belongs to nobody). `dedup` is the digest under which the event will be stored: what is sent again is held once.
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
    # `event`, or `profile` for one operation on a profile, whose name it then is.
    column("scope", sa.Text, nullable=False, server_default="event", holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("dedup", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("policy_version", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "project_id", "uid"),
    sa.Index(None, "project_id", "received_ms", "id"),
    sa.Index(None, "project_id", "dedup"),
    sa.Index(None, "expires_ms"),
    info={"subject": "uid"},
)
