"""What a request itself says about its sender, apart from its records: a preference, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from policies.model import Signal

# Global Privacy Control (W3C, Sec-GPC) and Tracking Preference Expression (W3C, DNT): exactly `1` says no.
SIGNAL_HEADERS: Mapping[Signal, str] = {Signal.GPC: "Sec-GPC", Signal.DNT: "DNT"}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """One request. `ip` is the sender's address, and only where it may be used for a look-up; nothing keeps it."""

    ip: str | None = field(default=None, repr=False)
    signals: frozenset[Signal] = frozenset()


UNREMARKABLE = Circumstances()
"""A request that says nothing of its sender: that of a server."""


def heard(header: Callable[[str], str | None]) -> frozenset[Signal]:
    """The signals of a request; `header` gives the value of a header by its name."""
    return frozenset(signal for signal, name in SIGNAL_HEADERS.items() if (header(name) or "").strip() == "1")
