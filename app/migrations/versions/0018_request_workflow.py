"""Requests: workflow, clocks, corrections, legal holds, idempotency"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TEXTS = ("batch", "outcome", "reason", "identity_by", "identity_method", "approved_by", "extension_reason", "answer_channel")
_TIMES = (
    "identity_ms",
    "approved_ms",
    "acknowledge_due_ms",
    "acknowledged_ms",
    "extended_ms",
    "next_alarm_ms",
    "answered_ms",
    "lifted_ms",
)


def upgrade() -> None:
    op.add_column("register", sa.Column("restricted_from", sa.Text(), nullable=True))
    add = "subject_request"
    op.add_column(add, sa.Column("required", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column(add, sa.Column("terms", sa.Text(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column(add, sa.Column("alarm_level", sa.Integer(), nullable=False, server_default="0"))
    for name in _TEXTS:
        op.add_column(add, sa.Column(name, sa.Text(), nullable=True))
    for name in _TIMES:
        op.add_column(add, sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_index("ix_subject_request_next_alarm_ms", add, ["next_alarm_ms"])
    op.create_index("ix_subject_request_batch", add, ["batch"])
    # Requests that were done before there was an outcome were done in full: nothing else was possible.
    op.execute("UPDATE subject_request SET outcome = 'complete' WHERE state = 'done'")
    # Those that are open get their alarms: the first round tells where each of them stands.
    op.execute("UPDATE subject_request SET next_alarm_ms = created_ms WHERE state IN ('pending', 'running', 'failed')")
    _tables()


def _tables() -> None:
    op.create_table(
        "correction",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["subject_request.id"]),
        sa.PrimaryKeyConstraint("request_id", name="pk_correction"),
    )
    op.create_index("ix_correction_project_id_uid", "correction", ["project_id", "uid"])
    op.create_table(
        "legal_hold",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("profile", sa.Boolean(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("placed_ms", sa.BigInteger(), nullable=False),
        sa.Column("review_ms", sa.BigInteger(), nullable=False),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.Column("lifted_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.PrimaryKeyConstraint("id", name="pk_legal_hold"),
    )
    op.create_index("ix_legal_hold_project_id_placed_ms", "legal_hold", ["project_id", "placed_ms"])
    op.create_table(
        "hold_subject",
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hold_id", "uid", name="pk_hold_subject"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_hold_subject_project_id_uid", "hold_subject", ["project_id", "uid"])
    op.create_table(
        "idempotency",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("unknown", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "key_digest", name="pk_idempotency"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("idempotency", "hold_subject", "legal_hold", "correction"):
        op.drop_table(table)
    op.drop_index("ix_subject_request_batch", "subject_request")
    op.drop_index("ix_subject_request_next_alarm_ms", "subject_request")
    for name in (*_TEXTS, *_TIMES, "alarm_level", "terms", "required"):
        op.drop_column("subject_request", name)
    op.drop_column("register", "restricted_from")
