"""How a project tells which ids are one person."""

from __future__ import annotations

from enum import StrEnum


class IdentityMode(StrEnum):
    """The identity model of a project (wire section 10); `docs/identity.md` says what each one does."""

    SIMPLIFIED = "simplified"
    ORIGINAL = "original"
    LEGACY = "legacy"
