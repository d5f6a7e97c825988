"""Data views: looked at before they are saved, saved, changed and deleted, each with its audit entry before and after.

What a view shows is decided in `app.dataviews.rule`, for every read anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.access.sight import Sight
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.dataviews.model import DataView, Member, MemberKind, view_of
from app.dataviews.tables import data_view, data_view_member, team
from app.dataviews.teams import refuse_strangers
from app.errors import Conflict, InvalidInput, NotFound
from app.events.placement import EventStores
from app.events.port import EventQuery, EventStore, ProfileQuery
from app.sight.impersonal import refuse_personal
from app.sight.service import Sights
from app.where.evaluate import constant
from app.where.tree import About, Expr
from policies.classify import HOUSEKEEPING

MOST_VIEWS = 50
"""Of one project: a row says in the bits of one number through which it is seen."""
_LARGEST_ID = 2**63 - 1
_NEWEST = 10_000
_LONGEST_FACT = 1_000
# A row has to say whose it is and when it was; to leave people out altogether is the policy's matter.
_NEVER_WITHHELD = HOUSEKEEPING - {"$user_id", "$device_id", "$insert_id"}
_SAID = ("name", "description", "by_default", "events", "profiles", "withheld_of_events", "withheld_of_profiles", "members")


@dataclass(frozen=True, slots=True)
class Matched:
    """How many of those that were looked at a filter is true of; None for what is not filtered."""

    of: int
    matched: int | None

    @property
    def pointless(self) -> str | None:
        """`nothing` or `everything`, or None for a filter that divides."""
        if self.matched is None:
            return None
        return "nothing" if self.matched == 0 else "everything" if self.matched == self.of else None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a view would show of the newest events (ten thousand or so) and of all profiles."""

    events: Matched
    profiles: Matched

    def objection(self, view: DataView) -> str | None:
        """What has to be confirmed before it is saved."""
        said = [
            f"the filter of {name} matches {found.pointless} of the {found.of} looked at"
            for name, found in (("events", self.events), ("profiles", self.profiles))
            if found.pointless
        ]
        constants = [
            name
            for name, asked in (("events", view.events_expression), ("profiles", view.profiles_expression))
            if asked is not None and constant(asked) is not None
        ]
        said += [f"the filter of {name} says the same of everything" for name in constants if not said]
        if not (view.events or view.profiles or view.withheld_of_events or view.withheld_of_profiles):
            said.append("the view narrows nothing: its members see the whole project")
        return "; ".join(said) or None


class DataViews:
    """The views of every project. Stateless but for its dependencies."""

    def __init__(
        self, database: Database, stores: EventStores, audit: AuditLog, clock: Callable[[], int], sights: Sights
    ) -> None:
        self._database = database
        self._stores = stores
        self._audit = audit
        self._clock = clock
        self._sights = sights

    # --- looking -----------------------------------------------------------------------------------------------------

    def of(self, project_id: int) -> list[DataView]:
        """Every view with its members, by id."""
        with self._database.read() as tx:
            rows = tx.execute(sa.select(data_view).where(data_view.c.project_id == project_id).order_by(data_view.c.id)).all()
            return [view_of(row, _members(tx, row.id)) for row in rows]

    def one(self, project_id: int, view_id: int) -> DataView:
        """One view. Raises `NotFound`."""
        with self._database.read() as tx:
            return _one(tx, project_id, view_id)

    def preview(self, by: Principal, view: DataView) -> Preview:
        """What a view would match of what this principal sees. The look stands in the audit log.

        Raises `InvalidInput` for an expression that names a person, `NotAllowed` for one that asks for what is withheld.
        """
        found = self._preview(by, view)
        counts = {"events": found.events.of, "profiles": found.profiles.of}
        counts |= {f"{n}_matched": m.matched for n, m in (("events", found.events), ("profiles", found.profiles)) if m.matched}
        with self._database.write() as tx:
            entry = Entry(AuditAction.DATA_VIEW_PREVIEWED, by.project.id, by.id, self._clock(), counts=counts)
            self._audit.stage(tx, entry)
        return found

    def _preview(self, by: Principal, view: DataView) -> Preview:
        _check(view)
        store, events, profiles = self._stores.of(by.project.store_url), view.events_expression, view.profiles_expression
        with self._database.read() as tx:
            sight = self._sights.of(tx, by)
            sight.admit(events, About.EVENT, "events")
            sight.admit(profiles, About.PROFILE, "profiles")
            return Preview(_events(tx, store, sight, events), _profiles(tx, store, sight, profiles))

    # --- changing ----------------------------------------------------------------------------------------------------

    def save(self, by: Principal, view: DataView, *, confirm: bool = False) -> DataView:
        """Make a view (id 0), or put another in its place. In force for every read that begins after this returns.

        Raises `Conflict` for a name that is taken or a second view by default, and unless `confirm` for a view that
        matches nothing or everything; `InvalidInput`, `NotAllowed` and `NotFound` as said elsewhere.
        """
        warning = self._preview(by, view).objection(view)
        if warning and not confirm:
            raise Conflict(warning, field="confirm", remedy='mend it, or send "confirm": true to save it as it is')
        now = self._clock()
        with self._database.write() as tx:
            before = _one(tx, by.project.id, view.id, lock=True) if view.id else None
            after = replace(view, members=tuple(sorted(set(view.members))), changed_ms=now, changed_by=by.id)
            _refuse_taken(tx, by.project.id, after)
            _refuse_unknown(tx, by.project.id, after.members)
            after = replace(after, id=_put(tx, by.project.id, after))
            action = AuditAction.DATA_VIEW_CREATED if before is None else AuditAction.DATA_VIEW_CHANGED
            self._stage(tx, action, by, after.id, _told(before, after) | ({"confirmed": "yes"} if warning else {}))
        return after

    def delete(self, by: Principal, view_id: int, *, confirm: bool = False) -> None:
        """Forget a view. Raises `NotFound`, and `Conflict` while somebody is in it, unless `confirm`: they would see what
        whoever is in no view sees."""
        with self._database.write() as tx:
            before = _one(tx, by.project.id, view_id, lock=True)
            if (before.members or before.by_default) and not confirm:
                raise Conflict(
                    "credentials see the project through this view, and would see more without it",
                    field="confirm",
                    remedy="take its members out first, or send confirm=true",
                )
            tx.execute(sa.delete(data_view_member).where(data_view_member.c.view_id == view_id))
            tx.execute(sa.delete(data_view).where(data_view.c.id == view_id))
            self._stage(tx, AuditAction.DATA_VIEW_DELETED, by, view_id, _told(before, None))

    def _stage(self, tx: Connection, action: AuditAction, by: Principal, number: int, facts: Mapping[str, str]) -> None:
        self._audit.stage(tx, Entry(action, by.project.id, by.id, self._clock(), obj=f"data_view/{number}", facts=facts))


def _check(view: DataView) -> None:
    for asked, field in ((view.events_expression, "events"), (view.profiles_expression, "profiles")):
        if asked is not None:
            refuse_personal(asked, field)
    for field in ("withheld_of_events", "withheld_of_profiles"):
        if _NEVER_WITHHELD & set(getattr(view, field)):
            raise InvalidInput(
                "a view cannot withhold when an event was and whose it is",
                field=field,
                remedy="leave distinct_id, time and the like out; withhold $user_id and $device_id if you want",
            )


def _events(tx: Connection, store: EventStore, sight: Sight, asked: Expr | None) -> Matched:
    # A bounded look: the counts go from the time of the ten thousandth newest event on.
    since, looked = None, 0
    for row in store.scan(tx, sight, EventQuery(limit=_NEWEST, newest_first=True)):
        since, looked = row.time_ms, looked + 1
    if asked is None or since is None:
        return Matched(looked, None if asked is None else 0)
    everything, matched = (store.count(tx, sight, EventQuery(from_ms=since, where=where)) for where in (None, asked))
    return Matched(everything, matched)


def _profiles(tx: Connection, store: EventStore, sight: Sight, asked: Expr | None) -> Matched:
    everyone = store.count_profiles(tx, sight, ProfileQuery())
    return Matched(everyone, None if asked is None else store.count_profiles(tx, sight, ProfileQuery(where=asked)))


def _one(tx: Connection, project_id: int, view_id: int, *, lock: bool = False) -> DataView:
    wanted = sa.select(data_view).where(data_view.c.project_id == project_id, data_view.c.id == view_id)
    row = tx.execute(wanted.with_for_update() if lock else wanted).first() if view_id <= _LARGEST_ID else None
    if row is None:
        raise NotFound("no such data view", field="id", remedy="list them with GET /v1/data-views")
    return view_of(row, _members(tx, row.id))


def _members(tx: Connection, view_id: int) -> tuple[Member, ...]:
    rows = tx.execute(sa.select(data_view_member).where(data_view_member.c.view_id == view_id))
    return tuple(sorted(Member(MemberKind(row.kind), row.member) for row in rows))


def _refuse_taken(tx: Connection, project_id: int, view: DataView) -> None:
    wanted = sa.select(data_view.c.id, data_view.c.name, data_view.c.by_default).where(data_view.c.project_id == project_id)
    others = [row for row in tx.execute(wanted) if row.id != view.id]
    if any(row.name == view.name for row in others):
        raise Conflict("a data view of this name exists", field="name", remedy="choose another name, or change that one")
    if view.by_default and any(row.by_default for row in others):
        remedy = "make that one an ordinary view first"
        raise Conflict("another view is what whoever is in none sees", field="by_default", remedy=remedy)
    if len(others) >= MOST_VIEWS:
        raise Conflict(f"a project has at most {MOST_VIEWS} data views", remedy="delete one")
    if view.by_default and view.members:
        remedy = "leave its members out: it is for whoever is in no view"
        raise InvalidInput("the view by default has no members", field="members", remedy=remedy)


def _refuse_unknown(tx: Connection, project_id: int, members: tuple[Member, ...]) -> None:
    refuse_strangers(tx, project_id, [each.id for each in members if each.kind is MemberKind.PRINCIPAL])
    teams = {each.id for each in members if each.kind is MemberKind.TEAM}
    known = set(map(str, tx.execute(sa.select(team.c.id).where(team.c.project_id == project_id)).scalars()))
    if teams - known:
        raise InvalidInput("a member is no team of this project", field="members", remedy="list them with GET /v1/teams")


def _put(tx: Connection, project_id: int, view: DataView) -> int:
    values: dict[str, Any] = {name: getattr(view, name) for name in ("name", "description", "by_default", "events", "profiles")}
    values |= {name: json.dumps(getattr(view, name)) for name in ("withheld_of_events", "withheld_of_profiles")}
    values |= {"changed_ms": view.changed_ms, "changed_by": view.changed_by}
    number = view.id
    if number:
        tx.execute(sa.update(data_view).where(data_view.c.id == number).values(values))
        tx.execute(sa.delete(data_view_member).where(data_view_member.c.view_id == number))
    else:
        made = sa.insert(data_view).values(project_id=project_id, created_ms=view.changed_ms, **values)
        number = int(tx.execute(made.returning(data_view.c.id)).scalar_one())
    if view.members:
        rows = [{"view_id": number, "kind": each.kind.value, "member": each.id} for each in view.members]
        tx.execute(sa.insert(data_view_member), rows)
    return number


def _told(before: DataView | None, after: DataView | None) -> dict[str, str]:
    """What changed, before and after, cut to what an audit entry has room for."""
    facts: dict[str, str] = {}
    for name in _SAID:
        was, now = ("" if each is None else _fact(getattr(each, name)) for each in (before, after))
        if was != now:
            facts |= {f"{name}.before": was, f"{name}.after": now}
    return {name: text for name, text in facts.items() if text}


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else " ".join(f"{e.kind}/{e.id}" if isinstance(e, Member) else e for e in value)
    return text if len(text) <= _LONGEST_FACT else f"{text[:_LONGEST_FACT]} and more"
