"""Rotation of keys: bridge periods, canonical forms, and bridges between pseudonyms"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("wrapped_key", sa.Column("bridge_until_ms", sa.BigInteger(), nullable=True))
    op.add_column("wrapped_key", sa.Column("form", sa.Integer(), server_default="1", nullable=False))
    op.create_table(
        "pseudonym_bridge",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("older", sa.Text(), nullable=False),
        sa.Column("newer", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "uid", "older", name="pk_pseudonym_bridge"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_pseudonym_bridge_project_id_older", "pseudonym_bridge", ["project_id", "older"])
    if op.get_bind().dialect.name == "postgresql":
        # As in the first schema: the planner keeps no sample of what belongs to a person.
        for column in ("older", "newer"):
            op.execute(f"ALTER TABLE pseudonym_bridge ALTER COLUMN {column} SET STATISTICS 0")


def downgrade() -> None:
    op.drop_table("pseudonym_bridge")
    with op.batch_alter_table("wrapped_key") as table:
        table.drop_column("form")
        table.drop_column("bridge_until_ms")
