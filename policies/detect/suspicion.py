"""The wide first pass: one run of an RE2 set over bytes that says which exact detectors are worth running.

RE2 is linear in its input whatever that input is. The set holds the pattern of every form, the context words of the
forms that need one, and the marks of texts that are written in disguise. A form is wanted when its pattern is there
and, where it needs a word, one of its words too. Which members of the set appear together is looked up, not computed:
a few combinations make up nearly all texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import re2

from policies.detect.context import Words
from policies.detect.kinds import Form
from policies.model import Detector, DetectorTerms
from policies.text import fold, needs_folding

_SET_MEMORY = 256 << 20
_MAX_KNOWN = 4_096

_ASCII_QUAD = "[I-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][0-9A-Za-z+/_\\-]"
_BLANK = r"(?:\s|\\[nrtfb]|\\u00[01][0-9a-f]|[\x80-\xff])*"

WRAPPED = (
    # Percent-encoding that could hide a sign, a separator between digits, a digit, or a letter that needs none.
    r"%(?:40|2[Bb5]|3[0-9Aa]|[46][1-9A-Fa-f]|[57][0-9Aa])|\d%2[0DdEeFf]|[A-Za-z]%2[Ee]",
    # Character references of HTML and escapes of program texts.
    r"&#[xX]?[0-9A-Fa-f]{2,6}|&(?:commat|period|plus|colon|sol|lpar|rpar|num|hyphen|dash|nbsp|lowbar|equals|quest);",
    r"\\[uU](?:00)*\{?00[2-7][0-9A-Fa-f]|\\u\{[2-7][0-9A-Fa-f]\}|\\x[2-7][0-9A-Fa-f]",
    # Base64 of at least twelve ASCII characters: their high bits leave a trace in three of every four letters.
    f"(?:{_ASCII_QUAD}){{4}}",
)
"""Marks of texts that hold others: see ``policies.detect.disguise``."""

EMBEDDED = rf'"{_BLANK}(?:[\[{{]|\\")'
"""A JSON text inside a string of a JSON text."""


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


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = _SET_MEMORY
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return options


class Suspicion:
    """The wide first pass, over UTF-8 bytes of plain text or of JSON. Safe to share between threads."""

    __slots__ = ("_everything", "_forms", "_harmless", "_known", "_match", "_members", "_name_members", "_names", "_strong", "_unmarked")

    def __init__(self, forms: Sequence[Form], terms: Mapping[Detector, DetectorTerms], words: Sequence[Words]) -> None:
        """Compile for these forms, in order of precedence; ``words`` are the context words of each."""
        self._forms = forms
        self._strong = [form.alone >= terms[form.detector].confidence for form in forms]
        members: dict[str, list[tuple[str, int]]] = {}
        self._unmarked = frozenset(place for place, form in enumerate(forms) if not form.pattern)
        for place, form in enumerate(forms):
            if form.pattern:
                members.setdefault(form.pattern, []).append(("form", place))
            if not self._strong[place] and words[place].text_pattern:
                members.setdefault(words[place].text_pattern, []).append(("word", place))
        for pattern in WRAPPED:
            members.setdefault(pattern, []).append(("wrapped", 0))
        members.setdefault(EMBEDDED, []).append(("embedded", 0))
        # A set that exhausts its memory answers "no match". This member matches everything, so that its
        # absence tells such a failure from a clean text. It matches at the begin only: a match at every byte is dear.
        members["^"] = [("sentinel", 0)]
        texts = re2.Set.SearchSet(_options())
        for pattern in members:
            texts.Add(pattern)
        texts.Compile()
        self._match = texts.Match
        self._members = list(members.values())
        self._everything = Verdict(tuple(range(len(forms))), (), True, False, True)
        self._known: dict[tuple[int, ...], Verdict] = {}
        self._harmless = {(len(members) - 1,)}
        self._names, self._name_members = self._set_of_names(words)

    def _set_of_names(self, words: Sequence[Words]) -> tuple[re2.Set | None, list[list[int]]]:
        members: dict[str, list[int]] = {}
        for place, form in enumerate(self._forms):
            if not self._strong[place] and words[place].name_pattern:
                members.setdefault(words[place].name_pattern, []).append(place)
        names = re2.Set.SearchSet(_options())
        for pattern in members:
            names.Add(pattern)
        names.Compile()
        return (names if members else None), list(members.values())

    def name(self, name: str) -> bool:
        """Whether a name may itself hold personal data."""
        return self.any(name.encode("utf-8", "surrogatepass"))

    def context(self, name: str) -> frozenset[int]:
        """The forms, by place, that the name of a property speaks for."""
        found = self._names.Match(name.encode("utf-8", "surrogatepass")) if self._names is not None and name else None
        return frozenset(place for member in found for place in self._name_members[member]) if found else _NONE

    def any(self, encoded: bytes) -> bool:
        """Whether anything at all deserves a closer look, including a failure of the engine itself.

        What only the name of its property makes suspicious is not: ask ``Scanner.is_telling`` about the names.
        """
        found = self._match(encoded)
        if found is None:
            return True
        if len(found) > 1 and tuple(found) not in self._harmless and not self._verdict(found).clean:
            return True
        if encoded.isascii():
            return False
        text = encoded.decode("utf-8", "replace")
        if not needs_folding(text):
            return False
        found = self._match(fold(text).encode("utf-8", "replace"))
        return found is None or not self._verdict(found).clean

    def of(self, text: str) -> Verdict:
        """What is worth running on this very text; everything when the engine fails."""
        found = self._match(text.encode("utf-8", "surrogatepass"))
        return self._everything if found is None else self._verdict(found)

    def _verdict(self, found: Sequence[int]) -> Verdict:
        # The engine lists the members in no particular order, and the same text in the same one.
        key = tuple(found)
        known = self._known.get(key)
        if known is None:
            known = self._judged(found)
            if len(self._known) < _MAX_KNOWN:
                self._known[key] = known
                if known.clean:
                    self._harmless.add(key)
        return known

    def _judged(self, found: Sequence[int]) -> Verdict:
        marks = {mark for member in found for mark in self._members[member]}
        seen = {place for kind, place in marks if kind == "form"} | self._unmarked
        spoken = {place for kind, place in marks if kind == "word"}
        wanted = {place for place in seen if self._strong[place] or place in spoken}
        near = {place for place in seen - wanted if self._forms[place].words}
        kinds = {kind for kind, _ in marks}
        clean = not (wanted or kinds & {"wrapped", "embedded"})
        return Verdict(tuple(sorted(wanted)), tuple(sorted(near)), "wrapped" in kinds, clean, not near <= self._unmarked)


_NONE: frozenset[int] = frozenset()
