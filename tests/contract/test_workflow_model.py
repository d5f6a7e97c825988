"""The real service against the table, with a worker in between: every event in every situation that can be reached.

A situation is the state, whether the work has started, what the worker holds (nothing, a claim that is its own, one that is
somebody else's by now) and whether its lease lives. The search is breadth first; before each event the rows are put back to
the situation, so that every pair of situation and event is tried once on the real tables.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa

from app.access.service import Principal
from app.bootstrap import Services, bootstrap
from app.errors import Conflict
from app.identity.tables import register
from app.subjects import workflow
from app.subjects.model import Channel, IdentityMethod, Rejection, RequestState as State, Required
from app.subjects.queue import Claim, LostClaim
from app.subjects.tables import subject_request
from app.subjects.workflow import Event
from tests.installation import Installation, Tenant

WAYS = ("", "identity", "identity,second_person", "approval,answer")
_WITHOUT_EFFECT = (State.RECEIVED, State.IDENTIFIED, State.CANCELLED, State.REJECTED)


@dataclass(frozen=True)
class Situation:
    """What decides what may happen next."""

    state: State
    started: bool
    mine: bool
    stale: bool
    leased: bool


class World:
    """One request of a real installation, one worker, and the officers."""

    def __init__(self, home: Installation, tenant: Tenant, services: Services, person: str) -> None:
        self.home, self.tenant, self.services = home, tenant, services
        self.first = tenant.officer()
        self.second = Principal(tenant.ids["admin"], self.first.project, self.first.role)
        tenant.send([tenant.event(distinct_id=person)])
        self.id = services.subjects.create_erasure(self.first, [person], "GDPR").request.id
        self.required = frozenset(Required(each) for each in services.settings.request_steps)
        self.person = person
        self.claim: Claim | None = None
        self.old: Claim | None = None

    def acts(self) -> dict[str, Callable[[], Any]]:
        acts, queue = self.services.cases.acts, self.services.queue
        return {
            "identify": lambda: acts.identify(self.first, self.id, IdentityMethod.SIGNED_IN),
            "approve": lambda: acts.approve(self.second, self.id),
            "approve_by_the_same": lambda: acts.approve(self.first, self.id),
            "reject": lambda: acts.reject(self.first, self.id, Rejection.EXCESSIVE),
            "cancel": lambda: acts.cancel(self.first, self.id),
            "pause": lambda: acts.pause(self.first, self.id),
            "resume": lambda: acts.resume(self.first, self.id),
            "retry": lambda: acts.retry(self.first, self.id),
            "answer": lambda: acts.answer(self.first, self.id, Channel.EMAIL),
            "lift": lambda: acts.lift(self.first, self.id),
            "claim": self._claim,
            "expire": self._expire,
            "start": lambda: self._work(self.claim, queue.start),
            "finish": lambda: self._work(self.claim, queue.finish),
            "fail": lambda: self._work(self.claim, lambda tx, claim: queue._fail(tx, claim, "broken")),
            "stale start": lambda: self._work(self.old, queue.start),
            "stale finish": lambda: self._work(self.old, queue.finish),
            "stale fail": lambda: self._work(self.old, lambda tx, claim: queue._fail(tx, claim, "broken")),
        }

    def _claim(self) -> bool:
        taken = self.services.queue.claim(self.id)
        if taken is None:
            return False
        self.claim, self.old = taken, self.claim
        return True

    def _expire(self) -> bool:
        with self.services.database.write() as tx:
            tx.execute(sa.update(subject_request).where(subject_request.c.id == self.id).values(lease_until_ms=0))
        return True

    def _work(self, claim: Claim | None, effect: Callable[[Any, Claim], Any]) -> Any:
        assert claim is not None
        with self.services.database.write() as tx:
            self.services.queue.hold(tx, claim)
            return effect(tx, claim)

    def row(self) -> Any:
        with self.services.database.read() as tx:
            return tx.execute(sa.select(subject_request).where(subject_request.c.id == self.id)).one()

    def situation(self) -> Situation:
        row = self.row()
        mine = self.claim is not None and self.claim.fence == row.fence
        stale = self.old is not None or (self.claim is not None and not mine)
        return Situation(State(row.state), row.started_ms is not None, mine, stale, row.lease_until_ms > self.home.clock())

    def save(self) -> Any:
        with self.services.database.read() as tx:
            people = tx.execute(sa.select(register).where(register.c.project_id == self.tenant.id)).all()
        return self.row(), people, self.claim, self.old

    def restore(self, saved: Any) -> None:
        row, people, self.claim, self.old = saved
        with self.services.database.write() as tx:
            tx.execute(sa.update(subject_request).where(subject_request.c.id == self.id).values(dict(row._mapping)))
            for each in people:
                of = sa.and_(register.c.project_id == self.tenant.id, register.c.lookup == each.lookup)
                tx.execute(sa.update(register).where(of).values(dict(each._mapping)))


@pytest.fixture(params=WAYS, ids=lambda way: way or "nothing")
def world(request: pytest.FixtureRequest, sqlite_home: Installation) -> Iterator[World]:
    settings = replace(sqlite_home.services.settings, request_steps=frozenset(request.param.split(",")) - {""})
    services = bootstrap(settings, clock=sqlite_home.clock, doorbell=sqlite_home.bell)
    yield World(sqlite_home, sqlite_home.tenant(), services, "ada")
    services.close()


def expected(world: World, at: Situation, act: str) -> State | None:
    """The state afterwards, or None when it is refused and nothing changes."""
    if act in ("claim", "expire"):
        return at.state
    refused = (
        act == "lift"  # There is no restriction to lift.
        or act.startswith("stale")
        or (act in ("start", "finish", "fail") and not at.mine)
        or (act == "approve_by_the_same" and Required.SECOND_PERSON in world.required)
    )
    if refused:
        return None
    event = Event("approve" if act == "approve_by_the_same" else act)
    if event is Event.IDENTIFY and at.state is State.RECEIVED and not workflow.needs_approval(world.required):
        return State.PENDING
    move = workflow.possible(at.state, at.started).get(event)
    return None if move is None else move.to


def test_every_event_in_every_situation_does_what_the_table_says(world: World) -> None:
    first = world.situation()
    assert first.state is workflow.first_state(world.required)
    seen, queue, tried = {first}, deque([(first, world.save())]), 0
    while queue:
        at, saved = queue.popleft()
        for act in world.acts():
            if act in ("start", "finish", "fail") and saved[2] is None:
                continue
            if act.startswith("stale") and saved[3] is None:
                continue
            world.restore(saved)
            wanted = expected(world, at, act)
            if act == "claim":
                assert world.acts()[act]() == (at.state in workflow.OPEN and not at.leased), (at, act)
            elif wanted is None:
                with pytest.raises((Conflict, LostClaim)):
                    world.acts()[act]()
            else:
                world.acts()[act]()
            tried += 1
            there = world.situation()
            assert there.state is (wanted or at.state), (at, act)
            _check(world, there)
            if there not in seen:
                seen.add(there)
                queue.append((there, world.save()))
    assert {each.state for each in seen} >= {State.PENDING, State.RUNNING, State.PAUSED, State.DONE, State.FAILED}
    assert any(each.stale for each in seen)
    assert tried > 200
    print(f"{len(seen)} situations, {tried} events tried")


def _check(world: World, at: Situation) -> None:
    """What holds in every situation."""
    row = world.row()
    hidden = world.tenant.state(world.person) == ["erasing"]
    rejected_and_told = at.state is State.ANSWERED and not at.started
    assert hidden == (at.state not in _WITHOUT_EFFECT and not rejected_and_told), at
    # Nothing is silently stuck: whoever waits for a worker is due, and nobody else is.
    assert (row.next_due_ms is not None) == (at.state in workflow.OPEN), at
    assert at.state in workflow.OPEN or not at.leased, at
    assert (row.next_alarm_ms is not None) == workflow.clock_runs(at.state, world.required), at
    # Whoever worked on it when it was paused has lost it, also when it is resumed before they look.
    assert not (at.state is State.PAUSED and at.mine), at
    if at.state in (State.CANCELLED, State.REJECTED):
        assert not at.started
    assert (row.outcome is not None) == (at.state in (State.DONE, State.ANSWERED, State.REJECTED, State.FAILED)), at
