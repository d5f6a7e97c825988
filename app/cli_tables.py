"""How the command line prints: aligned columns, and an explanation that can be read at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.explain import DECIDES, Considered, Explanation, PathExplained

_WIDEST = 60
_OUTCOMES = {
    "won": "decides",
    "standing_rule": "decides, as a standing rule",
    "inherited": "decides, because it governs {by}",
    "shadowed": "comes after {by}",
    "other_event": "is for other events",
    "other_scope": "is for records of another kind",
}


def aligned(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with columns as wide as what is in them; the last column runs on."""
    table = [tuple(map(str, row)) for row in (heads, *rows)]
    widths = [min(_WIDEST, max(len(row[i]) for row in table)) for i in range(len(heads))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return "\n".join(lines)


def told(found: Explanation) -> str:
    """An explanation as text."""
    return "\n".join((*_head(found), "", *_table(found), *_considered(found)))


def _head(found: Explanation) -> Iterator[str]:
    yield f"policy       {found.policy} ({found.digest[:12]})"
    yield f"verdict      {found.verdict}"
    yield f"consent      {f'refused: {found.consent.reason}' if found.consent else 'nothing is held against it'}"
    event = f"{found.event.action} by {found.event.rule}: {found.event.reason}" if found.event else "nothing is held against it"
    yield f"event        {event}"
    added = f"; added {', '.join(found.geolocated)}" if found.geolocated else ""
    yield f"geolocation  {found.geolocation}{added}"
    whole = [each for each in found.remarks if each.rule == "gate"]
    if whole:
        yield f"gate         {', '.join(sorted({f'{each.action} {each.path}: {each.reason}' for each in whole}))}"


def _table(found: Explanation) -> Iterator[str]:
    rows = [(each.path, each.winner or "-", _does(each), _noted(each)) for each in found.paths]
    yield aligned(("path", "decided by", "action", "found"), rows)


def _does(path: PathExplained) -> str:
    if path.action is not None:
        return path.action.value
    if path.part is not None:
        return f"left alone ({path.part})"
    return f"{path.unknown} (unknown)" if path.unknown else "-"


def _noted(path: PathExplained) -> str:
    return ", ".join(f"{each.detector}: {each.action} ({each.confidence:.2f})" for each in path.found)


def _considered(found: Explanation) -> Iterator[str]:
    """The rules that were considered, for each property for which there is more to say than which won."""
    for path in found.paths:
        if len(path.rules) > 1 or any(rule.why or rule.by for rule in path.rules):
            yield f"\n{path.path}"
            yield from (f"  {_said(rule)}" for rule in path.rules)


def _said(rule: Considered) -> str:
    said = _OUTCOMES[rule.outcome].format(by=rule.by)
    why = f" - {rule.why}" if rule.why and rule.outcome in DECIDES else ""
    return f"{rule.rule} ({rule.action}) {said}{why}"
