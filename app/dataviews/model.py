"""A data view as it is kept, and which views a credential is in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.dataviews.tables import data_view, data_view_member, team_member
from app.where.parse import parse
from app.where.tree import About, Expr


class MemberKind(StrEnum):
    """Who can be in a view: one credential, or all of a team."""

    PRINCIPAL = "principal"
    TEAM = "team"


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One member; `id` is that of a credential, or of a team as text."""

    kind: MemberKind
    id: str


@dataclass(frozen=True, slots=True)
class DataView:
    """A part of a project under a name. An expression that is empty asks for nothing; times are Unix milliseconds.

    `by_default` makes it what whoever is in no view sees.
    """

    id: int
    name: str
    description: str = ""
    by_default: bool = False
    events: str = field(default="", repr=False)
    profiles: str = field(default="", repr=False)
    withheld_of_events: tuple[str, ...] = ()
    withheld_of_profiles: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    changed_ms: int = 0
    changed_by: str = ""

    @property
    def events_expression(self) -> Expr | None:
        """What has to be true of an event."""
        return _parsed(self.events, About.EVENT, "events") if self.events else None

    @property
    def profiles_expression(self) -> Expr | None:
        """What has to be true of a profile, and of the profile of whoever an event is of."""
        return _parsed(self.profiles, About.PROFILE, "profiles") if self.profiles else None


def view_of(row: Any, members: tuple[Member, ...] = ()) -> DataView:
    """A view from its row."""
    return DataView(
        id=row.id,
        name=row.name,
        description=row.description,
        by_default=row.by_default,
        events=row.events,
        profiles=row.profiles,
        withheld_of_events=tuple(json.loads(row.withheld_of_events)),
        withheld_of_profiles=tuple(json.loads(row.withheld_of_profiles)),
        members=members,
        changed_ms=row.changed_ms,
        changed_by=row.changed_by,
    )


def views_of(tx: Connection, project_id: int, principal_id: str) -> list[DataView]:
    """The views that a credential sees through, by id: those that it is in, itself or by a team; in none, the one by default."""
    found = [view_of(row) for row in tx.execute(_MINE, {"project_id": project_id, "principal_id": principal_id})]
    return [each for each in found if not each.by_default] or found


def _mine() -> sa.Select[Any]:
    who, m = sa.bindparam("principal_id", type_=sa.Text), data_view_member.c
    teams = sa.select(sa.cast(team_member.c.team_id, sa.Text)).where(team_member.c.principal_id == who)
    member = sa.or_(
        sa.and_(m.kind == MemberKind.PRINCIPAL.value, m.member == who),
        sa.and_(m.kind == MemberKind.TEAM.value, m.member.in_(teams)),
    )
    mine = data_view.c.id.in_(sa.select(m.view_id).where(member))
    of_project = data_view.c.project_id == sa.bindparam("project_id")
    return sa.select(data_view).where(of_project, sa.or_(mine, data_view.c.by_default)).order_by(data_view.c.id)


# Asked for every read, so it is built once.
_MINE = _mine()


@lru_cache(maxsize=256)
def _parsed(text: str, about: About, field_name: str) -> Expr:
    return parse(text, about, field_name=field_name)
