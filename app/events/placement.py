"""Which event store a project's events are in: resolved per project, so that residency and other engines are configuration."""

from __future__ import annotations

from app.errors import Unsupported
from app.events.port import EventStore
from app.events.sql import SqlEventStore


class EventStores:
    """Resolves the store of a project from its `store_url`; empty means the database of the register itself."""

    def __init__(self, default: EventStore | None = None) -> None:
        self._default = default or SqlEventStore()

    def of(self, store_url: str | None) -> EventStore:
        """The store. Raises `Unsupported` for an engine that this release has no adapter for."""
        if not store_url:
            return self._default
        raise Unsupported(
            "this release has no adapter for the project's event store",
            field="store_url",
            remedy="leave store_url empty to keep events in the service's own database",
        )
