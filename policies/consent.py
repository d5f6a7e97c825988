"""Consent: whether anything at all may be kept about the person a record belongs to.

What the register knows of the person was resolved in the transaction that stores the record; nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Callable

from policies.classify import EventPatterns
from policies.model import Consent, Consented, Reason, Record, Scope, Signal, SubjectState

_REFUSALS = {
    SubjectState.OPTED_OUT: Reason.OPTED_OUT,
    SubjectState.RESTRICTED: Reason.RESTRICTED,
    # An erasure under way answers as a finished one: from acceptance on, nothing new may arrive.
    SubjectState.ERASING: Reason.ERASED,
    SubjectState.ERASED: Reason.ERASED,
}
_ACCEPTED = frozenset({SubjectState.ACTIVE, SubjectState.OPTED_IN})
_SIGNALS = {Signal.GPC: Reason.GPC_SIGNAL, Signal.DNT: Reason.DNT_SIGNAL}

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

    __slots__ = ("_opt_in_only", "_purposes", "_signals", "lenient")

    def __init__(self, consent: Consent) -> None:
        """Compile the purposes' event patterns."""
        self._opt_in_only = consent.default is Consented.OPTED_OUT
        # Whether nothing is asked of people who decided nothing and whose request carries no signal.
        self.lenient = not self._opt_in_only
        self._signals = consent.signals
        self._purposes: tuple[tuple[str, Callable[[str], bool]], ...] = tuple(
            (purpose.name, EventPatterns(purpose.events).match) for purpose in consent.purposes
        )

    def refusal(self, record: Record, signals: frozenset[Signal]) -> Reason | None:
        """Why this record may not be kept, or None.

        In this order: what the person decided, the default for who decided nothing, the browser's signal (California
        Code of Regulations title 11, section 7025), the purposes refused one by one (GDPR Article 6(1)(a)).
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
        if record.refused_purposes and record.scope is Scope.EVENT and self._purposes:
            return self._purpose_refusal(record)
        return None

    def _purpose_refusal(self, record: Record) -> Reason | None:
        """An event that serves several purposes stays while one of them is not refused."""
        served = [name for name, serves in self._purposes if serves(record.name)]
        if served and record.refused_purposes.issuperset(served):
            return Reason.PURPOSE_REFUSED
        return None
