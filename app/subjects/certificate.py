"""The certificate of an erasure: what was erased, where, how it was verified, and what it does not cover.

It names nobody: no id, no uid and no digest of one, so it can be kept and shown after the person is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.certificate import EXCLUSIONS, places, signer_name, written
from app.audit.entry import iso
from app.audit.note import sign
from app.subjects.model import SubjectRequest

HEADER = "portcullis erasure certificate v1"
_COLLECTED: Mapping[str, tuple[int, str]] = {
    "complete": (1, "the collector was asked to erase these ids, and said that it had"),
    "pending": (2, "NOT COMPLETE: the collector is to erase these ids, and has not said that it had"),
    "failed": (3, "NOT COMPLETE: the collector did not erase these ids, or never said that it had"),
    "not_asked": (4, "NOT COMPLETE: data was forwarded to this collector, and it was not asked to erase these ids"),
}
_VERIFIED = "every place was counted twice after deletion, in new transactions, for every id of the identity closure"
_EXCLUSIONS = (
    *EXCLUSIONS,
    ("personal data in free text that the policy let pass under other people's ids", "not known to this service"),
    ("one keyed digest of each erased id, kept to refuse its return", "until a recorded re-consent"),
)


def issue(request: SubjectRequest, completed_ms: int, key: Ed25519PrivateKey) -> str:
    """The signed note for an erasure whose steps are all recorded in `request.counts`.

    Raises `ValueError` unless every place that was surveyed was verified empty: there is no certificate of anything else.
    """
    return sign(body(request, completed_ms), signer_name(request.project_id), key)


def body(request: SubjectRequest, completed_ms: int) -> str:
    """The text that is signed. Pure; see `issue`."""
    fields = {
        "request": request.id,
        "project": request.project_id,
        "kind": request.kind.value,
        "regime": request.compliance_type,
        "accepted": iso(request.created_ms),
        "started": iso(request.started_ms or request.created_ms),
        "completed": iso(completed_ms),
        "ids_named": request.id_count,
        "tombstones": request.counts.get("tombstones.register", 0),
        "places": places(request.counts) + _collectors(request.counts),
        "verification": _VERIFIED,
    }
    return written(HEADER, fields, _EXCLUSIONS)


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
