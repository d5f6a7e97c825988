"""Purposes refused, evidence of browser signals, and how far retention got"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("register", sa.Column("refused_purposes", sa.Text(), nullable=True))
    op.add_column("profile", sa.Column("changed_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("ix_profile_project_id_changed_ms", "profile", ["project_id", "changed_ms"])
    op.create_table(
        "signal_evidence",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "uid", "signal", name="pk_signal_evidence"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "signal_unknown",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "day", "signal", "shard", name="pk_signal_unknown"),
    )
    op.create_table(
        "retention_turn",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", name="pk_retention_turn"),
    )
    op.create_table(
        "retention_mark",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("event_ms", sa.BigInteger(), nullable=False),
        sa.Column("event_dedup", sa.BigInteger(), nullable=False),
        sa.Column("profile_ms", sa.BigInteger(), nullable=False),
        sa.Column("profile_seq", sa.BigInteger(), nullable=False),
        sa.Column("untold", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("properties", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "digest", name="pk_retention_mark"),
    )
    op.create_table(
        "retention_late",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_retention_late"),
    )


def downgrade() -> None:
    for table in ("retention_late", "retention_mark", "retention_turn", "signal_unknown", "signal_evidence"):
        op.drop_table(table)
    op.drop_index("ix_profile_project_id_changed_ms", "profile")
    op.drop_column("profile", "changed_ms")
    op.drop_column("register", "refused_purposes")
