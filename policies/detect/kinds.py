"""What a finding is, what the detectors are called outside, and what a form of personal data is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from policies.model import Detector, Reason, Sensitivity

CATEGORIES: Final[Mapping[Detector, str]] = {
    Detector.EMAIL: "user.contact.email",
    Detector.PHONE: "user.contact.phone_number",
    Detector.CARD: "user.financial.credit_card",
    Detector.IBAN: "user.financial.bank_account",
    Detector.SSN: "user.government_id.national_identification_number",
    Detector.NATIONAL_ID: "user.government_id.national_identification_number",
    Detector.IP: "user.device.ip_address",
    Detector.MAC: "user.device.device_id",
    Detector.JWT: "user.authorization.credentials",
    Detector.SECRET: "user.authorization.credentials",
    Detector.URL_CREDENTIALS: "user.authorization.credentials",
    Detector.COORDINATES: "user.location.precise",
    Detector.BIRTH_DATE: "user.demographic.date_of_birth",
    Detector.CRYPTO_ADDRESS: "user.financial",
}
"""The fideslang category of what each detector finds; also the default purpose of its pseudonyms."""

REASONS: Final[Mapping[Detector, Reason]] = {detector: Reason(f"detected_{detector}") for detector in Detector}

SENSITIVITIES: Final[Mapping[Detector, Sensitivity]] = {
    Detector.CARD: Sensitivity.RESTRICTED,
    Detector.IBAN: Sensitivity.RESTRICTED,
    Detector.SSN: Sensitivity.RESTRICTED,
    Detector.NATIONAL_ID: Sensitivity.RESTRICTED,
    Detector.SECRET: Sensitivity.RESTRICTED,
    Detector.JWT: Sensitivity.RESTRICTED,
    Detector.URL_CREDENTIALS: Sensitivity.RESTRICTED,
    Detector.EMAIL: Sensitivity.CONFIDENTIAL,
    Detector.PHONE: Sensitivity.CONFIDENTIAL,
    Detector.BIRTH_DATE: Sensitivity.CONFIDENTIAL,
    Detector.COORDINATES: Sensitivity.CONFIDENTIAL,
    Detector.CRYPTO_ADDRESS: Sensitivity.CONFIDENTIAL,
    Detector.IP: Sensitivity.INTERNAL,
    Detector.MAC: Sensitivity.INTERNAL,
}
"""How harmful it is when what a detector finds gets out."""

PLACEHOLDERS: Final[Mapping[Detector, str]] = {detector: f"[{detector.value}]" for detector in Detector}

BLANK: Final = "\ufeff \t\r\n\x0b\x0c\xa0\u200b\x00\x1c\x1d\x1e\x1f\x85\u2028\u2029\u2060\ufffd"
"""What may stand before a JSON text without making it less readable to a lenient parser."""

JSON_STARTS: Final = ("{", "[", '"')
"""How a JSON text begins that can hide anything: numbers and constants are plain text."""

BEGIN: Final = r"(?:^|[^0-9A-Za-z]|\\(?:[nrtbf]|u00[01][0-9a-f]))"
"""For patterns over bytes: no ASCII letter or digit stands before, escapes of a JSON text aside."""

DIGITS: Final = BEGIN + r"(?:[A-Za-z]{1,4}[ \-]?)?\d(?:[ \-/+]?\d){5}|\d\.\d{2,3}\.\d{2}|\d{3}[ \-]?\d{3}\.\d{3}"
"""What every number of six digits or more contains, with up to four letters before it, in groups or with dots; the shared pattern of forms that need a word anyway."""

END: Final = r"(?:[^0-9A-Za-z]|$)"
"""For patterns over bytes: no ASCII letter or digit follows."""

NOT_AFTER: Final = r"(?<![0-9A-Za-z])"
"""The same as ``BEGIN`` for exact patterns. Only ASCII: scripts without spaces must not hide a number."""

NOT_BEFORE: Final = r"(?![0-9A-Za-z])"
"""The same as ``END`` for exact patterns."""

MAX_JUDGED: Final = 1_000
"""How many candidates of all forms together are judged in one text, beyond its first ``ALWAYS_JUDGED`` characters; one
that is found counts as five. A text with more is no ordinary text: from the first candidate that is not judged it is one finding to its end, so that
flooding the gate neither stalls it nor slips anything through."""

ALWAYS_JUDGED: Final = 2_048
"""How many characters of a text are judged however many candidates they hold."""

Candidate: TypeAlias = tuple[int, int, str | None]
"""Start, end, and canonical form; None where a validator says that it is nothing."""


class Finding(NamedTuple):
    """One piece of personal data in a text: half-open span in characters, its canonical form for a pseudonym, and
    how sure the detector is, from 0 to 1."""

    detector: Detector
    start: int
    end: int
    canonical: str
    confidence: float = 1.0

    def __repr__(self) -> str:
        """Without the value."""
        return f"Finding({self.detector}, {self.start}, {self.end}, {self.confidence})"


@dataclass(frozen=True, slots=True)
class Form:
    """One way in which personal data is written.

    ``find`` yields what in a text has the form, judged by its validators, from left to right: nothing that comes later
    begins before something that came earlier. ``others`` do the same with other patterns. ``pattern`` is what such a text must contain,
    as RE2 over the bytes of the text or of its JSON form: it may match more and never
    less; empty when only words and names can tell. A span is trusted
    as far as ``alone``, and as far as ``beside`` when one of ``words`` stands near or in the name of the property
    (a word that begins with ``=`` counts in names only). ``adjacent`` 1 wants no
    other number and word between the word and the span, 2 no other number.
    ``closer`` forms hold ``DIGITS`` besides their pattern, which is then looked for only where those are; ``lettered``
    ones are found among the letters of a text although their kind is mostly digits. ``sole`` forms say which digits they are, so UUIDs and hashes are not protected from them.
    """

    detector: Detector
    find: Callable[[str], Iterable[Candidate]]
    pattern: str
    alone: float = 0.95
    words: tuple[str, ...] = ()
    beside: float = 0.95
    adjacent: int = 0
    sole: bool = True
    closer: bool = False
    lettered: bool = False
    others: tuple[Callable[[str], Iterable[Candidate]], ...] = ()


def judged(pattern: re.Pattern[str], text: str, judge: Callable[[re.Match[str]], str | None]) -> Iterator[Candidate]:
    """Every match, with the canonical form that ``judge`` gives."""
    for match in pattern.finditer(text):
        yield match.start(), match.end(), judge(match)


def numbers_judged(pattern: re.Pattern[str], text: str, judge: Callable[[re.Match[str]], str | None]) -> Iterator[Candidate]:
    """The same for a pattern that begins with a digit, or with one or two signs before one: what stands before the first
    digit of the text is not tried."""
    first = _DIGIT.search(text)
    if first is not None:
        for match in pattern.finditer(text, max(0, first.start() - 2)):
            yield match.start(), match.end(), judge(match)


_DIGIT = re.compile(r"[0-9]")


def digits_of(text: str) -> str:
    """The text without separators, in capitals."""
    return _SEPARATORS.sub("", text).upper()


_SEPARATORS = re.compile(r"[^0-9A-Za-z]+")
