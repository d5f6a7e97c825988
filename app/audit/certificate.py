"""What every certificate of this service has in common: its text form, its places with their counts, and how bytes were purged.

Text form: a first line that names the format, a second line of canonical JSON (sorted keys, no white space, no floats),
then a C2SP signed note's signature. `app/audit/verify.py` checks it alone and offline. It names nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

SOFTWARE = "portcullis 0.1.0"


class PurgeMethod(IntEnum):
    """How the bytes of deleted rows were dealt with in one place. Stored as a number among counts."""

    CHECKPOINTED = 1
    VACUUMED = 2
    REWRITTEN = 3
    DEFERRED = 4
    UNCONFIRMED = 5
    LEFT_TO_STORE = 6


# What each method did and did not do. A reader decides by these words, so they claim no more than was observed.
_MEANING: Mapping[PurgeMethod, str] = {
    PurgeMethod.CHECKPOINTED: "rows overwritten when deleted (secure_delete); the write-ahead log was truncated",
    PurgeMethod.VACUUMED: "dead rows and their index entries vacuumed; the freed space is reused, not overwritten",
    PurgeMethod.REWRITTEN: "the table and its indexes were written anew without the dead rows; the old files were dropped",
    PurgeMethod.DEFERRED: "vacuumed; too large to be written anew now, so freed space keeps its bytes until it is reused",
    PurgeMethod.UNCONFIRMED: "vacuumed; the server did not say whether an old transaction held dead rows back",
    PurgeMethod.LEFT_TO_STORE: "rows deleted; what remains on the store's media is for that store",
}
_OPERATOR = "until the operator's own expiry"
EXCLUSIONS: tuple[tuple[str, str], ...] = (
    ("backups and snapshots made before completion", "until the operator's backup expiry"),
    ("replicas, and archived or recycled write-ahead log (it is not cycled by this release)", _OPERATOR),
    ("copies already exported, downloaded or forwarded to others", "not known to this service"),
    ("remanence on storage media below the file system", "until the media are reused or destroyed"),
)
"""What no removal by this service reaches, and until when."""


def signer_name(project_id: int) -> str:
    """The key name under which a project signs, as it stands in the note and in the verifier key."""
    return f"portcullis/{project_id}"


def digest(note: str) -> str:
    """SHA-256 of the whole note in hex, for the audit log."""
    return hashlib.sha256(note.encode()).hexdigest()


def written(header: str, fields: Mapping[str, Any], exclusions: tuple[tuple[str, str], ...]) -> str:
    """The text that is signed. Pure."""
    whole = {**fields, "exclusions": [{"what": what, "until": until} for what, until in exclusions], "software": SOFTWARE}
    return f"{header}\n{json.dumps(whole, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}\n"


def places(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Every place that was counted or purged, from counts named `<phase>.<place>`.

    Raises `ValueError` unless each that was counted before was counted empty after: there is no certificate of anything else.
    """
    names = sorted({name.partition(".")[2] for name in counts if name.startswith(("before.", "purge."))})
    return [_place(name, counts) for name in names]


def _place(name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    method = PurgeMethod(counts.get(f"purge.{name}", 0))
    shown: dict[str, Any] = {"place": name, "method": method.name.lower(), "meaning": _MEANING[method]}
    if f"before.{name}" in counts:
        if counts.get(f"after.{name}") != 0:
            raise ValueError("a place was not verified empty")
        shown |= {"before": counts[f"before.{name}"], "deleted": counts.get(f"deleted.{name}", 0), "after": 0}
    return shown
