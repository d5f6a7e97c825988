"""Whose address a request comes from, when it passed through proxies of ours (RFC 7239 says why a sender is not believed).

Each proxy appends the address that it saw to `X-Forwarded-For`, so the header is read from its end: what our own
proxies wrote is believed, and everything to the left of that was written by whoever sent the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

MOST_HOPS = 16
"""Nobody has more proxies in a row; a larger number is a mistake."""

_Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Either how many proxies of ours append to the header, or the networks in which they stand. Neither: none is believed."""

    hops: int = 0
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> TrustedProxies:
        """A number up to `MOST_HOPS`, or networks in CIDR notation (a bare address is one), separated by commas.

        Raises `ValueError` for anything else, also for an address with bits beyond its prefix.
        """
        if text.isascii() and text.isdigit():
            if int(text) > MOST_HOPS:
                raise ValueError("more proxies than anybody has")
            return cls(hops=int(text))
        return cls(networks=tuple(ip_network(part.strip()) for part in text.split(",")))

    def sender(self, peer: str, forwarded: str) -> str:
        """The address of whoever sent the request to the outermost proxy of ours; empty when that proxy did not know it.

        `peer` is the other end of the connection, `forwarded` the header as it arrived.
        """
        told = [part.strip() for part in forwarded.split(",")] if forwarded.strip() else []
        if self.hops:
            # Fewer than were said: the request did not come through all of them, so none of it is believed.
            return told[-self.hops] if len(told) >= self.hops else peer
        return self._rightmost_stranger([*told, peer])

    def _rightmost_stranger(self, way: Sequence[str]) -> str:
        for position in range(len(way) - 1, -1, -1):
            found = _address(way[position])
            if found is None:
                return way[position] if position == len(way) - 1 else ""
            if position == 0 or not any(found in network for network in self.networks):
                return str(found)
        return ""

    def __bool__(self) -> bool:
        return bool(self.hops or self.networks)


def behind(application: _Wsgi, trusted: TrustedProxies) -> _Wsgi:
    """The same WSGI application, which sees the sender's address in `REMOTE_ADDR`. Scheme and host stay as they arrived."""

    def unwrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        peer, forwarded = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        return application({**environ, "REMOTE_ADDR": trusted.sender(peer, forwarded)}, start_response)

    return unwrapped


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in one entry, with or without a port and brackets; an IPv4 address in IPv6 dress as what it is."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
