"""What becomes of one record: an `Event` or `Update` to store, or why there is none.

Pure. `Refused` is how a check deep inside says no; the two entrances in `validate` and `updates` turn it
into a `Rejected`, so that callers see values and never an exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from app.ingest.limits import Limits
from app.ingest.records import Fault, Malformed
from app.ingest.values import Unfit

Operation = tuple[str, Any]
"""Name and operand of one change to a profile or group."""

NO_ADDRESS = "0"
"""What senders write as an address to say that none may be looked up (wire section 11)."""

TOKEN_MISSING = "token, missing or empty"  # noqa: S105 - a message, not a token
"""The live service's text for a record that names no project."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event fit to be checked and stored.

    `properties` is without `token`, `time`, `$time`, `$ignore` and `bucket`; ids in it are strings.
    `$insert_id` stays in it, so that policy sees it; `insert_id` is that value if it can identify a repeat,
    else None."""

    name: str = field(repr=False)
    properties: dict[str, Any] = field(repr=False)
    time_ms: int
    insert_id: str | None = field(repr=False)
    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """Changes to one profile (`distinct_id`) or one group (`group_key`, `group_id`), in the order to apply
    them.

    Operands: a dict for `$set_once $set $add $append $remove`, a dict of lists for `$union`, a list of names
    for `$unset`, None for `$delete`, which stands alone. `ip` is the address beside the operations, for a look-up
    and for nothing else: `NO_ADDRESS` where the sender wants none, None where it said nothing. `$latitude` and
    `$longitude` beside them are taken away unread."""

    token: str = field(repr=False)
    operations: tuple[Operation, ...] = field(repr=False)
    time_ms: int
    distinct_id: str | None = field(default=None, repr=False)
    group_key: str | None = None
    group_id: str | None = field(default=None, repr=False)
    ignore_alias: bool = False
    ignore_time: bool = False
    ip: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The record is not stored and the sender is told. `insert_id` is echoed only if it has the published
    shape, else it is empty. `message` is safe to show."""

    field: str
    message: str
    insert_id: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The record is not stored and the sender is answered as if it were. `reason` is a stable code."""

    reason: Literal["ignore", "too_old", "identity_verb", "merge_on_track"]


class Refused(Exception):
    """Leaves a check; becomes a `Rejected` at the entrance. Holds no value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


_PLAIN_NAME = re.compile(r"[$A-Za-z_][A-Za-z0-9_ .-]{0,63}")
_DIGIT_RUN = re.compile(r"[0-9]{6}")


def safe_name(name: str) -> str:
    """`name` if it is a plain identifier that cannot be an address or a number of someone, else `<key>`."""
    return name if _PLAIN_NAME.fullmatch(name) and not _DIGIT_RUN.search(name) else "<key>"


def refuse(field: str, reason: str) -> Refused:
    """The refusal of one field, in the words of the live service."""
    return Refused(field, f"'{field}' is invalid: {reason}")


def refuse_property(prefix: str, name: str, unfit: Unfit) -> Refused:
    """The refusal of one property, named only as far as `safe_name` lets it."""
    path = f"{prefix}.{safe_name(name)}"
    # The one message of this kind that is known from the live service has no quotes.
    return Refused(path, f"{path} is invalid: {unfit}")


INSERT_ID = re.compile(r"[A-Za-z0-9-]{1,36}")
"""The published shape of an insert id."""


def echoed_insert_id(raw: Any) -> str:
    """The insert id of a refused event if it has the published shape, else empty: anything may stand
    there."""
    properties = raw.get("properties") if isinstance(raw, dict) else None
    insert_id = properties.get("$insert_id") if isinstance(properties, dict) else None
    return insert_id if isinstance(insert_id, str) and INSERT_ID.fullmatch(insert_id) else ""


def object_of(raw: Any, limits: Limits) -> dict[str, Any]:
    """The record as an object. Raises `Refused` for anything else."""
    if isinstance(raw, dict):
        return raw
    if not isinstance(raw, Malformed):
        raise Refused("", "record is invalid: must be a JSON object")
    reasons = {
        Fault.NOT_JSON: "record is invalid: must be valid JSON",
        Fault.TOO_DEEP: "record is invalid: must not be nested so deeply",
        Fault.TOO_LARGE: f"record is invalid: must be at most {limits.record_bytes} bytes as JSON",
    }
    raise Refused("", reasons[raw.reason])


def token_of(value: Any) -> str | None:
    """A project token, or None for what cannot be one and what a database would not even look up (NUL)."""
    usable = isinstance(value, str) and 0 < len(value) <= 128 and value.isascii() and value.isprintable()
    return value if usable else None
