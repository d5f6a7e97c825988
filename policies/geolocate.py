"""Places: what becomes of addresses and of location properties, as rules that stand before the written ones.

Wire reference section 11: ``ip`` and ``$ip`` are consumed for a lookup and never stored. With the ladder at
``off`` there is no lookup either, and locations the sender supplies are removed as well, so that no precision
sneaks in through the payload.
"""

from __future__ import annotations

from policies.model import Drop, Geolocation, Reason, Rule, Sensitivity

AVAILABLE = frozenset({Geolocation.OFF})
"""The rungs of the ladder that this version can climb."""

_ADDRESSES = ("ip", "$ip")
_LOCATIONS = (
    "$city",
    "$region",
    "$country_code",
    "mp_country_code",
    "$latitude",
    "$longitude",
    "$timezone",
    "$geo_source",
)


def standing_rules(ladder: Geolocation) -> tuple[tuple[Rule, Reason], ...]:
    """The rules about addresses and places that precede every written rule, each with its reason.

    Raises ValueError for a rung that is not available; ``load`` refuses such a policy before.
    """
    if ladder not in AVAILABLE:
        raise ValueError(f"geolocation {ladder.value} is not available")
    return (
        (_dropping("ip", _ADDRESSES, "user.device.ip_address"), Reason.IP_NEVER_STORED),
        (_dropping("geolocation", _LOCATIONS, "user.location"), Reason.GEOLOCATION_OFF),
    )


def _dropping(rule_id: str, properties: tuple[str, ...], category: str) -> Rule:
    return Rule(rule_id, properties, category, Sensitivity.CONFIDENTIAL, Drop())
