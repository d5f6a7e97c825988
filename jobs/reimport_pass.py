"""One look at everything a re-import is about: what policy makes of it, counted, measured and, the second time, staged.

The first pass is for the officer and writes figures only. The second runs while the people are held still, so that what it
stages is all there is; its figures must be as good as those that were approved. Both are the same code.

Windows are at most a thousand records, each one transaction with its figures and with where the next begins.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.audit.entry import AuditAction
from app.events.port import EventQuery, EventRow, ProfileQuery, ProfileRow
from app.identity.register import chunks
from app.query.batches import batches
from app.reimport import ledger, report, staging
from app.reimport.ledger import AFTER, BEFORE, EVENTS, SUMS, Tally
from app.reimport.model import State, Times
from app.reimport.staging import Chunk, StagedEvent, StagedProfile
from app.sight import people
from jobs.reimport_work import NOBODY, Work, as_record, ids_of, open_row
from policies.anonymity import Mark, digest_of, marks_of
from policies.model import Record, Scope as RecordScope
from policies.sanitise import Sanitised

_PEOPLE_AT_ONCE = 20
_ROWS_AT_ONCE = 1_000
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_UNITS = {Times.KEPT: 1, Times.HOUR: _HOUR_MS, Times.DAY: _DAY_MS}
_INSERT_ID = "$insert_id"


# --- a pass over the people -------------------------------------------------------------------------------------------


def survey(work: Work) -> None:
    """SURVEYING and STAGING: every event and profile of the people through the policy."""
    if work.of.total is None:
        _count(work)
    while not work.over():
        if not work.standing.page and not _next_page(work):
            return
        for window in _windows(work):
            _take(work, window)
            if work.over():
                return
        _profiles(work)


def _count(work: Work) -> None:
    """How much there is to do, for whoever asks how far it is."""
    with work.services.database.read() as tx:
        every = list(chunks(staging.uids_of(tx, work.of.id)))
        total = sum(
            work.store.count_subjects(tx, work.of.project_id, place, some) for some in every for place in work.store.places()
        )
    with work.services.database.write() as tx:
        work.services.reimports.queue.hold(tx, work.of, total=total)


def _next_page(work: Work) -> bool:
    """Turn to the next few people. False when there are no more, and the pass is over."""
    standing = work.standing
    with work.effect() as tx:
        standing.page = staging.people_after(tx, work.of.id, standing.person, _PEOPLE_AT_ONCE)
        standing.after = None
        if standing.page:
            return True
    with work.services.database.write() as tx:
        account = standing.account
        work.move(tx, State.MEASURING if work.of.state is State.SURVEYING else State.WEIGHING)
        work.standing = staging.Standing(restarts=standing.restarts, account=account, left_out=standing.left_out)
        sealed = staging.sealed_standing(work.of, work.keys.sealing, work.standing)
        work.services.reimports.queue.hold(tx, work.of, standing=sealed)
    return False


@dataclass(frozen=True, slots=True)
class _Window:
    """Some events in time order, whose person is known, and every id of each person."""

    rows: Sequence[EventRow]
    members: Mapping[int, int]
    ids: Mapping[int, set[str]]


def _windows(work: Work) -> Iterator[_Window]:
    """The events of the page from where it stands. Read in one sweep, because a query a window would sort them anew."""
    with work.services.database.read() as tx:
        members = staging.members_of(tx, work.of.id, work.standing.page)
        if not members:
            return
        ids = ids_of(work.services, tx, work.of.project_id, members)
        sight = work.services.sights.internal(tx, work.project)
        rows = work.store.scan(tx, sight, EventQuery(uids=list(members), after=work.standing.after))
        for batch in batches(rows, _ROWS_AT_ONCE):
            yield _Window(batch, members, ids)


def _take(work: Work, window: _Window) -> None:
    """One window: sanitise, count, stage."""
    opened = [open_row(row) for row in window.rows]
    had_insert_id = [bool(properties.pop(_INSERT_ID, None)) for properties, *_ in opened]
    records = [
        as_record(RecordScope.EVENT, row.name, properties, row.time_ms)
        for row, (properties, *_) in zip(window.rows, opened, strict=True)
    ]
    account = work.standing.account
    owners = [window.members[row.uid] for row in window.rows]
    own = [window.ids.get(owner, set()) for owner in owners]
    found = work.sanitiser.sanitise(records, own, _context(work), account)
    noted = _Noted(work)
    for row, owner, record, each, (_, user, device), inserted in zip(
        window.rows, owners, records, found, opened, had_insert_id, strict=True
    ):
        time_ms = coarse(row.time_ms, work.of.terms.times)
        noted.event(owner, row, record, each, time_ms)
        if each.properties is None:
            continue
        if device:
            account.fate("event", each.label, "$device_id").dropped += 1
        if inserted:
            account.fate("event", each.label, _INSERT_ID).changed += 1
        properties = {**each.properties, _INSERT_ID: secrets.token_hex(16)} if inserted else each.properties
        text = msgspec.json.encode(properties).decode()
        noted.stage(owner, StagedEvent(time_ms, secrets.randbits(63), each.name, text, user))
    work.standing.after = (window.rows[-1].time_ms, window.rows[-1].dedup)
    with work.effect(len(records)) as tx:
        noted.write(tx)


def _profiles(work: Work) -> None:
    """The profiles of the page, after its events: then the page is done."""
    standing, account = work.standing, work.standing.account
    with work.services.database.read() as tx:
        members = staging.members_of(tx, work.of.id, standing.page)
        ids = ids_of(work.services, tx, work.of.project_id, members)
        sight = work.services.sights.internal(tx, work.project)
        rows = list(work.store.read_profiles(tx, sight, list(members)))
    own = [row for row in rows if row.uid == members[row.uid] and not row.group_key]
    # A device that was written to on its own: its person has a profile, and two cannot be one.
    if len(rows) > len(own):
        account.records["profile"] = account.records.get("profile", 0) + len(rows) - len(own)
        account.dropped["profile"] = account.dropped.get("profile", 0) + len(rows) - len(own)
    records = [as_record(RecordScope.PROFILE, "$set", msgspec.json.decode(row.properties), row.last_seen_ms or 0) for row in own]
    found = work.sanitiser.sanitise(records, [ids.get(row.uid, set()) for row in own], _context(work), account)
    noted = _Noted(work)
    for row, each in zip(own, found, strict=True):
        noted.profile(row, each)
    standing.person, standing.page, standing.after = max(standing.page), [], None
    with work.effect(len(rows)) as tx:
        noted.write(tx)


@dataclass(slots=True)
class _Noted:
    """What one window comes to, before it is written."""

    work: Work
    tally: Tally = field(default_factory=Tally)
    chunks: dict[int, tuple[list[StagedEvent], list[StagedProfile]]] = field(default_factory=dict)

    def event(self, owner: int, row: EventRow, record: Record, each: Sanitised, time_ms: int) -> None:
        """Count one event before and after."""
        salt, after = self.work.keys.salt, each.properties
        kept = after is not None
        self.tally.add(EVENTS, each.label, day_of(row.time_ms), 1, kept, kept)
        who, cell = digest_of(salt, "person", owner), report.name_digest(salt, each.label)
        self.tally.marks.add(Mark(BEFORE, cell, who))
        if after is not None:
            self.tally.marks.add(Mark(AFTER, cell, who))
            self._measure(owner, RecordScope.EVENT, each.name, after, time_ms)
        note_sums(self.tally, self.work, each.label, record.properties, after or {})

    def profile(self, row: ProfileRow, each: Sanitised) -> None:
        """Measure one profile, and stage it."""
        if each.properties is None:
            return
        self._measure(row.uid, RecordScope.PROFILE, "", each.properties, 0)
        times = self.work.of.terms.times
        seen = None if row.last_seen_ms is None else coarse(row.last_seen_ms, times)
        text = msgspec.json.encode(each.properties).decode()
        # To the day: to the millisecond it would say when the person was last there.
        self.chunks.setdefault(row.uid, ([], []))[1].append(StagedProfile(text, seen, coarse(row.changed_ms, Times.DAY)))

    def stage(self, owner: int, event: StagedEvent) -> None:
        """Keep one event for its person."""
        self.chunks.setdefault(owner, ([], []))[0].append(event)

    def write(self, tx: Connection) -> None:
        """Add it to the ledger, and to what is staged if this is the pass for that."""
        self.tally.write(tx, self.work.of.id)
        if self.work.of.state is not State.STAGING:
            return
        standing = self.work.standing
        for owner, (events, profiles) in self.chunks.items():
            standing.seq += 1
            chunk = Chunk(events, profiles[0] if profiles else None)
            staging.put(tx, self.work.of, self.work.keys.sealing, standing.seq, owner, chunk)

    def _measure(self, owner: int, scope: RecordScope, name: str, properties: Mapping[str, Any], time_ms: int) -> None:
        if self.work.of.terms.quasi:
            traits = self.work.of.terms.traits
            self.tally.marks.update(marks_of(traits, self.work.keys.salt, owner, scope, name, properties, time_ms))


def note_sums(tally: Tally, work: Work, label: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Add the numbers of one record: those that were there, and those that are left of them."""
    for name, value in before.items():
        if is_number(value):
            left = after.get(name)
            kept = is_number(left)
            tally.add(SUMS, label, work.sanitiser.label(name), float(value), float(left) if kept else 0.0, kept)  # type: ignore[arg-type]


def is_number(value: Any) -> bool:
    """A JSON number, which True is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def coarse(time_ms: int, times: Times) -> int:
    """A moment as precise as it may be kept: the start of its hour or UTC day."""
    return time_ms - time_ms % _UNITS[times]


def day_of(time_ms: int) -> str:
    """The UTC day of a moment, `yyyy-mm-dd`."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).date().isoformat()


def _context(work: Work) -> Any:
    with work.services.database.read() as tx:
        return work.services.keyring.of(tx, work.of.project_id).check_context(work.services.clock())


# --- everybody else ---------------------------------------------------------------------------------------------------


def measure(work: Work) -> None:
    """MEASURING and WEIGHING: who else is in the same cells, of all people of the project; then the report."""
    while work.of.terms.quasi and not _safe_already(work):
        if not _weigh_page(work):
            break
        if work.over():
            return
    _conclude(work)


def _safe_already(work: Work) -> bool:
    """Whether every cell has people enough; more would only make them safer. Values have to be counted to the end."""
    if work.of.terms.sensitive:
        return False
    with work.services.database.read() as tx:
        least = ledger.smallest(tx, work.of.id)
    return least is None or least >= work.of.terms.k


def _weigh_page(work: Work) -> bool:
    """A window of other people's records. False when there are no more."""
    standing, terms = work.standing, work.of.terms
    of_events = not standing.profiles
    with work.services.database.read() as tx:
        rows = _others(work, tx)
        seen = people.in_sight(tx, work.store, work.services.sights.internal(tx, work.project), {uid for uid, *_ in rows})
    shown = [row for row in rows if row[0] in seen]
    records = [as_record(scope, name, properties, time_ms) for _, scope, name, properties, time_ms in shown]
    marks: set[Mark] = set()
    for (uid, scope, *_), record, each in zip(shown, records, work.sanitiser.outcomes(records, _context(work)), strict=True):
        if each.properties is not None:
            person = seen[uid].person or uid
            time_ms = coarse(record.time_ms, terms.times)
            marks.update(marks_of(terms.traits, work.keys.salt, person, scope, each.name, each.properties, time_ms))
    with work.effect(len(rows)) as tx:
        ledger.add_marks(tx, work.of.id, ledger.known_cells(tx, work.of.id, marks))
    return bool(rows) or of_events


_Other = tuple[int, RecordScope, str, dict[str, Any], int]


def _others(work: Work, tx: Connection) -> list[_Other]:
    standing, sight = work.standing, work.services.sights.internal(tx, work.project)
    if not standing.profiles:
        rows = list(work.store.scan(tx, sight, EventQuery(after=standing.after, limit=_ROWS_AT_ONCE)))
        standing.profiles = not rows
        if rows:
            standing.after = (rows[-1].time_ms, rows[-1].dedup)
        return [(row.uid, RecordScope.EVENT, row.name, open_row(row)[0], row.time_ms) for row in rows if row.uid != NOBODY]
    found: list[_Other] = []
    for row in work.store.scan_profiles(tx, sight, ProfileQuery(after_seq=standing.seq)):
        found.append((row.uid, RecordScope.PROFILE, "$set", msgspec.json.decode(row.properties), row.last_seen_ms or 0))
        standing.seq = row.seq
        if len(found) == _ROWS_AT_ONCE:
            break
    return found


def _conclude(work: Work) -> None:
    """Write the report, and wait for an officer; or, the second time, go on if it is as good as what was approved."""
    of, standing = work.of, work.standing
    with work.services.database.write() as tx:
        work.services.reimports.queue.hold(tx, of)
        found, _ = staging.count_people(tx, of.id)
        made = report.build(tx, of, standing.account, found, standing.left_out, work.keys.salt)
        text = json.dumps(made)
        ledger.forget(tx, of.id)
        counts = {"people": found, "findings": made["findings"]}
        facts = {"blocked": ",".join(made["blocked"]) or "no"}
        if of.state is State.MEASURING:
            work.move(tx, State.REVIEW, report=text)
            work.tell(tx, AuditAction.REIMPORT_REVIEWABLE, counts=counts, facts=facts)
        elif _is_worse(json.loads(of.report or "{}"), made):
            work.undo(tx, "review_changed")
            work.services.reimports.queue.hold(tx, of, report=text)
        else:
            work.move(tx, State.ORDERING, report=text)


def _is_worse(approved: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether there is something that nobody approved: a new reason to block, or fewer people in the smallest cell."""
    if set(found["blocked"]) - set(approved["blocked"]):
        return True
    if not found["blocked"]:
        return False
    before, after = ((each["anonymity"] or {}).get("k") for each in (approved, found))
    return found["findings"] > approved["findings"] or (before is not None and after is not None and after < before)
