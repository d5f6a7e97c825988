"""Teams: names for several credentials together, so that they get data views as one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.access.tables import principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.dataviews.model import MemberKind
from app.dataviews.tables import data_view, data_view_member, team, team_member
from app.errors import Conflict, InvalidInput, NotFound

MOST_TEAMS = 200
_LARGEST_ID = 2**63 - 1
_TOLD = 100


@dataclass(frozen=True, slots=True)
class Team:
    """A team with the ids of its members, sorted."""

    id: int
    name: str
    members: tuple[str, ...]


class Teams:
    """Makes, changes and deletes teams. A change is in force for every read that begins after it is acknowledged."""

    def __init__(self, database: Database, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def of(self, project_id: int) -> list[Team]:
        """Every team, by name."""
        mine = team.c.project_id == project_id
        with self._database.read() as tx:
            rows = tx.execute(sa.select(team).where(mine).order_by(team.c.name)).all()
            held = sa.select(team_member).join(team, team.c.id == team_member.c.team_id).where(mine)
            members = tx.execute(held.order_by(team_member.c.principal_id)).all()
        return [Team(row.id, row.name, tuple(m.principal_id for m in members if m.team_id == row.id)) for row in rows]

    def create(self, by: Principal, name: str, members: Collection[str]) -> Team:
        """A new team. Raises `Conflict` for a name that is taken, `InvalidInput` for a member who is no credential here."""
        with self._database.write() as tx:
            held = set(tx.execute(sa.select(team.c.name).where(team.c.project_id == by.project.id)).scalars())
            if name in held:
                raise Conflict("a team of this name exists", field="name", remedy="choose another name, or change that one")
            if len(held) >= MOST_TEAMS:
                raise Conflict(f"a project has at most {MOST_TEAMS} teams", remedy="delete one")
            values = {"project_id": by.project.id, "name": name, "created_ms": self._clock()}
            number = int(tx.execute(sa.insert(team).values(values).returning(team.c.id)).scalar_one())
            made = Team(number, name, self._put(tx, by, number, members))
            self._stage(tx, AuditAction.TEAM_CREATED, by, number, {"name": name, "members.after": _told(made.members)})
        return made

    def change(self, by: Principal, team_id: int, members: Collection[str]) -> Team:
        """Give a team other members. Raises `NotFound`, and as `create` does."""
        with self._database.write() as tx:
            before = self._one(tx, by, team_id)
            tx.execute(sa.delete(team_member).where(team_member.c.team_id == team_id))
            after = Team(team_id, before.name, self._put(tx, by, team_id, members))
            if after != before:
                facts = {"name": before.name, "members.before": _told(before.members), "members.after": _told(after.members)}
                self._stage(tx, AuditAction.TEAM_CHANGED, by, team_id, facts)
        return after

    def delete(self, by: Principal, team_id: int) -> None:
        """Forget a team. Raises `NotFound`, and `Conflict` while it is in a view: its members would see more, or nothing."""
        with self._database.write() as tx:
            before = self._one(tx, by, team_id)
            m = data_view_member.c
            used = sa.select(data_view.c.name).join(data_view_member, m.view_id == data_view.c.id)
            held = sa.and_(data_view.c.project_id == by.project.id, m.kind == MemberKind.TEAM.value, m.member == str(team_id))
            if tx.execute(used.where(held).limit(1)).first() is not None:
                raise Conflict("the team is in a data view", field="id", remedy="take it out of every view first")
            tx.execute(sa.delete(team_member).where(team_member.c.team_id == team_id))
            tx.execute(sa.delete(team).where(team.c.id == team_id))
            facts = {"name": before.name, "members.before": _told(before.members)}
            self._stage(tx, AuditAction.TEAM_DELETED, by, team_id, facts)

    def _one(self, tx: Connection, by: Principal, team_id: int) -> Team:
        held = sa.select(team).where(team.c.project_id == by.project.id, team.c.id == team_id).with_for_update()
        row = tx.execute(held).first() if team_id <= _LARGEST_ID else None
        if row is None:
            raise NotFound("no such team", field="id", remedy="list them with GET /v1/teams")
        members = sa.select(team_member.c.principal_id).where(team_member.c.team_id == team_id)
        return Team(row.id, row.name, tuple(sorted(tx.execute(members).scalars())))

    def _put(self, tx: Connection, by: Principal, team_id: int, members: Collection[str]) -> tuple[str, ...]:
        wanted = tuple(sorted(set(members)))
        refuse_strangers(tx, by.project.id, wanted)
        if wanted:
            tx.execute(sa.insert(team_member), [{"principal_id": each, "team_id": team_id} for each in wanted])
        return wanted

    def _stage(self, tx: Connection, action: AuditAction, by: Principal, number: int, facts: Mapping[str, str]) -> None:
        self._audit.stage(tx, Entry(action, by.project.id, by.id, self._clock(), obj=f"team/{number}", facts=facts))


def refuse_strangers(tx: Connection, project_id: int, ids: Collection[str]) -> None:
    """Raises `InvalidInput` unless each of these is a live credential of the project."""
    live = sa.and_(principal.c.project_id == project_id, principal.c.revoked_ms.is_(None))
    found = set(tx.execute(sa.select(principal.c.id).where(live, principal.c.id.in_(list(ids)))).scalars())
    if found != set(ids):
        raise InvalidInput(
            "a member is no credential of this project",
            field="members",
            remedy="send ids of credentials that are not revoked; GET /v1/sight shows a credential its own",
        )


def _told(ids: Collection[str]) -> str:
    # An audit entry has room for 16 KiB.
    shown = sorted(ids)
    more = f" and {len(shown) - _TOLD} more" if len(shown) > _TOLD else ""
    return (" ".join(shown[:_TOLD]) + more) or "none"
