"""The certificate of an erasure: what was erased, where, how it was verified, and what it does not cover.

It names nobody: no id, no uid and no digest of one, so it can be kept and shown after the person is gone.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.certificate import EXCLUSIONS, places, signer_name, written
from app.audit.entry import iso
from app.audit.note import sign
from app.subjects.model import SubjectRequest

HEADER = "portcullis erasure certificate v1"
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
        "places": places(request.counts),
        "verification": _VERIFIED,
    }
    return written(HEADER, fields, _EXCLUSIONS)
