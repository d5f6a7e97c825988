"""The register: the one table that knows who is who.

The key is an HMAC of an id. While the person is known, a row holds a random `uid` (all that events carry), the person it
belongs to, the id sealed under a key of its own, and a random audit reference. A tombstone keeps the HMAC, the state and
the request that caused it, and loses everything else.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

register = sa.Table(
    "register",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("lookup", sa.LargeBinary, primary_key=True, holds=Holds.TOMBSTONE),
    column("uid", sa.BigInteger, holds=Holds.SUBJECT),
    column("person", sa.BigInteger, holds=Holds.SUBJECT),
    column("state", sa.Text, nullable=False, holds=Holds.TOMBSTONE),
    # What the state was before an erasure was accepted, for a cancellation in the grace period.
    column("prior_state", sa.Text, holds=Holds.SUBJECT),
    # What the state was before a restriction (GDPR article 18), and is again once that is lifted.
    column("restricted_from", sa.Text, holds=Holds.SUBJECT),
    column("sealed_id", sa.LargeBinary, holds=Holds.SUBJECT),
    column("wrapped_key", sa.LargeBinary, holds=Holds.SUBJECT),
    column("audit_ref", sa.Text, holds=Holds.SUBJECT),
    # Purposes that the person refused one by one: names of the policy, sorted, one a line. The same in every row of a person.
    column("refused_purposes", sa.Text, holds=Holds.SUBJECT),
    # The id under which events of this one are still read, where that is not the person's: a legacy alias (wire section 10).
    column("read_as", sa.BigInteger, holds=Holds.SUBJECT),
    # True for an id that others pointed at before it was merged: values of theirs may be under its key.
    column("led", sa.Boolean, holds=Holds.SUBJECT),
    # A keyed digest of the form that spellings of one id share (`app.identity.forms`); empty in rows of an earlier release
    # until the dispatcher has been there. A tombstone keeps it, so that no other spelling brings the person back.
    column("form", sa.LargeBinary, holds=Holds.TOMBSTONE),
    column("request_id", sa.Text, holds=Holds.TOMBSTONE),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.TOMBSTONE),
    sa.UniqueConstraint("project_id", "uid"),
    sa.Index(None, "project_id", "person"),
    sa.Index(None, "project_id", "form"),
    sa.Index(None, "request_id"),
    info={"subject": "uid"},
    sqlite_with_rowid=False,
)

# Kept while a rotation of the pseudonym key is within its bridge period, so that joins hold over it.
pseudonym_bridge = sa.Table(
    "pseudonym_bridge",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.SUBJECT),
    # A pseudonym of an older key, and that of the same value under the key that was primary then.
    column("older", sa.Text, primary_key=True, holds=Holds.SUBJECT),
    column("newer", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    sa.Index(None, "project_id", "older"),
    info={"subject": "uid"},
    sqlite_with_rowid=False,
)

# That a browser asked to be left alone, and was: evidence for a regulator (California Code of Regulations title 11, 7025).
signal_evidence = sa.Table(
    "signal_evidence",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.SUBJECT),
    column("signal", sa.Text, primary_key=True, holds=Holds.SUBJECT),
    column("first_ms", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("last_ms", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("n", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    info={"subject": "uid"},
    sqlite_with_rowid=False,
)

# Sharded, so that concurrent batches do not queue for one counter row.
SIGNAL_SHARDS = 8

signal_unknown = sa.Table(
    "signal_unknown",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("day", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("signal", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("shard", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("n", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)
