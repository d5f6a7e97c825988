"""Service accounts of several projects, with a number, an overlap on rotation and a last use; the time zone of a project"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False))
    op.add_column("principal", sa.Column("number", sa.BigInteger(), nullable=True))
    op.add_column("principal", sa.Column("created_by", sa.Text(), nullable=True))
    op.add_column("principal", sa.Column("previous_digest", sa.LargeBinary(), nullable=True))
    op.add_column("principal", sa.Column("previous_until_ms", sa.BigInteger(), nullable=True))
    op.add_column("principal", sa.Column("last_used_ms", sa.BigInteger(), nullable=True))
    op.create_index("ix_principal_number", "principal", ["number"], unique=True)
    op.create_index("ix_principal_previous_digest", "principal", ["previous_digest"], unique=True)
    op.create_table(
        "membership",
        sa.Column("principal_id", sa.Text(), sa.ForeignKey("principal.id"), nullable=False),
        sa.Column("project_id", sa.BigInteger(), sa.ForeignKey("project.id"), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal_id", "project_id", name="pk_membership"),
    )
    op.create_index("ix_membership_project_id", "membership", ["project_id"])
    op.execute(
        "INSERT INTO membership (principal_id, project_id, role, created_ms)"
        " SELECT id, project_id, role, created_ms FROM principal WHERE kind = 'service_account'"
    )
    _number()


def _number() -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id FROM principal WHERE kind = 'service_account'")).scalars().all()
    taken: set[int] = set()
    for each in rows:
        number = 1 + secrets.randbelow(2**31 - 1)
        while number in taken:
            number = 1 + secrets.randbelow(2**31 - 1)
        taken.add(number)
        connection.execute(sa.text("UPDATE principal SET number = :number WHERE id = :id"), {"number": number, "id": each})


def downgrade() -> None:
    op.drop_table("membership")
    op.drop_index("ix_principal_previous_digest", "principal")
    op.drop_index("ix_principal_number", "principal")
    for name in ("last_used_ms", "previous_until_ms", "previous_digest", "created_by", "number"):
        op.drop_column("principal", name)
    op.drop_column("project", "time_zone")
