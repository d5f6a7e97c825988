"""Carrying out data deletions: count, erase, verify, purge, certify. One project at a time has the turn, any process may take it.

Where a deletion stands is in its row, so a run may end anywhere, for any reason, and the next one goes on from the marks.
What fails is tried again; until it is done, what it covers stays hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import structlog
from sqlalchemy.engine import Connection

from app.audit.certificate import digest
from app.audit.entry import AuditAction, Entry
from app.bootstrap import Services
from app.deletions import certificate, work
from app.deletions.model import Deletion, State, Step
from app.errors import PortcullisError
from app.schema import metadata
from app.subjects.queue import SYSTEM
from app.turns import LostTurn, Turn
from jobs import purge
from jobs.deletion_places import Run, Stopped, places
from jobs.heartbeat import beating
from jobs.steps import code_of

_LEASE_MS = 60_000
_MOST_ROUNDS = 5


class Remaining(PortcullisError):
    """What is covered was found again after every round of deletion. Nothing is certified; it is tried again later."""

    code = "verification_failed"


def run_due(services: Services, stopping: Callable[[], bool] = lambda: False) -> int:
    """Carry out what is due in every project whose turn it is. Returns how many deletions came to their end."""
    with services.database.read() as tx:
        projects = work.due(tx, services.clock())
    return sum(_take_turn_safely(services, project_id, stopping) for project_id in projects if not stopping())


def _take_turn_safely(services: Services, project_id: int, stopping: Callable[[], bool]) -> int:
    """One project that fails does not keep the others waiting. Its lease runs out, and it is tried again."""
    try:
        return _take_turn(services, project_id, stopping)
    except LostTurn:
        return 0
    except Exception as fault:
        structlog.get_logger().error("deletions_failed", project_id=project_id, code=code_of(fault))
        return 0


def _take_turn(services: Services, project_id: int, stopping: Callable[[], bool]) -> int:
    lease_ms = min(_LEASE_MS, services.settings.job_lease * 1_000)
    with services.database.write() as tx:
        turn = work.TURNS.claim(tx, project_id, services.clock(), lease_ms)
    if turn is None:
        return 0
    finished = 0
    with beating(partial(_renew, services, turn, lease_ms), lease_ms / 3_000, project_id=project_id):
        while not stopping() and (found := _next(services, project_id)) is not None:
            finished += _carry_out(Run(services, turn, lease_ms, found, stopping))
    with services.database.write() as tx:
        work.TURNS.give_back(tx, turn, services.clock())
    return finished


def _renew(services: Services, turn: Turn, lease_ms: int) -> None:
    with services.database.write() as tx:
        work.TURNS.renew(tx, turn, services.clock(), lease_ms)


def _next(services: Services, project_id: int) -> Deletion | None:
    with services.database.read() as tx:
        return work.next_of(tx, project_id, services.clock())


def _carry_out(run: Run) -> bool:
    """Take one deletion as far as it goes. True when it came to its end."""
    log = structlog.get_logger().bind(deletion_id=run.deletion.id)
    try:
        while True:
            found = run.look()
            if found.state is State.DONE:
                log.info("deletion_done")
                return True
            if found.state is State.UNDONE:
                return False
            _STEPS[found.step](run)
    except LostTurn:
        raise
    except Stopped:
        return False
    except Exception as fault:
        log.warning("deletion_will_be_tried_again", code=code_of(fault))
        with run.effect() as tx:
            work.fail(tx, run.deletion.id, code_of(fault), run.services.clock())
        return False


# --- steps -----------------------------------------------------------------------------------------------------------


def _survey(run: Run) -> None:
    """SURVEY: from now on it cannot be undone; count what is there before anything goes."""
    with run.effect() as tx:
        if not work.begin(tx, run.deletion.id):
            return
    found = {f"before.{place.name}": place.count() for place in places(run)}
    with run.effect() as tx:
        work.advance(tx, run.deletion.id, Step.ERASE, found)
        _tell(run, tx, AuditAction.DELETION_STARTED, _phase(found, "before"))


def _erase(run: Run) -> None:
    """ERASE: in every place, some hundred records a transaction, each with its count."""
    for place in places(run):
        place.remove()
    with run.effect() as tx:
        work.advance(tx, run.deletion.id, Step.VERIFY)
        _tell(run, tx, AuditAction.DELETION_ERASED, _phase(work.look(tx, run.deletion.id).counts, "deleted"))


def _verify(run: Run) -> None:
    """VERIFY: count everywhere again, twice, in transactions of its own. Raises `Remaining` after five rounds."""
    left = [{place.name: place.count() for place in places(run)} for _ in range(2)]
    found = {name: max(each[name] for each in left) for name in left[0]}
    with run.effect() as tx:
        rounds = work.look(tx, run.deletion.id).counts.get("verify.rounds", 0)
        if not any(found.values()):
            work.advance(tx, run.deletion.id, Step.PURGE, {f"after.{name}": 0 for name in found})
            _tell(run, tx, AuditAction.DELETION_VERIFIED, found)
            return
        work.advance(tx, run.deletion.id, Step.ERASE, {"verify.rounds": (rounds + 1) % _MOST_ROUNDS})
    if rounds + 1 >= _MOST_ROUNDS:
        raise Remaining("records were found again after every round of deletion", remedy="find out who writes them")


def _purge(run: Run) -> None:
    """PURGE: deal with the bytes in every place, and record how."""
    tables = [metadata.tables[place.name] for place in places(run)]
    methods = purge.certain(run.services.database, tables)
    with run.effect() as tx:
        work.advance(tx, run.deletion.id, Step.CERTIFY, {f"purge.{name}": int(how) for name, how in methods.items()})
        _tell(run, tx, AuditAction.DELETION_PURGED, facts={name: how.name.lower() for name, how in methods.items()})


def _certify(run: Run) -> None:
    """CERTIFY: sign what was done, in the transaction that ends the deletion."""
    with run.effect() as tx:
        now = run.services.clock()
        signing = run.services.keyring.of(tx, run.deletion.project_id).signing
        note = certificate.issue(work.look(tx, run.deletion.id), now, signing)
        work.finish(tx, run.deletion.id, note, now)
        _tell(run, tx, AuditAction.DELETION_CERTIFIED, facts={"sha256": digest(note)})


_STEPS: Mapping[Step, Callable[[Run], None]] = {
    Step.SURVEY: _survey,
    Step.ERASE: _erase,
    Step.VERIFY: _verify,
    Step.PURGE: _purge,
    Step.CERTIFY: _certify,
}


def _tell(
    run: Run,
    tx: Connection,
    action: AuditAction,
    counts: Mapping[str, int] | None = None,
    facts: Mapping[str, str] | None = None,
) -> None:
    obj, now = f"data-deletion/{run.deletion.id}", run.services.clock()
    entry = Entry(action, run.deletion.project_id, SYSTEM, now, obj=obj, counts=counts or {}, facts=facts or {})
    run.services.audit.stage(tx, entry)


def _phase(counts: Mapping[str, int], phase: str) -> dict[str, int]:
    return {name.partition(".")[2]: n for name, n in counts.items() if name.startswith(f"{phase}.")}
