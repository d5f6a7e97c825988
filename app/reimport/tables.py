"""Sanitised re-imports, whom they are about while they run, and what is staged for them.

Whose the staged copy is changes once: until the erasure is ordered it belongs to the person as they are known, so that any
erasure of theirs deletes it with the rest of the data map. In the transaction that orders the erasure it is given to the
fresh id, and from then on no row of any table leads from one to the other.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, work_columns

reimport = sa.Table(
    "reimport",
    metadata,
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), nullable=False, holds=Holds.NOT_PERSONAL),
    column("scope", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # JSON: the policy, what is measured and how closely the figures must agree. Names of properties, no values.
    column("terms", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("requested_by", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("approved_by", sa.Text, holds=Holds.NOT_PERSONAL),
    # JSON: who overrode a block, when and why. The reason was looked through for personal data.
    column("overrides", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    *work_columns(),
    column("total", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("done", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("worked_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # Where the pass under way stands, with its counters: sealed, because a place in the register is a uid.
    column("standing", sa.LargeBinary, holds=Holds.NOT_PERSONAL),
    column("report", sa.Text, holds=Holds.NOT_PERSONAL),
    # The key of the staged copy and of the marks, wrapped; destroyed when the re-import is over.
    column("wrapped_key", sa.LargeBinary, holds=Holds.NOT_PERSONAL),
    column("salt", sa.LargeBinary, holds=Holds.NOT_PERSONAL),
    column("erasure_id", sa.Text, holds=Holds.NOT_PERSONAL),
    # How it ends when what was begun has been taken back.
    column("ending", sa.Text, holds=Holds.NOT_PERSONAL),
    column("statement", sa.Text, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "next_due_ms"),
    sa.Index(None, "project_id", "created_ms"),
)

# Whom it is about, until they are erased. `person` is the id that readers see for all of theirs.
reimport_subject = sa.Table(
    "reimport_subject",
    metadata,
    column("reimport_id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.SUBJECT),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("person", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    # The state before they were held still, to be put back if nothing comes of it.
    column("prior_state", sa.Text, holds=Holds.SUBJECT),
    sa.Index(None, "project_id", "uid"),
    sa.Index(None, "reimport_id", "person"),
    info={"subject": "uid"},
    sqlite_with_rowid=False,
)

reimport_chunk = sa.Table(
    "reimport_chunk",
    metadata,
    column("reimport_id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("seq", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    # Sanitised rows, sealed under the key of the re-import. No id and no uid stands in them.
    column("ciphertext", sa.LargeBinary, nullable=False, holds=Holds.SUBJECT),
    sa.Index(None, "project_id", "uid"),
    info={"subject": "uid"},
)

# What was before and what would be after, by name: how many events on a day, the sum of a number. Kept until it is over.
reimport_total = sa.Table(
    "reimport_total",
    metadata,
    column("reimport_id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("what", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("key", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("before", sa.Float(53), nullable=False, holds=Holds.NOT_PERSONAL),
    column("after", sa.Float(53), nullable=False, holds=Holds.NOT_PERSONAL),
    # How many records of the sanitised copy went into `after`.
    column("n", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)

# Who is in which cell: keyed digests whose key is destroyed when it is over (`policies.anonymity`).
reimport_mark = sa.Table(
    "reimport_mark",
    metadata,
    column("reimport_id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("kind", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("cell", sa.LargeBinary, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("member", sa.LargeBinary, primary_key=True, holds=Holds.NOT_PERSONAL),
    sqlite_with_rowid=False,
)
