"""Every table of the service, in one place: what migrations compare with and what the data map is generated from."""

from __future__ import annotations

from app.access import tables as _access
from app.audit import tables as _audit
from app.database import metadata
from app.dataviews import tables as _dataviews
from app.deletions import tables as _deletions
from app.events import tables as _events
from app.identity import tables as _identity
from app.ingest import tables as _ingest
from app.keys import tables as _keys
from app.lexicon import tables as _lexicon
from app.observe import tables as _observe
from app.quarantine import tables as _quarantine
from app.query import tables as _query
from app.reimport import tables as _reimport
from app.rulebook import tables as _rulebook
from app.subjects import tables as _subjects
from app.upstream import tables as _upstream

__all__ = ["metadata"]

MODULES = (
    *(_access, _audit, _events, _identity, _ingest, _keys, _lexicon, _observe, _quarantine, _query, _rulebook, _subjects),
    *(_dataviews, _deletions, _reimport, _upstream),
)
