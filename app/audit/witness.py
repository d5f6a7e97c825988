"""The witness file: every signed checkpoint, one JSON line each, appended and synced as soon as it is committed.

It belongs on another volume than the database, best where this user may append and not change. A database that is older
than its witness, or that tells another story, is refused at start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from app.errors import StartupRefused, Unavailable

_REMEDY = "name a file on another volume that this user may append to"


class Witness:
    """An append-only file of checkpoints, of every project of one database."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, note: str) -> None:
        """Append one checkpoint; it is on the disk when this returns. Raises `Unavailable`."""
        # The line break comes first, so that a line which a crash cut short spoils none but itself.
        line = b"\n" + json.dumps({"checkpoint": note}).encode() + b"\n"
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as fault:
            raise Unavailable(f"the witness file cannot be written: {fault.strerror}", remedy=_REMEDY) from None

    def notes(self) -> Iterator[str]:
        """Every checkpoint in the file. Raises `StartupRefused` for a file that cannot be read or holds none.

        A line that was cut short is passed over: what is in it was shown to nobody, or stands in a later line.
        """
        found = cut = 0
        try:
            with self.path.open(encoding="utf-8") as lines:
                for line in lines:
                    note = _note(line)
                    found += note is not None
                    cut += note is None and bool(line.strip())
                    if note is not None:
                        yield note
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError):
            raise StartupRefused("the witness file cannot be read", field="PORTCULLIS_WITNESS", remedy=_REMEDY) from None
        if cut and not found:
            raise StartupRefused("the witness file holds no checkpoint", field="PORTCULLIS_WITNESS", remedy=_REMEDY)


def _note(line: str) -> str | None:
    try:
        return str(json.loads(line)["checkpoint"])
    except (ValueError, KeyError, TypeError):
        return None
