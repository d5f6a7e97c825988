"""What people decided: opt-outs, opt-ins, purposes refused one by one. In force when the answer arrives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import InvalidInput
from app.identity import fence, register, restriction, signals
from app.identity.closure import Closure, closure
from app.identity.register import Row
from app.identity.signals import Evidence
from app.keys.service import Keyring
from app.rulebook.service import Rulebook
from policies.model import SubjectState


@dataclass(frozen=True, slots=True)
class Changed:
    """How many people and ids a choice changed; `erased` counts ids with which nothing is left to decide."""

    people: int
    identifiers: int
    erased: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one id: its state, the purposes it refuses, and the signals of its person that were honoured."""

    state: SubjectState
    refused: frozenset[str]
    signals: tuple[Evidence, ...] = ()


class Choices:
    """Records and tells what people decided. An id that nobody has seen is remembered, sealed."""

    def __init__(
        self, database: Database, keyring: Keyring, rulebook: Rulebook, audit: AuditLog, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._rulebook = rulebook
        self._audit = audit
        self._clock = clock

    def opt_out(self, by: Principal, identifiers: Sequence[str], purposes: Sequence[str] = ()) -> Changed:
        """Refuse what these people send from this commit on (GDPR article 21), or only what serves these purposes.

        Raises `InvalidInput` for a purpose that the active policy does not have.
        """
        with self._database.write() as tx:
            fence.enter_exclusive(tx, by.project.id)
            self.require(tx, by, set(purposes))
            return self.object_to(tx, by, self.everyone(tx, by, identifiers), purposes)

    def object_to(self, tx: Connection, by: Principal, found: Closure, purposes: Sequence[str]) -> Changed:
        """The same for a closure that is known, in the caller's transaction and under the caller's exclusive fence.

        Whoever is restricted stays so, and is opted out once that is lifted.
        """
        if purposes:
            refused = {row: row.refused | set(purposes) for row in found.people.values()}
            return self._refuse(tx, by, found, refused, AuditAction.PURPOSES_REFUSED, purposes)
        restriction.opt_out_later(tx, by.project.id, found.uids)
        return self._switch(tx, by, found, register.ACCEPTED, SubjectState.OPTED_OUT, AuditAction.OPT_OUT_SET)

    def opt_in(self, by: Principal, identifiers: Sequence[str], purposes: Sequence[str] = ()) -> Changed:
        """Record the consent of these people, also after an opt-out; or lift their refusals of these purposes.

        What was refused meanwhile does not come back; an erased person stays erased. A refusal of a purpose that the
        policy no longer has can still be lifted. Raises `InvalidInput` for a purpose that is neither.
        """
        with self._database.write() as tx:
            fence.enter_exclusive(tx, by.project.id)
            if purposes:
                found = closure(tx, self._keyring.of(tx, by.project.id), identifiers)
                self.require(tx, by, set(purposes).difference(*(row.refused for row in found.people.values())))
                allowed = {row: row.refused - set(purposes) for row in found.people.values()}
                return self._refuse(tx, by, found, allowed, AuditAction.PURPOSES_ALLOWED, purposes)
            found = self.everyone(tx, by, identifiers)
            undecided = (SubjectState.ACTIVE, SubjectState.OPTED_OUT)
            return self._switch(tx, by, found, undecided, SubjectState.OPTED_IN, AuditAction.OPT_IN_SET)

    def standings(self, by: Principal, identifiers: Sequence[str]) -> list[Standing | None]:
        """What is known of each id, None for one never seen; order kept."""
        with self._database.read() as tx:
            rows = register.resolve(tx, self._keyring.of(tx, by.project.id), identifiers)
            people = {row.person for row in rows.values() if row.person is not None}
            seen: dict[int, list[Evidence]] = defaultdict(list)
            for each in signals.of_people(tx, by.project.id, people):
                seen[each.person].append(each)
        return [
            Standing(row.state, row.refused, _summed(seen.get(row.person or 0, ()))) if row else None
            for row in map(rows.get, identifiers)
        ]

    def everyone(self, tx: Connection, by: Principal, identifiers: Sequence[str]) -> Closure:
        """The closure of these ids, with those in it that nobody has seen; in the caller's transaction, under its fence."""
        keys = self._keyring.of(tx, by.project.id)
        unseen = set(identifiers) - register.resolve(tx, keys, identifiers).keys()
        inherited = register.standing_of_forms(tx, keys, unseen)
        gone = {each for each, row in inherited.items() if row.state in register.LEAVING}
        register.enrol(tx, keys, unseen - gone, self._clock(), inherited=inherited)
        return closure(tx, keys, identifiers)

    def require(self, tx: Connection, by: Principal, purposes: Collection[str]) -> None:
        """Raises `InvalidInput` for a purpose that the active policy does not have."""
        if not purposes:
            return
        named = [each.name for each in self._rulebook.active(tx, by.project.id).written.consent.purposes]
        if set(purposes) <= set(named):
            return
        remedy = f"use one of: {', '.join(named)}" if named else "name purposes under consent.purposes and activate the policy"
        raise InvalidInput("the active policy has no such purpose", field="purposes", remedy=remedy)

    def _switch(
        self,
        tx: Connection,
        by: Principal,
        found: Closure,
        states: Collection[SubjectState],
        state: SubjectState,
        action: AuditAction,
    ) -> Changed:
        changing = [each for each in found.members if each.row.state in states]
        people = {each.row.person for each in changing if each.row.person is not None}
        register.set_state(tx, by.project.id, [each.uid for each in changing], state)
        lifted = len({each.row.person for each in changing if each.row.state is SubjectState.OPTED_OUT})
        counts = {"people": len(people), "ids": len(changing), **({"lifted": lifted} if lifted else {})}
        self._stage(tx, by, action, people, counts, {})
        return Changed(len(people), len(changing), found.erased)

    def _refuse(
        self,
        tx: Connection,
        by: Principal,
        found: Closure,
        wanted: Mapping[Row, frozenset[str]],
        action: AuditAction,
        purposes: Iterable[str],
    ) -> Changed:
        """Write what people refuse now, those with the same answer in one statement."""
        answers: dict[frozenset[str], set[int]] = defaultdict(set)
        for row, refused in wanted.items():
            if row.person is not None and refused != row.refused:
                answers[refused].add(row.person)
        ids = sum(register.set_refused(tx, by.project.id, people, refused) for refused, people in answers.items())
        people = {person for each in answers.values() for person in each}
        counts = {"people": len(people), "ids": ids}
        self._stage(tx, by, action, people, counts, {"purposes": ",".join(sorted(set(purposes)))})
        return Changed(len(people), ids, found.erased)

    def _stage(
        self,
        tx: Connection,
        by: Principal,
        action: AuditAction,
        people: Collection[int],
        counts: Mapping[str, int],
        facts: Mapping[str, str],
    ) -> None:
        ref = register.audit_ref(tx, by.project.id, next(iter(people))) if len(people) == 1 else None
        self._audit.stage(tx, Entry(action, by.project.id, by.id, self._clock(), ref=ref, counts=counts, facts=facts))


def _summed(seen: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """One for each signal, over every id of the person."""
    by_signal: dict[str, Evidence] = {}
    for each in seen:
        held = by_signal.get(each.signal)
        by_signal[each.signal] = each if held is None else _merged(held, each)
    return tuple(by_signal[signal] for signal in sorted(by_signal))


def _merged(one: Evidence, other: Evidence) -> Evidence:
    first, last = min(one.first_ms, other.first_ms), max(one.last_ms, other.last_ms)
    return replace(one, first_ms=first, last_ms=last, n=one.n + other.n)
