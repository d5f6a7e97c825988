"""A draft policy tried on records that are stored already, beside the policy in force: what would be different. Pure.

What is counted for a property: how many records the draft would drop it from, change it in, or be held for it; and how many
in which the policy in force would do one of these today and the draft would not (newly kept). Memory is bounded by the
number of names that are remembered and not by the number of records. No value is kept: samples show shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from policies.context import CheckContext
from policies.gate import Gate
from policies.model import ActionKind, Decision, Record, Remark, Scope, Verdict
from policies.outline import ABSENT, shape_at
from policies.sketch import Distinct

OTHER = "<other>"
WHOLE_RECORD = "<record>"
PRECISION = 11
PEOPLE_ERROR = 0.023
_MOST_EVENTS = 500
_MOST_PROPERTIES = 2_000
_MOST_SAMPLES = 3
_LONGEST_NAME = 200
_POSITION = re.compile(r"\[[0-9]+\]")
_DROPS = (ActionKind.DROP, ActionKind.DROP_EVENT)


class Sample(msgspec.Struct, frozen=True):
    """One difference without values: ``before`` and ``after`` are shapes."""

    rule: str
    action: str
    reason: str
    before: str
    after: str


class Count(msgspec.Struct):
    """What the draft does to the records of one event, or to one property of them. ``people`` are registers of a sketch
    of everybody whose record it touches."""

    scope: str
    event: str
    path: str = ""
    records: int = 0
    dropped: int = 0
    changed: int = 0
    quarantined: int = 0
    newly_kept: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    people: bytes = b""
    samples: list[Sample] = []

    @property
    def touched(self) -> int:
        """In how many records the draft does anything to it."""
        return self.dropped + self.changed + self.quarantined


class Standing(msgspec.Struct):
    """Where a trial stands: what a checkpoint holds. ``after`` and ``after_seq`` say which records are done."""

    after: tuple[int, int] | None = None
    after_seq: int = 0
    up_to_seq: int | None = None
    records: int = 0
    left_out: int = 0
    counts: list[Count] = []


class Trial:
    """One draft against one policy in force, over any number of records in any number of sittings."""

    def __init__(self, draft: Gate, active: Gate, checkpoint: bytes | None = None) -> None:
        """Start anew, or where ``checkpoint`` was written."""
        self._draft = draft
        self._active = active
        self.standing = Standing() if checkpoint is None else msgspec.json.decode(checkpoint, type=Standing)
        self._counts = {(each.scope, each.event, each.path): each for each in self.standing.counts}
        self._people = {key: Distinct(PRECISION, each.people) for key, each in self._counts.items()}
        self._room = {False: _MOST_EVENTS, True: _MOST_PROPERTIES}
        for _, _, path in self._counts:
            self._room[bool(path)] -= 1

    def checkpoint(self) -> bytes:
        """Everything, as JSON, for another process to go on with."""
        for key, count in self._counts.items():
            count.people = self._people[key].registers
        self.standing.counts = list(self._counts.values())
        return msgspec.json.encode(self.standing)

    def watch(self, records: Sequence[Record], uids: Sequence[int], sizes: Sequence[int], context: CheckContext) -> None:
        """Try both policies on stored records; ``uids`` say whose they are (0: nobody's), ``sizes`` their stored bytes."""
        drafted, today = self._draft.check(records, context), self._active.check(records, context)
        for record, draft, active, uid, size in zip(records, drafted, today, uids, sizes, strict=True):
            self._compare(record, draft, active, uid, size)
        self.standing.records += len(records)

    def report(self) -> dict[str, Any]:
        """Totals, events and properties, those that the draft touches most first."""
        events = [count for key, count in self._counts.items() if not key[2] and key[1] != "*"]
        properties = [count for key, count in self._counts.items() if key[2]]
        total = self._of("*", "*", "")
        return {
            "total": self._shown(total),
            "events": [self._shown(each) for each in _sorted(events)],
            "properties": [self._shown(each) for each in _sorted(properties) if each.touched or each.newly_kept],
            "left_out": self.standing.left_out,
            "people_error": PEOPLE_ERROR,
            "truncated": any(OTHER in key for key in self._counts),
        }

    def _compare(self, record: Record, draft: Decision, active: Decision, uid: int, size: int) -> None:
        name = record.name if record.scope is Scope.EVENT else ""
        scope = record.scope.value
        stored = draft.verdict in (Verdict.PASS, Verdict.CHANGED)
        after = size if draft.verdict is Verdict.PASS else len(msgspec.json.encode(draft.properties)) if stored else 0
        kept = stored and active.verdict in (Verdict.DROPPED, Verdict.QUARANTINED)
        for key in ((scope, _name(name), ""), ("*", "*", "")):
            count = self._of(*key)
            count.records += 1
            count.dropped += draft.verdict is Verdict.DROPPED
            count.changed += draft.verdict is Verdict.CHANGED
            count.quarantined += draft.verdict is Verdict.QUARANTINED
            count.newly_kept += kept
            count.bytes_before += size
            count.bytes_after += after
            if draft.verdict is not Verdict.PASS:
                self._touch(count, uid)
        if draft.remarks or active.remarks:
            self._properties(record, draft, active, scope, _name(name), uid)

    def _properties(self, record: Record, draft: Decision, active: Decision, scope: str, name: str, uid: int) -> None:
        by_path = dict(_by_path(draft.remarks))
        for path, remark in by_path.items():
            count = self._of(scope, name, path)
            count.records += 1
            count.dropped += remark.action in _DROPS
            count.quarantined += remark.action == ActionKind.QUARANTINE
            count.changed += remark.action not in (*_DROPS, ActionKind.QUARANTINE)
            self._touch(count, uid)
            self._sample(count, record, draft, remark)
        for path in dict(_by_path(active.remarks)):
            if path not in by_path and draft.verdict is not Verdict.DROPPED:
                count = self._of(scope, name, path)
                count.records += 1
                count.newly_kept += 1

    def _sample(self, count: Count, record: Record, draft: Decision, remark: Remark) -> None:
        if len(count.samples) >= _MOST_SAMPLES or count.path == OTHER:
            return
        after = ABSENT if remark.action in _DROPS else shape_at(draft.properties, remark.path)
        sample = Sample(remark.rule, remark.action, remark.reason, shape_at(record.properties, remark.path), after)
        if sample not in count.samples:
            count.samples.append(sample)

    def _of(self, scope: str, name: str, path: str) -> Count:
        key = (scope, name, path)
        found = self._counts.get(key)
        if found is None:
            if self._room[bool(path)] <= 0 and OTHER not in key and name != "*":
                return self._of(scope, OTHER, OTHER if path else "")
            self._room[bool(path)] -= 1
            found = self._counts[key] = Count(*key)
            self._people[key] = Distinct(PRECISION)
        return found

    def _touch(self, count: Count, uid: int) -> None:
        if uid:
            self._people[count.scope, count.event, count.path].add(uid)

    def _shown(self, count: Count) -> dict[str, Any]:
        people = self._people[count.scope, count.event, count.path].count()
        shown = msgspec.to_builtins(count)
        del shown["people"]
        if not count.path:
            del shown["path"], shown["samples"]
        else:
            del shown["bytes_before"], shown["bytes_after"]
        return {**shown, "people": min(people, count.records)}


def _sorted(counts: Sequence[Count]) -> list[Count]:
    return sorted(counts, key=lambda each: (-each.touched, -each.newly_kept, -each.records, each.event, each.path))


def _by_path(remarks: Sequence[Remark]) -> Iterator[tuple[str, Remark]]:
    """Remarks by the path as a rule writes it; of several at one path the last counts."""
    for remark in remarks:
        path = _POSITION.sub("[]", remark.path.removeprefix("properties."))
        yield (_name(path) if path not in ("", "event") else WHOLE_RECORD), remark


def _name(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME and name.isprintable() else "<key>"
