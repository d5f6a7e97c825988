"""The certificate of an erasure: what was erased, where, how it was verified, and what it does not cover.

Text form: a first line that names the format, a second line of canonical JSON (sorted keys, no white space, no floats),
then a C2SP signed note's signature. `app/audit/verify.py` checks it alone and offline. It names nobody: no id, no uid and
no digest of one, so it can be kept and shown after the person is gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.entry import iso
from app.audit.note import sign
from app.subjects.model import SubjectRequest

HEADER = "portcullis erasure certificate v1"
SOFTWARE = "portcullis 0.1.0"


class PurgeMethod(IntEnum):
    """How the bytes of deleted rows were dealt with in one place. Stored as a number among the counts of a request."""

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
_COLLECTED: Mapping[str, tuple[int, str]] = {
    "complete": (1, "the collector was asked to erase these ids, and said that it had"),
    "pending": (2, "NOT COMPLETE: the collector is to erase these ids, and has not said that it had"),
    "failed": (3, "NOT COMPLETE: the collector did not erase these ids, or never said that it had"),
    "not_asked": (4, "NOT COMPLETE: data was forwarded to this collector, and it was not asked to erase these ids"),
}
_VERIFIED = "every place was counted twice after deletion, in new transactions, for every id of the identity closure"
_OPERATOR = "until the operator's own expiry"
_EXCLUSIONS: tuple[tuple[str, str], ...] = (
    ("backups and snapshots made before completion", "until the operator's backup expiry"),
    ("replicas, and archived or recycled write-ahead log (it is not cycled by this release)", _OPERATOR),
    ("copies already exported, downloaded or forwarded to others", "not known to this service"),
    ("remanence on storage media below the file system", "until the media are reused or destroyed"),
    ("personal data in free text that the policy let pass under other people's ids", "not known to this service"),
    ("one keyed digest of each erased id, kept to refuse its return", "until a recorded re-consent"),
)


def issue(request: SubjectRequest, completed_ms: int, key: Ed25519PrivateKey) -> str:
    """The signed note for an erasure whose steps are all recorded in `request.counts`.

    Raises `ValueError` unless every place that was surveyed was verified empty: there is no certificate of anything else.
    """
    return sign(body(request, completed_ms), signer_name(request.project_id), key)


def signer_name(project_id: int) -> str:
    """The key name under which a project signs, as it stands in the note and in the verifier key."""
    return f"portcullis/{project_id}"


def digest(note: str) -> str:
    """SHA-256 of the whole note in hex, for the audit log."""
    return hashlib.sha256(note.encode()).hexdigest()


def body(request: SubjectRequest, completed_ms: int) -> str:
    """The text that is signed. Pure; see `issue`."""
    counts = request.counts
    fields = {
        "request": request.id,
        "project": request.project_id,
        "kind": request.kind.value,
        "regime": request.compliance_type,
        "accepted": iso(request.created_ms),
        "started": iso(request.started_ms or request.created_ms),
        "completed": iso(completed_ms),
        "ids_named": request.id_count,
        "tombstones": counts.get("tombstones.register", 0),
        "places": [_place(name, counts) for name in _places(counts)] + _collectors(counts),
        "verification": _VERIFIED,
        "exclusions": [{"what": what, "until": until} for what, until in _EXCLUSIONS],
        "software": SOFTWARE,
    }
    return f"{HEADER}\n{json.dumps(fields, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}\n"


def at_collectors(found: Iterable[tuple[str, str, int]], now_ms: int) -> dict[str, int]:
    """How a request stands at collectors that it was passed on to, as counts of the request: address, outcome (`pending`,
    `complete`, `failed` or `not_asked`) and number of ids of each."""
    counts: dict[str, int] = {}
    for base, outcome, ids in found:
        counts |= {f"collector.{base}": _COLLECTED[outcome][0], f"asked.{base}": ids, f"as_of_ms.{base}": now_ms}
    return counts


def _collectors(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    said = {number: (outcome, meaning) for outcome, (number, meaning) in _COLLECTED.items()}
    shown = []
    for base in sorted(name.partition(".")[2] for name in counts if name.startswith("collector.")):
        outcome, meaning = said[counts[f"collector.{base}"]]
        as_of = iso(counts[f"as_of_ms.{base}"])
        ids = counts[f"asked.{base}"]
        shown.append({"place": f"collector {base}", "method": outcome, "meaning": meaning, "ids": ids, "as_of": as_of})
    return shown


def _places(counts: Mapping[str, int]) -> list[str]:
    names = {name.partition(".")[2] for name in counts if name.startswith(("before.", "purge."))}
    return sorted(names)


def _place(name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    method = PurgeMethod(counts.get(f"purge.{name}", 0))
    shown: dict[str, Any] = {"place": name, "method": method.name.lower(), "meaning": _MEANING[method]}
    if f"before.{name}" in counts:
        if counts.get(f"after.{name}") != 0:
            raise ValueError("a place was not verified empty")
        shown |= {"before": counts[f"before.{name}"], "deleted": counts.get(f"deleted.{name}", 0), "after": 0}
    return shown
