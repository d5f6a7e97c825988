"""Findings about the order of rules: what never matches, what is shadowed, what contradicts."""

from __future__ import annotations

from dataclasses import dataclass

from policies.findings import Examined, Findings, LintFinding
from policies.geolocate import standing_rules
from policies.model import Rule, Scope
from policies.patterns import events_cover, events_meet, path_covers, segments


@dataclass(frozen=True, slots=True)
class _Shadow:
    """A pattern of a rule that never decides anything, and the earlier rule that decides first."""

    index: int
    pattern: str
    by: Rule
    standing: bool


def order(examined: Examined) -> Findings:
    """Rules and patterns of which an earlier rule leaves nothing."""
    rules = examined.policy.rules
    standing = tuple(rule for rule, _ in standing_rules(examined.policy.geolocation))
    for at, rule in enumerate(rules):
        earlier = (*((each, True) for each in standing), *((each, False) for each in rules[:at]))
        found = [
            shadow for i, pattern in enumerate(rule.properties) if (shadow := _shadow(i, pattern, rule, earlier)) is not None
        ]
        if len(found) == len(rule.properties) > 0:
            yield from _dead(examined, at, rule, found)
        else:
            yield from (_partly(examined, at, rule, each) for each in found)


def _dead(examined: Examined, at: int, rule: Rule, found: list[_Shadow]) -> Findings:
    others = sorted({each.by.id for each in found})
    by = ", ".join(f"`{each}`" for each in others)
    report = examined.fault if any(each.by.action != rule.action for each in found) else examined.doubt
    hint = "remove it: places and addresses obey `geolocation`" if found[0].standing else f"move it above {by}, or remove it"
    yield report("never-matches", f"rules[{at}].id", f"rule `{rule.id}` never matches: {by} decides first", hint)


def _partly(examined: Examined, at: int, rule: Rule, shadow: _Shadow) -> LintFinding:
    path = f"rules[{at}].properties[{shadow.index}]"
    name = f"`{shadow.pattern}` of rule `{rule.id}`"
    if shadow.standing or shadow.by.action == rule.action:
        return examined.doubt("partly-shadowed", path, f"{name} never matches: `{shadow.by.id}` decides first", "remove it here")
    return examined.fault(
        "contradiction",
        path,
        f"{name} never matches: `{shadow.by.id}` decides first, and it says {shadow.by.action.kind}, not {rule.action.kind}",
        "name it in one rule only, or put the exception first",
    )


def _shadow(index: int, pattern: str, rule: Rule, earlier: tuple[tuple[Rule, bool], ...]) -> _Shadow | None:
    """The earlier rules that leave nothing of a pattern in any of its scopes; the last of them is named."""
    last: tuple[Rule, bool] | None = None
    for scope in rule.scopes:
        found = next((each for each in earlier if _decides(each[0], scope, pattern, rule)), None)
        if found is None:
            return None
        last = found
    return None if last is None else _Shadow(index, pattern, *last)


def _decides(first: Rule, scope: Scope, pattern: str, rule: Rule) -> bool:
    return (
        scope in first.scopes
        and any(path_covers(each, pattern) for each in first.properties)
        and events_cover(first.events, rule.events)
    )


def contradictions(examined: Examined) -> Findings:
    """One pattern in two rules that do different things and meet only in part: which one decides is easily missed.

    An exception, which covers less than the rule it stands above, is no contradiction.
    """
    rules = examined.policy.rules
    for at, rule in enumerate(rules):
        for earlier in rules[:at]:
            if earlier.action == rule.action or not _cross(earlier, rule):
                continue
            known = {segments(each) for each in earlier.properties}
            for i, pattern in enumerate(rule.properties):
                if segments(pattern) in known:
                    yield examined.doubt(
                        "contradiction",
                        f"rules[{at}].properties[{i}]",
                        f"`{pattern}` is under `{earlier.id}` ({earlier.action.kind}) and `{rule.id}` ({rule.action.kind}), "
                        f"and where both apply `{earlier.id}` decides",
                        "let their scopes and events differ",
                    )


def _cross(one: Rule, other: Rule) -> bool:
    """Whether two rules meet in scope and events, and neither covers the other."""
    if not set(one.scopes) & set(other.scopes) or not events_meet(one.events, other.events):
        return False
    return not (_wider(one, other) or _wider(other, one))


def _wider(one: Rule, other: Rule) -> bool:
    return set(one.scopes) >= set(other.scopes) and events_cover(one.events, other.events)
