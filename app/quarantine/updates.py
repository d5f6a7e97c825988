"""Held changes to profiles, put back. A change takes its place by when it arrived, not by when somebody released it.

An update says what a profile becomes, so what was set since comes first: where the sender has changed the profile after
the held update arrived, `$set` fills what is empty and overwrites nothing, and `$remove` takes nothing away any more. `$add`,
`$append`, `$union` and `$set_once` mean the same early or late. Updates that are released together, or one after the other,
apply in the order in which they arrived; the profile then counts as changed when the last of them arrived.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy.engine import Connection

from app.events.port import EventStore, ProfileRow
from app.events.profile_update import MOST_PROPERTIES, apply
from app.identity import bridges, register
from app.quarantine.holding import Held
from policies.model import Decision

PROFILE_FULL = "profile_full"
"""The reason why an update stays held: its profile would have more properties than one may have."""
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Passed:
    """One held update that the policy in force lets through, and the uid of the profile that it changes."""

    held: Held
    decision: Decision
    target: int


def put_back(
    tx: Connection,
    project_id: int,
    store: EventStore,
    passed: Sequence[Passed],
    newest: Mapping[int, Mapping[str, str]],
    version: int,
    refused: Counter[str],
) -> list[Held]:
    """Apply the updates, which stand in the order of their arrival. Returns those that took effect; counts the others.

    `newest` are pseudonyms by their older forms, by uid of the profile.
    """
    by_target: defaultdict[int, list[Passed]] = defaultdict(list)
    for each in passed:
        by_target[each.target].append(each)
    uids, done = sorted(by_target), list[Held]()
    register.hold(tx, project_id, uids)
    store.lock_profiles(tx, project_id, uids)
    for start in range(0, len(uids), _AT_ONCE):
        chosen = uids[start : start + _AT_ONCE]
        found = store.profiles_of(tx, project_id, chosen)
        rows = []
        for uid in chosen:
            row, applied = _changed(uid, found.get(uid), by_target[uid], newest.get(uid, {}), version)
            refused[PROFILE_FULL] += len(by_target[uid]) - len(applied)
            done += applied
            if applied:
                rows.append(row)
        store.put_profiles(tx, project_id, rows)
    refused += Counter()  # Drops what counts nothing.
    return done


def _changed(
    uid: int, row: ProfileRow | None, updates: Sequence[Passed], newest: Mapping[str, str], version: int
) -> tuple[ProfileRow, list[Held]]:
    properties = msgspec.json.decode(bridges.with_newest(row.properties, newest)) if row else {}
    seen_ms, changed_ms = (row.last_seen_ms, row.changed_ms) if row else (None, 0)
    applied = []
    for each in updates:
        held, operand = each.held, each.decision.properties
        operation = _giving_way(held.name) if changed_ms > held.received_ms else held.name
        after = properties if operation is None else apply(properties, operation, operand)
        if len(after) > MOST_PROPERTIES:
            continue
        properties, changed_ms = after, max(changed_ms, held.received_ms)
        if held.seen:
            seen_ms = max(seen_ms or 0, held.time_ms)
        applied.append(held)
    text = msgspec.json.encode(properties).decode()
    return ProfileRow(0, uid, text, seen_ms, version, changed_ms, updates[0].held.group_key), applied


def _giving_way(operation: str) -> str | None:
    """What is left of an operation once the profile has been changed after it arrived; None is nothing."""
    return {"$set": "$set_once", "$remove": None}.get(operation, operation)
