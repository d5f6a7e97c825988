"""From an IP address to a place, by a file in MaxMind's format that the operator gives (wire section 11).

The address lives as long as the look-up; a bounded memory of recent answers is all that remembers it, in this process.
A look-up never raises: whatever is wrong with the address or the file, the answer is that the place is unknown.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog

from app.errors import StartupRefused
from policies.geolocate import Whereabouts

_REMEMBERED = 8_192
# A replaced file is seen within this many seconds.
_LOOK_AGAIN_S = 1.0
_LANGUAGE = "en"

# What no registry gives to anybody: the address says nothing about a place. Ranges for documentation are looked up like
# any other, because test data uses them.
_UNPLACED = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
            *("224.0.0.0/3", "::/127", "fc00::/7", "fe80::/10", "ff00::/8"),
        ),
    )
)


class Outcome(StrEnum):
    """How a look-up ended. A closed list: it labels a metric."""

    FOUND = "found"
    UNKNOWN = "unknown"
    PRIVATE = "private"
    INVALID = "invalid"
    NO_FILE = "no_file"
    FAILED = "failed"


class FileState(StrEnum):
    """What `/readyz` says of the file."""

    OFF = "off"
    READY = "ok"
    # The file on disk cannot be read any more; the one that was read last still answers.
    STALE = "stale"
    UNREADABLE = "unreadable"


class Places:
    """Looks places up. Safe to share between threads; opens the file when it is first needed."""

    def __init__(self, path: Path | None, count: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._count = count
        self._clock = clock
        self._find: Callable[[bytes], Whereabouts | None] | None = None
        self._seen: tuple[int, ...] | None = None
        self._look_at = 0.0
        self._warned = False
        self._state = FileState.OFF

    def refuse_unusable(self) -> None:
        """Raises `StartupRefused` when a file was named and cannot be used."""
        if self._path is not None:
            self._seen, self._find = _stamp(self._path), _finder(self._path)
            self._state = FileState.READY

    @property
    def configured(self) -> bool:
        """Whether a file was named at all."""
        return self._path is not None

    def state(self) -> FileState:
        """How things stand with the file, now."""
        if self._path is not None:
            self._refresh(self._path)
        return self._state

    def look_up(self, address: str) -> Whereabouts | None:
        """Where this address is registered, or None. IPv4, IPv6 and IPv4 written as IPv6 alike. Never raises."""
        if self._path is None:
            self._warn_once()
            self._count(Outcome.NO_FILE)
            return None
        try:
            found, outcome = self._looked_up(self._path, address)
        except Exception:  # A damaged file raises whatever its bytes lead to, and a place is never worth a batch.
            found, outcome = None, Outcome.FAILED
        self._count(outcome)
        return found

    def _looked_up(self, path: Path, address: str) -> tuple[Whereabouts | None, Outcome]:
        ip = address_of(address)
        if ip is None:
            return None, Outcome.INVALID
        if any(ip.version == network.version and ip in network for network in _UNPLACED):
            return None, Outcome.PRIVATE
        self._refresh(path)
        if self._find is None:
            return None, Outcome.FAILED
        found = self._find(ip.packed)
        return found, Outcome.UNKNOWN if found is None else Outcome.FOUND

    def _refresh(self, path: Path) -> None:
        """Open the file again when it was replaced. One that cannot be read leaves the one before in use."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_AGAIN_S
        try:
            seen = _stamp(path)
            if seen != self._seen or self._find is None:
                self._find, self._seen = _finder(path), seen
                structlog.get_logger().info("geolocation_file_opened")
            self._state = FileState.READY
        except StartupRefused:
            wrong = FileState.UNREADABLE if self._find is None else FileState.STALE
            if self._state is not wrong:
                structlog.get_logger().warning("geolocation_file_unusable", state=wrong.value)
            self._state = wrong

    def _warn_once(self) -> None:
        if not self._warned:
            self._warned = True
            structlog.get_logger().warning("geolocation_without_file", remedy="set GEOIP_DB, or geolocation: off in the policy")


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address as senders and proxies write it: with a port, in brackets, with a zone, IPv4 within IPv6."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        ip = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


# --- the file --------------------------------------------------------------------------------------------------------


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        raise _unusable("cannot be read", "name a file that this process may read, or unset GEOIP_DB") from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _finder(path: Path) -> Callable[[bytes], Whereabouts | None]:
    """A look-up in the file as it is now, with a bounded memory. Raises `StartupRefused`."""
    try:
        import maxminddb  # noqa: PLC0415 - optional: only who names a file needs the library
    except ImportError:
        raise _unusable("needs the library maxminddb", "install portcullis[geoip], or unset GEOIP_DB") from None
    try:
        reader = maxminddb.open_database(path)
    except (maxminddb.InvalidDatabaseError, ValueError):
        raise _unusable("is not a file in MaxMind's format", "download an .mmdb file of cities or countries") from None
    except OSError:
        raise _unusable("cannot be read", "name a file that this process may read, or unset GEOIP_DB") from None
    narrow = reader.metadata().ip_version == 4

    @lru_cache(maxsize=_REMEMBERED)
    def find(packed: bytes) -> Whereabouts | None:
        # A file of IPv4 alone knows nothing of IPv6, and says so by raising.
        return None if narrow and len(packed) == 16 else _whereabouts(reader.get(ipaddress.ip_address(packed)))

    return find


def _unusable(what: str, remedy: str) -> StartupRefused:
    return StartupRefused(f"the file of GEOIP_DB {what}", field="GEOIP_DB", remedy=remedy)


def _whereabouts(record: Any) -> Whereabouts | None:
    """The place in a record of GeoLite2, GeoIP2, DB-IP and the like; None when it names no country."""
    if not isinstance(record, dict):
        return None
    divisions = record.get("subdivisions")
    found = Whereabouts(
        _text(record.get("country"), "iso_code"),
        _name(divisions[0]) if isinstance(divisions, list) and divisions else None,
        _name(record.get("city")),
    )
    return None if found == Whereabouts() else found


def _name(part: Any) -> str | None:
    return _text(part.get("names"), _LANGUAGE) if isinstance(part, dict) else None


def _text(part: Any, key: str) -> str | None:
    value = part.get(key) if isinstance(part, dict) else None
    return value if isinstance(value, str) and value else None
