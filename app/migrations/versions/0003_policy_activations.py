"""The history of what was put in force"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policy_activation",
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("below", sa.Integer(), nullable=True),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
        ),
        sa.PrimaryKeyConstraint("project_id", "seq", name="pk_policy_activation"),
    )
    # What is in force today is where the history begins; who put it there stands in the audit log.
    op.execute(
        "INSERT INTO policy_activation (project_id, seq, version, act, actor, at_ms)"
        " SELECT p.id, 1, p.active_policy, 'activated', v.author, v.created_ms FROM project p"
        " JOIN policy_version v ON v.project_id = p.id AND v.version = p.active_policy"
    )


def downgrade() -> None:
    op.drop_table("policy_activation")
