"""Delivering what waits for a project's collector, in order, some hundreds at a time; and asking it for what people want.

Delivery is at least once: a process that dies between the collector's answer and the commit sends the same parcels again.
Each event carries the `$insert_id` by which the collector knows it, and an operation on a profile that is done again in its
order changes nothing. What would count twice (`$add`, `$append`) is marked before it leaves: whoever finds the mark parks
it as `uncertain`, and a person decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from app.access.service import project_by_id
from app.audit.entry import AuditAction, Entry
from app.bootstrap import Services
from app.deletions.pending import vanishing
from app.errors import PortcullisError
from app.turns import LostTurn, Turn
from app.upstream import covered, errands as passed_on, outbox
from app.upstream.collector import Collector
from app.upstream.outbox import UNCERTAIN, Kind
from app.upstream.speaking import NotTaken, Speaker
from jobs import errands
from jobs.letters import Letter, letters_of, requests_of
from jobs.waiting import wait_ms

PARCELS_AT_ONCE = 500
_LEASE_MS = 120_000
_SYSTEM = "system"
# What a collector understood and will not have: one record of several may be the cause.
_OF_ITS_CONTENT = frozenset({"too_large", "refused"})
_COUNTED = {Kind.EVENT: "events", Kind.PROFILE: "profiles", Kind.GROUP: "groups"}


def run_due(services: Services, stopping: Callable[[], bool], speaker: Speaker) -> int:
    """Deliver and ask for every project whose turn it is; returns how many parcels were taken."""
    errands.restate(services)
    with services.database.read() as tx:
        projects = outbox.due(tx, services.clock(), passed_on.waits(services.clock()))
    taken = 0
    for project_id in projects:
        if not stopping():
            taken += _run(services, project_id, stopping, speaker)
    return taken


def _run(services: Services, project_id: int, stopping: Callable[[], bool], speaker: Speaker) -> int:
    with services.database.write() as tx:
        turn = outbox.TURNS.claim(tx, project_id, services.clock(), _LEASE_MS)
    if turn is None:
        return 0
    delivery = _Delivery(services, turn, speaker)
    try:
        # First what people want: a collector that takes no events may still erase.
        _pass_on(services, turn, speaker)
        trouble = delivery.run(stopping)
    except LostTurn:
        return delivery.taken
    with services.database.write() as tx:
        due_ms = services.clock() + (wait_ms(trouble, outbox.failures(tx, project_id)) if trouble else 0)
        outbox.give_back(tx, turn, due_ms, trouble.code if trouble else None)
    return delivery.taken


def _pass_on(services: Services, turn: Turn, speaker: Speaker) -> None:
    try:
        errands.run_one(services, turn, speaker, _LEASE_MS)
    except LostTurn:
        raise
    except PortcullisError as fault:
        structlog.get_logger().warning("not_passed_on", project_id=turn.project_id, code=fault.code)


class _Delivery:
    """One turn of one project: what was taken so far, and where in the queue it is."""

    def __init__(self, services: Services, turn: Turn, speaker: Speaker) -> None:
        self._services = services
        self._turn = turn
        self._speaker = speaker
        self._after = 0
        self.taken = 0

    def run(self, stopping: Callable[[], bool]) -> PortcullisError | None:
        """Until nothing waits or something goes wrong, which is returned. Raises `LostTurn`."""
        try:
            while not stopping() and self._page():
                pass
        except LostTurn:
            raise
        except PortcullisError as fault:
            structlog.get_logger().warning("not_forwarded", project_id=self._turn.project_id, code=fault.code)
            return fault
        return None

    def _page(self) -> bool:
        """The next parcels; False when there are none."""
        services, project_id = self._services, self._turn.project_id
        with services.database.write() as tx:
            outbox.TURNS.renew(tx, self._turn, services.clock(), _LEASE_MS)
            parcels = outbox.waiting(tx, project_id, self._after, PARCELS_AT_ONCE)
            if not parcels:
                return False
            collector, failures = services.upstreams.collector(tx, project_id), outbox.failures(tx, project_id)
            sight = services.sights.internal(tx, project_by_id(tx, project_id))
            fresh = [each for each in parcels if not each.attempted]
            may_leave = covered.leaving(sight, vanishing(tx, project_id), fresh)
            outbox.park(tx, project_id, {each.id: UNCERTAIN for each in parcels if each.attempted})
            letters, gone = letters_of(tx, services.keyring.of(tx, project_id), may_leave, collector.account.token)
            outbox.forget(tx, project_id, gone)
        for request in _carefully(requests_of(letters), failures):
            self._send(collector, request)
        self._after = parcels[-1].id
        return True

    def _send(self, collector: Collector, request: Sequence[Letter]) -> None:
        """One request. What the collector will not have as a whole is halved until the record at fault is alone and parked.

        Raises `NotTaken`, after which everything waits; what must not arrive twice only where it surely did not arrive.
        """
        self._mark(request)
        try:
            refused = self._speak(collector, request)
        except NotTaken as fault:
            of_content = fault.code in _OF_ITS_CONTENT and fault.surely
            if of_content and len(request) > 1:
                self._unmark(request)
                self._send(collector, request[: len(request) // 2])
                self._send(collector, request[len(request) // 2 :])
                return
            if not of_content:
                self._not_taken(request, surely=fault.surely)
                raise
            refused = {0: fault.code}
        self._settle(request, refused)

    def _speak(self, collector: Collector, request: Sequence[Letter]) -> Mapping[int, str]:
        contents, kind = [each.content for each in request], request[0].parcel.kind
        if kind is Kind.EVENT:
            return self._speaker.events(collector, contents).refused
        return self._speaker.operations(collector, "groups" if kind is Kind.GROUP else "engage", contents).refused

    def _mark(self, request: Sequence[Letter]) -> None:
        if request[0].once:
            with self._services.database.write() as tx:
                outbox.TURNS.renew(tx, self._turn, self._services.clock(), _LEASE_MS)
                outbox.attempt(tx, self._turn.project_id, _ids(request), on_its_way=True)

    def _unmark(self, request: Sequence[Letter]) -> None:
        self._not_taken(request, surely=True)

    def _not_taken(self, request: Sequence[Letter], *, surely: bool) -> None:
        if request[0].once:
            with self._services.database.write() as tx:
                outbox.TURNS.renew(tx, self._turn, self._services.clock(), _LEASE_MS)
                if surely:
                    outbox.attempt(tx, self._turn.project_id, _ids(request), on_its_way=False)
                else:
                    outbox.park(tx, self._turn.project_id, dict.fromkeys(_ids(request), UNCERTAIN))

    def _settle(self, request: Sequence[Letter], refused: Mapping[int, str]) -> None:
        services, project_id, now = self._services, self._turn.project_id, self._services.clock()
        taken = [each.parcel for i, each in enumerate(request) if i not in refused]
        with services.database.write() as tx:
            outbox.TURNS.renew(tx, self._turn, now, _LEASE_MS)
            outbox.park(tx, project_id, {request[i].parcel.id: reason for i, reason in refused.items()})
            outbox.delivered(tx, self._turn, taken, now)
            counts = {_COUNTED[request[0].parcel.kind]: len(taken), "parked": len(refused)}
            services.audit.stage(tx, Entry(AuditAction.UPSTREAM_DELIVERED, project_id, _SYSTEM, now, counts=counts))
        self.taken += len(taken)


def _carefully(requests: list[list[Letter]], failures: int) -> list[list[Letter]]:
    """After a failure what must not arrive twice goes out one at first: in a long outage few end as uncertain."""
    if failures and requests and requests[0][0].once and len(requests[0]) > 1:
        return [requests[0][:1], requests[0][1:], *requests[1:]]
    return requests


def _ids(request: Sequence[Letter]) -> list[int]:
    return [each.parcel.id for each in request]
