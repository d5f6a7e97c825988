"""The identity mode of a project; legacy aliases, former heads of clusters, and shared forms of ids in the register"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("identity", sa.Text(), server_default="simplified", nullable=False))
    op.add_column("register", sa.Column("read_as", sa.BigInteger(), nullable=True))
    op.add_column("register", sa.Column("led", sa.Boolean(), nullable=True))
    op.add_column("register", sa.Column("form", sa.LargeBinary(), nullable=True))
    op.create_index("ix_register_project_id_form", "register", ["project_id", "form"])


def downgrade() -> None:
    op.drop_index("ix_register_project_id_form", "register")
    with op.batch_alter_table("register") as table:
        for name in ("read_as", "led", "form"):
            table.drop_column(name)
    with op.batch_alter_table("project") as table:
        table.drop_column("identity")
