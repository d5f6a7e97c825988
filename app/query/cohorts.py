"""Cohorts: filters of profiles that are saved under a name. Who is in one is computed when it is asked for and never stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.access.sight import Sight
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, NotAllowed, NotFound
from app.events.placement import EventStores
from app.events.port import EventStore, ProfileQuery
from app.keys.service import Keyring
from app.query import sessions
from app.query.tables import cohort
from app.sight import people
from app.sight.impersonal import Impersonal
from app.sight.service import Sights
from app.where.evaluate import constant
from app.where.parse import parse
from app.where.tree import About, Expr

MOST_COHORTS = 500
_LARGEST_ID = 2**63 - 1
_EXPRESSION = "where"


@dataclass(frozen=True, slots=True)
class Cohort:
    """One saved filter. `where` is its text; `created_ms` is Unix time in milliseconds."""

    id: int
    name: str
    description: str
    where: str = field(repr=False)
    created_ms: int
    created_by: str

    @property
    def expression(self) -> Expr:
        """What has to be true of a profile."""
        return parse(self.where, About.PROFILE, field_name="filter_by_cohort")


@dataclass(frozen=True, slots=True)
class Counted:
    """A cohort and how many profiles in the reader's sight it holds now; None where it asks for what is withheld."""

    cohort: Cohort
    count: int | None


class Cohorts:
    """Saves, lists and deletes cohorts. Stateless but for its dependencies."""

    def __init__(
        self,
        database: Database,
        stores: EventStores,
        keyring: Keyring,
        audit: AuditLog,
        clock: Callable[[], int],
        sights: Sights,
    ) -> None:
        self._database = database
        self._stores = stores
        self._keyring = keyring
        self._audit = audit
        self._clock = clock
        self._sights = sights
        self._impersonal = Impersonal()

    def listing(self, by: Principal) -> list[Counted]:
        """Every cohort of the project in order of its id, counted. Each is one pass over the profiles."""
        store = self._stores.of(by.project.store_url)
        with self._database.read() as tx:
            sight = self._sights.of(tx, by)
            mine = sa.select(cohort).where(cohort.c.project_id == by.project.id).order_by(cohort.c.id)
            found = [_cohort(row) for row in tx.execute(mine)]
        return [Counted(each, self._count(store, sight, each)) for each in found]

    def save(self, by: Principal, name: str, description: str, where: str, *, anyway: bool = False) -> Counted:
        """A new cohort. Raises `InvalidInput` for an expression that names a person, and `Conflict` for a name that is taken,
        or for one that holds no profile, or every one, unless `anyway`."""
        expression = parse(where, About.PROFILE)
        self._impersonal.demand(expression, _EXPRESSION, "choose people by distinct_ids when you read")
        made = Cohort(0, name, description, where, self._clock(), by.id)
        store = self._stores.of(by.project.store_url)
        with self._database.read() as tx:
            sight = self._sights.of(tx, by)
        sight.admit(expression, About.PROFILE)
        count = self._count(store, sight, made) or 0
        if not anyway:
            self._refuse_pointless(store, sight, expression, count)
        with self._database.write() as tx:
            return Counted(self._insert(tx, by, made), count)

    def delete(self, by: Principal, cohort_id: int) -> None:
        """Forget a cohort. Raises `NotFound`."""
        if cohort_id > _LARGEST_ID:
            raise _unknown()
        with self._database.write() as tx:
            gone = sa.delete(cohort).where(cohort.c.project_id == by.project.id, cohort.c.id == cohort_id)
            if not tx.execute(gone).rowcount:
                raise _unknown()
            self._stage(tx, AuditAction.COHORT_DELETED, by, cohort_id)

    def _insert(self, tx: Connection, by: Principal, made: Cohort) -> Cohort:
        taken = sa.select(cohort.c.name).where(cohort.c.project_id == by.project.id)
        names = set(tx.execute(taken).scalars())
        if made.name in names:
            raise Conflict("a cohort of this name exists", field="name", remedy="choose another name, or delete that one")
        if len(names) >= MOST_COHORTS:
            raise Conflict(f"a project has at most {MOST_COHORTS} cohorts", remedy="delete one")
        values = {
            "project_id": by.project.id,
            "name": made.name,
            "description": made.description,
            "expression": made.where,
            "created_ms": made.created_ms,
            "created_by": made.created_by,
        }
        number = tx.execute(sa.insert(cohort).values(values).returning(cohort.c.id)).scalar_one()
        self._stage(tx, AuditAction.COHORT_CREATED, by, number)
        return Cohort(number, made.name, made.description, made.where, made.created_ms, made.created_by)

    def _refuse_pointless(self, store: EventStore, sight: Sight, expression: Expr, count: int) -> None:
        with self._database.read() as tx:
            everyone = store.count_profiles(tx, sight, ProfileQuery())
        said = constant(expression)
        if said is None and 0 < count < everyone:
            return
        which = "no profile" if count == 0 else "every profile"
        raise Conflict(
            f"this filter matches {which} of the {everyone} there are",
            field=_EXPRESSION,
            remedy='mend it, or send "anyway": true to save it as it is',
        )

    def _count(self, store: EventStore, sight: Sight, each: Cohort) -> int | None:
        def visible(uids: list[int]) -> set[int]:
            with self._database.read() as fresh:
                return set(people.in_sight(fresh, store, sight, uids))

        with self._database.read() as tx:
            try:
                found = store.scan_profiles(tx, sight, ProfileQuery(where=each.expression))
                return sessions.measure(found, lambda uids: visible(list(uids)))[0]
            except NotAllowed:
                return None

    def _stage(self, tx: Connection, action: AuditAction, by: Principal, number: int) -> None:
        self._audit.stage(tx, Entry(action, by.project.id, by.id, self._clock(), obj=str(number)))


def saved(tx: Connection, project_id: int, cohort_id: int) -> Cohort:
    """A cohort of the project. Raises `NotFound`."""
    row = tx.execute(sa.select(cohort).where(cohort.c.project_id == project_id, cohort.c.id == cohort_id)).first()
    if row is None:
        raise _unknown()
    return _cohort(row)


def _cohort(row: sa.Row[tuple[object, ...]]) -> Cohort:
    return Cohort(row.id, row.name, row.description, row.expression, row.created_ms, row.created_by)


def _unknown() -> NotFound:
    return NotFound("no such cohort", field="id", remedy="see cohorts/list")
