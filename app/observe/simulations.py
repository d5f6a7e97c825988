"""Simulations as rows: who may work on one, how far it is, and what came of it. The job itself is `jobs.simulate`.

Delivered like subject requests: the row is the truth, with a lease and a fence that every claim raises, and RQ only rings.
A simulation is worked on in slices of a few seconds. Each ends in one UPDATE that holds the counters together with where in
the store they stand, so a killed worker costs one slice and changes no figure; and between two slices it pauses, so that
neither ingest nor the requests of people wait for it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.doorbell import RUN_SIMULATION, Doorbell
from app.errors import Conflict, NotFound
from app.observe.tables import simulation
from app.rulebook.service import Rulebook

_DAY_MS = 86_400_000
_KEPT_MS = 30 * _DAY_MS
_MAX_ATTEMPTS = 12
_RETRY_MS = 2_000
_MOST_OPEN = 3
_SYSTEM = "system"


class SimulationState(StrEnum):
    """Where the simulation is. The last three end it."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


_OPEN = (SimulationState.PENDING.value, SimulationState.RUNNING.value)


@dataclass(frozen=True, slots=True)
class Simulation:
    """One draft tried on the events of some days. Times are Unix milliseconds; `total` is None until they are counted."""

    id: str
    project_id: int
    version: int
    active_version: int
    state: SimulationState
    from_ms: int
    to_ms: int
    requested_by: str
    created_ms: int
    started_ms: int | None
    finished_ms: int | None
    attempts: int
    fence: int
    error_code: str | None
    total: int | None
    done: int
    worked_ms: int
    checkpoint: bytes | None = field(repr=False)
    report: str | None = field(repr=False)

    @property
    def rate(self) -> float | None:
        """Records a second of the time since it started, pauses included."""
        if self.started_ms is None or not self.worked_ms:
            return None
        return self.done * 1_000 / self.worked_ms

    @property
    def eta_ms(self) -> int | None:
        """How many milliseconds it will take from now on, at this rate and with its pauses."""
        if self.state is not SimulationState.RUNNING or self.total is None or not self.rate:
            return None
        return round(max(self.total - self.done, 0) / self.rate * 1_000)


class Simulations:
    """Simulations of every project. Stateless but for its dependencies."""

    def __init__(
        self,
        database: Database,
        rulebook: Rulebook,
        audit: AuditLog,
        doorbell: Doorbell,
        clock: Callable[[], int],
        lease_ms: int,
    ) -> None:
        self._database = database
        self._rulebook = rulebook
        self._audit = audit
        self._doorbell = doorbell
        self._clock = clock
        self.lease_ms = lease_ms

    # --- whoever asks ------------------------------------------------------------------------------------------------

    def create(self, project_id: int, version: int, days: int, *, actor: str) -> Simulation:
        """Order one. Raises `NotFound` for a version that does not exist, `Conflict` while too many run, `Unavailable`
        when no policy is in force to compare with."""
        now = self._clock()
        with self._database.write() as tx:
            self._rulebook.gate(tx, project_id, version)
            active = self._rulebook.active(tx, project_id).version
            running = sa.select(sa.func.count()).where(simulation.c.project_id == project_id, simulation.c.state.in_(_OPEN))
            if tx.execute(running).scalar_one() >= _MOST_OPEN:
                raise Conflict(f"{_MOST_OPEN} simulations of this project run already", remedy="wait for one, or cancel it")
            values = {
                "id": str(uuid.uuid4()),
                "project_id": project_id,
                "version": version,
                "active_version": active,
                "state": SimulationState.PENDING.value,
                "from_ms": now - days * _DAY_MS,
                "to_ms": now + 1,  # Up to and with this very millisecond.
                "requested_by": actor,
                "created_ms": now,
                "next_due_ms": now,
                "lease_until_ms": 0,
                "fence": 0,
                "attempts": 0,
                "done": 0,
                "worked_ms": 0,
            }
            made = _simulation(tx.execute(sa.insert(simulation).values(values).returning(*simulation.columns)).one())
            facts = {"policy_version": str(version), "against": str(active), "days": str(days)}
            self._stage(tx, AuditAction.SIMULATION_CREATED, made, actor, facts=facts)
        self._doorbell.ring(made.id, RUN_SIMULATION)
        return made

    def status(self, project_id: int, simulation_id: str) -> Simulation:
        """How far it is. Raises `NotFound`."""
        with self._database.read() as tx:
            return _own(tx, project_id, simulation_id)

    def of(self, project_id: int, limit: int = 100) -> list[Simulation]:
        """The newest simulations of the project."""
        wanted = sa.select(simulation).where(simulation.c.project_id == project_id)
        with self._database.read() as tx:
            rows = tx.execute(wanted.order_by(simulation.c.created_ms.desc(), simulation.c.id).limit(limit))
            return [_simulation(row) for row in rows]

    def cancel(self, project_id: int, simulation_id: str, *, actor: str) -> Simulation:
        """Stop it. Raises `NotFound`, or `Conflict` when it is over."""
        with self._database.write() as tx:
            before = _own(tx, project_id, simulation_id)
            ended = self._ended(SimulationState.CANCELLED)
            open_ = sa.and_(simulation.c.id == simulation_id, simulation.c.state.in_(_OPEN))
            if tx.execute(sa.update(simulation).where(open_).values(ended)).rowcount != 1:
                raise Conflict(f"the simulation is {before.state.value} already")
            self._stage(tx, AuditAction.SIMULATION_CANCELLED, before, actor)
            return _own(tx, project_id, simulation_id)

    def expire(self) -> int:
        """Delete simulations that ended over 30 days ago, with their reports; returns how many."""
        with self._database.write() as tx:
            old = simulation.c.finished_ms <= self._clock() - _KEPT_MS
            return tx.execute(sa.delete(simulation).where(simulation.c.state.not_in(_OPEN), old)).rowcount

    # --- whoever works -----------------------------------------------------------------------------------------------

    def due(self, limit: int = 20) -> list[str]:
        """Ids of simulations whose next slice nobody works on, the longest waiting first."""
        wanted = sa.select(simulation.c.id).where(_ready(self._clock())).order_by(simulation.c.next_due_ms, simulation.c.id)
        with self._database.read() as tx:
            return list(tx.execute(wanted.limit(limit)).scalars())

    def claim(self, simulation_id: str) -> Simulation | None:
        """Take the next slice. None when it is over, not due, or somebody's. One whose workers always died is FAILED."""
        now = self._clock()
        with self._database.write() as tx:
            values = {
                "state": SimulationState.RUNNING.value,
                "fence": simulation.c.fence + 1,
                "attempts": simulation.c.attempts + 1,
                "lease_until_ms": now + self.lease_ms,
                "started_ms": sa.func.coalesce(simulation.c.started_ms, now),
            }
            mine = sa.and_(simulation.c.id == simulation_id, _ready(now))
            row = tx.execute(sa.update(simulation).where(mine).values(values).returning(*simulation.columns)).first()
            if row is None:
                return None
            claimed = _simulation(row)
            if claimed.attempts > _MAX_ATTEMPTS:
                self._fail(tx, claimed, claimed.error_code or "worker_died")
                return None
        return claimed

    def keep(self, claimed: Simulation, checkpoint: bytes, *, done: int, total: int, worked_ms: int, pause_ms: int) -> bool:
        """End a slice: all that was counted, and until when to pause. False when the claim is lost: nothing is kept."""
        values = {
            "checkpoint": checkpoint,
            "done": done,
            "total": total,
            "worked_ms": claimed.worked_ms + worked_ms + pause_ms,
            "attempts": 0,
            "error_code": None,
            "lease_until_ms": 0,
            "next_due_ms": self._clock() + pause_ms,
        }
        with self._database.write() as tx:
            return self._set(tx, claimed, values)

    def finish(self, claimed: Simulation, report: dict[str, Any], *, done: int, worked_ms: int) -> bool:
        """End the simulation with its report. False when the claim is lost."""
        values = {
            **self._ended(SimulationState.DONE),
            "report": json.dumps(report),
            "done": done,
            "total": done,
            "worked_ms": claimed.worked_ms + worked_ms,
        }
        with self._database.write() as tx:
            kept = self._set(tx, claimed, values)
            if kept:
                self._stage(tx, AuditAction.SIMULATION_DONE, claimed, _SYSTEM, counts={"records": done})
        return kept

    def release(self, claimed: Simulation, error_code: str) -> None:
        """Give a slice back that failed, to be tried again later from the last checkpoint; FAILED once that is in vain."""
        with self._database.write() as tx:
            if claimed.attempts >= _MAX_ATTEMPTS:
                self._fail(tx, claimed, error_code)
                return
            due = self._clock() + _RETRY_MS * claimed.attempts
            self._set(tx, claimed, {"error_code": error_code, "lease_until_ms": 0, "next_due_ms": due})

    def _fail(self, tx: Connection, claimed: Simulation, error_code: str) -> None:
        if self._set(tx, claimed, {**self._ended(SimulationState.FAILED), "error_code": error_code}):
            self._stage(tx, AuditAction.SIMULATION_FAILED, claimed, _SYSTEM, facts={"error": error_code})

    def _ended(self, state: SimulationState) -> dict[str, Any]:
        # The checkpoint goes: what it was for is over, and its sketches are nobody's to study.
        ended = {"finished_ms": self._clock(), "next_due_ms": None, "lease_until_ms": 0, "checkpoint": None}
        return {"state": state.value, **ended}

    @staticmethod
    def _set(tx: Connection, claimed: Simulation, values: dict[str, Any]) -> bool:
        mine = sa.and_(simulation.c.id == claimed.id, simulation.c.fence == claimed.fence, simulation.c.state.in_(_OPEN))
        return tx.execute(sa.update(simulation).where(mine).values(values)).rowcount == 1

    def _stage(
        self,
        tx: Connection,
        action: AuditAction,
        of: Simulation,
        actor: str,
        *,
        counts: dict[str, int] | None = None,
        facts: dict[str, str] | None = None,
    ) -> None:
        entry = Entry(
            action, of.project_id, actor, self._clock(), obj=f"simulation/{of.id}", counts=counts or {}, facts=facts or {}
        )
        self._audit.stage(tx, entry)


def _ready(now: int) -> sa.ColumnElement[bool]:
    return sa.and_(simulation.c.state.in_(_OPEN), simulation.c.next_due_ms <= now, simulation.c.lease_until_ms <= now)


def _own(tx: Connection, project_id: int, simulation_id: str) -> Simulation:
    mine = sa.and_(simulation.c.id == simulation_id, simulation.c.project_id == project_id)
    row = tx.execute(sa.select(simulation).where(mine)).first()
    if row is None:
        raise NotFound("no such simulation", field="id", remedy="use the id that was returned when it was created")
    return _simulation(row)


def _simulation(row: Any) -> Simulation:
    fields = {name: getattr(row, name) for name in Simulation.__dataclass_fields__}
    fields["state"] = SimulationState(row.state)
    return Simulation(**fields)
