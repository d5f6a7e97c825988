"""Permissions given by name, teams, and data views"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("principal", sa.Column("granted", sa.Text(), server_default=sa.text("''"), nullable=False))
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "team",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_team"),
        sa.UniqueConstraint("project_id", "name", name="uq_team_project_id_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "team_member",
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("principal_id", "team_id", name="pk_team_member"),
    )
    op.create_index("ix_team_member_team_id", "team_member", ["team_id"])
    op.create_table(
        "data_view",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("by_default", sa.Boolean(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("profiles", sa.Text(), nullable=False),
        sa.Column("withheld_of_events", sa.Text(), nullable=False),
        sa.Column("withheld_of_profiles", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_data_view"),
        sa.UniqueConstraint("project_id", "name", name="uq_data_view_project_id_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "data_view_member",
        sa.Column("view_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("view_id", "kind", "member", name="pk_data_view_member"),
    )


def downgrade() -> None:
    for table in ("data_view_member", "data_view", "team_member", "team"):
        op.drop_table(table)
    op.drop_column("principal", "granted")
