"""What detectors found, counted as records pass, in the transaction that stores them.

One statement a batch at most, with one row for each distinct (event, property, detector) and one for each event name; how
many rows that can be is bounded, so that nobody fills the table with made-up names. No value is looked at: only the remarks are.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.observe.tables import OBSERVATION_SHARDS, observation
from policies.model import Decision, Remark, Scope

BUCKET_MS = 300_000
OTHER = "<other>"
UNNAMED = "<key>"
EVENT_NAME = "<event name>"
_MOST_EVENTS = 64
_MOST_PROPERTIES = 128
_LONGEST = 200
_MOST_PENDING = 2_000
_LONGEST_PENDING_MS = 5_000
_RULE = "detector."
_POSITION = re.compile(r"\[[0-9]+\]")
_PROPERTIES = "properties."

Key = tuple[str, str, str]
"""Event name, path of the property, detector; path and detector are empty where all records of the event are counted."""


@dataclass(slots=True)
class _Pending:
    """Counts of one project that no transaction has written yet."""

    since_ms: int
    records: int = 0
    counts: dict[tuple[int, Scope], Counter[Key]] = field(default_factory=dict)


class Counting:
    """The counters of one process. Safe to share between threads.

    A hit is written in the transaction of its batch, always. Records in which nothing was found only say what the hits are
    a share of: they may wait some seconds for a later batch, so that a sender of single events does not pay a statement
    for each. A process that is killed meanwhile loses those, and a share is a trifle too high.
    """

    def __init__(self) -> None:
        self._pending: dict[int, _Pending] = {}
        self._lock = threading.Lock()

    def count(self, tx: Connection, project_id: int, hits: Hits, now_ms: int) -> None:
        """Add the counts of one batch to the counters of the five minutes that `now_ms` lies in."""
        counts, scope = hits.counts, hits.scope
        if not counts:
            return
        with self._lock:
            pending = self._pending.setdefault(project_id, _Pending(now_ms))
            pending.counts.setdefault((now_ms - now_ms % BUCKET_MS, scope), Counter()).update(counts)
            pending.records += sum(n for (_, path, _), n in counts.items() if not path)
            clean = not any(path for _, path, _ in counts)
            if clean and pending.records < _MOST_PENDING and now_ms - pending.since_ms < _LONGEST_PENDING_MS:
                return
            del self._pending[project_id]
        _write(tx, project_id, pending.counts)


def _write(tx: Connection, project_id: int, pending: dict[tuple[int, Scope], Counter[Key]]) -> None:
    shard = secrets.randbelow(OBSERVATION_SHARDS)
    found = [(bucket, scope.value, *key, n) for (bucket, scope), counts in pending.items() for key, n in counts.items()]
    # In order, so that two batches that count the same wait for each other and never deadlock.
    rows = [
        {
            "project_id": project_id,
            "bucket_ms": bucket,
            "scope": scope,
            "event": event,
            "path": path,
            "detector": detector,
            "shard": shard,
            "n": n,
        }
        for bucket, scope, event, path, detector, n in sorted(found)
    ]
    tx.execute(_upsert(tx.dialect.name), rows)


@cache
def _upsert(dialect: str) -> Any:
    insert: Any = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(observation)
    key = [column.name for column in observation.primary_key.columns]
    return insert.on_conflict_do_update(index_elements=key, set_={"n": observation.c.n + insert.excluded.n})


class Hits:
    """The counts of one batch, whose decisions may come in parts.

    What consent or a blocked name refused was not looked into and is not counted.
    """

    def __init__(self, scope: Scope) -> None:
        """Nothing is counted yet."""
        self.scope = scope
        self.counts: Counter[Key] = Counter()
        self._events = _Bounded(_MOST_EVENTS)
        self._properties = _Bounded(_MOST_PROPERTIES)

    def note(self, decisions: Iterable[Decision]) -> None:
        """Count what these decisions remark."""
        for decision in decisions:
            found = _found(decision.remarks) if decision.remarks else ()
            if decision.name is None and not found:
                continue
            event = self._events.name(printable(decision.name or UNNAMED)) if self.scope is Scope.EVENT else ""
            self.counts[event, "", ""] += 1
            for path, detector in found:
                self.counts[event, self._properties.name(path), detector] += 1


def printable(name: str) -> str:
    """A name fit for a column and for people; what is neither short nor printable is only said to be there."""
    return name if len(name) <= _LONGEST and name.isprintable() else UNNAMED


def path_of(remark: Remark) -> str:
    """The path of a remark as a rule writes it: without list positions."""
    if remark.path.startswith(_PROPERTIES):
        return printable(_POSITION.sub("[]", remark.path.removeprefix(_PROPERTIES)))
    return EVENT_NAME


def _found(remarks: Sequence[Remark]) -> set[tuple[str, str]]:
    # A set: a record counts once, however often a detector finds something in a list of it.
    return {(path_of(each), each.rule.removeprefix(_RULE)) for each in remarks if each.rule.startswith(_RULE)}


class _Bounded:
    """The first so many names of a batch; every further one is `OTHER`."""

    __slots__ = ("_most", "_names")

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: set[str] = set()

    def name(self, name: str) -> str:
        if name in self._names:
            return name
        if len(self._names) >= self._most:
            return OTHER
        self._names.add(name)
        return name
