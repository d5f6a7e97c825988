"""The activity feed: what some people did, newest kept, oldest first (wire section 14), with sessions when asked (section 22)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, tzinfo
from typing import Any

from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import InvalidInput
from app.events.placement import EventStores
from app.events.port import EventQuery, EventRow, EventStore
from app.identity import register
from app.keys.service import Keyring, ProjectKeys
from app.query import params, visits
from app.query.batches import batches
from app.query.legible import Legible
from app.query.render import event_view, open_event, uids_of
from app.sight import people
from app.sight.ids import bind_ids
from app.sight.service import Sights
from app.where.tree import About, Expr

MOST_EVENTS = 10_000
_MOST_IDS = 100
_MINUTES = 1_440
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class FeedParams:
    """Whose events and of which days of `zone`, both inclusive; `timeout_ms` asks for sessions that end after such a silence."""

    ids: tuple[str, ...] = field(repr=False)
    first_day: date
    last_day: date
    limit: int = MOST_EVENTS
    where: Expr | None = field(default=None, repr=False)
    timeout_ms: int | None = None
    zone: tzinfo = UTC


def feed_params(sent: Mapping[str, str], zone: tzinfo = UTC) -> FeedParams:
    """Read the parameters of the feed, whose days are those of `zone`. Raises `InvalidInput`."""
    days = params.export_params({name: sent.get(name, "") for name in ("from_date", "to_date", "where", "limit")})
    ids = params.engage_params({name: sent.get(name, "") for name in ("distinct_id", "distinct_ids")}).ids
    if not ids or len(ids) > _MOST_IDS:
        remedy = f'send distinct_ids=["…"] with 1 to {_MOST_IDS} ids'
        raise InvalidInput("distinct_ids names nobody, or too many", field="distinct_ids", remedy=remedy)
    limit = min(days.limit or MOST_EVENTS, MOST_EVENTS)
    return FeedParams(ids, days.first_day, days.last_day, limit, days.where, _timeout(sent), zone)


def _timeout(sent: Mapping[str, str]) -> int | None:
    text = sent.get("session_timeout", "")
    if sent.get("sessions", "").lower() not in ("1", "true"):
        return None
    if text and not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= _MINUTES):
        wrong = f"session_timeout is not a number of minutes from 1 to {_MINUTES}"
        raise InvalidInput(wrong, field="session_timeout", remedy="leave it out for 30")
    return int(text) * 60_000 if text else visits.TIMEOUT_MS


class ActivityFeed:
    """Reads the feed. Stateless but for its dependencies; its memory is bounded by `MOST_EVENTS`."""

    def __init__(
        self,
        database: Database,
        stores: EventStores,
        keyring: Keyring,
        audit: AuditLog,
        clock: Callable[[], int],
        sights: Sights,
        count: Callable[[str, int], None],
    ) -> None:
        self._database = database
        self._stores = stores
        self._keyring = keyring
        self._audit = audit
        self._clock = clock
        self._sights = sights
        self._count = count

    def events(self, by: Principal, asked: FeedParams) -> list[dict[str, Any]]:
        """`{"event", "properties"}` in order of time, as `msgspec.json.encode` takes them: the newest `limit` of them.

        Whoever is hidden has none, and neither have ids that nobody has.
        """
        store = self._stores.of(by.project.store_url)
        with self._database.read() as tx:
            keys = self._keyring.of(tx, by.project.id)
            sight = self._sights.of(tx, by)
            sight.admit(asked.where, About.EVENT)
            where = asked.where and bind_ids(tx, keys, asked.where, About.EVENT)
            persons = {row.person for row in register.resolve(tx, keys, asked.ids).values() if row.person and not row.hidden}
            uids = register.linked(tx, by.project.id, persons)
            span = params.ExportParams(asked.first_day, asked.last_day, zone=asked.zone)
            query = EventQuery(span.from_ms, span.to_ms, uids=uids, limit=asked.limit, newest_first=True, where=where)
            rows = list(store.scan(tx, sight, query))[::-1]
        legible = Legible(self._keyring, sight)
        seen = [each for some in batches(rows, _BATCH) for each in self._seen(store, keys, legible, some)]
        self._tell(by, persons, len(seen), legible.opened)
        if asked.timeout_ms is None:
            return [each.view for each in seen]
        return [each.view for each in visits.with_sessions(seen, asked.timeout_ms, asked.zone)]

    def _seen(self, store: EventStore, keys: ProjectKeys, legible: Legible, rows: list[EventRow]) -> list[visits.Seen]:
        with self._database.read() as tx:
            events = [open_event(row) for row in legible.rows(tx, rows)]
            revealed = people.revealed(tx, store, keys, legible.sight, uids_of(events))
        views = ((each.row, event_view(each, revealed)) for each in events)
        return [visits.Seen(row.time_ms, revealed[row.uid].person, view) for row, view in views if view is not None]

    def _tell(self, by: Principal, persons: set[int], events: int, opened: int) -> None:
        self._count("feed", events)
        with self._database.write() as tx:
            ref = self._ref(tx, by, persons)
            counts = {"events": events, "people": len(persons), **({"values_opened": opened} if opened else {})}
            self._audit.stage(tx, Entry(AuditAction.ACTIVITY_READ, by.project.id, by.id, self._clock(), ref=ref, counts=counts))

    def _ref(self, tx: Connection, by: Principal, persons: set[int]) -> str | None:
        # One person is named by a reference that dies with the register row; several are a number.
        return register.audit_ref(tx, by.project.id, next(iter(persons))) if len(persons) == 1 else None
