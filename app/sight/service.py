"""The one function that decides what a principal may see: view, classification, hidden and deleted, all in one `Sight`.

Each room that has a say adds a `Rule`; `app.bootstrap` names them all. A rule only ever takes away. What a rule says about
ids is bound to uids here, in the transaction of the read, so a rule need not know the register.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import Connection

from app.access.roles import Permission
from app.access.service import Principal, Project
from app.access.sight import Merges, Purpose, Screen, Sight, Window
from app.keys.service import Keyring
from app.sight.ids import bind_ids
from app.where.tree import About, Expr, conjunction

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, and why. `principal` is None unless the purpose is `READER` or `DESK`."""

    project: Project
    purpose: Purpose
    now_ms: int
    principal: Principal | None = None


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What one rule takes away: only events and profiles of which these are true, and none of these properties. One rule
    alone has windows, one has merges, and one classifies.

    A rule that hides says so as `Not(…)`: hidden names as `Not(Inside(Name(), (Literal("…"),)))`, a data deletion as
    `Not(condition)`.
    """

    events: Expr | None = field(default=None, repr=False)
    profiles: Expr | None = field(default=None, repr=False)
    withheld_of_events: frozenset[str] = _NONE
    withheld_of_profiles: frozenset[str] = _NONE
    withheld_of_groups: frozenset[str] = _NONE
    classified: Screen | None = field(default=None, repr=False)
    merges: Merges | None = field(default=None, repr=False)
    windows: tuple[Window, ...] = field(default=(), repr=False)


Rule = Callable[[Connection, Viewer], Narrowing]


class Sights:
    """Makes sights. Stateless but for its dependencies; rules are asked anew for every read."""

    def __init__(self, keyring: Keyring, clock: Callable[[], int], rules: Sequence[Rule] = ()) -> None:
        self._keyring = keyring
        self._clock = clock
        self._rules = tuple(rules)

    def of(self, tx: Connection, by: Principal) -> Sight:
        """What this principal sees now."""
        viewer = Viewer(by.project, Purpose.READER, self._clock(), by)
        return self._narrowed(tx, viewer, opens_values=Permission.VALUES_DECRYPT in by.permissions)

    def desk(self, tx: Connection, by: Principal) -> Sight:
        """What this principal decides on: held records, and what a filter would catch."""
        return self._narrowed(tx, Viewer(by.project, Purpose.DESK, self._clock(), by), opens_values=False)

    def own_copy(self, tx: Connection, project: Project, *, opens_values: bool = True) -> Sight:
        """What people see of themselves."""
        return self._narrowed(tx, Viewer(project, Purpose.OWN_COPY, self._clock()), opens_values=opens_values)

    def internal(self, tx: Connection, project: Project) -> Sight:
        """What the service looks at for itself."""
        return self._narrowed(tx, Viewer(project, Purpose.INTERNAL, self._clock()), opens_values=False)

    def _narrowed(self, tx: Connection, viewer: Viewer, *, opens_values: bool) -> Sight:
        found = [rule(tx, viewer) for rule in self._rules]
        keys = self._keyring.of(tx, viewer.project.id)

        def bound(parts: Sequence[Expr | None], about: About) -> Expr | None:
            whole = conjunction(*parts)
            return None if whole is None else bind_ids(tx, keys, whole, about)

        return Sight(
            project_id=viewer.project.id,
            purpose=viewer.purpose,
            events=bound([each.events for each in found], About.EVENT),
            profiles=bound([each.profiles for each in found], About.PROFILE),
            withheld_of_events=_NONE.union(*(each.withheld_of_events for each in found)),
            withheld_of_profiles=_NONE.union(*(each.withheld_of_profiles for each in found)),
            opens_values=opens_values,
            withheld_of_groups=_NONE.union(*(each.withheld_of_groups for each in found)),
            classified=next((each.classified for each in found if each.classified is not None), None),
            merges=next((each.merges for each in found if each.merges), Merges()),
            windows=tuple(
                replace(each, events=bound([each.events], About.EVENT), profiles=bound([each.profiles], About.PROFILE))
                for some in found
                for each in some.windows
            ),
        )
