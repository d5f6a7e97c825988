"""Consent within one batch: an `$opt_in` counts at once, and a browser's signal that is honoured leaves evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile

import msgspec
from sqlalchemy.engine import Connection

from app.identity import register, signals
from app.identity.derive import EventIds
from app.identity.register import Row
from app.rulebook.service import ActivePolicy
from policies.consent import CONSENT, OPT_IN_EVENT
from policies.context import CheckContext
from policies.model import Consented, Decision, Reason, Record, Signal, SubjectState, Verdict

SIGNALS: Mapping[str, Signal] = {Reason.GPC_SIGNAL: Signal.GPC, Reason.DNT_SIGNAL: Signal.DNT}
"""The signal behind the reason of a remark about consent."""

_TAKEN = (Verdict.PASS, Verdict.CHANGED)


class Consents:
    """The consent that one batch gives, which is worked through in parts and in order.

    Where the policy asks for consent first, an `$opt_in` that is accepted counts for what follows it in the batch.
    """

    def __init__(self, policy: ActivePolicy, context: CheckContext) -> None:
        """Nobody has given consent yet. `givers` will be the subjects of accepted `$opt_in` events."""
        self._gate = policy.gate
        self._asks = policy.written.consent.default is not Consented.OPTED_IN
        self._context = context
        self._given: set[str | int] = set()
        self.givers: set[str] = set()

    def check(self, records: list[Record], ids: Sequence[EventIds], known: Mapping[str, Row]) -> list[Decision]:
        """The decisions on the next part of the batch. Of `records`, those that consent now covers say so afterwards."""
        decisions = self._gate.check(records, self._context)
        if not self._asks:
            return decisions
        giving = {i for i, each in enumerate(records) if _gives(each, ids[i]) and decisions[i].verdict in _TAKEN}
        if not (giving or self._given):
            return decisions
        self.givers.update(subject for i in giving if (subject := ids[i].subject))
        waiting = self._after(giving, ids, known, decisions)
        for i in waiting:
            records[i] = msgspec.structs.replace(records[i], state=SubjectState.OPTED_IN)
        for i, decision in zip(waiting, self._gate.check([records[i] for i in waiting], self._context), strict=True):
            decisions[i] = decision
        return decisions

    def _after(
        self, giving: Collection[int], ids: Sequence[EventIds], known: Mapping[str, Row], decisions: Sequence[Decision]
    ) -> list[int]:
        """The events refused for want of consent that follow the consent of one of their people."""
        found = []
        for i, decision in enumerate(decisions):
            people = {*ids[i].all(), *(known[each].person or each for each in ids[i].all() if each in known)}
            if i in giving:
                self._given |= people
            elif self._given & people and decision.remarks and decision.remarks[-1].reason == Reason.NOT_OPTED_IN:
                found.append(i)
        return found


def _gives(record: Record, ids: EventIds) -> bool:
    return record.name == OPT_IN_EVENT and record.state in register.ACCEPTED and ids.subject is not None


def record_opt_ins(tx: Connection, project_id: int, givers: Iterable[str], known: Mapping[str, Row]) -> int:
    """Store the consent that these people gave; returns for how many it was the first."""
    given = {person for each in givers if (person := known[each].person) is not None}
    return register.opt_in(tx, project_id, given) if given else 0


class Evidence:
    """Whose browser sent a signal that was honoured, as far as the register knew them before: what it refuses was refused,
    be it the record or only what serves some purposes."""

    def __init__(self) -> None:
        """Nobody's yet."""
        self._named: Counter[tuple[int, Signal]] = Counter()
        self._unknown: Counter[Signal] = Counter()
        self.honoured: Counter[str] = Counter()

    def note(self, decisions: Iterable[Decision], rows: Iterable[Row | None]) -> None:
        """Some decisions, each beside the row of whom it is about."""
        for decision, row in zip(decisions, rows, strict=True):
            for reason in _signalled(decision):
                self.honoured[reason] += 1
                if row is not None and row.uid is not None:
                    self._named[row.uid, SIGNALS[reason]] += 1
                else:
                    self._unknown[SIGNALS[reason]] += 1

    def keep(self, tx: Connection, project_id: int, now_ms: int) -> None:
        """Remember it, once for the whole batch."""
        signals.keep(tx, project_id, self._named, self._unknown, now_ms)


def _signalled(decision: Decision) -> list[str]:
    """The reasons of the remarks about signals, which come before all others."""
    about = takewhile(lambda remark: remark.rule == CONSENT, decision.remarks)
    return [remark.reason for remark in about if remark.reason in SIGNALS]
