"""The policy versions of a project: immutable rows; which one is active stands in the project's row."""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

policy_version = sa.Table(
    "policy_version",
    metadata,
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("version", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("digest", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("text", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("author", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)
