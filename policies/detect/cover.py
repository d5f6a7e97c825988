"""Which characters of a text are already accounted for, so that two detectors never claim the same ones, and how much
more of it is judged."""

from __future__ import annotations

from policies.detect.kinds import ALWAYS_JUDGED, MAX_JUDGED, Finding
from policies.model import Detector

_FOUND_COSTS = 5


class Cover:
    """A mark for every character, and a budget. Linear in the text however many spans are taken."""

    __slots__ = ("_flooded", "_left", "_marks", "_refused", "_text", "cut")

    def __init__(self, text: str) -> None:
        """Start with nothing covered and everything to be judged."""
        self._text = text
        self._marks = bytearray(len(text))
        self._left = MAX_JUDGED
        self._refused: list[tuple[int, int]] = []
        self._flooded: Detector | None = None
        self.cut = len(text)

    def judges(self, start: int, detector: Detector) -> bool:
        """Whether a candidate of this detector is still judged. When the budget is spent the text is cut there: what
        follows is one finding."""
        if start >= self.cut:
            return False
        self._left -= 1
        if self._left < 0 and start >= ALWAYS_JUDGED:
            self.cut, self._flooded = start, self._flooded or detector
            return False
        return True

    def is_free(self, start: int, end: int) -> bool:
        """Whether no character of the half-open span is covered."""
        return self._marks.find(1, start, end) < 0

    def take(self, start: int, end: int) -> bool:
        """Cover the span if it is free, and say whether it was."""
        if self._marks.find(1, start, end) >= 0:
            self._refused.append((start, end))
            return False
        self._marks[start:end] = b"\x01" * (end - start)
        self._left -= _FOUND_COSTS - 1
        return True

    def guard(self, start: int, end: int) -> None:
        """Cover a span that is no personal data."""
        self._marks[start:end] = b"\x01" * (end - start)

    def ordered(self, found: list[Finding]) -> list[Finding]:
        """The findings in order; where the text was cut, with what follows as the last of them."""
        if self._flooded is not None:
            # Nothing is cut in two: neither a finding nor what only another finding stood in the way of.
            spans = [*self._refused, *((one.start, one.end) for one in found)]
            for start, end in sorted(spans, key=lambda span: span[1], reverse=True):
                if start < self.cut < end:
                    self.cut = start
            rest = Finding(self._flooded, self.cut, len(self._text), self._text[self.cut :])
            found = [*(one for one in found if one.end <= self.cut), rest]
        if len(found) > 1:
            found.sort(key=lambda one: one.start)
        return found
