"""Which collector a project forwards to, what it has not taken yet, and which requests were passed on to it."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, serial, turn_columns

upstream = sa.Table(
    "upstream",
    metadata,
    *turn_columns(),
    column("base", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("region", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # Whether what is forwarded is kept here as well: see `app.upstream.outbox.Keeps`.
    column("keeps", sa.Text, nullable=False, server_default="store_and_forward", holds=Holds.NOT_PERSONAL),
    # True where a credential for passing requests on is among the sealed ones.
    column("asks", sa.Boolean, holds=Holds.NOT_PERSONAL),
    # The token and credentials of the project over there: JSON, sealed under the project's key.
    column("sealed", sa.LargeBinary, nullable=False, holds=Holds.NOT_PERSONAL),
    # Failures in a row and the code of the last; the moment of the last delivery.
    column("failures", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("last_error", sa.Text, holds=Holds.NOT_PERSONAL),
    column("delivered_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("delivered", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)

# Collectors that a project forwarded to before: what they took is still theirs, and an erasure says so.
upstream_former = sa.Table(
    "upstream_former",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("base", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("until_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)

# What waits to be delivered, in the order in which it came. The body holds uids, never ids: those are put back on the way.
outgoing = sa.Table(
    "outgoing",
    metadata,
    serial("id"),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # event, or one operation on a profile or group: then `name` is the operation and the body a change.
    column("kind", sa.Text, nullable=False, server_default="event", holds=Holds.NOT_PERSONAL),
    column("uid", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("time_ms", sa.BigInteger, nullable=False, holds=Holds.SUBJECT),
    column("name", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("body", sa.Text, nullable=False, holds=Holds.SUBJECT),
    column("queued_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # True while something that must not be done twice is on its way: found so by a later run, nobody knows whether it was.
    column("attempted", sa.Boolean, holds=Holds.NOT_PERSONAL),
    # True for a parked operation when a later one on the same profile was delivered.
    column("overtaken", sa.Boolean, holds=Holds.NOT_PERSONAL),
    # Why the collector will not have it; such a row waits for an operator.
    column("parked", sa.Text, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "project_id", "parked", "id"),
    sa.Index(None, "project_id", "uid"),
    info={"subject": "uid"},
    sqlite_autoincrement=True,
)

# A request of a person that is passed on: some ids of it, one collector. `app.upstream.errands` says what the states mean.
errand = sa.Table(
    "errand",
    metadata,
    serial("id"),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("request_id", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("kind", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("compliance_type", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("disclosure_type", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("base", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("ids", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    # The ids to ask for, later the address of the answer: JSON under the project's key, emptied as soon as it is not needed.
    # The register knows nobody by these ids any more, so no uid could stand beside them.
    column("sealed", sa.LargeBinary, holds=Holds.NOT_PERSONAL),
    column("task", sa.Text, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("asked_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("ended_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("next_due_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    # How often it was asked, and how many tries in a row failed.
    column("asked", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("failures", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("error_code", sa.Text, holds=Holds.NOT_PERSONAL),
    # Whether the certificate of the request says how it stands.
    column("told", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "project_id", "next_due_ms"),
    sa.Index(None, "request_id"),
    sa.Index(None, "told"),
    sqlite_autoincrement=True,
)
