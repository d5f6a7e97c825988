"""Consent: whether anything at all may be kept about the person a record belongs to.

What the register knows of the person was resolved in the transaction that stores the record; nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from policies.classify import EventPatterns
from policies.model import ActionKind, Consent, Consented, Reason, Record, Remark, Scope, Signal, SubjectState

_REFUSALS = {
    SubjectState.OPTED_OUT: Reason.OPTED_OUT,
    SubjectState.RESTRICTED: Reason.RESTRICTED,
    # An erasure under way answers as a finished one: from acceptance on, nothing new may arrive.
    SubjectState.ERASING: Reason.ERASED,
    SubjectState.ERASED: Reason.ERASED,
}
_ACCEPTED = frozenset({SubjectState.ACTIVE, SubjectState.OPTED_IN})
_SIGNALS = {Signal.GPC: Reason.GPC_SIGNAL, Signal.DNT: Reason.DNT_SIGNAL}

CONSENT = "consent"
"""What remarks about the person, and not about a rule, name as their rule."""

# The event by which SDKs say that a person agreed (wire section 12).
OPT_IN_EVENT = "$opt_in"


def refusal(state: SubjectState) -> Reason | None:
    """The reason to refuse every record of a person in this state, or None when nothing is held against them.

    Raises KeyError for a state nobody decided about, so that a new state fails closed.
    GDPR Articles 7(3) and 21 (opt-out), 18 (restriction), 17 (erasure).
    """
    return None if state in _ACCEPTED else _REFUSALS[state]


class ConsentTerms:
    """A policy's ``consent`` section, compiled."""

    __slots__ = ("_opt_in_only", "_purposes", "_refused_by", "_signals", "lenient")

    def __init__(self, consent: Consent) -> None:
        """Compile the purposes' event patterns."""
        self._opt_in_only = consent.default is Consented.OPTED_OUT
        # Whether nothing is asked of people who decided nothing and whose request carries no signal.
        self.lenient = not self._opt_in_only
        self._signals = consent.signals
        self._purposes: tuple[tuple[str, Callable[[str], bool]], ...] = tuple(
            (purpose.name, EventPatterns(purpose.events).match) for purpose in consent.purposes
        )
        refused_by = {each: frozenset(p.name for p in consent.purposes if each in p.signals) for each in Signal}
        self._refused_by = {signal: names for signal, names in refused_by.items() if names}

    def refusal(self, record: Record, signals: frozenset[Signal]) -> Reason | None:
        """Why this record may not be kept, or None.

        In this order: what the person decided, the default for who decided nothing, a browser's signal that refuses
        everything, the purposes refused one by one: by the person (GDPR Article 6(1)(a)) or by the browser's signal
        (California Code of Regulations title 11, section 7025).
        """
        if record.state is not SubjectState.ACTIVE:
            held = refusal(record.state)
            if held is not None:
                return held
        elif self._opt_in_only and not (record.scope is Scope.EVENT and record.name == OPT_IN_EVENT):
            return Reason.NOT_OPTED_IN
        if signals and self._signals:
            for signal in self._signals:
                if signal in signals:
                    return _SIGNALS[signal]
        if record.scope is Scope.EVENT and self._purposes and (record.refused_purposes or signals):
            return self.purpose_refusal([name for name, serves in self._purposes if serves(record.name)], record, signals)
        return None

    def purpose_refusal(self, served: Collection[str], record: Record, signals: frozenset[Signal]) -> Reason | None:
        """Why an event or a property that serves these purposes may not be kept, or None: what serves several stays while
        one of them is not refused, and what serves none is not asked about."""
        refused_by = [(signal, names) for signal, names in self._refused_by.items() if signal in signals]
        refused = record.refused_purposes.union(*(names for _, names in refused_by))
        if not served or not refused.issuperset(served):
            return None
        # The signal is named before the person's own choice, so that its evidence is kept.
        return next((_SIGNALS[signal] for signal, names in refused_by if not names.isdisjoint(served)), Reason.PURPOSE_REFUSED)

    def heard(self, signals: frozenset[Signal]) -> tuple[Remark, ...]:
        """What is remarked on every record that passes although its request carried signals that refuse some purpose."""
        return tuple(Remark(CONSENT, "", ActionKind.KEEP, _SIGNALS[each]) for each in self._refused_by if each in signals)
