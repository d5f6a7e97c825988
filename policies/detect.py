"""Personal data by its form: e-mail addresses, phone numbers, payment cards, IP addresses.

Two steps. ``Suspicion`` is one pass of an RE2 set over bytes that says which forms may be present; it is wide
and cheap. ``Scanner.find`` then looks at the text itself with exact patterns and validators; it is narrow and
dear. RE2 is linear in its input whatever that input is. It has no look-around, so what stands beside a match
is judged in Python. Where a pattern has a small fixed maximum length the standard engine is used, which then
is linear too and costs a tenth for each match.
"""

from __future__ import annotations

import html
import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import re2

from policies.cards import card_spans, is_card
from policies.cover import Cover
from policies.model import ActionKind, Detector, DetectorTerms, Reason, Sensitivity
from policies.phones import PhoneReader, is_region
from policies.text import fold, views

CATEGORIES = {
    Detector.EMAIL: "user.contact.email",
    Detector.PHONE: "user.contact.phone_number",
    Detector.CARD: "user.financial.credit_card",
    Detector.IP: "user.device.ip_address",
}
"""The fideslang category of what each detector finds; also the default purpose of its pseudonyms."""

REASONS = {
    Detector.EMAIL: Reason.DETECTED_EMAIL,
    Detector.PHONE: Reason.DETECTED_PHONE,
    Detector.CARD: Reason.DETECTED_CARD,
    Detector.IP: Reason.DETECTED_IP,
}

SENSITIVITIES = {
    Detector.EMAIL: Sensitivity.CONFIDENTIAL,
    Detector.PHONE: Sensitivity.CONFIDENTIAL,
    Detector.CARD: Sensitivity.RESTRICTED,
    Detector.IP: Sensitivity.INTERNAL,
}

__all__ = ["BLANK", "CATEGORIES", "JSON_STARTS", "PLACEHOLDERS", "REASONS", "SENSITIVITIES", "Finding", "Scanner", "is_region"]

BLANK = "\ufeff \t\r\n\x0b\x0c\xa0\u200b"
"""What may stand before a JSON text without making it less readable to a lenient parser."""

JSON_STARTS = ("{", "[", '"')
"""How a JSON text begins that can hide anything: numbers and constants are plain text."""

PLACEHOLDERS = {detector: f"[{detector.value}]" for detector in Detector}

_MAX_PASSES = 8
_SHORTEST_CARD = 13
_SET_MEMORY = 256 << 20

# What each form must contain, written over bytes (Latin-1) so that the automaton stays small. Every pattern
# must match wherever its exact detector would; it may match more.
_AT = r"(?:@|%40|\\u0040|&#0*64;|&#[xX]0*40;|&commat;)"
_BLANK = r"(?:\s|\\[nrtfb]|\\u00[01][0-9a-f]|[\x80-\xff])*"
_NOT_ZERO = r"(?:[1-9]\d{0,2}|0\d{1,2})"
_SUSPICIOUS: tuple[tuple[Detector | None, str], ...] = (
    (Detector.EMAIL, rf"[^\s@]{_AT}[^\s@]"),
    (Detector.PHONE, r"\+[ ]?\(?\d(?:[ .\-/()]{0,3}\d){6}"),
    (
        Detector.PHONE,
        "|".join(rf"\d{{{k}}}[ .\-/()]{{1,3}}\d(?:[ .\-/()]{{0,3}}\d){{{8 - k}}}" for k in range(1, 7)),
    ),
    (Detector.PHONE, r"\d{4}[ \-]\d{4}|\d\d[ .\-]\d\d[ .\-]\d\d[ .\-]\d\d|\d{3}[ \-]\d\d[ \-]\d{3}"),
    (Detector.CARD, r"\d(?:[ ._\-/]{0,3}\d){12}"),
    # Not N.0.0.0, the frozen version in every browser's User-Agent.
    (
        Detector.IP,
        rf"\d\.{_NOT_ZERO}\.\d{{1,3}}\.\d|\d\.\d{{1,3}}\.{_NOT_ZERO}\.\d|\d\.\d{{1,3}}\.\d{{1,3}}\.(?:[1-9]|0\d)",
    ),
    (Detector.IP, r"::|(?:[0-9A-Fa-f]{1,4}:){5}"),
    # Percent-encoding that could hide any of them: a sign, a separator between digits, or a digit.
    (None, r"%(?:40|2[Bb5]|3[0-9Aa])|\d%2[0DdEeFf]"),
    # A JSON text inside a string.
    (None, rf'"{_BLANK}(?:[\[{{]|\\")'),
)

_EMAIL = re2.compile(
    r"(?:\"[^\"\s@][^\"@]{0,62}\"|[\pL\pM\pN._%+\-'$*~^]+)"
    + _AT
    + r"(?:[\pL\pN_](?:[\pL\pM\pN_\-]*)(?:\.|%2[Ee]))+(?:[Xx][Nn]--[A-Za-z0-9\-]+|\pL[\pL\pM]+)"
)
_RETINA_IMAGE = re2.compile(r"(?i)^\d(?:\.\d)?x\.(?:png|jpe?g|gif|webp|svg|avif)$")
_IPV4 = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
_IPV6 = re2.compile(r"[0-9A-Fa-f:]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*")
_VERSION_BEFORE = re2.compile(r"(?i)(?:^|[^a-z])(?:v|ver|version|rev|build|release)[ .:=_\-]{0,3}$")
# A product token of a User-Agent (RFC 9110, section 10.1.5) just before a slash.
_PRODUCT_BEFORE = re2.compile(r"(?:^|[\s(;,])[A-Z][A-Za-z]+/$")
_VERSION = re2.compile(r"[vV]?\d+(?:\.\d+)+(?:[\-+.][0-9A-Za-z.\-+]*)?")
_UUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of personal data in a text: half-open span in characters, and its canonical form for a
    pseudonym."""

    detector: Detector
    start: int
    end: int
    canonical: str = field(repr=False)


class Suspicion:
    """The wide first pass, over UTF-8 bytes of plain text or of JSON."""

    __slots__ = ("_everything", "_meaning", "_sentinel", "_set")

    def __init__(self, detectors: Collection[Detector]) -> None:
        """Compile for the detectors that are switched on."""
        options = re2.Options()
        options.max_mem = _SET_MEMORY
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        self._meaning: list[frozenset[Detector]] = []
        self._everything = frozenset(detectors)
        for detector, pattern in _SUSPICIOUS:
            if detector is None or detector in detectors:
                self._set.Add(pattern)
                self._meaning.append(self._everything if detector is None else frozenset((detector,)))
        # A set that exhausts its memory answers "no match". This member matches the end of everything, so that
        # its absence tells such a failure from a clean text; matching everywhere would double the cost.
        self._sentinel = self._set.Add(r"\z")
        self._set.Compile()

    def name(self, name: str) -> bool:
        """Whether a name may hold personal data."""
        return self.any(name.encode("utf-8", "surrogatepass"))

    def any(self, encoded: bytes) -> bool:
        """Whether anything at all deserves a closer look, including a failure of the engine itself."""
        found = self._set.Match(encoded)
        if found is None or len(found) > 1:
            return True
        if encoded.isascii():
            return False
        found = self._set.Match(fold(encoded.decode("utf-8", "replace")).encode("utf-8", "replace"))
        return found is None or len(found) > 1

    def of(self, text: str) -> frozenset[Detector]:
        """The detectors worth running on ``text``; all of them when the engine fails."""
        found = self._set.Match(text.encode("utf-8", "surrogatepass"))
        if found is None:
            return self._everything
        if len(found) == 1:
            return _NOTHING
        return frozenset().union(*(self._meaning[i] for i in found if i != self._sentinel))


_NOTHING: frozenset[Detector] = frozenset()


class Scanner:
    """Both passes for one policy. Safe to share between threads; keeps nothing it has read."""

    __slots__ = ("_detectors", "_phones", "suspicion")

    def __init__(self, terms: Mapping[Detector, DetectorTerms], default_region: str) -> None:
        """Compile for the detectors that are switched on and the region of numbers written without a
        country."""
        self._detectors = frozenset(each for each, its in terms.items() if its.action is not ActionKind.KEEP)
        self._phones = PhoneReader(default_region)
        self.suspicion = Suspicion(self._detectors)

    def is_doubtful(self, text: str) -> bool:
        """Whether a string may hold personal data or a JSON text; the cheap question before ``scrub``."""
        if text.isalnum() and text.isascii() and len(text) < _SHORTEST_CARD:
            # A plain word or a short number: nothing the detectors know is written without a sign or a separator.
            return False
        return text.lstrip(BLANK)[:1] in JSON_STARTS or self.suspicion.any(text.encode("utf-8", "surrogatepass"))

    def scrub(self, text: str, replacement: Callable[[Finding], str], name: str = "") -> str:
        """``text`` with every finding replaced; the same object when there is none.

        Every plain form of the text is searched (folded, percent-decoded). Where only a plain form shows
        something, that form is what remains. ``name`` is that of the property; one that ends in ``version`` holds a
        version number. Raises ValueError for a text that does not come to rest, so that the record is refused.
        """
        for _ in range(_MAX_PASSES):
            form, found = self._first_showing(text, name)
            if not found:
                return text
            text = _replaced(form, found, replacement)
        raise ValueError("a text keeps showing new findings")

    def _first_showing(self, text: str, name: str) -> tuple[str, list[Finding]]:
        for form in views(text):
            found = self.find(form, name)
            if found:
                return form, found
        return text, []

    def find(self, text: str, name: str = "") -> list[Finding]:
        """Everything exact detectors see in this very text, in order and without overlaps."""
        wanted = self.suspicion.of(text)
        if not wanted or (name.endswith("version") and _VERSION.fullmatch(text)):
            return []
        covered = Cover(text)
        found = [
            one for detector, finder in _BY_FORM if detector in wanted for one in finder(text) if covered.take(one.start, one.end)
        ]
        if Detector.PHONE in wanted:
            # Last, because digits that are part of anything else are no phone number.
            found += [one for one in self._phone_numbers(text, covered) if covered.take(one.start, one.end)]
        return sorted(found, key=lambda one: one.start)

    def number(self, value: float, name: str = "") -> Finding | None:  # noqa: ARG002
        """The card number that a JSON number is, if it is one."""
        if Detector.CARD not in self._detectors or not 10**12 <= abs(value) < 10**19:
            return None
        if isinstance(value, float) and not value.is_integer():
            return None
        digits = str(abs(int(value)))
        return Finding(Detector.CARD, 0, len(digits), digits) if is_card(digits) else None

    def _phone_numbers(self, text: str, covered: Cover) -> Iterator[Finding]:
        for start, end in _uuids(text):
            covered.take(start, end)
        for start, end, canonical in self._phones.find(text, covered):
            yield Finding(Detector.PHONE, start, end, canonical)


def _emails(text: str) -> Iterator[Finding]:
    for match in _EMAIL.finditer(text):
        address = views(html.unescape(match.group().replace("\\u0040", "@")))[-1]
        if not _RETINA_IMAGE.match(address.rpartition("@")[2]):
            yield Finding(Detector.EMAIL, match.start(), match.end(), address)


def _cards(text: str) -> Iterator[Finding]:
    uuids = Cover(text)
    for start, end in _uuids(text):
        uuids.take(start, end)
    for start, end, digits in card_spans(text):
        if uuids.is_free(start, end):
            yield Finding(Detector.CARD, start, end, digits)


def _uuids(text: str) -> Iterator[tuple[int, int]]:
    """The spans of UUIDs, whose digits are neither cards nor phones."""
    return (match.span() for match in (_UUID.finditer(text) if text.count("-") >= 4 else ()))


def _addresses(text: str) -> Iterator[Finding]:
    # The longer form first: it may end in the shorter one (``::ffff:192.0.2.1``).
    for finder, pattern, mark, least in ((_ipv6, _IPV6, ":", 2), (_ipv4, _IPV4, ".", 3)):
        for match in pattern.finditer(text) if text.count(mark) >= least else ():
            found = finder(text, match.start(), match.end())
            if found:
                yield found


def _ipv4(text: str, start: int, end: int) -> Finding | None:
    before, after = text[max(0, start - 40) : start], text[end : end + 2]
    if before[-1:].isdigit() or after[:1].isdigit():
        return None
    # Five numbers or more in a row are a version or an object identifier.
    if (before[-1:] == "." and before[-2:-1].isdigit()) or (after[:1] == "." and after[1:2].isdigit()):
        return None
    octets = [int(part) for part in text[start:end].split(".")]
    # The network N.0.0.0 is no host; it is how browsers freeze the version in their User-Agent.
    if max(octets) > 255 or octets[1:] == [0, 0, 0]:
        return None
    if _VERSION_BEFORE.search(before) or _PRODUCT_BEFORE.search(before):
        return None
    return Finding(Detector.IP, start, end, ".".join(map(str, octets)))


def _ipv6(text: str, start: int, end: int) -> Finding | None:
    # Punctuation of the sentence may be caught at either end; a double colon there belongs to the address.
    while end > start and (text[end - 1] == "." or (text[end - 1] == ":" and text[end - 2 : end - 1] != ":")):
        end -= 1
    if text[start] == ":" and text[start + 1 : start + 2] != ":":
        start += 1
    address = text[start:end]
    if len(address) > 45:
        return None
    # ``Foo::Bar``, ``std::a1`` and ``dead::beef`` are names in programs far more often than addresses.
    short = len(address.replace("::", ":").split(":")) < 4
    glued = _is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])
    if short and (glued or not any(char.isdigit() for char in address)):
        return None
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return None
    return Finding(Detector.IP, start, end, str(parsed))


def _is_word(char: str) -> bool:
    """Whether a neighbour glues a match into a longer word. Only ASCII: scripts without spaces must not hide
    one."""
    return char == "_" or (char.isascii() and char.isalnum())


_BY_FORM: tuple[tuple[Detector, Callable[[str], Iterator[Finding]]], ...] = (
    (Detector.EMAIL, _emails),
    (Detector.CARD, _cards),
    (Detector.IP, _addresses),
)


def _replaced(text: str, found: list[Finding], replacement: Callable[[Finding], str]) -> str:
    parts: list[str] = []
    position = 0
    for one in found:
        parts += text[position : one.start], replacement(one)
        position = one.end
    return "".join(parts) + text[position:]
