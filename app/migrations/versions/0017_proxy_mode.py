"""Proxy mode: updates of profiles in the queue, forward-only, and requests that are passed on to the collector"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("upstream", sa.Column("keeps", sa.Text(), server_default="store_and_forward", nullable=False))
    op.add_column("upstream", sa.Column("asks", sa.Boolean(), nullable=True))
    # Everything that an earlier release queued is an event.
    op.add_column("outgoing", sa.Column("kind", sa.Text(), server_default="event", nullable=False))
    op.add_column("outgoing", sa.Column("attempted", sa.Boolean(), nullable=True))
    op.add_column("outgoing", sa.Column("overtaken", sa.Boolean(), nullable=True))
    op.create_table(
        "upstream_former",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "base", name="pk_upstream_former"),
    )
    op.create_table(
        "errand",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("compliance_type", sa.Text(), nullable=False),
        sa.Column("disclosure_type", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ids", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("next_due_ms", sa.BigInteger(), nullable=True),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_errand"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_errand_project_id_next_due_ms", "errand", ["project_id", "next_due_ms"])
    op.create_index("ix_errand_request_id", "errand", ["request_id"])
    op.create_index("ix_errand_told", "errand", ["told"])


def downgrade() -> None:
    op.drop_table("errand")
    op.drop_table("upstream_former")
    # An earlier release would send an update of a profile as an event.
    op.execute("DELETE FROM outgoing WHERE kind <> 'event'")
    with op.batch_alter_table("outgoing") as table:
        for name in ("kind", "attempted", "overtaken"):
            table.drop_column(name)
    with op.batch_alter_table("upstream") as table:
        for name in ("keeps", "asks"):
            table.drop_column(name)
