"""What a value looks like, without the value: enough to see what a rule does to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from policies.cipher import ENCRYPTED_CODE, TOKEN_CODE
from policies.pseudonym import PSEUDONYM_CODE
from policies.transform import NO_KEY

ABSENT = "nothing"
_MAX_STEPS = 64
_PLACEHOLDER = re.compile(r"\[[a-z_]+\]")
_FORMS = (
    (PSEUDONYM_CODE, "pseudonym"),
    (TOKEN_CODE, "token"),
    (ENCRYPTED_CODE, "encrypted"),
    (re.compile(re.escape(NO_KEY)), "encrypted"),
    (_PLACEHOLDER, "placeholder"),
)


def shape(value: Any) -> str:
    """``string(17)``, ``pseudonym``, ``integer``, ``list(3)``; never anything of the value itself."""
    if isinstance(value, str):
        return next((form for pattern, form in _FORMS if pattern.fullmatch(value)), f"string({len(value)})")
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, Mapping):
        return f"object({len(value)})"
    return "null" if value is None else f"list({len(value)})"


def shape_at(properties: Mapping[str, Any] | None, path: str) -> str:
    """The shape of what stands at a remark's path; that of the JSON text around it when the path goes on inside."""
    value: Any = properties
    rest = path.removeprefix("properties")
    for _ in range(_MAX_STEPS):
        if not rest or value is None:
            break
        if isinstance(value, str):
            return f"inside {shape(value)}"
        value, rest = _step(value, rest)
    return ABSENT if (value is None and properties is None) or rest else shape(value)


def _step(value: Any, rest: str) -> tuple[Any, str]:
    """One step along the path; where there is no such step the value is None and the rest stays."""
    if isinstance(value, list) and rest.startswith("["):
        index, _, behind = rest[1:].partition("]")
        return (value[int(index)], behind) if index.isdigit() and int(index) < len(value) else (None, rest)
    if isinstance(value, Mapping) and rest.startswith("."):
        # A name may have dots and brackets itself: the longest that fits.
        fitting = [key for key in value if rest[1:].startswith(key) and rest[1 + len(key) : 2 + len(key)] in ("", ".", "[")]
        if fitting:
            key = max(fitting, key=len)
            return value[key], rest[1 + len(key) :]
    return None, rest
