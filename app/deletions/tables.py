"""Data deletions: what each covers, where it stands, and what came of it.

What is covered is said by names of events and properties, times and an expression that may name no id and nothing that the
detectors take for personal data: no row can be traced to a person.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata, turn_columns

data_deletion = sa.Table(
    "data_deletion",
    metadata,
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), nullable=False, holds=Holds.NOT_PERSONAL),
    # In the order of creation, in which they are carried out.
    column("number", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("step", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # JSON of `app.deletions.model.Extent`.
    column("extent", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("reason", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("reference", sa.Text, holds=Holds.NOT_PERSONAL),
    column("created_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("created_by", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # What was received up to this moment is covered (`app.events.horizon`).
    column("received_up_to_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("undo_until_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("undone_by", sa.Text, holds=Holds.NOT_PERSONAL),
    column("finished_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    # What the preview counted when it was accepted; `complete` is False when its time was up before.
    column("matched", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("people", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("complete", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    # How far the work got: JSON of marks by place, and of whole numbers `<phase>.<place>`.
    column("marks", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("counts", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # Records deleted, or rewritten without the property: what the metric shows.
    column("removed", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    # Failures in a row, the code of the last, and when it is tried again.
    column("failures", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("error_code", sa.Text, holds=Holds.NOT_PERSONAL),
    column("due_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("certificate", sa.Text, holds=Holds.NOT_PERSONAL),
    sa.UniqueConstraint("project_id", "number"),
    sa.Index(None, "project_id", "state"),
)

# Whose turn it is to carry out the deletions of a project.
deletion_turn = sa.Table("deletion_turn", metadata, *turn_columns())
