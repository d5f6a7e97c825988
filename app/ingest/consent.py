"""Consent within one batch: an `$opt_in` counts at once, and a refusal for a browser's signal leaves evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy.engine import Connection

from app.identity import register, signals
from app.identity.derive import EventIds
from app.identity.register import Row
from app.rulebook.service import ActivePolicy
from policies.consent import OPT_IN_EVENT
from policies.context import CheckContext
from policies.model import Consented, Decision, Reason, Record, Signal, SubjectState, Verdict

SIGNALS: Mapping[str, Signal] = {Reason.GPC_SIGNAL: Signal.GPC, Reason.DNT_SIGNAL: Signal.DNT}
"""The signal behind the reason of a refusal."""

_TAKEN = (Verdict.PASS, Verdict.CHANGED)


def check(
    policy: ActivePolicy,
    records: Sequence[Record],
    ids: Sequence[EventIds],
    known: Mapping[str, Row],
    context: CheckContext,
) -> tuple[list[Decision], list[int]]:
    """The decisions on a batch of events, and the positions of those that gave consent.

    Where the policy asks for consent first, an `$opt_in` that is accepted counts for what follows it in the batch.
    """
    decisions = policy.gate.check(records, context)
    if policy.written.consent.default is Consented.OPTED_IN:
        return decisions, []
    giving = [i for i, each in enumerate(records) if _gives(each, ids[i]) and decisions[i].verdict in _TAKEN]
    if not giving:
        return decisions, []
    waiting = _after(giving, ids, known, decisions)
    again = [msgspec.structs.replace(records[i], state=SubjectState.OPTED_IN) for i in waiting]
    for i, decision in zip(waiting, policy.gate.check(again, context), strict=True):
        decisions[i] = decision
    return decisions, giving


def _gives(record: Record, ids: EventIds) -> bool:
    return record.name == OPT_IN_EVENT and record.state in register.ACCEPTED and ids.subject is not None


def _after(giving: Sequence[int], ids: Sequence[EventIds], known: Mapping[str, Row], decisions: Sequence[Decision]) -> list[int]:
    """The events refused for want of consent that follow the consent of one of their people."""
    given: set[str | int] = set()
    found = []
    for i, decision in enumerate(decisions):
        people = {*ids[i].all(), *(known[each].person or each for each in ids[i].all() if each in known)}
        if i in giving:
            given |= people
        elif given & people and decision.remarks and decision.remarks[-1].reason == Reason.NOT_OPTED_IN:
            found.append(i)
    return found


def record_opt_ins(
    tx: Connection, project_id: int, giving: Sequence[int], ids: Sequence[EventIds], known: Mapping[str, Row]
) -> int:
    """Store the consent that these events gave; returns how many people gave it."""
    people = {known[each].person for each in (ids[i].subject for i in giving) if each is not None}
    given = {person for person in people if person is not None}
    return register.opt_in(tx, project_id, given) if given else 0


def keep_evidence(
    tx: Connection, project_id: int, decisions: Sequence[Decision], rows: Sequence[Row | None], now_ms: int
) -> None:
    """Remember whose browser sent a signal that was honoured, as far as the register knew them before."""
    named: Counter[tuple[int, Signal]] = Counter()
    unknown: Counter[Signal] = Counter()
    for decision, row in zip(decisions, rows, strict=True):
        signal = SIGNALS.get(decision.remarks[-1].reason) if decision.remarks else None
        if signal is not None and row is not None and row.uid is not None:
            named[row.uid, signal] += 1
        elif signal is not None:
            unknown[signal] += 1
    signals.keep(tx, project_id, named, unknown, now_ms)
