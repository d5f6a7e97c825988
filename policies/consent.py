"""Consent: whether anything at all may be kept about the person a record belongs to.

The state comes from the register, resolved in the transaction that stores the record; nothing is looked up
here.
"""

from __future__ import annotations

from policies.model import Reason, SubjectState

_REFUSALS = {
    SubjectState.OPTED_OUT: Reason.OPTED_OUT,
    SubjectState.RESTRICTED: Reason.RESTRICTED,
    # An erasure under way answers as a finished one: from acceptance on, nothing new may arrive.
    SubjectState.ERASING: Reason.ERASED,
    SubjectState.ERASED: Reason.ERASED,
}


def refusal(state: SubjectState) -> Reason | None:
    """The reason to refuse every record of a person in this state, or None when the person is active.

    Raises KeyError for a state nobody decided about, so that a new state fails closed.
    GDPR Articles 7(3) and 21 (opt-out), 18 (restriction), 17 (erasure).
    """
    return None if state is SubjectState.ACTIVE else _REFUSALS[state]
