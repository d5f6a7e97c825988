"""Groups in the register (wire section 9): a group is no person, and its id can still be somebody's e-mail address.

A group's id is registered like any other, in a space of its own that no id of a person can reach, so that its profile
carries a uid and no raw id, and so that opt-out, erasure and closure find it where it is the id of a person in another coat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_SPACE = "\0group\0"


@dataclass(frozen=True, slots=True)
class Group:
    """A group as senders name it: `$group_key` and `$group_id`."""

    key: str
    id: str = field(repr=False)


def group_identifier(key: str, group_id: str) -> str:
    """The id under which the register knows a group; `register.resolve` and `enrol` take it as they take a person's.

    Both are validated text without NUL, which is what keeps groups and people apart.
    """
    return f"{_SPACE}{key}\0{group_id}"


def named_group(identifier: str) -> Group | None:
    """The group that an id of the register names, or None for a person or a device."""
    if not identifier.startswith(_SPACE):
        return None
    key, _, group_id = identifier[len(_SPACE) :].partition("\0")
    return Group(key, group_id)
