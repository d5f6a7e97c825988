"""The files inside an archive: NDJSON of what is held, and a manifest with the digest of each. Streamed, never seeking."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, Any, cast

import msgspec

from app.audit.entry import iso
from app.subjects.archive import ArchiveWriter
from app.subjects.model import RequestKind
from jobs.holdings import Holdings


def write_members(writer: ArchiveWriter, holdings: Holdings, left_out: int, now_ms: int) -> dict[str, int]:
    """Write the ZIP into `writer`. Returns how many records each member holds, by the member's stem."""
    manifest: dict[str, Any] = {}
    with zipfile.ZipFile(cast(IO[bytes], writer), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, records in _members(holdings).items():
            manifest[name] = _write(archive, name, records)
        archive.writestr(
            "manifest.json", msgspec.json.format(msgspec.json.encode(_manifest(holdings, manifest, left_out, now_ms)))
        )
    return {name.partition(".")[0]: int(member["records"]) for name, member in manifest.items()}


def _members(holdings: Holdings) -> Mapping[str, Iterable[Any]]:
    disclosure = holdings.request.disclosure_type
    if disclosure == "Categories":
        return {"categories.ndjson": [holdings.categories()]}
    if disclosure == "Sources":
        return {"sources.ndjson": [holdings.sources()]}
    given = {
        "events.ndjson": holdings.events(),
        "profiles.ndjson": holdings.profiles(),
        "identifiers.ndjson": holdings.identifiers(),
    }
    if holdings.request.kind is RequestKind.PORTABILITY:
        # What the person gave or was seen to do (WP 242), not what was made of it here.
        return given
    return {
        **given,
        "quarantined.ndjson": holdings.held_events(),
        "pseudonyms.ndjson": holdings.bridges(),
        "signals.ndjson": holdings.signals(),
    }


def _write(archive: zipfile.ZipFile, name: str, records: Iterable[Any]) -> dict[str, Any]:
    digest, count = hashlib.sha256(), 0
    with archive.open(name, "w", force_zip64=True) as member:
        for record in records:
            line = msgspec.json.encode(record) + b"\n"
            member.write(line)
            digest.update(line)
            count += 1
    return {"records": count, "sha256": digest.hexdigest()}


def _manifest(holdings: Holdings, members: Mapping[str, Any], left_out: int, now_ms: int) -> dict[str, Any]:
    request = holdings.request
    return {
        "request": request.id,
        "project": request.project_id,
        "regime": request.compliance_type,
        "disclosure": request.disclosure_type,
        "generated": iso(now_ms),
        "ids_in_scope": len(holdings.uids),
        "ids_left_out_because_hidden": left_out,
        "members": dict(members),
    }
