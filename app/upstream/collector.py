"""A collector with what is needed to speak to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.upstream.destination import Destination


@dataclass(frozen=True, slots=True)
class Account:
    """Who the project is at its collector: its token there, a service account for `/import` when it has one, and the
    OAuth token of an owner or admin there, under which deletions and retrievals are asked for (wire section 2)."""

    token: str = field(repr=False)
    username: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    project_id: str = ""
    oauth: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Collector:
    """Where it is, and who the project is there."""

    to: Destination
    account: Account
