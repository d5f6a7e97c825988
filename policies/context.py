"""What a check needs besides the policy and the records: keys, and what the request itself said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias

from policies.cipher import TokenKey
from policies.geolocate import Whereabouts
from policies.model import Signal
from policies.pseudonym import PseudonymKey

Lookup: TypeAlias = Callable[[str], Whereabouts | None]
"""From an IP address as text to the place it is registered for; None when unknown. It must not raise."""


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The same for every record of one batch, which is one request.

    ``identifiers`` ``sealed``: the register replaces ``distinct_id``, ``$distinct_id``, ``$user_id`` and
    ``$device_id`` of events, so they are left alone. ``exposed``: the caller stores elsewhere, and ids that hold
    personal data become pseudonyms.
    ``bridge`` are older pseudonym keys within their bridge period, ``older`` those past it, whose pseudonyms are only
    recognised; ``tokens`` is the key of ``tokenise``, without which such values become placeholders. ``ip`` is the
    sender's address when it may be used for a look-up, ``places`` the look-up; ``signals`` the privacy preferences that
    the request carried.
    """

    pseudonyms: PseudonymKey
    _: KW_ONLY
    identifiers: Literal["sealed", "exposed"] = "sealed"
    bridge: tuple[PseudonymKey, ...] = ()
    older: tuple[PseudonymKey, ...] = ()
    tokens: TokenKey | None = None
    ip: str | None = field(default=None, repr=False)
    signals: frozenset[Signal] = frozenset()
    places: Lookup | None = None
