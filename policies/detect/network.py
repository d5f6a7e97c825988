"""Addresses of devices: IPv4 (RFC 791), IPv6 (RFC 4291 and 5952) and MAC (IEEE 802)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import re2

from policies.detect.kinds import BEGIN, NOT_AFTER, NOT_BEFORE, Candidate, Form, judged, numbers_judged
from policies.model import Detector

_IPV4 = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])(?!\.[0-9])")
# Maximal runs: the first part is bounded and the second cannot fail, so this is linear.
_IPV6 = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]+")
_LONGEST_IPV6 = 45
_VERSION_WORDS = (
    r"v|ver|vers|version|versions|rev|revision|build|release|rel|section|sect|sec|chapter|clause|paragraph|para|figure|fig|"
    r"table|appendix|article|kernel|firmware|fw|driver|assembly|fileversion|productversion|sdk|patch|upgraded? to|updated? to|"
    r"downgraded? to|oid|§"
)
_VERSION_ENDS = (" to", *(word for word in _VERSION_WORDS.split("|") if not word.endswith(" to")))
# The longest word and what may follow it, and more than a letter before.
_VERSION_LENGTH = 28
# By RE2, which reads what must stand at the end from there backwards.
_VERSION_BEFORE = re2.compile(rf"(?i)(?:^|[^a-z])(?:{_VERSION_WORDS})[ ]?[\"'`]?[ .:=_\-/]{{0,3}}[\"'`(]?v?$")
# A product of a User-Agent (RFC 9110, section 10.1.5) just before a slash, or a word that a package's version follows.
_PRODUCT_BEFORE = re.compile(r"(?:^|[^\w/.@\-])[A-Za-z][A-Za-z0-9+_\-]*/$|\.[A-Z][A-Za-z]+/$|(?:==|>=|<=|~=|\^|~> ?|@)$")
_PRODUCT_ENDS = ("/", "=", "^", "@", "~>", "~> ")
_VERSION_AFTER = re.compile(
    r"(?i)[-_.+](?:alpha|beta|rc|snapshot|dev|final|release|ga|tar|zip|whl|jar|dll|exe|deb|rpm|msi|dmg|pkg|apk|amd64|x86|x64|arm|linux|win|el[0-9]|[a-z]+\.(?:rpm|deb|jar|whl|zip|tar))"
)
_HOST_WORD = re.compile(r"(?i)(?:\bips?|ip[_ .\-]?addr|address|host|client|server|peer|remote|gateway|from|proxy|forwarded)")
_LIST_OF_VERSIONS = re.compile(r"(?i)\b(?:versions?|releases?|builds?)\b[^.!?\n]{0,40}$")
_MAC = re.compile(
    rf"{NOT_AFTER}(?<![^0-9A-Za-z][0-9A-Fa-f]{{2}}[:\-])(?<!^[0-9A-Fa-f]{{2}}[:\-])(?<![0-9A-Fa-f]{{4}}\.)(?:[0-9A-Fa-f]{{2}}(?::[0-9A-Fa-f]{{2}}){{5}}|[0-9A-Fa-f]{{2}}(?:-[0-9A-Fa-f]{{2}}){{5}}"
    rf"|[0-9A-Fa-f]{{4}}\.[0-9A-Fa-f]{{4}}\.[0-9A-Fa-f]{{4}}){NOT_BEFORE}(?![:.\-][0-9A-Za-z])"
)
_NOBODY = frozenset({"000000000000", "ffffffffffff"})


def _ipv4s(text: str) -> Iterator[Candidate]:
    return numbers_judged(_IPV4, text, _host)


def _host(match: re.Match[str]) -> str | None:
    octets = [int(part) for part in match.group().split(".")]
    # The network N.0.0.0 is no host; it is how browsers freeze the version in their User-Agent.
    if max(octets) > 255 or octets[1:] == [0, 0, 0] or _is_version(match.string, *match.span()):
        return None
    return ".".join(map(str, octets))


def _is_version(text: str, start: int, end: int) -> bool:
    """Whether what stands around four numbers says that they are a version or a section."""
    before = text[max(0, start - 64) : start]
    if _VERSION_AFTER.match(text, end, end + 24):
        return True
    # The quick looks are at what each pattern must have; most numbers stand after nothing of the kind.
    if before.endswith(_PRODUCT_ENDS) and _PRODUCT_BEFORE.search(before) and not before.endswith("//"):
        return not _HOST_WORD.search(before[-16:])
    lowered = before.lower()
    if lowered.rstrip(" \"'`.:=_-/(").endswith(_VERSION_ENDS) and _VERSION_BEFORE.search(before[-_VERSION_LENGTH:]):
        return True
    if "version" not in lowered and "release" not in lowered and "build" not in lowered:
        return False
    return _LIST_OF_VERSIONS.search(before) is not None and not _HOST_WORD.search(before)


def _ipv6s(text: str) -> Iterator[Candidate]:
    for match in _IPV6.finditer(text) if text.count(":") >= 2 else ():
        start, end = match.span()
        if match.group().count(":") < 2 or (end - start > _LONGEST_IPV6 + 2 and "::" not in match.group()[:_LONGEST_IPV6]):
            yield start, end, None
        else:
            yield _ipv6(text, start, end) or (start, end, None)


def _ipv6(text: str, start: int, end: int) -> Candidate | None:
    # Punctuation of the sentence may be caught at either end; a double colon there belongs to the address.
    while end > start and (text[end - 1] == "." or (text[end - 1] == ":" and text[end - 2 : end - 1] != ":")):
        end -= 1
    if _is_word(text[start - 1 : start]) and text[start] != ":":
        # The last letters of a word and its colon, as in ``note:2001:db8::1``.
        start = text.index(":", start)
    if text[start] == ":" and text[start + 1 : start + 2] != ":":
        start += 1
    address = text[start:end]
    if not 2 < len(address) <= _LONGEST_IPV6:
        return None
    # ``Foo::Bar``, ``std::a1`` and ``dead::beef`` are names in programs far more often than addresses.
    groups = address.replace("::", ":").split(":")
    glued = _is_word(text[start - 1 : start]) or _is_word(text[end : end + 1]) or text[end : end + 1] == "-"
    if len(groups) < 4 and (glued or not any(char.isdigit() for char in address)):
        return None
    if "::" not in address and all(len(group) == 2 for group in groups):
        # Eight pairs are an EUI-64 or a piece of a fingerprint.
        return None
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return None
    return start, end, str(parsed)


def _macs(text: str) -> Iterator[Candidate]:
    return judged(_MAC, text, _maker)


def _maker(match: re.Match[str]) -> str | None:
    written = match.group()
    digits = re.sub(r"[:.\-]", "", written).lower()
    lettered = any(char.isalpha() for char in digits)
    # Twelve plain digits with dots are an amount, and with dashes a date and time, unless a maker's zeros begin them.
    if digits in _NOBODY or not (lettered or ":" in written or (digits[0] == "0" and "-" in written)):
        return None
    if ":" in written and not lettered and digits[:2] != "00" and all(int(digits[i : i + 2]) < 60 for i in range(0, 12, 2)):
        return None
    return digits


def _is_word(char: str) -> bool:
    """Whether a neighbour glues a match into a longer word. Only ASCII: scripts without spaces must not hide
    one."""
    return char == "_" or (char.isascii() and char.isalnum())


_NOT_ZERO = r"(?:[1-9]\d{0,2}|0\d{1,2})"

NETWORK_FORMS = (
    # The longer form first: it may end in the shorter one (``::ffff:192.0.2.1``).
    Form(Detector.IP, _ipv6s, r"[0-9A-Fa-f]{1,4}::|::[0-9A-Fa-f]|(?:[0-9A-Fa-f]{1,4}:){6}", 0.95),
    # Not N.0.0.0, the frozen version in every browser's User-Agent.
    Form(
        Detector.IP,
        _ipv4s,
        rf"\d\.{_NOT_ZERO}\.\d{{1,3}}\.\d|\d\.\d{{1,3}}\.{_NOT_ZERO}\.\d|\d\.\d{{1,3}}\.\d{{1,3}}\.(?:[1-9]|0\d)",
        0.95,
    ),
    Form(
        Detector.MAC,
        _macs,
        BEGIN + r"[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})",
    ),
)
"""IPv6, IPv4, MAC."""
