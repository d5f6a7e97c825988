"""What each `/engage` operation does to the properties of a profile (wire section 8). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Properties = dict[str, Any]

MOST_PROPERTIES = 2_000
"""Properties of one profile, and of one operation on it (wire section 8)."""
REPEATABLE = frozenset({"$set", "$set_once", "$union", "$remove"})
"""Operations that change nothing when they are done once more."""


def apply(current: Properties, operation: str, operand: Any) -> Properties:
    """The properties after one operation; `current` is left as it is.

    `$delete` is not among them: it removes the profile. Raises `KeyError` for an operation that does not exist.
    """
    changed = dict(current)
    _OPERATIONS[operation](changed, operand)
    return changed


def _set(properties: Properties, values: Mapping[str, Any]) -> None:
    properties.update(values)


def _set_once(properties: Properties, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        properties.setdefault(name, value)


def _add(properties: Properties, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        before = properties.get(name)
        properties[name] = before + value if _number(before) and _number(value) else value


def _append(properties: Properties, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        properties[name] = [*_list(properties.get(name)), value]


def _union(properties: Properties, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        merged = list(_list(properties.get(name)))
        for item in _list(value):
            if item not in merged:
                merged.append(item)
        properties[name] = merged


def _remove(properties: Properties, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(properties.get(name), list):
            properties[name] = [item for item in properties[name] if item != value]


def _unset(properties: Properties, names: Any) -> None:
    for name in names:
        properties.pop(name, None)


_OPERATIONS = {
    "$set": _set,
    "$set_once": _set_once,
    "$add": _add,
    "$append": _append,
    "$union": _union,
    "$remove": _remove,
    "$unset": _unset,
}


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
