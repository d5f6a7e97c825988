"""Many RE2 patterns asked at once, in time that is linear in the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import re2

_SET_MEMORY = 64 << 20


def lean(patterns: re2.Set) -> Callable[[bytes], Sequence[int] | None]:
    """``patterns.Match`` for bytes. The library's own method asks about the type of the text first, which costs as much
    as fifty bytes of it."""
    match: Callable[[bytes], Sequence[int] | None] | None = getattr(getattr(patterns, "_set", None), "Match", None)
    return match or patterns.Match


Finder: TypeAlias = Callable[[bytes, int], "tuple[int, int] | None"]
"""From bytes and a position in them to the span of the first match at or after it."""


def finder(pattern: bytes, options: re2.Options) -> Finder:
    """The first match of a pattern, without what the library's own method asks and makes besides, which costs as much as
    the search in a few hundred bytes."""
    options.never_capture = True
    compiled = re2.compile(pattern, options)
    match = getattr(getattr(compiled, "_regexp", None), "Match", None)
    anywhere = getattr(getattr(re2, "_Anchor", None), "UNANCHORED", None)

    def quick(text: bytes, position: int) -> tuple[int, int] | None:
        span: tuple[int, int] = match(anywhere, text, position, len(text))[0]  # type: ignore[misc]
        return None if span[0] < 0 else span

    def plain(text: bytes, position: int) -> tuple[int, int] | None:
        found = compiled.search(text, position)
        return None if found is None else found.span()

    return plain if match is None or anywhere is None else quick


class NoAnswer(Exception):
    """The pattern engine failed; whoever asked must refuse the record."""


class PatternSet:
    """Many patterns asked at once."""

    __slots__ = ("_match", "_sentinel")

    def __init__(self, patterns: Sequence[str]) -> None:
        options = re2.Options()
        # A set that runs out of memory answers "no match" in silence. The limit is far above what names can need, and
        # the last member matches the end of everything, so that its absence tells.
        options.max_mem = _SET_MEMORY
        options.log_errors = False
        self._sentinel = len(patterns)
        self._match: Callable[[bytes], Sequence[int] | None] | None = None
        if patterns:
            compiled = re2.Set.SearchSet(options)
            for pattern in (*patterns, r"\z"):
                compiled.Add(pattern)
            compiled.Compile()
            self._match = lean(compiled)

    def matches(self, text: str) -> Sequence[int]:
        """The numbers of the patterns that match. Raises NoAnswer."""
        if self._match is None:
            return ()
        found = self._match(text.encode("utf-8", "replace"))
        if not found:
            raise NoAnswer
        return () if len(found) == 1 else [i for i in found if i != self._sentinel]
