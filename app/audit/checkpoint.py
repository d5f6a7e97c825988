"""The text of a checkpoint (C2SP tlog-checkpoint): origin, size and root of a log, one a line. It is signed as a note.

Standard library only, so that `verify.py` can run alone.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

_HASH_BYTES = 32


class BadCheckpoint(ValueError):
    """The text is not a checkpoint in its one allowed spelling."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log said of itself: `size` entries, and the 32 bytes of the `root` over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse(text: str) -> Checkpoint:
    """The checkpoint of a note's text. Raises `BadCheckpoint`, also for a second spelling of the same numbers."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise BadCheckpoint("a checkpoint has three lines: origin, size, root")
    origin, size, encoded, _ = lines
    if not (size.isascii() and size.isdigit()) or size != str(int(size)):
        raise BadCheckpoint("the size of a checkpoint is a decimal number without leading zeros")
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadCheckpoint("the root of a checkpoint is not base64") from None
    if len(root) != _HASH_BYTES or base64.b64encode(root).decode() != encoded:
        raise BadCheckpoint("the root of a checkpoint is not 32 bytes in canonical base64")
    return Checkpoint(origin, int(size), root)
