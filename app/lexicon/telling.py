"""How a change stands in the audit log: before and after, as short texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from app.lexicon.model import Entry, Settings

_SHOWN_IN_LOG = 200


def told(entry: Entry) -> dict[str, str]:
    """What the audit log shows of an entry. Addresses of owners are people's, and the log is for ever: it has their number."""
    return {
        "state": entry.state.value,
        "merged_into": entry.merged_into or "",
        "classified": str(entry.classified).lower(),
        "verified": str(entry.verified).lower(),
        "display_name": _short(entry.display_name or ""),
        "description": _short(entry.description or ""),
        "tags": _short(", ".join(entry.tags)),
        "owners": str(len(entry.owners)),
        "teams": _short(", ".join(entry.teams)),
        "document": _short(json.dumps(entry.document, ensure_ascii=False, sort_keys=True)) if entry.document else "",
    }


def said(settings: Settings) -> dict[str, str]:
    """What the audit log shows of the settings."""
    standards = {f"standard.{name}": str(value) for name, value in asdict(settings.standards).items()}
    return {"new_events": settings.new_events.value, "new_properties": settings.new_properties.value, **standards}


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """What changed, as `name.before` and `name.after`."""
    changed = [name for name in before if before[name] != after[name]]
    return {f"{name}.{when}": of[name] for name in changed for when, of in (("before", before), ("after", after))}


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_IN_LOG else f"{text[: _SHOWN_IN_LOG - 1]}…"
