"""Groups in the register (wire section 9): a group is no person, and its id can still be somebody's e-mail address.

A group's id is registered like any other, under a spelling of its own that profile updates of people may not use, so that
its profile carries a uid and no raw id, and so that opt-out, erasure and closure find it where it is the id of a person in
another coat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

GROUP_PREFIX = "$group:"
"""How the register's spelling of a group begins."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group as senders name it: `$group_key` and `$group_id`."""

    key: str
    id: str = field(repr=False)


def group_identifier(key: str, group_id: str) -> str:
    """The id under which the register knows a group: `$group:<key>:<id>`, a colon or a percent sign of the key escaped.

    `register.resolve` and `enrol` take it as they take a person's, and an officer can opt it out, erase and retrieve it.
    """
    escaped = key.replace("%", "%25").replace(":", "%3A")
    return f"{GROUP_PREFIX}{escaped}:{group_id}"


def named_group(identifier: str) -> Group | None:
    """The group that an id of the register names, or None for a person or a device."""
    if not identifier.startswith(GROUP_PREFIX):
        return None
    key, colon, group_id = identifier.removeprefix(GROUP_PREFIX).partition(":")
    return Group(key.replace("%3A", ":").replace("%25", "%"), group_id) if colon else None
