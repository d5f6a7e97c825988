"""Files in MaxMind's format with a few made-up networks, all of them ranges for documentation (RFC 5737, RFC 3849)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

BERLIN = {
    "country": {"iso_code": "DE", "names": {"en": "Germany"}},
    "subdivisions": [{"iso_code": "BE", "names": {"en": "Land Berlin"}}],
    "city": {"names": {"en": "Berlin", "de": "Berlin"}},
    "location": {"latitude": 52.5, "longitude": 13.4},
}
LYON = {
    "country": {"iso_code": "FR", "names": {"en": "France"}},
    "subdivisions": [{"iso_code": "ARA", "names": {"en": "Auvergne-Rhone-Alpes"}}],
    "city": {"names": {"en": "Lyon"}},
}


def write(path: Path, places: dict[str, Any] | None = None) -> Path:
    """A file of cities: 192.0.2.0/24 and 2001:db8::/32 lie in Berlin, unless told otherwise."""
    writer = MMDBWriter(6, "Test-City", languages=["en"], ipv4_compatible=True)
    for network, place in (places or {"192.0.2.0/24": BERLIN, "2001:db8::/32": BERLIN}).items():
        writer.insert_network(IPSet([network]), place)
    unfinished = path.with_suffix(".new")
    writer.to_db_file(str(unfinished))
    unfinished.replace(path)
    return path
