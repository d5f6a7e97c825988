"""One slice of a simulation: some seconds of stored events and profiles through a draft and the policy in force.

Where it stands is in the row's checkpoint, together with every counter, so a slice that is killed is done again from there
and nothing counts twice. A slice is short, so that a worker is soon free for the requests of people, and is followed by a
pause as long as itself, so that ingest has at least half of what a simulation could take.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from rq.timeouts import BaseTimeoutException
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.access.sight import Sight
from app.bootstrap import Services
from app.errors import PortcullisError
from app.events.port import EventQuery, EventStore, ProfileQuery
from app.identity.register import Row
from app.observe.simulations import Simulation
from app.sight import people
from policies.context import CheckContext
from policies.model import NOBODY_REFUSES, Record, Scope, SubjectState
from policies.trial import Trial

_SLICE_S = 3.0
_PAUSE = 1.0
_PAGE = 1_000

_Stored = tuple[int, Scope, str, str, int]
"""uid, scope, name, properties as JSON, time in Unix milliseconds."""


@dataclass(slots=True)
class _Slice:
    """What a slice works with."""

    services: Services
    claimed: Simulation
    trial: Trial
    store: EventStore
    sight: Sight
    context: CheckContext
    total: int

    def page(self) -> bool:
        """Try the next page. False when there is none."""
        with self.services.database.read() as tx:
            rows = self._events(tx) or self._profiles(tx)
            seen = people.in_sight(tx, self.store, self.sight, {uid for uid, *_ in rows})
        # Outside the transaction: the check takes longer than the read.
        shown = [row for row in rows if row[0] in seen or row[0] == people.NOBODY]
        self.trial.standing.left_out += len(rows) - len(shown)
        if shown:
            records = [_record(row, seen.get(row[0])) for row in shown]
            self.trial.watch(records, [uid for uid, *_ in shown], [len(text.encode()) for *_, text, _ in shown], self.context)
        return bool(rows)

    def _events(self, tx: Connection) -> list[_Stored]:
        standing, claimed = self.trial.standing, self.claimed
        if standing.up_to_seq is not None:
            return []
        query = EventQuery(from_ms=claimed.from_ms, to_ms=claimed.to_ms, after=standing.after, limit=_PAGE)
        rows = list(self.store.scan(tx, self.sight, query))
        if not rows:
            standing.up_to_seq = self.store.newest_profile(tx, claimed.project_id)
            return []
        standing.after = (rows[-1].time_ms, rows[-1].dedup)
        return [(row.uid, Scope.EVENT, row.name, row.properties, row.time_ms) for row in rows]

    def _profiles(self, tx: Connection) -> list[_Stored]:
        standing, rows = self.trial.standing, []
        found = self.store.scan_profiles(tx, self.sight, ProfileQuery(standing.after_seq, standing.up_to_seq or 0))
        for row in found:
            rows.append((row.uid, Scope.PROFILE, "$set", row.properties, row.last_seen_ms or self.claimed.to_ms))
            standing.after_seq = row.seq
            if len(rows) == _PAGE:
                break
        return rows

    @property
    def done(self) -> int:
        """Records that were tried or left out."""
        return self.trial.standing.records + self.trial.standing.left_out


def run(services: Services, simulation_id: str, slice_s: float = _SLICE_S) -> None:
    """Take the simulation one slice further; returns at once when it is not due, over, or somebody else's.

    A failure gives the slice back with its error code. A timeout of RQ counts as a crash: the lease runs out.
    """
    claimed = services.simulations.claim(simulation_id)
    if claimed is None:
        return
    log = structlog.get_logger().bind(simulation_id=simulation_id)
    try:
        if not _work(services, claimed, min(slice_s, services.simulations.lease_ms / 3_000)):
            log.warning("claim_lost")
    except BaseTimeoutException:
        log.error("simulation_timed_out")
    except Exception as fault:
        code = fault.code if isinstance(fault, PortcullisError) else type(fault).__name__
        log.warning("simulation_slice_failed", code=code)
        services.simulations.release(claimed, code)


def _work(services: Services, claimed: Simulation, slice_s: float) -> bool:
    """Pages until the slice is over or nothing is left. False when somebody else holds the simulation."""
    began = time.monotonic()
    part = _begin(services, claimed)
    while part.page():
        worked_s = time.monotonic() - began
        if worked_s >= slice_s:
            worked = round(worked_s * 1_000)
            pause = round(worked * _PAUSE)
            packed = zlib.compress(part.trial.checkpoint(), 1)
            return services.simulations.keep(claimed, packed, done=part.done, total=part.total, worked_ms=worked, pause_ms=pause)
    worked = round((time.monotonic() - began) * 1_000)
    return services.simulations.finish(claimed, part.trial.report(), done=part.done, worked_ms=worked)


def _begin(services: Services, claimed: Simulation) -> _Slice:
    with services.database.read() as tx:
        project = project_by_id(tx, claimed.project_id)
        store, sight = services.stores.of(project.store_url), services.sights.internal(tx, project)
        draft = services.rulebook.gate(tx, claimed.project_id, claimed.version).gate
        active = services.rulebook.gate(tx, claimed.project_id, claimed.active_version).gate
        context = services.keyring.of(tx, claimed.project_id).check_context(services.clock())
        total = claimed.total
        if total is None:
            window = EventQuery(from_ms=claimed.from_ms, to_ms=claimed.to_ms)
            newest = store.newest_profile(tx, claimed.project_id)
            total = store.count(tx, sight, window) + store.count_profiles(tx, sight, ProfileQuery(0, newest))
    before = None if claimed.checkpoint is None else zlib.decompress(claimed.checkpoint)
    return _Slice(services, claimed, Trial(draft, active, before), store, sight, context, total)


def _record(row: _Stored, person: Row | None) -> Record:
    _, scope, name, text, time_ms = row
    # Whoever agreed is shown to an opt-in policy as such; an opt-out does not judge what was stored before it.
    state = SubjectState.OPTED_IN if person is not None and person.state is SubjectState.OPTED_IN else SubjectState.ACTIVE
    refused = NOBODY_REFUSES if person is None else person.refused
    properties: dict[str, Any] = msgspec.json.decode(text)
    return Record(scope, name, properties, state, time_ms, refused)
