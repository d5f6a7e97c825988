"""How a story is told on a terminal of 80 to 100 columns: steps, comparisons side by side, and claims with evidence."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

_BOLD, _DIM, _GREEN, _RED, _CYAN = "1", "2", "32", "31", "36"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a comparison: a property as it was sent and as it is stored, and why."""

    name: str
    sent: str = field(repr=False)
    stored: str = field(repr=False)
    why: str

    @property
    def changed(self) -> bool:
        """Whether the two differ."""
        return self.sent != self.stored


class Teller:
    """Tells a story to `out` and keeps the claims that did not hold."""

    def __init__(self, out: TextIO, width: int | None = None) -> None:
        self._out = out
        self._width = width or max(80, min(100, shutil.get_terminal_size((100, 40)).columns))
        self._colour = out.isatty() and "NO_COLOR" not in os.environ
        self._began = time.monotonic()
        self.claims = 0
        self.broken: list[str] = []

    # --- text ------------------------------------------------------------------------------------------------------

    def title(self, text: str) -> None:
        """The name of the story."""
        self._line()
        self._line(self._painted(text, _BOLD))
        self._line("═" * self._width)

    def step(self, number: int, text: str) -> None:
        """A new step."""
        self._line()
        head = f"── {number}. {text} "
        clock = f" {time.monotonic() - self._began:.1f} s ──"
        self._line(self._painted(head + "─" * max(0, self._width - len(head) - len(clock)) + clock, _BOLD, _CYAN))
        self._line()

    def say(self, text: str) -> None:
        """A paragraph."""
        for line in textwrap.wrap(text, self._width - 2):
            self._line(f"  {line}")

    def show(self, text: str, most: int = 12) -> None:
        """Text as it is, at most so many lines of it."""
        lines = text.rstrip("\n").split("\n")
        for line in lines[:most]:
            cut = line if len(line) <= self._width - 6 else line[: self._width - 7] + "…"
            self._line(self._painted(f"    │ {cut}", _DIM))
        if len(lines) > most:
            self._line(self._painted(f"    │ … {len(lines) - most} more lines", _DIM))

    # --- comparisons -----------------------------------------------------------------------------------------------

    def compare(self, heading: str, changes: Iterable[Change]) -> None:
        """Sent and stored side by side. What was left alone is dim."""
        widths = self._columns()
        self._line()
        self._line(f"  {self._painted(heading, _BOLD)}")
        self._row(("property", "sent", "stored", "why"), widths, _DIM)
        self._line("  " + self._painted("─" * (self._width - 2), _DIM))
        for change in changes:
            self._row((change.name, change.sent, change.stored, change.why), widths, *(() if change.changed else (_DIM,)))
        self._line()

    def _columns(self) -> tuple[int, int, int, int]:
        # Two spaces before and three gaps of two between; a pseudonym needs 20 columns to be recognised.
        room = self._width - 8
        name, why = 13, 22
        sent = (room - name - why) // 2
        return name, sent, room - name - why - sent, why

    def _row(self, cells: Sequence[str], widths: Sequence[int], *styles: str) -> None:
        wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
        for i in range(max(map(len, wrapped))):
            parts = [cell[i] if i < len(cell) else "" for cell in wrapped]
            text = "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
            self._line("  " + self._painted(text.rstrip(), *styles))

    # --- claims ----------------------------------------------------------------------------------------------------

    def claim(self, text: str, held: bool, evidence: object = "") -> bool:
        """One claim, whether it held, and what shows it. Returns `held`."""
        self.claims += 1
        if not held:
            self.broken.append(text)
        mark = self._painted("✓", _GREEN, _BOLD) if held else self._painted("✗", _RED, _BOLD)
        first, *more = textwrap.wrap(text, self._width - 4) or [""]
        self._line(f"  {mark} {first}")
        for line in more:
            self._line(f"    {line}")
        for line in textwrap.wrap(str(evidence), self._width - 8):
            self._line(self._painted(f"      {line}", _DIM))
        return held

    def outcome(self) -> int:
        """The last words; returns the exit code, 0 only when something was claimed and all of it held."""
        self._line()
        self._line("═" * self._width)
        seconds = time.monotonic() - self._began
        if self.claims and not self.broken:
            self._line(self._painted(f"✓ all {self.claims} claims held, in {seconds:.1f} s", _GREEN, _BOLD))
            return 0
        self._line(self._painted(f"✗ {len(self.broken)} of {self.claims} claims did not hold:", _RED, _BOLD))
        for text in self.broken:
            self._line(f"  ✗ {text}")
        return 1

    def _painted(self, text: str, *styles: str) -> str:
        return f"\x1b[{';'.join(styles)}m{text}\x1b[0m" if self._colour and styles else text

    def _line(self, text: str = "") -> None:
        print(text, file=self._out, flush=True)
