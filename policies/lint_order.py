"""Findings about the order of rules: what never matches, what is shadowed, what contradicts."""

from __future__ import annotations

from dataclasses import dataclass

from policies.classify import Governing
from policies.findings import Examined, Findings, LintFinding
from policies.model import Reason, Rule, Scope
from policies.patterns import example, is_wild, segments
from policies.text import joined_name

# What asking the gate for a path costs in comparisons, for each glob of the policy, when all of them nearly match.
_DEAR = 6


@dataclass(frozen=True, slots=True)
class _Shadow:
    """A pattern of a rule that never decides anything, and the earlier rule that decides first."""

    index: int
    pattern: str
    by: Rule
    standing: bool


def order(examined: Examined) -> Findings:
    """Rules and patterns of which an earlier rule leaves nothing."""
    for at, rule in enumerate(examined.policy.rules):
        found = [shadow for i, pattern in enumerate(rule.properties) if (shadow := _shadow(examined, at, i, pattern)) is not None]
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


def _shadow(examined: Examined, at: int, index: int, pattern: str) -> _Shadow | None:
    """The earlier rules that leave nothing of a pattern in any of its scopes; the last of them is named."""
    last: Governing | None = None
    scopes = set(examined.policy.rules[at].scopes)
    for scope in Scope:
        if scope not in scopes:
            continue
        last = _decides(examined, at, pattern, scope)
        if last is None:
            return None
        if scopes <= set(last.rule.scopes):
            break
    return None if last is None else _Shadow(index, pattern, last.rule, last.reason is not Reason.CLASSIFIED)


def _decides(examined: Examined, at: int, pattern: str, scope: Scope) -> Governing | None:
    """The first rule before the one at ``at`` that decides all of what a pattern names."""
    rule = examined.policy.rules[at]
    examined.patterns.spend(_DEAR * examined.globs)
    # The gate itself knows who names an example of the pattern: whoever covers the pattern is among them.
    classifier, path = examined.gate.terms.classifier, example(pattern)
    # Written without a sign between its words, a name must find the same rule.
    also = {entry.index for entry in classifier.candidates(".".join(map(joined_name, path.split("."))), scope)}
    for entry in classifier.candidates(path, scope):
        if entry.rule is rule or entry.rule.id == rule.id:
            break
        if entry.index not in also:
            continue
        if _all_named(examined, entry.rule, pattern) and examined.patterns.events_cover(entry.rule.events, rule.events):
            return entry
    return None


def _all_named(examined: Examined, by: Rule, pattern: str) -> bool:
    if not is_wild(pattern):
        return True
    return any(examined.patterns.path_covers(each, pattern) for each in by.properties if is_wild(each))


def contradictions(examined: Examined) -> Findings:
    """One pattern in two rules that do different things and meet only in part: which one decides is easily missed.

    An exception, which covers less than the rule it stands above, is no contradiction.
    """
    rules = examined.policy.rules
    owners: dict[tuple[str, ...], list[int]] = {}
    for at, rule in enumerate(rules):
        for i, pattern in enumerate(rule.properties):
            known = owners.setdefault(segments(pattern), [])
            for before in known:
                earlier = rules[before]
                if earlier.action != rule.action and _cross(examined, earlier, rule):
                    yield _meeting(examined, f"rules[{at}].properties[{i}]", pattern, earlier, rule)
            if at not in known:
                known.append(at)


def _meeting(examined: Examined, path: str, pattern: str, earlier: Rule, rule: Rule) -> LintFinding:
    return examined.doubt(
        "contradiction",
        path,
        f"`{pattern}` is under `{earlier.id}` ({earlier.action.kind}) and `{rule.id}` ({rule.action.kind}), "
        f"and where both apply `{earlier.id}` decides",
        "let their scopes and events differ",
    )


def _cross(examined: Examined, one: Rule, other: Rule) -> bool:
    """Whether two rules meet in scope and events, and neither covers the other."""
    if not set(one.scopes) & set(other.scopes) or not examined.patterns.events_meet(one.events, other.events):
        return False
    return not (_wider(examined, one, other) or _wider(examined, other, one))


def _wider(examined: Examined, one: Rule, other: Rule) -> bool:
    return set(one.scopes) >= set(other.scopes) and examined.patterns.events_cover(one.events, other.events)
