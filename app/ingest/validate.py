"""One raw record to one clean value, or the reason why not (wire reference sections 7 to 9 and 12).

Pure: the clock's reading and the limits are arguments, the outcome is a value. What a caller gets as `Event`
or `Update` can be stored as it is: text is valid UTF-8 without NUL, numbers are finite and fit 64 bits, ids
are strings, times are milliseconds. Messages name fields and remedies; they never hold a value, and a
property name only if it is a plain identifier, because names can hold personal data too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from app.access.modes import IdentityMode
from app.identity.derive import VERBS as HEEDED
from app.ingest.limits import Limits
from app.ingest.outcome import (
    INSERT_ID,
    TOKEN_MISSING,
    Event,
    Ignored,
    Operation,
    Refused,
    Rejected,
    Update,
    echoed_insert_id,
    object_of,
    refuse,
    refuse_property,
    token_of,
)
from app.ingest.updates import validate_update
from app.ingest.values import (
    Unfit,
    ValueRules,
    clean_identifier,
    clean_identifiers,
    clean_name,
    clean_text,
    clean_value,
    epoch_ms,
)

__all__ = [
    "DISALLOWED_IDS",
    "TOKEN_MISSING",
    "VERBS",
    "Event",
    "Ignored",
    "Operation",
    "Rejected",
    "Update",
    "validate_event",
    "validate_update",
]

VERBS = frozenset({"$identify", "$create_alias", "$merge"})
"""Events that only link ids. Which of them a project heeds depends on its identity mode."""

DISALLOWED_IDS = frozenset(
    {"00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined"}
    | {"unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}"}
)
"""The 17 values that stand for nobody in particular. Compared without case; the sources do not say."""


def validate_event(
    raw: Any,
    *,
    endpoint: Literal["track", "import"],
    now_ms: int,
    limits: Limits,
    strict: bool,
    identity: IdentityMode = IdentityMode.SIMPLIFIED,
    distinct_id_required: bool = False,
) -> Event | Rejected | Ignored:
    """`raw` as an event. `strict` adds the rules of strict import and has no effect on track.

    `identity` says which identity verbs are kept; `distinct_id_required` is the original-merge rule that
    strict import needs a distinct id. Never raises for a value that JSON can hold."""
    try:
        return _event(raw, _event_rules(endpoint, limits, strict, identity, distinct_id_required), now_ms)
    except Refused as refused:
        return Rejected(refused.field, refused.message, echoed_insert_id(raw))


@dataclass(frozen=True, slots=True)
class _EventRules:
    endpoint: Literal["track", "import"]
    limits: Limits
    identity: IdentityMode
    distinct_id_required: bool
    values: ValueRules


_CONSUMED = frozenset({"token", "time", "$time", "$ignore", "bucket", "$bucket"})
_ID_PROPERTIES = frozenset(
    {
        "distinct_id",
        "$distinct_id",
        "$user_id",
        "$device_id",
        "$identified_id",
        "$anon_id",
        "$anon_distinct_id",
    }
)


_SPECIAL = _CONSUMED | _ID_PROPERTIES | {"alias", "$distinct_ids"}


@lru_cache(maxsize=32)
def _event_rules(
    endpoint: Literal["track", "import"],
    limits: Limits,
    strict: bool,
    identity: IdentityMode,
    distinct_id_required: bool,
) -> _EventRules:
    strict = strict and endpoint == "import"
    depth = limits.depth if strict else limits.hard_depth
    values = ValueRules(limits, limits.event_value_bytes, depth, strict)
    return _EventRules(endpoint, limits, identity, distinct_id_required, values)


def _event(raw: Any, rules: _EventRules, now_ms: int) -> Event | Ignored:
    record = object_of(raw, rules.limits)
    sent = record.get("properties")
    if not isinstance(sent, dict):
        raise refuse("properties", "must be an object")
    token = token_of(sent.get("token"))
    if token is None and rules.endpoint == "track":
        raise Refused("properties.token", TOKEN_MISSING)
    if sent.get("$ignore"):
        return Ignored("ignore")
    name = _event_name(record.get("event"), rules)
    if name in VERBS and name not in HEEDED[rules.identity]:
        return Ignored("identity_verb")
    if name == "$merge" and rules.endpoint == "track":
        return Ignored("merge_on_track")
    time_ms = _event_time(sent, name, rules, now_ms)
    if time_ms is None:
        return Ignored("too_old")
    properties = _properties(sent, name, rules)
    # Judged as it was sent: two long ids that were cut to the same beginning are not the same event.
    insert_id = _insert_id(sent.get("$insert_id"), name, rules)
    return Event(name, properties, time_ms, insert_id, token)


def _event_name(value: Any, rules: _EventRules) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise Refused("event", "'event' must not be missing or blank")
    if not isinstance(value, str):
        raise refuse("event", "must be a string")
    try:
        return clean_name(value, rules.values)
    except Unfit as unfit:
        raise refuse("event", str(unfit)) from None


def _properties(sent: Mapping[str, Any], event: str, rules: _EventRules) -> dict[str, Any]:
    # Before the walk, so that a hundred thousand keys cost nothing.
    if len(sent) > rules.limits.properties + len(_CONSUMED):
        raise _too_many(rules)
    properties: dict[str, Any] = {}
    values = rules.values
    for key, value in sent.items():
        try:
            if key not in _SPECIAL:
                properties[clean_name(key, values)] = clean_value(value, values)
            elif key not in _CONSUMED:
                _keep_identity(properties, key, value, event, values)
        except Unfit as unfit:
            raise refuse_property("properties", key, unfit) from None
    if "distinct_id" not in properties and "$distinct_id" in properties:
        properties["distinct_id"] = properties.pop("$distinct_id")
    if len(properties) > rules.limits.properties:
        raise _too_many(rules)
    if rules.values.strict and event not in VERBS:
        _check_distinct_id(properties.get("distinct_id"), rules)
    return properties


def _keep_identity(properties: dict[str, Any], key: str, value: Any, event: str, rules: ValueRules) -> None:
    if key == "$distinct_ids" and event == "$merge":
        properties[key] = clean_identifiers(value, rules)
    elif key not in _ID_PROPERTIES and not (key == "alias" and event == "$create_alias"):
        properties[key] = clean_value(value, rules)
    elif value is not None:
        properties[key] = clean_identifier(value, rules)


def _too_many(rules: _EventRules) -> Refused:
    return refuse("properties", f"must have at most {rules.limits.properties} properties")


def _check_distinct_id(distinct_id: str | None, rules: _EventRules) -> None:
    if distinct_id is None and rules.distinct_id_required:
        raise refuse("properties.distinct_id", "must not be missing")
    if distinct_id is not None and distinct_id.lower() in DISALLOWED_IDS:
        raise refuse("properties.distinct_id", "must not be one of the values that stand for nobody")


def _insert_id(value: Any, event: str, rules: _EventRules) -> str | None:
    if not rules.values.strict or (value is None and event in VERBS):
        usable = isinstance(value, str) and 0 < len(value.encode()) <= rules.limits.identifier_bytes
        return clean_text(value, rules.values) if usable and value.lower() not in DISALLOWED_IDS else None
    if value is None or value == "":
        raise refuse("$insert_id", "must not be missing")
    if not isinstance(value, str):
        raise refuse("$insert_id", "must be a string")
    if len(value.encode()) > 36:
        raise refuse("$insert_id", "must be at most 36 bytes")
    if not INSERT_ID.fullmatch(value):
        raise refuse("$insert_id", "must only contain alphanumeric or hyphen '-' characters")
    if value.lower() in DISALLOWED_IDS:
        raise refuse("$insert_id", "must not be one of the values that identify nothing")
    return value


def _event_time(sent: Mapping[str, Any], name: str, rules: _EventRules, now_ms: int) -> int | None:
    """The event's time, or None if track passes over it for its age."""
    sent_time = sent.get("time") if sent.get("time") is not None else sent.get("$time")
    # The links that SDKs send to /import carry no time.
    if sent_time is None and (rules.endpoint == "track" or name in VERBS):
        return now_ms
    time_ms = epoch_ms(sent_time)
    if time_ms is None:
        raise refuse("properties.time", "must be specified as seconds since epoch")
    if time_ms > now_ms + rules.limits.future_ms:
        raise refuse("properties.time", "must not be more than one hour in the future")
    if rules.endpoint == "track" and time_ms < now_ms - rules.limits.track_past_ms:
        return None
    if rules.endpoint == "import" and time_ms < rules.limits.earliest_ms:
        raise refuse("properties.time", "must not be before 1971-01-01")
    return min(time_ms, now_ms)
