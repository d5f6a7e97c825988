"""One drop filter more or less in a policy as its author wrote it: every other character stays, comments included.

The text is changed where the reader says that the list stands, and what comes of it is read again: a text written in a way
that does not allow for it gives None, and its author has to write it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from policies.errors import PolicyError
from policies.load import load, load_located
from policies.located import Positions
from policies.model import DropFilter, Policy

_LIST = "events.drop"


def read_filter(written: dict[str, Any]) -> DropFilter:
    """The filter that these JSON values describe, as in a policy: `id`, `events`, `where`. Raises `PolicyInvalid`."""
    (found,) = load(f"policy: one-filter\nevents: {{drop: [{_flow(written)}]}}\n").drop_filters
    return found


def _flow(written: dict[str, Any]) -> str:
    # JSON is YAML, but for escapes: JSON writes a character beyond 16 bits as two halves, which YAML takes for two characters.
    return json.dumps(written, ensure_ascii=False)


def with_filter(text: str, written: dict[str, Any]) -> str | None:
    """The text with this filter as the first, or None. Raises `PolicyInvalid` for a filter or a text with mistakes, and
    `KeyError` when its id is taken."""
    policy, known = load_located(text)
    made = read_filter(written)
    if any(each.id == made.id for each in policy.drop_filters):
        raise KeyError(made.id)
    lines, line = text.splitlines(keepends=True), _flow(written)
    at, indent = _place(lines, known)
    if at is None:
        return None
    if f"{_LIST}[0]" in known:
        new = [f"{indent}- {line}\n"]
    elif "events" in known:
        new = [f"{indent}drop:\n", f"{indent}  - {line}\n"]
    else:
        new = ["" if not lines or lines[-1].endswith("\n") else "\n", "events:\n", "  drop:\n", f"    - {line}\n"]
    return _if_so("".join((*lines[:at], *new, *lines[at:])), replace(policy, drop_filters=(made, *policy.drop_filters)))


def without_filter(text: str, filter_id: str) -> str | None:
    """The text without the filter of this id, or None. Raises `KeyError` when it has none."""
    policy, known = load_located(text)
    ids = [each.id for each in policy.drop_filters]
    if filter_id not in ids:
        raise KeyError(filter_id)
    index, lines = ids.index(filter_id), text.splitlines(keepends=True)
    line, column = known[f"{_LIST}[{index}]"]
    start, head = line - 1, lines[line - 1][: column - 1]
    if head.strip() != "-":
        return None
    end = start + 1
    while end < len(lines) and _belongs(lines[end], head.index("-")):
        end += 1
    left = lines[:start] + lines[end:]
    if len(ids) == 1:
        # A list that has lost its last entry would be nothing, which is no list.
        above = next((at for at in range(start - 1, -1, -1) if lines[at].strip().startswith("drop:")), None)
        if above is None:
            return None
        left[above] = left[above].replace("drop:", "drop: []", 1)
    return _if_so(
        "".join(left), replace(policy, drop_filters=tuple(each for each in policy.drop_filters if each.id != filter_id))
    )


def _belongs(line: str, dash: int) -> bool:
    """Whether a line goes on with the entry whose dash stands at this column."""
    return bool(line.strip()) and len(line) - len(line.lstrip()) > dash


def _place(lines: list[str], known: Positions) -> tuple[int | None, str]:
    """Before which line the filter goes, and with which indentation; None where it cannot."""
    for path, dash in ((f"{_LIST}[0]", "-"), ("events", "")):
        if path in known:
            line, column = known[path]
            head = lines[line - 1][: column - 1]
            return (line - 1 if head.strip() == dash else None), head.partition("-")[0]
    return len(lines), ""


def _if_so(text: str, meant: Policy) -> str | None:
    try:
        return text if load(text) == meant else None
    except PolicyError:
        return None
