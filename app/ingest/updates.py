"""One raw profile or group update to one `Update`, or the reason why not (wire reference sections 8 and 9).
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from app.identity.groups import GROUP_PREFIX
from app.ingest.limits import Limits
from app.ingest.outcome import (
    NO_ADDRESS,
    TOKEN_MISSING,
    Operation,
    Refused,
    Rejected,
    Update,
    object_of,
    refuse,
    refuse_property,
    token_of,
)
from app.ingest.values import (
    Unfit,
    ValueRules,
    clean_identifier,
    clean_name,
    clean_value,
    epoch_ms,
)


def validate_update(raw: Any, *, kind: Literal["profile", "group"], now_ms: int, limits: Limits) -> Update | Rejected:
    """`raw` as an update of a profile or a group. Never raises for a value that JSON can hold."""
    try:
        return _update(raw, kind, _update_rules(limits), now_ms)
    except Refused as refused:
        return Rejected(refused.field, refused.message)


_OPERATIONS = ("$set_once", "$set", "$add", "$append", "$union", "$remove", "$unset", "$delete")
"""In the order in which one record's operations are applied; `$delete` is alone."""


@dataclass(frozen=True, slots=True)
class _UpdateRules:
    limits: Limits
    values: ValueRules


@lru_cache(maxsize=32)
def _update_rules(limits: Limits) -> _UpdateRules:
    return _UpdateRules(limits, ValueRules(limits, limits.profile_value_bytes, limits.hard_depth))


def _update(raw: Any, kind: Literal["profile", "group"], rules: _UpdateRules, now_ms: int) -> Update:
    record = object_of(raw, rules.limits)
    token = token_of(record.get("$token"))
    if token is None:
        raise Refused("$token", TOKEN_MISSING)
    whom = ("$distinct_id",) if kind == "profile" else ("$group_key", "$group_id")
    ids = {name[1:]: _whom(record, name, rules) for name in whom}
    return Update(
        token,
        _operations(record, rules),
        _update_time(record.get("$time"), now_ms),
        ignore_alias=_yes(record.get("$ignore_alias")),
        ignore_time=_yes(record.get("$ignore_time")),
        ip=_address(record.get("$ip")),
        **ids,
    )


def _whom(record: Mapping[str, Any], name: str, rules: _UpdateRules) -> str:
    value = record.get(name)
    if value is None or value == "":
        raise refuse(name, "must not be missing")
    try:
        text = clean_name(value, rules.values) if name == "$group_key" else clean_identifier(value, rules.values)
    except Unfit as unfit:
        raise refuse(name, str(unfit)) from None
    if name == "$distinct_id" and text.startswith(GROUP_PREFIX):
        raise refuse(name, f"must not begin with {GROUP_PREFIX}, which is how groups are spelled; send the update to /groups")
    return text


def _yes(value: Any) -> bool:
    # Go sends the words.
    return value.strip().lower() in ("true", "1") if isinstance(value, str) else bool(value)


def _address(value: Any) -> str | None:
    """The address to look up. Anything but a text says that nothing may be looked up."""
    return None if value is None else (value if isinstance(value, str) and value and value.isascii() else NO_ADDRESS)


def _update_time(value: Any, now_ms: int) -> int:
    if value is None:
        return now_ms
    time_ms = epoch_ms(value)
    if time_ms is None:
        raise refuse("$time", "must be specified as seconds since epoch")
    return max(0, min(time_ms, now_ms))


def _operations(record: Mapping[str, Any], rules: _UpdateRules) -> tuple[Operation, ...]:
    if "$delete" in record:
        return (("$delete", None),)
    operations = tuple((name, _operand(name, record[name], rules)) for name in _OPERATIONS if name in record)
    if not operations:
        raise Refused("", "record is invalid: must have an operation, for example $set")
    return operations


def _operand(operation: str, operand: Any, rules: _UpdateRules) -> Any:
    if operation == "$unset":
        return _names(operand, rules)
    if not isinstance(operand, dict):
        raise refuse(operation, "must be an object")
    _check_width(operation, len(operand), rules)
    kept: dict[str, Any] = {}
    for key, value in operand.items():
        try:
            kept[clean_name(key, rules.values)] = _changed(operation, value, rules)
        except Unfit as unfit:
            raise refuse_property(operation, key, unfit) from None
    return kept


def _changed(operation: str, value: Any, rules: _UpdateRules) -> Any:
    if operation == "$add" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Unfit("must be a number")
    if operation == "$remove" and isinstance(value, list):
        raise Unfit("must be one value, not a list")
    if operation == "$union" and not isinstance(value, list):
        value = [value]
    return clean_value(value, rules.values)


def _names(operand: Any, rules: _UpdateRules) -> list[str]:
    names = [operand] if isinstance(operand, str) else operand
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refuse("$unset", "must be a list of property names")
    _check_width("$unset", len(names), rules)
    try:
        return [clean_name(name, rules.values) for name in names]
    except Unfit as unfit:
        raise refuse("$unset", str(unfit)) from None


def _check_width(operation: str, names: int, rules: _UpdateRules) -> None:
    if names > rules.limits.profile_properties:
        raise refuse(operation, f"must have at most {rules.limits.profile_properties} properties")
