"""The two passes of detection for one policy: suspicion, then exact detectors, at every layer of disguise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import re2

from policies.detect.cards import CARD_FORMS, is_card
from policies.detect.context import Words, is_near
from policies.detect.cover import Cover
from policies.detect.disguise import encoded_tokens, plain_forms
from policies.detect.email import EMAIL_FORMS
from policies.detect.kinds import ALWAYS_JUDGED, BLANK, JSON_STARTS, PLACEHOLDERS, Candidate, Finding, Form
from policies.detect.money import MONEY_FORMS
from policies.detect.national import NATIONAL_FORMS
from policies.detect.network import NETWORK_FORMS
from policies.detect.phones import PhoneReader
from policies.detect.place import PLACE_FORMS
from policies.detect.secrets import SECRET_FORMS, URL_FORMS
from policies.detect.ssn import SSN_FORMS
from policies.detect.suspicion import Suspicion, Verdict
from policies.model import ActionKind, Detector, DetectorTerms
from policies.text import needs_folding

_MAX_PASSES = 8
_MAX_KEPT = 16_384
_MAX_KEPT_TEXT = 512
# Nothing is written in fewer letters without a digit or a sign, nor in fewer digits.
_PLAIN = re.compile(r"[A-Za-z _.\-]{0,12}|[0-9A-Za-z]{0,6}")
# Placeholders and short words: nothing that a second look could find, unless a word among them stands for ``@``.
_WORD = "|".join((*map(re.escape, PLACEHOLDERS.values()), "[A-Za-z']{1,14}"))
_AT_REST = re.compile(rf"(?:(?>{_WORD})[ ,.!?;:\n]++)*+(?>{_WORD})?[.!?]?")
_VERSION = re2.compile(r"[vV]?\d+(?:\.\d+)+(?:[\-+.][0-9A-Za-z.\-+]*)?")
_UUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_ORDER = (*URL_FORMS, *SECRET_FORMS[:3], *EMAIL_FORMS, *MONEY_FORMS, *SECRET_FORMS[3:], *NETWORK_FORMS, *CARD_FORMS,
          *PLACE_FORMS)  # fmt: skip
_NUMBERS = (*SSN_FORMS, *NATIONAL_FORMS)
# Kinds of which nothing has fewer than four digits, so that what is left of a text need not be read for them.
_NUMERIC = frozenset({Detector.PHONE, Detector.CARD, Detector.SSN, Detector.COORDINATES, Detector.BIRTH_DATE})
_NUMBER = re.compile(r"[0-9](?:[^0-9]*+[0-9]){3}")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One form as this policy reads it: what finds it, how sure it is by itself and beside a word or under a telling name,
    how sure it must be, and what of it is allowed."""

    detector: Detector
    finders: tuple[Callable[[str], Iterable[Candidate]], ...]
    alone: float
    beside: float
    least: float
    allowed: re2._Regexp | None
    words: Words | None
    adjacent: int
    sole: bool
    numeric: bool


class Scanner:
    """Both passes for one policy. Safe to share between threads; keeps no text that it has read."""

    __slots__ = ("_allowed", "_cards", "_clean", "_forms", "_last", "_readings", "_terms", "suspicion")

    def __init__(self, terms: Mapping[Detector, DetectorTerms], default_region: str) -> None:
        """Compile for the detectors whose action is not KEEP, and the region of phone numbers written without a
        country."""
        self._terms = {detector: each for detector, each in terms.items() if each.action is not ActionKind.KEEP}
        # Phones last, because digits that are part of anything else are no phone number, unless a plus says so.
        phones = PhoneReader(default_region).forms() if Detector.PHONE in self._terms else ()
        known = (*_ORDER, *phones[:1], *_NUMBERS, *phones[1:])
        self._forms = tuple(form for form in known if form.detector in self._terms and self._is_on(form))
        words = tuple(Words((*form.words, *self._terms[form.detector].context) if form.words else ()) for form in self._forms)
        self._allowed = {detector: _globs(each.allow) for detector, each in self._terms.items() if each.allow}
        self._clean: set[int] = set()
        # The verdict on the text that was last doubted, which is the one that is scrubbed next; by its hash.
        self._last: tuple[int, Verdict | None] = (0, None)
        self._cards = any(form.detector is Detector.CARD for form in self._forms)
        self.suspicion = Suspicion(self._forms, self._terms, words)
        self._readings = tuple(
            _reading(form, self._terms[form.detector], self._allowed.get(form.detector), spoken)
            for form, spoken in zip(self._forms, words, strict=True)
        )

    def _is_on(self, form: Form) -> bool:
        """Whether a finding of this form can be as sure as the policy asks."""
        return max(form.alone, form.beside if form.words else 0) >= self._terms[form.detector].confidence

    def is_telling(self, name: str) -> bool:
        """Whether a folded dotted path gives its values a meaning that their form alone would not have, so that they
        deserve ``scrub`` or ``number`` although ``suspicion.any`` sees nothing in them."""
        return bool(self.suspicion.context(name))

    @staticmethod
    def is_plain(text: str) -> bool:
        """Whether a string is too short and too simple for any detector, under a name that tells nothing."""
        return _PLAIN.fullmatch(text) is not None

    def is_doubtful(self, text: str) -> bool:
        """Whether a string may hold personal data or a JSON text, under a name that tells nothing; the cheap question
        before ``scrub``. Texts that come again are remembered by a keyed hash, and only those in which nothing is."""
        seen = hash(text)
        if seen in self._clean or _PLAIN.fullmatch(text):
            return False
        if text.lstrip(BLANK)[:1] in JSON_STARTS:
            return True
        verdict = self.suspicion.of(text)
        if not verdict.clean:
            self._last = seen, verdict
            return True
        if needs_folding(text) and not all(self.suspicion.of(form).clean for form in plain_forms(text, False)):
            return True
        if len(text) <= _MAX_KEPT_TEXT:
            if len(self._clean) >= _MAX_KEPT:
                self._clean.clear()
            self._clean.add(seen)
        return False

    def scrub(self, text: str, replacement: Callable[[Finding], str], name: str = "") -> str:
        """``text`` with every finding replaced; the same object when there is none.

        Every plain form of the text is searched (folded, decoded). Where only a plain form shows something, that
        form is what remains. ``name`` is the folded dotted path of the property. Raises ValueError for a text that
        does not come to rest, so that the record is refused.
        """
        last = self._last
        known = last[1] if last[0] == hash(text) else None
        for _ in range(_MAX_PASSES):
            verdict, known = known or self.suspicion.of(text), None
            if verdict.clean and not name and not needs_folding(text):
                return text
            form, found = self._first_showing(text, name, verdict)
            if not found:
                return text
            replaced = _replaced(form, found, replacement)
            if replaced == text or (_AT_REST.fullmatch(replaced) and " at " not in replaced.lower()):
                return replaced
            text = replaced
        raise ValueError("a text keeps showing new findings")

    def _first_showing(self, text: str, name: str, verdict: Verdict) -> tuple[str, list[Finding]]:
        if not verdict.wrapped and text.isascii():
            return text, self._found(text, name, verdict)
        for form in plain_forms(text, verdict.wrapped):
            known = verdict if form is text else self.suspicion.of(form)
            found = self._found(form, name, known)
            if found:
                return form, found
        return text, []

    def find(self, text: str, name: str = "") -> list[Finding]:
        """Everything exact detectors see in this very text, in order and without overlaps."""
        return self._found(text, name, self.suspicion.of(text))

    def _found(self, text: str, name: str, verdict: Verdict) -> list[Finding]:
        places: Sequence[int] = verdict.wanted
        telling = self.suspicion.context(name) if name else _NOTHING
        if telling and not telling.isdisjoint(verdict.near):
            places = sorted({*places, *telling.intersection(verdict.near)})
        if not (places or verdict.wrapped) or (name.endswith("version") and _VERSION.fullmatch(text)):
            return []
        covered, guarded, short = Cover(text), False, len(text) <= ALWAYS_JUDGED
        found: list[Finding] = []
        for place in places:
            reading = self._readings[place]
            if found and reading.numeric and short and not _NUMBER.search(_without(text, found)):
                continue
            if not guarded and not reading.sole:
                guarded = True
                for match in _UUID.finditer(text) if text.count("-") >= 4 else ():
                    covered.guard(*match.span())
            _read(found, reading, text, place in telling, covered)
        if verdict.wrapped and self._forms:
            self._encoded(found, text, name, covered)
        return covered.ordered(found)

    def _encoded(self, found: list[Finding], text: str, name: str, covered: Cover) -> None:
        """Tokens whose contents hold something are replaced whole, as the gravest thing inside."""
        for start, end, contents in encoded_tokens(text):
            if not covered.judges(start, self._forms[0].detector):
                break
            inner = self.find(contents, name) if covered.is_free(start, end) else []
            if inner and covered.take(start, end):
                first = max(inner, key=lambda one: one.confidence)
                found.append(Finding(first.detector, start, end, first.canonical, first.confidence))

    def number(self, value: float, name: str = "") -> Finding | None:
        """What a JSON number is, if it is personal data: a card number, or what the name of its property tells."""
        if isinstance(value, float) and not value.is_integer():
            return self._whole(repr(value), name) if name else None
        size = abs(value)
        if not 1_000 <= size < 10**19:
            return None
        digits = str(int(size))
        if self._cards and size >= 10**12 and is_card(digits):
            return self._unless_allowed(Finding(Detector.CARD, 0, len(digits), digits, 0.95))
        return self._whole(digits, name) if name or size >= 10**17 else None

    def _whole(self, written: str, name: str) -> Finding | None:
        """The finding that is a whole number: zeros in front, which numbers lose, and halves of a place reckoned with."""
        verdict = self.suspicion.of(written)
        telling = self.suspicion.context(name)
        if any(self._forms[place].detector is Detector.COORDINATES for place in telling) and _is_degrees(written):
            return Finding(Detector.COORDINATES, 0, len(written), written, 0.8)
        if not verdict.wanted and telling.isdisjoint(verdict.near):
            return None
        for one in self._found(written, name, verdict):
            if (one.start, one.end) == (0, len(written)):
                return one
        return None

    def _unless_allowed(self, finding: Finding) -> Finding | None:
        allowed = self._allowed.get(finding.detector)
        return None if allowed is not None and allowed.fullmatch(finding.canonical) else finding


_NOTHING: frozenset[int] = frozenset()


def _reading(form: Form, terms: DetectorTerms, allowed: re2._Regexp | None, words: Words) -> _Reading:
    return _Reading(
        form.detector,
        (form.find, *form.others),
        form.alone,
        max(form.alone, form.beside),
        terms.confidence,
        allowed,
        words if form.words else None,
        form.adjacent,
        form.sole,
        form.detector in _NUMERIC,
    )


def _read(found: list[Finding], reading: _Reading, text: str, told: bool, covered: Cover) -> None:
    """Add what one form finds."""
    detector, least, allowed = reading.detector, reading.least, reading.allowed
    sure = reading.beside if told else reading.alone
    words: list[tuple[int, int]] | None = None
    for find in reading.finders:
        for start, end, canonical in find(text):
            if not covered.judges(start, detector):
                break
            if canonical is None:
                continue
            confidence = sure
            if confidence < least and reading.words is not None:
                # Words beside it are looked for only where they decide.
                if words is None:
                    words = list(reading.words.spans(text))
                if is_near(text, words, start, end, reading.adjacent):
                    confidence = reading.beside
            if confidence < least or not covered.take(start, end):
                continue
            if allowed is not None and (allowed.fullmatch(text[start:end]) or allowed.fullmatch(canonical)):
                continue
            found.append(Finding(detector, start, end, canonical, confidence))


def _without(text: str, found: Sequence[Finding]) -> str:
    """The text without what was found, in any order: enough to ask what is left."""
    for one in sorted(found, key=_start, reverse=True) if len(found) > 1 else found:
        text = f"{text[: one.start]} {text[one.end :]}"
    return text


def _start(one: Finding) -> int:
    return one.start


def _is_degrees(written: str) -> bool:
    whole, _, fraction = written.partition(".")
    return len(fraction) >= 3 and fraction.isdigit() and whole.lstrip("-").isdigit() and abs(int(whole)) <= 180


def _globs(globs: Sequence[str]) -> re2._Regexp:
    """The globs as one linear pattern: ``*`` is anything, ``?`` one character, case does not count."""
    parts = {"*": ".*", "?": "."}
    patterns = ("".join(parts.get(char) or re2.escape(char) for char in glob) for glob in globs)
    return re2.compile(f"(?is)(?:{'|'.join(patterns)})")


def _replaced(text: str, found: Sequence[Finding], replacement: Callable[[Finding], str]) -> str:
    if len(found) == 1:
        return f"{text[: found[0].start]}{replacement(found[0])}{text[found[0].end :]}"
    parts: list[str] = []
    position = 0
    for one in found:
        parts += text[position : one.start], replacement(one)
        position = one.end
    return "".join(parts) + text[position:]
