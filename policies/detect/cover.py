"""Which characters of a text are already accounted for, so that two detectors never claim the same ones."""

from __future__ import annotations


class Cover:
    """A mark for every character. Linear in the text however many spans are taken."""

    __slots__ = ("_marks",)

    def __init__(self, text: str) -> None:
        """Start with nothing covered."""
        self._marks = bytearray(len(text))

    def is_free(self, start: int, end: int) -> bool:
        """Whether no character of the half-open span is covered."""
        return 1 not in self._marks[start:end]

    def take(self, start: int, end: int) -> bool:
        """Cover the span if it is free, and say whether it was."""
        if not self.is_free(start, end):
            return False
        self._marks[start:end] = b"\x01" * (end - start)
        return True
