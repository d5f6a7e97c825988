"""Rectification (GDPR article 16): what is set or unset in a person's profile and events, sealed until it is done.

New values pass the policy in force like any other: what it drops is not written and is told as refused, what it turns into a
pseudonym is stored as one. An event is corrected only where it carries the property; a profile may be completed. Values stand
in no log, audit entry, answer or preview.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal
from app.access.sight import Sight
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import InvalidInput
from app.events.placement import EventStores
from app.events.port import EventQuery
from app.identity import personal
from app.identity.closure import Closure, closure
from app.identity.keyed import with_person_keys
from app.identity.register import Row
from app.keys.sealing import seal, unseal
from app.keys.service import Keyring, ProjectKeys
from app.rulebook.service import ActivePolicy, Rulebook
from app.subjects.model import SubjectRequest
from app.subjects.tables import correction
from policies.model import Decision, Record, Scope, SubjectState, Verdict

_MOST_BYTES = 64 * 1024
# What makes an event what it is, and whose: no property of a person that could be wrong.
_FIXED = frozenset({"distinct_id", "$distinct_id", "$user_id", "$device_id", "$anon_distinct_id", "$insert_id", "time", "token"})


@dataclass(frozen=True, slots=True)
class Change:
    """What to set and to unset. `events` are the names of the events that are corrected, none for all of them."""

    profile_set: Mapping[str, Any] = field(default_factory=dict, repr=False)
    profile_unset: Sequence[str] = ()
    event_set: Mapping[str, Any] = field(default_factory=dict, repr=False)
    event_unset: Sequence[str] = ()
    events: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raises `InvalidInput` for nothing to do, for what identifies, and for more than 64 KiB."""
        if not (self.profile_set or self.profile_unset or self.event_set or self.event_unset):
            raise InvalidInput("nothing to correct was sent", field="changes", remedy="name what to set or unset")
        named = {*self.profile_set, *self.profile_unset, *self.event_set, *self.event_unset}
        if named & _FIXED:
            what = "a property that identifies an event or its person cannot be corrected"
            remedy = "ids, time and token of an event stay; to join or split people see docs/identity.md"
            raise InvalidInput(what, field="changes", remedy=remedy)
        try:
            size = len(msgspec.json.encode(self))
        except (TypeError, ValueError, RecursionError):
            remedy = "send texts, numbers, lists and objects of these"
            raise InvalidInput("a value is not JSON that can be stored", field="changes", remedy=remedy) from None
        if size > _MOST_BYTES:
            raise InvalidInput("the changes are larger than 64 KiB", field="changes", remedy="send them in several requests")

    def concerns(self, event: str) -> bool:
        """Whether events of this name are corrected."""
        return bool(self.event_set or self.event_unset) and (not self.events or event in self.events)


_decode = msgspec.json.Decoder(Change).decode


def seal_change(tx: Connection, keys: ProjectKeys, request: SubjectRequest, uid: int, change: Change) -> None:
    """Keep the change under the key of its person: whoever erases them destroys it."""
    key = keys.subject_key(uid, personal.subject_key_rows(tx, request.project_id, [uid])[uid])
    sealed = seal(key, msgspec.json.encode(change), _label(request.id))
    values = {"request_id": request.id, "project_id": request.project_id, "uid": uid, "sealed": sealed}
    tx.execute(sa.insert(correction).values(values))


def open_change(tx: Connection, keys: ProjectKeys, request: SubjectRequest) -> tuple[int, Change] | None:
    """Whom and what to correct; None when the person was erased meanwhile. Raises `Integrity`."""
    row = tx.execute(sa.select(correction).where(correction.c.request_id == request.id)).first()
    wrapped = personal.subject_key_rows(tx, request.project_id, [row.uid]) if row else {}
    if row is None or row.uid not in wrapped:
        return None
    return row.uid, _decode(unseal(keys.subject_key(row.uid, wrapped[row.uid]), bytes(row.sealed), _label(request.id)))


def forget_change(tx: Connection, request_id: str) -> None:
    """It is done, and its values are needed no more."""
    tx.execute(sa.delete(correction).where(correction.c.request_id == request_id))


def _label(request_id: str) -> str:
    return f"correction|{request_id}"


# --- what it comes to ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the policy makes of new values: those that are written, as they are written, and how many are not."""

    kept: Mapping[str, Any] = field(repr=False)
    refused: int


class Correcting:
    """One change on its way through the policy in force. An event name is judged once, however many events have it."""

    def __init__(self, tx: Connection, keys: ProjectKeys, policy: ActivePolicy, uid: int, change: Change, now_ms: int) -> None:
        self._tx = tx
        self._keys = keys
        self._policy = policy
        self._context = keys.check_context(now_ms)
        self._row = Row(uid, uid, SubjectState.ACTIVE)
        self._now_ms = now_ms
        self._by_event: dict[str, Verdicts] = {}
        self.change = change

    def profile(self, properties: Mapping[str, Any] | None) -> tuple[dict[str, Any], int, int]:
        """The profile as it will be, how many of its properties that changes, and how many were refused."""
        verdicts = self._judge(Scope.PROFILE, "$set", self.change.profile_set)
        before = dict(properties or {})
        unset = set(self.change.profile_unset)
        after = {name: value for name, value in before.items() if name not in unset} | dict(verdicts.kept)
        return after, _differing(before, after), verdicts.refused

    def event(self, name: str, properties: Mapping[str, Any]) -> tuple[dict[str, Any], int, int]:
        """The same for one event: only properties that it carries."""
        carried = {each for each in self.change.event_set if each in properties}
        verdicts = self._of_event(name) if carried else _NOTHING
        after = {each: value for each, value in properties.items() if each not in set(self.change.event_unset)}
        after |= {each: verdicts.kept[each] for each in carried if each in verdicts.kept}
        return after, _differing(properties, after), len(carried - set(verdicts.kept))

    def _of_event(self, name: str) -> Verdicts:
        if name not in self._by_event:
            self._by_event[name] = self._judge(Scope.EVENT, name, self.change.event_set)
        return self._by_event[name]

    def _judge(self, scope: Scope, name: str, values: Mapping[str, Any]) -> Verdicts:
        if not values:
            return _NOTHING
        # That data is held is not in question here, so consent does not judge: the person asked for the correction.
        record = Record(scope, name, dict(values), SubjectState.OPTED_IN, self._now_ms)
        decision = self._decide(record)
        if decision.verdict in (Verdict.DROPPED, Verdict.QUARANTINED) or decision.properties is None:
            return Verdicts({}, len(values))
        kept = {each: decision.properties[each] for each in values if each in decision.properties}
        return Verdicts(kept, len(values) - len(kept))

    def _decide(self, record: Record) -> Decision:
        gate, context = self._policy.gate, self._context
        decisions = gate.check([record], context)
        return with_person_keys(self._tx, self._keys, gate, context, [record], decisions, {0: self._row})[0]


_NOTHING = Verdicts({}, 0)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    absent = object()
    return sum(before.get(name, absent) != after.get(name, absent) for name in {*before, *after})


# --- before it is confirmed ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a correction would change: properties of the profile and events, and how many of each the policy refuses."""

    profile_changed: int
    profile_refused: int
    events_changed: int
    events_refused: int


class Corrections:
    """Tells what a correction would come to. Stateless but for its dependencies; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        stores: EventStores,
        rulebook: Rulebook,
        audit: AuditLog,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._stores = stores
        self._rulebook = rulebook
        self._audit = audit
        self._clock = clock

    def preview(self, by: Principal, identifiers: Sequence[str], change: Change, sight: Sight) -> Foreseen:
        """What would change, in numbers; changes nothing. `sight` is the people's own.

        Raises `InvalidInput` unless the ids mean exactly one known person.
        """
        with self._database.read() as tx:
            keys, store = self._keyring.of(tx, by.project.id), self._stores.of(by.project.store_url)
            found = closure(tx, keys, identifiers)
            uid = the_one_person(found)
            correcting = Correcting(tx, keys, self._rulebook.active(tx, by.project.id), uid, change, self._clock())
            profiles = [row for row in store.read_profiles(tx, sight, [uid]) if row.uid == uid]
            _, profile_changed, profile_refused = correcting.profile(_json(profiles[0].properties) if profiles else None)
            changed = refused = 0
            if change.event_set or change.event_unset:
                for row in store.scan(tx, sight, EventQuery(names=change.events or None, uids=found.uids)):
                    _, differs, kept_out = correcting.event(row.name, _json(row.properties))
                    changed += bool(differs)
                    refused += bool(kept_out)
        foreseen = Foreseen(profile_changed, profile_refused, changed, refused)
        counts = {name: getattr(foreseen, name) for name in Foreseen.__slots__}
        with self._database.write() as tx:
            entry = Entry(AuditAction.CORRECTION_PREVIEWED, by.project.id, by.id, self._clock(), counts=counts)
            self._audit.stage(tx, entry)
        return foreseen


def the_one_person(found: Closure) -> int:
    """The uid of the one person of a closure. Raises `InvalidInput` for none and for several."""
    heads = sorted(found.people)
    if len(heads) != 1:
        remedy = "send one rectification for each person; see POST /v1/subjects/closure for whom an id means"
        raise InvalidInput("a rectification concerns exactly one known person", field="distinct_ids", remedy=remedy)
    return heads[0]


def _json(text: str) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(text)
    return decoded
