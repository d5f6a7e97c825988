"""Projects and principals. A secret is never stored, only its digest under the installation's pepper."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

project = sa.Table(
    "project",
    metadata,
    column("id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, nullable=False, unique=True, holds=Holds.NOT_PERSONAL),
    # A project token identifies and does not authorise (wire section 2): it stands in every web page, so it is kept as it is.
    column("token", sa.Text, nullable=False, unique=True, holds=Holds.NOT_PERSONAL),
    column("active_policy", sa.Integer, holds=Holds.NOT_PERSONAL),
    # Placement: where events live. Empty means this database; region is where the project may never leave.
    column("store_url", sa.Text, holds=Holds.NOT_PERSONAL),
    column("region", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # How ids become people. Rows of before the choice existed are simplified, which is what they were.
    column("identity", sa.Text, nullable=False, server_default="simplified", holds=Holds.NOT_PERSONAL),
    # An IANA name: whose days a range of dates means.
    column("time_zone", sa.Text, nullable=False, server_default="UTC", holds=Holds.NOT_PERSONAL),
)

principal = sa.Table(
    "principal",
    metadata,
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), nullable=False, holds=Holds.NOT_PERSONAL),
    column("kind", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("username", sa.Text, unique=True, holds=Holds.NOT_PERSONAL),
    column("role", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("secret_digest", sa.LargeBinary, nullable=False, unique=True, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("expires_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("revoked_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    # Of service accounts: the id that clients know, which has to be a number, and which principal made it.
    column("number", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("created_by", sa.Text, holds=Holds.NOT_PERSONAL),
    # After a rotation the secret before is good until then.
    column("previous_digest", sa.LargeBinary, holds=Holds.NOT_PERSONAL),
    column("previous_until_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    # To ten minutes or so: not every request is a write.
    column("last_used_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "number", unique=True),
    sa.Index(None, "previous_digest", unique=True),
)

# A service account acts in the projects that it is a member of, as whatever it is there; other principals act in their own.
membership = sa.Table(
    "membership",
    metadata,
    column("principal_id", sa.Text, sa.ForeignKey("principal.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("role", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "project_id"),
)
