"""Data views, teams, and who is in them. Members are credentials, never people of whom events are."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, serial

team = sa.Table(
    "team",
    metadata,
    serial("id"),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)

team_member = sa.Table(
    "team_member",
    metadata,
    column("principal_id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("team_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "team_id"),
)

# An expression of a view may name no id and nothing that the detectors take for personal data; empty asks for nothing.
data_view = sa.Table(
    "data_view",
    metadata,
    serial("id"),
    column("project_id", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("description", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # What whoever is in no view sees.
    column("by_default", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    column("events", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("profiles", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # JSON arrays of names of properties.
    column("withheld_of_events", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("withheld_of_profiles", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("changed_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("changed_by", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)

data_view_member = sa.Table(
    "data_view_member",
    metadata,
    column("view_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    # `principal` or `team`, and the id of that.
    column("kind", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("member", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
)
