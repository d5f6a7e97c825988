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

# What was put in force, by whom, and why. `below` is the row to which a rollback returns: activations form a stack, so that
# rolling back twice goes back two steps.
policy_activation = sa.Table(
    "policy_activation",
    metadata,
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("seq", sa.Integer, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("version", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("below", sa.Integer, holds=Holds.NOT_PERSONAL),
    column("act", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("actor", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("reason", sa.Text, holds=Holds.NOT_PERSONAL),
    column("at_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
)
