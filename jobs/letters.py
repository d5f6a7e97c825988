"""What waits for a collector, as the collector reads it: ids in it again, and in requests that it may be sent in.

Nobody is told of who is hidden meanwhile: what is of a restricted person waits, what is of a person who opted out or is
being erased goes, but for the deletion of a profile that an opted-out person's browser asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from app.events.port import EventRow
from app.identity import register
from app.identity.groups import named_group
from app.identity.register import Revealed
from app.keys.service import ProjectKeys
from app.query.render import OpenEvent, event_view, open_event, uids_of
from app.upstream.outbox import Change, Kind, Parcel
from policies.model import SubjectState

_NOBODY = 0
# Done twice these would count twice. Everything else of one profile may be sent again in its order and changes nothing.
_ONCE = frozenset({"$add", "$append"})
# What is left of an operation once a later one on its profile was delivered; None is nothing. As a release does it.
_LATE: Mapping[str, str | None] = {"$set": "$set_once", "$remove": None, "$unset": None, "$delete": None}


@dataclass(frozen=True, slots=True)
class Letter:
    """One parcel as the collector reads it."""

    parcel: Parcel
    content: dict[str, Any] = field(repr=False)

    @property
    def once(self) -> bool:
        """Whether it must not arrive twice. An event may: its `$insert_id` says that it is the same."""
        return self.parcel.kind is not Kind.EVENT and self.parcel.name in _ONCE


def letters_of(tx: Connection, keys: ProjectKeys, parcels: Sequence[Parcel], token: str) -> tuple[list[Letter], list[int]]:
    """What may be sent, in order, and the ids of parcels that never will be. `token` is the project's at the collector."""
    events = {each.id: open_event(_row(each)) for each in parcels if each.kind is Kind.EVENT}
    people = uids_of(events.values()) | {each.uid for each in parcels if each.kind is not Kind.EVENT}
    revealed = register.reveal(tx, keys, people)
    letters, gone = [], []
    for each in parcels:
        state = revealed[each.uid].state if each.uid in revealed else SubjectState.ERASED
        content = _content(each, events.get(each.id), revealed, token) if _may_be_sent(each, state) else None
        if content is not None:
            letters.append(Letter(each, content))
        elif state is not SubjectState.RESTRICTED:
            gone.append(each.id)
    return letters, gone


def requests_of(letters: Sequence[Letter]) -> list[list[Letter]]:
    """Letters in as few requests as the order of each profile allows, to be sent one after the other.

    A request is of one kind, and what must not arrive twice has requests of its own.
    """
    made: list[tuple[tuple[Kind, bool], list[Letter]]] = []
    last: dict[int, int] = {}
    for each in letters:
        form = (each.parcel.kind, each.once)
        # Events are told apart by their time, so they need no order.
        first = 0 if each.parcel.kind is Kind.EVENT else last.get(each.parcel.uid, 0)
        at = next((i for i in range(first, len(made)) if made[i][0] == form), len(made))
        if at == len(made):
            made.append((form, []))
        made[at][1].append(each)
        if each.parcel.kind is not Kind.EVENT:
            last[each.parcel.uid] = at
    return [request for _, request in made]


def _may_be_sent(parcel: Parcel, state: SubjectState) -> bool:
    if parcel.kind is not Kind.EVENT and parcel.name == "$delete" and state is SubjectState.OPTED_OUT:
        return True
    return (parcel.uid == _NOBODY and parcel.kind is Kind.EVENT) or state in register.ACCEPTED


def _content(parcel: Parcel, event: OpenEvent | None, revealed: Mapping[int, Revealed], token: str) -> dict[str, Any] | None:
    if event is None:
        return _operation(parcel, revealed[parcel.uid], token)
    view = event_view(event, revealed, time_in_ms=True)
    if view is not None:
        # Without an id of its own a second delivery would be a second event.
        view["properties"].setdefault("$insert_id", f"portcullis-{parcel.id:x}")
    return view


def _operation(parcel: Parcel, whose: Revealed, token: str) -> dict[str, Any] | None:
    change = msgspec.json.decode(parcel.body, type=Change)
    name = _LATE.get(parcel.name, parcel.name) if parcel.overtaken else parcel.name
    if name is None:
        return None
    record: dict[str, Any] = {"$token": token, "$time": parcel.time_ms / 1_000, "$ip": "0"}
    if group := named_group(whose.identifier):
        record |= {"$group_key": group.key, "$group_id": group.id}
    else:
        record["$distinct_id"] = whose.identifier if change.literal else whose.canonical
    if change.literal:
        record["$ignore_alias"] = True
    if not change.seen:
        record["$ignore_time"] = True
    record[name] = "" if name == "$delete" else change.operand
    return record


def _row(parcel: Parcel) -> EventRow:
    return EventRow(parcel.time_ms, 0, parcel.uid, parcel.name, parcel.body, 0, 0)
