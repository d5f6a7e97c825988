"""Quarantine holds changes to profiles as well as events"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Everything that an earlier release held is an event.
    op.add_column("quarantined", sa.Column("scope", sa.Text(), nullable=False, server_default="event"))


def downgrade() -> None:
    # An earlier release would store a change to a profile as an event.
    op.execute("DELETE FROM quarantined WHERE scope <> 'event'")
    with op.batch_alter_table("quarantined") as table:
        table.drop_column("scope")
