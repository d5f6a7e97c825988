"""Sanitised re-imports"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reimport",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("overrides", sa.Text(), nullable=False),
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
        sa.Column("standing", sa.LargeBinary(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("erasure_id", sa.Text(), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("statement", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.PrimaryKeyConstraint("id", name="pk_reimport"),
    )
    op.create_index("ix_reimport_next_due_ms", "reimport", ["next_due_ms"])
    op.create_index("ix_reimport_project_id_created_ms", "reimport", ["project_id", "created_ms"])
    op.create_table(
        "reimport_subject",
        sa.Column("reimport_id", sa.Text(), nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("prior_state", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("reimport_id", "uid", name="pk_reimport_subject"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_reimport_subject_project_id_uid", "reimport_subject", ["project_id", "uid"])
    op.create_index("ix_reimport_subject_reimport_id_person", "reimport_subject", ["reimport_id", "person"])
    op.create_table(
        "reimport_chunk",
        sa.Column("reimport_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("reimport_id", "seq", name="pk_reimport_chunk"),
    )
    op.create_index("ix_reimport_chunk_project_id_uid", "reimport_chunk", ["project_id", "uid"])
    op.create_table(
        "reimport_total",
        sa.Column("reimport_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("before", sa.Float(53), nullable=False),
        sa.Column("after", sa.Float(53), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reimport_id", "what", "name", "key", name="pk_reimport_total"),
    )
    op.create_table(
        "reimport_mark",
        sa.Column("reimport_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cell", sa.LargeBinary(), nullable=False),
        sa.Column("member", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("reimport_id", "kind", "cell", "member", name="pk_reimport_mark"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for name in ("reimport_mark", "reimport_total", "reimport_chunk", "reimport_subject", "reimport"):
        op.drop_table(name)
