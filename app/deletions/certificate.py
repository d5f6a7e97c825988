"""The certificate of a data deletion: what was covered, what was removed where, and how it was verified.

It names events and properties, which are words of the people who built the application. A condition may quote values, so
only its digest stands here: SHA-256 of the deletion's id, a line feed and the text, which whoever has the text can check.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.certificate import EXCLUSIONS, places, signer_name, written
from app.audit.entry import iso
from app.audit.note import sign
from app.deletions.model import Deletion

HEADER = "portcullis data deletion certificate v1"
_VERIFIED = "every place was counted twice after deletion, in new transactions, by the same condition"
_EXCLUSIONS = (
    *EXCLUSIONS,
    ("events received after the deletion was accepted", "they are other data, and a deletion of their own"),
    ("counts of events by name and day that were made as they arrived", "they name nobody and hold no property"),
)


def issue(deletion: Deletion, completed_ms: int, key: Ed25519PrivateKey) -> str:
    """The signed note for a deletion whose steps are all recorded in `deletion.counts`.

    Raises `ValueError` unless every place was verified empty.
    """
    return sign(body(deletion, completed_ms), signer_name(deletion.project_id), key)


def body(deletion: Deletion, completed_ms: int) -> str:
    """The text that is signed. Pure; see `issue`."""
    extent = deletion.extent
    covered = {
        "target": extent.target.value,
        "events": None if extent.events is None else sorted(extent.events),
        "from": None if extent.from_ms is None else iso(extent.from_ms),
        "to": None if extent.to_ms is None else iso(extent.to_ms),
        "where_sha256": None if extent.where is None else hashlib.sha256(f"{deletion.id}\n{extent.where}".encode()).hexdigest(),
        "property": extent.property_name,
        "received_up_to": iso(deletion.received_up_to_ms),
    }
    fields = {
        "deletion": deletion.id,
        "project": deletion.project_id,
        "kind": "data_deletion",
        "reason": deletion.reason,
        "reference": deletion.reference,
        "accepted": iso(deletion.created_ms),
        "undo_until": iso(deletion.undo_until_ms),
        "completed": iso(completed_ms),
        "covered": {name: value for name, value in covered.items() if value is not None},
        "people": deletion.people,
        "places": places(deletion.counts),
        "verification": _VERIFIED,
    }
    return written(HEADER, {name: value for name, value in fields.items() if value is not None}, _EXCLUSIONS)
