"""Reads an action: one word, or one word with its settings, such as ``{mask: {keep_last: 2}}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from policies.located import Located, Reader, json_value, meant, shown
from policies.model import (
    Action,
    ActionKind,
    DateUnit,
    Drop,
    DropEvent,
    Encrypt,
    Generalise,
    Hash,
    Keep,
    Mask,
    Period,
    Quarantine,
    Redact,
    Replace,
    Tokenise,
    Truncate,
)

_Read: TypeAlias = Callable[[Reader, Located, str], Action]
_MAX_LENGTH = 10_000
_MAX_BANDS = 50
_WAYS = ("bucket", "bands", "date", "postal")


def read_action(reader: Reader, node: Located, path: str) -> Action:
    """The action that ``node`` stands for. Notes mistakes; then the result is a harmless stand-in."""
    if isinstance(node.value, str):
        return _configured(reader, reader.member(node, path, ActionKind, ActionKind.DROP), None, node, path)
    if not isinstance(node.value, dict) or len(node.value) != 1:
        reader.note(node, path, "must be one action", "for example `drop`, or `mask: {keep_last: 2}`")
        return Drop()
    name, (key, settings) = next(iter(node.value.items()))
    if name not in tuple(ActionKind):
        reader.note(key, path, f"unknown value `{shown(name)}`", meant(name, tuple(ActionKind)))
        return Drop()
    return _configured(reader, ActionKind(name), settings, node, path)


def _configured(reader: Reader, kind: ActionKind, settings: Located | None, node: Located, path: str) -> Action:
    if kind in _SIMPLE:
        if settings is not None:
            reader.note(settings, path, f"`{kind}` has no settings", f"write `action: {kind}`")
        return _SIMPLE[kind]()
    if settings is None:
        if kind in _WITHOUT_SETTINGS:
            return _WITHOUT_SETTINGS[kind]()
        reader.note(node, path, f"`{kind}` needs settings", f"for example `{_EXAMPLES[kind]}`")
        return Drop()
    return _READERS[kind](reader, settings, f"{path}.{kind}")


def _hash(reader: Reader, node: Located, path: str) -> Hash:
    fields = reader.fields(node, path, ("purpose", "period"), ())
    period = reader.member(fields["period"], f"{path}.period", Period, Period.DAY) if "period" in fields else None
    return Hash(_purpose(reader, fields, path), period)


def _tokenise(reader: Reader, node: Located, path: str) -> Tokenise:
    return Tokenise(_purpose(reader, reader.fields(node, path, ("purpose",), ()), path))


def _purpose(reader: Reader, fields: dict[str, Located], path: str) -> str | None:
    return reader.text(fields["purpose"], f"{path}.purpose") if "purpose" in fields else None


def _mask(reader: Reader, node: Located, path: str) -> Mask:
    fields = reader.fields(node, path, ("keep_first", "keep_last"), ())
    first, last = (
        reader.integer(fields[name], f"{path}.{name}", 0, 100) if name in fields else 0 for name in ("keep_first", "keep_last")
    )
    return Mask(first, last)


def _truncate(reader: Reader, node: Located, path: str) -> Truncate:
    fields = reader.fields(node, path, ("length",), ("length",))
    return Truncate(reader.integer(fields["length"], f"{path}.length", 0, _MAX_LENGTH) if "length" in fields else 0)


def _generalise(reader: Reader, node: Located, path: str) -> Generalise | Drop:
    fields = reader.fields(node, path, _WAYS, ())
    if len(fields) != 1:
        reader.note(node, path, f"needs exactly one of {', '.join(_WAYS)}", f"for example `{_EXAMPLES[ActionKind.GENERALISE]}`")
        return Drop()
    ((way, value),) = fields.items()
    at = f"{path}.{way}"
    match way:
        case "bucket":
            return Generalise(bucket=_width(reader, value, at))
        case "bands":
            return Generalise(bands=_bands(reader, value, at))
        case "date":
            return Generalise(date=reader.member(value, at, DateUnit, DateUnit.YEAR))
        case _:
            return Generalise(postal=reader.integer(value, at, 1, 10))


def _width(reader: Reader, node: Located, path: str) -> float:
    width = reader.number(node, path)
    if width is not None and not 1e-6 <= width <= 1e15:
        reader.note(node, path, "must be a width greater than 0", "for example `bucket: 10`")
    return width or 1.0


def _bands(reader: Reader, node: Located, path: str) -> tuple[float, ...]:
    bounds = [each for each in reader.items(node, path, reader.number) if each is not None]
    if not 1 <= len(bounds) <= _MAX_BANDS or bounds != sorted(set(bounds)):
        reader.note(node, path, f"must be 1 to {_MAX_BANDS} numbers in ascending order", "for example `bands: [18, 25, 35, 65]`")
        return (0.0,)
    return tuple(bounds)


def _replace(reader: Reader, node: Located, path: str) -> Replace:
    fields = reader.fields(node, path, ("with",), ("with",))
    value = json_value(fields["with"]) if "with" in fields else ""
    if not isinstance(value, str | int | float | bool):
        reader.note(fields["with"], f"{path}.with", "must be text, a number, true or false")
        return Replace("")
    return Replace(value)


_SIMPLE: dict[ActionKind, Callable[[], Action]] = {
    ActionKind.KEEP: Keep,
    ActionKind.DROP: Drop,
    ActionKind.DROP_EVENT: DropEvent,
    ActionKind.QUARANTINE: Quarantine,
    ActionKind.REDACT: Redact,
    ActionKind.ENCRYPT: Encrypt,
}
_WITHOUT_SETTINGS: dict[ActionKind, Callable[[], Action]] = {
    ActionKind.HASH: Hash,
    ActionKind.MASK: Mask,
    ActionKind.TOKENISE: Tokenise,
}
_READERS: dict[ActionKind, _Read] = {
    ActionKind.HASH: _hash,
    ActionKind.MASK: _mask,
    ActionKind.TRUNCATE: _truncate,
    ActionKind.GENERALISE: _generalise,
    ActionKind.REPLACE: _replace,
    ActionKind.TOKENISE: _tokenise,
}
_EXAMPLES = {
    ActionKind.TRUNCATE: "truncate: {length: 4}",
    ActionKind.GENERALISE: "generalise: {date: month}",
    ActionKind.REPLACE: "replace: {with: unknown}",
}
