"""The dictionary of each project. No value and no id of a person stands here.

Names stand as the gate left them, and a name in which a detector sees personal data gets no row. Owners are people of the
house who answer for an entry, given by the house itself: no data subject of the event store.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.database import Holds, column, metadata

# One row a project that has a dictionary. `version` rises with every change that readers or ingest go by.
lexicon_project = sa.Table(
    "lexicon_project",
    metadata,
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("version", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("new_events", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("new_properties", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # What was seen before this moment is known and waits for nobody.
    column("approval_since_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    # Data standards, JSON: naming, description, owner.
    column("standards", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # Where the daily digest goes: `webhook` or `mail`, and the address sealed under the project's key, because it may be
    # a secret (a webhook's path) or a person's (a mail address).
    column("digest", sa.Text, holds=Holds.NOT_PERSONAL),
    column("digest_to", sa.LargeBinary, holds=Holds.NOT_PERSONAL),
    column("digest_due_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("digest_attempts", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    # The Schemas API's allowance: requests and entities of the minute that began at `window_ms`.
    column("window_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("window_requests", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("window_entities", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "digest_due_ms"),
)

# An event (its name in `name`), a property everywhere (`event` empty), or a property within one event.
lexicon_entry = sa.Table(
    "lexicon_entry",
    metadata,
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), primary_key=True, holds=Holds.NOT_PERSONAL),
    column("kind", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("event", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("merged_into", sa.Text, holds=Holds.NOT_PERSONAL),
    column("classified", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    column("verified", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    column("display_name", sa.Text, holds=Holds.NOT_PERSONAL),
    column("description", sa.Text, holds=Holds.NOT_PERSONAL),
    # JSON lists of text.
    column("tags", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("owners", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("teams", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    # What else an uploaded JSON Schema says, and whether somebody described the entry at all.
    column("document", sa.Text, holds=Holds.NOT_PERSONAL),
    column("described", sa.Boolean, nullable=False, holds=Holds.NOT_PERSONAL),
    # Kinds of JSON values seen, as bits; when, to the hour.
    column("types", sa.Integer, nullable=False, holds=Holds.NOT_PERSONAL),
    column("first_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("last_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("changed_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("changed_by", sa.Text, holds=Holds.NOT_PERSONAL),
)

# How often a name came on one UTC day: taken in, and refused by the dictionary.
lexicon_volume = sa.Table(
    "lexicon_volume",
    metadata,
    column("project_id", sa.BigInteger, primary_key=True, autoincrement=False, holds=Holds.NOT_PERSONAL),
    column("kind", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("day", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("n", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("refused", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    sa.Index(None, "day"),
    sqlite_with_rowid=False,
)

# A day on which an event came far more or far less often than on the same weekday before.
lexicon_anomaly = sa.Table(
    "lexicon_anomaly",
    metadata,
    column("id", sa.Text, primary_key=True, holds=Holds.NOT_PERSONAL),
    column("project_id", sa.BigInteger, sa.ForeignKey("project.id"), nullable=False, holds=Holds.NOT_PERSONAL),
    column("name", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("day", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("n", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("expected", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("spread", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("state", sa.Text, nullable=False, holds=Holds.NOT_PERSONAL),
    column("opened_ms", sa.BigInteger, nullable=False, holds=Holds.NOT_PERSONAL),
    column("decided_ms", sa.BigInteger, holds=Holds.NOT_PERSONAL),
    column("decided_by", sa.Text, holds=Holds.NOT_PERSONAL),
    sa.UniqueConstraint("project_id", "name", "day"),
)
