"""The wide first pass: one run of an RE2 set over bytes that says which exact detectors are worth running.

RE2 is linear in its input whatever that input is. The set holds the pattern of every form, the context words of the
forms that need one, and the marks of texts that are written in disguise. A form is wanted when its pattern is there
and, where it needs a word, one of its words too. Which members of the set appear together is looked up, not computed:
a few combinations make up nearly all texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import re2

from policies.detect.context import Words
from policies.detect.kinds import DIGITS, Form
from policies.model import Detector, DetectorTerms
from policies.patternset import Finder, finder, lean
from policies.text import fold, needs_folding

_SET_MEMORY = 256 << 20
_MAX_KNOWN = 4_096
_MAX_TRACERS = 256

_ASCII_QUAD = "[I-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][0-9A-Za-z+/_\\-]"
_BLANK = r"(?:\s|\\[nrtfb]|\\u00[01][0-9a-f]|[\x80-\xff])*"

WRAPPED = (
    # Percent-encoding that could hide a sign, a separator between digits, a digit, or a letter that needs none.
    # An escape right before a letter or digit counts whatever it stands for: its own digits would seem to belong there.
    r"%(?:40|2[Bb5]|3[0-9Aa]|[46][1-9A-Fa-f]|[57][0-9Aa])|%[0-9A-Fa-f]{2}[0-9A-Za-z+(\-]|\d%2[0DdEeFf]|[A-Za-z]%2[Ee]",
    # Character references of HTML and escapes of program texts.
    r"&#[xX]?[0-9A-Fa-f]{2,6}|&(?:commat|period|plus|colon|sol|lpar|rpar|num|hyphen|dash|nbsp|lowbar|equals|quest);",
    r"\\[uU](?:00)*\{?00[2-7][0-9A-Fa-f]|\\u\{[2-7][0-9A-Fa-f]\}|\\x[2-7][0-9A-Fa-f]",
    # Base64 of at least twelve ASCII characters: their high bits leave a trace in three of every four letters.
    f"(?:{_ASCII_QUAD}){{4}}",
)
"""Marks of texts that hold others: see ``policies.detect.disguise``."""

EMBEDDED = rf'"{_BLANK}(?:[\[{{]|\\")'
"""A JSON text inside a string of a JSON text."""


# Names in which no form can be: too short for Base64, too few digits for a number, no sign between them.
_ORDINARY = re.compile(r"(?=.{0,15}\Z)[$]?[a-z_]*(?:[0-9][a-z_]*){0,4}")

_Mark: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one combination of members means. ``wanted`` are the forms that the text itself calls for, ``near`` those that
    a telling name would add, both by their place in the order of precedence; ``wrapped`` says that the text may be in
    disguise, ``clean`` that nothing deserves a closer look under no name at all, and ``marked`` that under some name
    the text itself might."""

    wanted: tuple[int, ...]
    near: tuple[int, ...]
    wrapped: bool
    clean: bool
    marked: bool
    traces: tuple[str, ...] = ()


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = _SET_MEMORY
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return options


class _Members:
    """One RE2 set, and what each of its members stands for."""

    __slots__ = ("marks", "match", "patterns")

    def __init__(self, members: Mapping[str, list[_Mark]]) -> None:
        patterns = re2.Set.SearchSet(_options())
        # A set that exhausts its memory answers "no match". This member matches everything, so that its
        # absence tells such a failure from a clean text. It matches at the begin only: a match at every byte is dear.
        for pattern in (*members, "^"):
            patterns.Add(pattern)
        patterns.Compile()
        self.match: Callable[[bytes], Sequence[int] | None] = lean(patterns)
        self.marks: list[list[_Mark]] = [*members.values(), []]
        self.patterns = (*members, "")


class Suspicion:
    """The wide first pass, over UTF-8 bytes of plain text or of JSON. Safe to share between threads.

    Three sets, because the automaton of a set has a state for every way in which its members can have begun
    together: what is made of digits, what is made of letters, and, only where either asks, words and the numbers that
    need a closer look.
    """

    __slots__ = (
        "_closer",
        "_digits",
        "_every",
        "_everything",
        "_forms",
        "_known",
        "_letters",
        "_names",
        "_strong",
        "_telling",
        "_tracers",
        "_unmarked",
    )

    def __init__(self, forms: Sequence[Form], terms: Mapping[Detector, DetectorTerms], words: Sequence[Words]) -> None:
        """Compile for these forms, in order of precedence; ``words`` are the context words of each."""
        self._forms = forms
        self._strong = [form.alone >= terms[form.detector].confidence for form in forms]
        self._unmarked = frozenset(place for place, form in enumerate(forms) if not form.pattern)
        digits: dict[str, list[_Mark]] = {}
        letters: dict[str, list[_Mark]] = {}
        closer: dict[str, list[_Mark]] = {}
        for place, form in enumerate(forms):
            mark = ("form", place)
            if form.closer:
                closer.setdefault(form.pattern, []).append(mark)
                digits.setdefault(DIGITS, []).append(("ask", place))
            elif form.pattern:
                (letters if form.detector in _OF_LETTERS or form.lettered else digits).setdefault(form.pattern, []).append(mark)
            if not self._strong[place] and words[place].text_pattern:
                closer.setdefault(words[place].text_pattern, []).append(("word", place))
        for pattern in WRAPPED:
            letters.setdefault(pattern, []).append(("wrapped", 0))
        letters.setdefault(EMBEDDED, []).append(("embedded", 0))
        self._digits, self._letters, self._closer = _Members(digits), _Members(letters), _Members(closer)
        self._everything = Verdict(tuple(range(len(forms))), (), True, False, True)
        self._known: dict[tuple[int, ...], tuple[Verdict, bool]] = {}
        of_names = self._words_of_names(words)
        self._names, self._telling = _Members(of_names), tuple(of_names)
        self._every = frozenset(range(len(forms)))
        self._tracers: dict[tuple[str, ...], Finder] = {}

    @property
    def telling(self) -> Sequence[str]:
        """The patterns, as RE2, of the folded paths for which ``context`` is not empty."""
        return self._telling

    def _words_of_names(self, words: Sequence[Words]) -> dict[str, list[_Mark]]:
        members: dict[str, list[_Mark]] = {}
        for place, form in enumerate(self._forms):
            if not self._strong[place] and form.words and words[place].name_pattern:
                members.setdefault(words[place].name_pattern, []).append(("word", place))
        return members

    def name(self, name: str) -> bool:
        """Whether a name may itself hold personal data."""
        return _ORDINARY.fullmatch(name) is None and self.any(name.encode("utf-8", "surrogatepass"))

    def context(self, name: str) -> frozenset[int]:
        """The forms, by place, that the name of a property speaks for; all of them when the engine fails."""
        if not name:
            return _NONE
        found = self._names.match(name.encode("utf-8", "surrogatepass"))
        if not found:
            return self._every
        return frozenset(place for member in found for _, place in self._names.marks[member]) if len(found) > 1 else _NONE

    def any(self, encoded: bytes) -> bool:
        """Whether anything at all deserves a closer look, including a failure of the engine itself.

        What only the name of its property makes suspicious is not: ask ``Scanner.is_telling`` about the names.
        """
        return self.traces(encoded) != ()

    def traces(self, encoded: bytes) -> tuple[str, ...] | None:
        """The patterns, for ``tracer``, of all that deserves a closer look in ``encoded``: a part in which none of them
        is found does not. Empty when nothing does, None when the places cannot be told: the engine failed, or only a
        plain form of the text shows something."""
        digits, letters = self._digits.match(encoded), self._letters.match(encoded)
        if not digits or not letters:
            return None
        traces: tuple[str, ...] = ()
        # Mostly there is nothing in either but the member that tells a failure.
        if len(digits) > 1 or len(letters) > 1:
            verdict = self._verdict(encoded, digits, letters)
            if not (verdict.clean or verdict.traces):
                return None
            traces = verdict.traces
        if not encoded.isascii():
            text = encoded.decode("utf-8", "replace")
            if needs_folding(text) and not self._of(fold(text).encode("utf-8", "replace")).clean:
                return None
        return traces

    def tracer(self, traces: tuple[str, ...]) -> Finder:
        """What finds the first of ``traces`` at or after a position. It must not be empty."""
        found = self._tracers.get(traces)
        if found is None:
            if len(self._tracers) >= _MAX_TRACERS:
                self._tracers.clear()
            pattern = "|".join(f"(?:{trace})" for trace in traces).encode()
            options = _options()
            options.longest_match = True
            found = self._tracers[traces] = finder(pattern, options)
        return found

    def of(self, text: str) -> Verdict:
        """What is worth running on this very text; everything when the engine fails."""
        return self._of(text.encode("utf-8", "surrogatepass"))

    def _of(self, encoded: bytes) -> Verdict:
        digits, letters = self._digits.match(encoded), self._letters.match(encoded)
        return self._verdict(encoded, digits, letters) if digits and letters else self._everything

    def _verdict(self, encoded: bytes, digits: Sequence[int], letters: Sequence[int]) -> Verdict:
        # The engine lists the members in no particular order, and for the same text in the same one.
        key = (*digits, -1, *letters)
        verdict, asks = self._known.get(key) or self._judged(key, (digits, letters))
        if not asks:
            return verdict
        closer = self._closer.match(encoded)
        if not closer:
            return self._everything
        key = (*key, -1, *closer)
        return (self._known.get(key) or self._judged(key, (digits, letters, closer)))[0]

    def _judged(self, key: tuple[int, ...], found: Sequence[Sequence[int]]) -> tuple[Verdict, bool]:
        sets = (self._digits, self._letters, self._closer)
        marks = {mark for part, members in zip(found, sets, strict=False) for member in part for mark in members.marks[member]}
        seen = {place for kind, place in marks if kind == "form"} | self._unmarked
        spoken = {place for kind, place in marks if kind == "word"}
        wanted = {place for place in seen if self._strong[place] or place in spoken}
        near = {place for place in seen - wanted if self._forms[place].words}
        kinds = {kind for kind, _ in marks}
        clean = not (wanted or kinds & {"wrapped", "embedded"})
        traces = tuple(
            members.patterns[member]
            for part, members in zip(found, sets, strict=False)
            for member in part
            if any(self._is_trace(mark, wanted) for mark in members.marks[member])
        )
        marked = not near <= self._unmarked
        verdict = Verdict(tuple(sorted(wanted)), tuple(sorted(near)), "wrapped" in kinds, clean, marked, traces)
        asks = "ask" in kinds or marked
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = verdict, asks
        return verdict, asks

    def _is_trace(self, mark: _Mark, wanted: set[int]) -> bool:
        """Whether a text that deserves a closer look for one of the ``wanted`` forms or as a disguise must hold what left
        this mark. Forms without a pattern of their own are told by their words."""
        kind, place = mark
        if kind in ("form", "word"):
            return place in wanted and (kind == "form" or place in self._unmarked)
        return kind in ("wrapped", "embedded")


_OF_LETTERS = frozenset(
    {
        Detector.EMAIL,
        Detector.IBAN,
        Detector.MAC,
        Detector.JWT,
        Detector.SECRET,
        Detector.URL_CREDENTIALS,
        Detector.CRYPTO_ADDRESS,
    }
)
_NONE: frozenset[int] = frozenset()
