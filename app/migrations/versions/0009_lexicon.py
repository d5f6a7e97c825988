"""The data dictionary: entries, volumes, settings, anomalies"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lexicon_project",
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("new_events", sa.Text(), nullable=False),
        sa.Column("new_properties", sa.Text(), nullable=False),
        sa.Column("approval_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("standards", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("digest_to", sa.LargeBinary(), nullable=True),
        sa.Column("digest_due_ms", sa.BigInteger(), nullable=True),
        sa.Column("digest_attempts", sa.Integer(), nullable=False),
        sa.Column("window_ms", sa.BigInteger(), nullable=False),
        sa.Column("window_requests", sa.Integer(), nullable=False),
        sa.Column("window_entities", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.PrimaryKeyConstraint("project_id", name="pk_lexicon_project"),
    )
    op.create_index("ix_lexicon_project_digest_due_ms", "lexicon_project", ["digest_due_ms"])
    op.create_table(
        "lexicon_entry",
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("merged_into", sa.Text(), nullable=True),
        sa.Column("classified", sa.Boolean(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("owners", sa.Text(), nullable=False),
        sa.Column("teams", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("described", sa.Boolean(), nullable=False),
        sa.Column("types", sa.Integer(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_ms", sa.BigInteger(), nullable=True),
        sa.Column("changed_ms", sa.BigInteger(), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.PrimaryKeyConstraint("project_id", "kind", "event", "name", name="pk_lexicon_entry"),
    )
    op.create_table(
        "lexicon_volume",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "kind", "name", "day", name="pk_lexicon_volume"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_lexicon_volume_day", "lexicon_volume", ["day"])
    op.create_table(
        "lexicon_anomaly",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False),
        sa.Column("spread", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.PrimaryKeyConstraint("id", name="pk_lexicon_anomaly"),
        sa.UniqueConstraint("project_id", "name", "day", name="uq_lexicon_anomaly_project_id_name_day"),
    )


def downgrade() -> None:
    for table in ("lexicon_anomaly", "lexicon_volume", "lexicon_entry", "lexicon_project"):
        op.drop_table(table)
