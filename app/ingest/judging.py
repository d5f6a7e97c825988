"""The first look at a batch of events: register and gate, part by part. It writes nothing.

What it keeps of an event is the text of its row and the ids that it names, so that a batch costs memory like its body. All
that is written (who is new, who belongs to whom, the rows) is written once for the whole batch, in the order of its keys:
two batches that name the same people then wait for each other in one order and never deadlock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.access.modes import IdentityMode
from app.identity import register
from app.identity.derive import Claim, EventIds, event_ids, without_claim
from app.identity.register import Row
from app.ingest.consent import Consents, Evidence
from app.ingest.outcome import Event
from app.ingest.parcel import Parcel
from app.keys.service import ProjectKeys
from app.lexicon.reading import Entrance
from app.lexicon.sightings import Seen
from app.observe.counting import Hits
from app.rulebook.service import ActivePolicy
from policies.context import CheckContext
from policies.model import NOBODY_REFUSES, Decision, Record, Remark, Scope, SubjectState, Verdict

UID_PROPERTIES = ("$user_id", "$device_id")
"""The properties that hold an id when an event arrives, and a uid in its row."""

_NOBODY_KNOWN = (SubjectState.ACTIVE, NOBODY_REFUSES)
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Accepted:
    """One event that is stored or held, as its row will say it. `properties` is JSON without the ids; `uids` names those
    of `UID_PROPERTIES` that it carries. `sent_name` and `insert_id` are the sender's, for deduplication."""

    ids: EventIds
    sent_name: str = field(repr=False)
    insert_id: str | None = field(repr=False)
    time_ms: int
    verdict: Verdict
    name: str = field(repr=False)
    properties: bytes = field(repr=False)
    uids: tuple[str, ...]
    remarks: tuple[Remark, ...]
    bridges: tuple[tuple[str, str], ...] = field(repr=False)

    def decide(self, decision: Decision) -> None:
        """Take over what the gate made of the event."""
        properties: dict[str, Any] = dict(decision.properties or {})
        properties.pop("distinct_id", None)
        self.uids = tuple(name for name in UID_PROPERTIES if name in properties)
        for name in self.uids:
            del properties[name]
        self.verdict, self.name, self.bridges = decision.verdict, decision.name or "", decision.bridges
        self.properties = _encode(properties)
        # Only what is held shows its remarks again; of the others they are counted by now.
        self.remarks = decision.remarks if decision.verdict is Verdict.QUARANTINED else ()


class Judging:
    """One batch of one project on its way through the gate. All of it passes the same version of the policy."""

    def __init__(
        self,
        tx: Connection,
        keys: ProjectKeys,
        policy: ActivePolicy,
        context: CheckContext,
        mode: IdentityMode,
        entrance: Entrance,
    ) -> None:
        """Take what every part is judged with."""
        self._entrance = entrance
        self._tx = tx
        self._mode = mode
        self._keys = keys
        self._policy = policy
        self._context = context
        self.known: dict[str, Row] = {}
        self.inherited: dict[str, Row] = {}
        self.accepted: list[Accepted] = []
        self.unkeyed: Parcel[Record] = Parcel(Record)
        self.refused_claims: dict[Claim, None] = {}
        self.refused: Counter[str] = Counter()
        self.consents = Consents(policy, context)
        self.evidence = Evidence()
        self.hits = Hits(Scope.EVENT)
        self.seen = Seen()

    def judge(self, events: Sequence[Event]) -> None:
        """The next part of the batch, in its order."""
        ids = [event_ids(event.properties, self._mode, event.name) for event in events]
        named = [each.judged() for each in ids]
        known, unseen = self.known, {one for each in named for one in each} - self.known.keys() - self.inherited.keys()
        met, inherited = register.acquainted(self._tx, self._keys, unseen)
        known |= met
        self.inherited |= inherited
        held = {**self.inherited, **known} if self.inherited else known
        records = [
            Record(Scope.EVENT, event.name, properties, state, event.time_ms, refused)
            for event, of, every in zip(events, ids, named, strict=True)
            for state, refused in (_standing(of, every, held),)
            for properties in (without_claim(event.properties, self._mode, event.name),)
        ]
        decisions = self.consents.check(records, ids, known)
        self.evidence.note(decisions, [next((known[one] for one in every if one in known), None) for every in named])
        for event, of, record, decision in zip(events, ids, records, decisions, strict=True):
            if of.claim and decision.verdict is Verdict.DROPPED and record.state not in register.ACCEPTED:
                self.refused_claims[of.claim] = None
            self._keep(event, of, record, decision)
        self.hits.note(each for each, of in zip(decisions, ids, strict=True) if not _waits(each, of))

    def _keep(self, event: Event, ids: EventIds, record: Record, decision: Decision) -> None:
        waits = _waits(decision, ids)
        decision = self._by_name(decision, seen=not waits)
        if decision.verdict is Verdict.DROPPED:
            self.refused[reason_of(decision)] += 1
            return
        if waits:
            self.unkeyed.add(len(self.accepted), record)
        kept = Accepted(ids, event.name, event.insert_id, event.time_ms, decision.verdict, "", b"", (), (), ())
        kept.decide(decision)
        self.accepted.append(kept)

    def decide_again(self, at: int, decision: Decision) -> None:
        """What the gate made of an accepted event once it had the person's key. Never more lenient than before."""
        self.hits.note((decision,))
        decision = self._by_name(decision, seen=True)
        if decision.verdict is Verdict.DROPPED:
            self.refused[reason_of(decision)] += 1
        self.accepted[at].decide(decision)

    def _by_name(self, decision: Decision, *, seen: bool) -> Decision:
        """The gate's decision, or the stricter one of the dictionary, by the names that the gate left."""
        stricter = self._entrance.apply(Scope.EVENT, decision)
        if seen or stricter.verdict is Verdict.DROPPED:
            self.seen.note(Scope.EVENT, decision, stricter)
        return stricter


def _waits(decision: Decision, ids: EventIds) -> bool:
    """Whether the event is judged a second time, with the key of its person."""
    return decision.needs_key and ids.subject is not None and decision.verdict is not Verdict.DROPPED


def with_states(tx: Connection, keys: ProjectKeys, records: Sequence[Record], mode: IdentityMode) -> list[Record]:
    """The same records with what the register knows of their people."""
    ids = [event_ids(record.properties, mode, record.name) for record in records]
    named = [each.judged() for each in ids]
    everybody = {one for each in named for one in each}
    met, inherited = register.acquainted(tx, keys, everybody)
    known = met | inherited
    if not known:
        return list(records)
    found = [_standing(of, every, known) for of, every in zip(ids, named, strict=True)]
    return [
        record if standing is _NOBODY_KNOWN else msgspec.structs.replace(record, state=standing[0], refused_purposes=standing[1])
        for record, standing in zip(records, found, strict=True)
    ]


def reason_of(decision: Decision) -> str:
    """The reason code of a refusal: that of the remark that decided it, the last one."""
    return decision.remarks[-1].reason if decision.remarks else "check_failed"


def state_of(rows: Iterable[Row]) -> SubjectState:
    """The state that forbids most among these rows."""
    return register.gravest(row.state for row in rows)


def _standing(ids: EventIds, named: Iterable[str], known: Mapping[str, Row]) -> tuple[SubjectState, frozenset[str]]:
    """The state that forbids most among those named, and every purpose that one of them refuses."""
    rows = [known[each] for each in named if each in known]
    if all(row.state is SubjectState.ACTIVE and not row.refused for row in rows):
        return _NOBODY_KNOWN
    state = state_of(rows)
    if state is SubjectState.OPTED_IN and not _consented(ids, known):
        state = SubjectState.ACTIVE
    return state, NOBODY_REFUSES.union(*(row.refused for row in rows))


def _consented(ids: EventIds, known: Mapping[str, Row]) -> bool:
    """Whether the event's own person opted in: themselves, or on a device that is about to become theirs.

    Consent that somebody else gave on a shared device is not theirs.
    """
    subject, joining = known.get(ids.subject or ""), known.get(ids.claim.join) if ids.claim else None
    own = subject is not None and subject.state is SubjectState.OPTED_IN
    return own or (joining is not None and joining.state is SubjectState.OPTED_IN and joining.person == joining.uid)
