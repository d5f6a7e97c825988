"""Places: what becomes of addresses and of location properties, as rules that stand before the written ones, and what
a look-up may add.

Wire reference section 11: ``ip`` and ``$ip`` are consumed for a look-up and never stored. The ladder holds for what the
sender supplies as for what is looked up, so that no precision sneaks in through the payload: each rung allows what
stands on it and below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from policies.model import Action, Drop, Generalise, Geolocation, Keep, Reason, Rule, Scope, Sensitivity

_ADDRESSES = ("ip", "$ip")
_LADDER = (Geolocation.OFF, Geolocation.COUNTRY, Geolocation.REGION, Geolocation.CITY)
# The rung from which on a property may stay. The name of a time zone names a city, often the only one near.
_COUNTRY = ("$country_code", "mp_country_code", "$geo_source")
_REGION = ("$region", "$timezone")
_CITY = ("$city",)
_COORDINATES = ("$latitude", "$longitude")
# The width of the square that a coordinate names: 1 degree is 111 km from south to north.
_DEGREES = {Geolocation.REGION: 1.0, Geolocation.CITY: 0.1}


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The place an IP address is registered for: an ISO 3166 country code, and names as the data file has them."""

    country: str | None = field(default=None, repr=False)
    region: str | None = field(default=None, repr=False)
    city: str | None = field(default=None, repr=False)


def standing_rules(ladder: Geolocation) -> tuple[tuple[Rule, Reason], ...]:
    """The rules about addresses and places that precede every written rule, each with its reason."""
    reason = Reason.GEOLOCATION_OFF if ladder is Geolocation.OFF else Reason.GEOLOCATION_COARSENED
    allowed: list[str] = []
    refused: list[str] = []
    for rung, names in ((Geolocation.COUNTRY, _COUNTRY), (Geolocation.REGION, _REGION), (Geolocation.CITY, _CITY)):
        (allowed if _reaches(ladder, rung) else refused).extend(names)
    rules = [(_rule("ip", _ADDRESSES, Drop(), "user.device.ip_address"), Reason.IP_NEVER_STORED)]
    if ladder in _DEGREES:
        rules.append((_rule("geolocation", _COORDINATES, Generalise(bucket=_DEGREES[ladder])), reason))
    else:
        refused += _COORDINATES
    if refused:
        rules.append((_rule("geolocation", tuple(refused), Drop()), reason))
    if allowed:
        rules.append((_rule("geolocation", tuple(allowed), Keep()), reason))
    return tuple(rules)


def looked_up(ladder: Geolocation, scope: Scope, found: Whereabouts) -> Iterator[tuple[str, str]]:
    """The properties that the ladder lets a look-up add, by the names that Mixpanel gives them (wire section 11)."""
    country = "$country_code" if scope is Scope.PROFILE else "mp_country_code"
    for rung, name, value in (
        (Geolocation.COUNTRY, country, found.country),
        (Geolocation.REGION, "$region", found.region),
        (Geolocation.CITY, "$city", found.city),
    ):
        if value and _reaches(ladder, rung):
            yield name, value


def _reaches(ladder: Geolocation, rung: Geolocation) -> bool:
    return _LADDER.index(ladder) >= _LADDER.index(rung)


def _rule(rule_id: str, properties: tuple[str, ...], action: Action, category: str = "user.location") -> Rule:
    return Rule(rule_id, properties, category, Sensitivity.CONFIDENTIAL, action)
