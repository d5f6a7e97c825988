"""The identity mode of a project; legacy aliases, former heads of clusters, and shared forms of ids in the register"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("identity", sa.Text(), server_default="simplified", nullable=False))
    op.add_column("register", sa.Column("read_as", sa.BigInteger(), nullable=True))
    op.add_column("register", sa.Column("led", sa.Boolean(), nullable=True))
    op.add_column("register", sa.Column("form", sa.LargeBinary(), nullable=True))
    op.create_index("ix_register_project_id_form", "register", ["project_id", "form"])
    if op.get_bind().dialect.name == "sqlite":
        _tell_planner()


def _tell_planner() -> None:
    """Without statistics SQLite takes a project for ten rows, and reads all of it where an index has the few it wants.

    What stands here holds until somebody runs ANALYZE over a register with people in it, which says the same.
    """
    op.execute("ANALYZE register")
    op.execute("DELETE FROM sqlite_stat1 WHERE tbl = 'register'")
    for index, rows in _ROWS.items():
        op.execute(f"INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('register', '{index}', '{rows}')")  # noqa: S608


# How many rows there are, and how many share each further column of the index, on average.
_ROWS = {
    "register": "1000000 500000 1",
    "sqlite_autoindex_register_2": "1000000 500000 1",
    "ix_register_project_id_person": "1000000 500000 2",
    "ix_register_project_id_form": "1000000 500000 2",
    "ix_register_request_id": "1000000 100",
}


def downgrade() -> None:
    op.drop_index("ix_register_project_id_form", "register")
    with op.batch_alter_table("register") as table:
        for name in ("read_as", "led", "form"):
            table.drop_column(name)
    with op.batch_alter_table("project") as table:
        table.drop_column("identity")
