"""Where a project's events may be forwarded to: the published hosts, their regions, and what is refused. Pure.

Wire sections 1 and 23: residency is chosen when a project is created, and data of one region must not be sent to another.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.errors import Conflict, InvalidInput

REGIONS = {
    "api.mixpanel.com": "us",
    "api-js.mixpanel.com": "us",
    "api-eu.mixpanel.com": "eu",
    "api-in.mixpanel.com": "in",
}
"""The vendor's ingestion hosts and where each of them keeps data."""
_REQUESTS = {
    "api.mixpanel.com": "mixpanel.com",
    "api-js.mixpanel.com": "mixpanel.com",
    "api-eu.mixpanel.com": "eu.mixpanel.com",
    "api-in.mixpanel.com": "in.mixpanel.com",
}
UNBOUND = "default"
"""The region of a project that was created without one: it is bound by the first collector that it gets."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A collector: `base` is scheme, host and port without a path; `region` is where it keeps data, in lower case."""

    base: str
    region: str

    @property
    def requests(self) -> str:
        """Where deletions and retrievals are asked for: the vendor has a host of its own for that, in the same region."""
        scheme, _, host = self.base.partition("://")
        return f"{scheme}://{_REQUESTS.get(host, host)}"


def destination(url: str, region: str | None = None) -> Destination:
    """Read a collector's address. `region` is needed for a host that is not one of the vendor's, and refused if it
    contradicts one that is.

    Raises `InvalidInput` for anything but `https://host[:port]`; plain http only on this machine, for development.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _unusable() from None
    if not host or parts.username or parts.query or parts.fragment or parts.path.rstrip("/"):
        raise _unusable()
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_this_machine(host)):
        raise _unusable()
    published = REGIONS.get(host)
    said = region.lower() if region else published
    if said is None:
        raise InvalidInput(
            "this host is not one of the vendor's, so its region must be said",
            field="region",
            remedy="add region, for example eu",
        )
    if published and said != published:
        raise InvalidInput(
            f"this host keeps data in region {published}", field="region", remedy=f"leave it out or say {published}"
        )
    name = f"[{host}]" if ":" in host else host
    return Destination(f"{parts.scheme}://{name}" + (f":{port}" if port else ""), said)


def refuse_crossing(project_region: str, to: Destination) -> None:
    """Raises `Conflict` when data of a project in `project_region` would leave that region."""
    if project_region != UNBOUND and project_region.lower() != to.region:
        raise Conflict(
            f"the project's data may not leave region {project_region}, and this collector keeps data in {to.region}",
            field="url",
            remedy="choose the collector of that region; the region of a project never changes",
        )


def _unusable() -> InvalidInput:
    return InvalidInput(
        "the address of a collector is https://host or https://host:port, without path, user or query",
        field="url",
        remedy="say https://api-eu.mixpanel.com, for example; plain http is for this machine only",
    )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
