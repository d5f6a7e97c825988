"""Quarantine that can be decided, observations, findings, simulations"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _widen_quarantine()
    op.create_table(
        "observation",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "bucket_ms", "scope", "event", "path", "detector", "shard", name="pk_observation"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_observation_bucket_ms", "observation", ["bucket_ms"])
    op.create_table(
        "finding",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("carrying", sa.Boolean(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.PrimaryKeyConstraint("id", name="pk_finding"),
        sa.UniqueConstraint(
            "project_id", "scope", "event", "path", "detector", name="uq_finding_project_id_scope_event_path_detector"
        ),
    )
    op.create_table(
        "simulation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("active_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.Column("next_due_ms", sa.BigInteger(), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("worked_ms", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.PrimaryKeyConstraint("id", name="pk_simulation"),
    )
    op.create_index("ix_simulation_next_due_ms", "simulation", ["next_due_ms"])
    op.create_index("ix_simulation_project_id_created_ms", "simulation", ["project_id", "created_ms"])


def _widen_quarantine() -> None:
    # What is held already keeps its sealed name; its digest was never written down, so it gets one of its own.
    number = "abs(random())" if op.get_bind().dialect.name == "sqlite" else "floor(random() * 9e18)::bigint"
    for name, kind in (("name", sa.Text()), ("dedup", sa.BigInteger()), ("policy_version", sa.Integer())):
        op.add_column("quarantined", sa.Column(name, kind, nullable=True))
    op.execute(f"UPDATE quarantined SET name = '', policy_version = 0, dedup = {number}")  # noqa: S608
    with op.batch_alter_table("quarantined") as table:
        table.alter_column("name", existing_type=sa.Text(), nullable=False)
        table.alter_column("dedup", existing_type=sa.BigInteger(), nullable=False)
        table.alter_column("policy_version", existing_type=sa.Integer(), nullable=False)
    op.create_index("ix_quarantined_project_id_received_ms_id", "quarantined", ["project_id", "received_ms", "id"])
    op.create_index("ix_quarantined_project_id_dedup", "quarantined", ["project_id", "dedup"])


def downgrade() -> None:
    op.drop_table("simulation")
    op.drop_table("finding")
    op.drop_table("observation")
    op.drop_index("ix_quarantined_project_id_dedup", "quarantined")
    op.drop_index("ix_quarantined_project_id_received_ms_id", "quarantined")
    with op.batch_alter_table("quarantined") as table:
        for name in ("name", "dedup", "policy_version"):
            table.drop_column(name)
