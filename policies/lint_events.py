"""Findings about events, consent, retention and cases."""

from __future__ import annotations

from collections.abc import Sequence

from policies.cases import case_context
from policies.categories import is_within
from policies.classify import IDENTITY_EVENTS
from policies.detect import CATEGORIES
from policies.findings import Examined, Findings
from policies.model import ActionKind, DropFilter, Fallback, Policy


def lists(examined: Examined) -> Findings:
    """Events that are both allowed and blocked, and lists without effect."""
    policy = examined.policy
    for at, glob in enumerate(policy.allowed_events):
        if any(examined.patterns.event_covers(blocked, glob) for blocked in policy.blocked_events):
            yield examined.fault(
                "allowed-and-blocked",
                f"events.allow[{at}]",
                f"`{glob}` is allowed and blocked; blocked wins",
                "remove it from one of the two",
            )
    unknown = policy.unknown_events
    if policy.allowed_events and unknown.otherwise is Fallback.ALLOW and not unknown.found:
        message = "`events.allow` has no effect, because unknown events are allowed"
        yield examined.doubt("allow-without-effect", "events.allow", message, "set `unknown_events: drop`")


def limited_rules(examined: Examined) -> Findings:
    """Rules for events that never arrive."""
    for at, rule in enumerate(examined.policy.rules):
        if rule.events and (why := _absent(examined, rule.events)):
            message = f"rule `{rule.id}` is limited to events that {why}"
            yield examined.doubt("rule-for-absent-event", f"rules[{at}].events", message, "remove the rule, or let the event in")


def filters(examined: Examined) -> Findings:
    """Drop filters that never refuse anything."""
    found = examined.policy.drop_filters
    for at, each in enumerate(found):
        path = f"events.drop[{at}].id"
        if why := _absent(examined, each.events):
            yield examined.doubt("filter-never-reached", path, f"filter `{each.id}` is for events that {why}", "remove it")
        elif first := next((earlier for earlier in found[:at] if _implied(examined, earlier, each)), None):
            message = f"filter `{each.id}` refuses nothing that `{first.id}` has not refused"
            yield examined.doubt("filter-never-reached", path, message, "remove it")


def purposes(examined: Examined) -> Findings:
    """Purposes that no event and no property serves, and signals that a purpose never hears."""
    policy = examined.policy
    served = {name for rule in policy.rules for name in rule.purposes}
    for at, purpose in enumerate(policy.consent.purposes):
        if purpose.events and (why := _absent(examined, purpose.events)):
            message = f"purpose `{purpose.name}` is served by events that {why}"
            yield examined.doubt("purpose-without-events", f"consent.purposes[{at}]", message, "correct its events")
        elif not purpose.events and purpose.name not in served:
            message = f"purpose `{purpose.name}` is served by no event and no rule"
            yield examined.doubt(
                "purpose-without-events", f"consent.purposes[{at}]", message, "give it `events`, or name it in a rule"
            )
        for signal in purpose.signals:
            if signal in policy.consent.signals:
                message = f"`{signal}` refuses every record already, so purpose `{purpose.name}` never hears it"
                hint = "remove it from `consent.signals`, or here"
                yield examined.doubt("signal-never-heard", f"consent.purposes[{at}].signals", message, hint)


def _absent(examined: Examined, events: Sequence[str]) -> str:
    """Why none of these events ever arrives, or nothing."""
    policy = examined.policy
    if policy.blocked_events and examined.patterns.events_cover(policy.blocked_events, events):
        return "are all blocked"
    if examined.lists_events and not examined.patterns.events_meet((*policy.allowed_events, *IDENTITY_EVENTS), events):
        return "are not in `events.allow`"
    return ""


def _implied(examined: Examined, earlier: DropFilter, later: DropFilter) -> bool:
    return set(earlier.where) <= set(later.where) and examined.patterns.events_cover(earlier.events, later.events)


def retention(examined: Examined) -> Findings:
    """Retention for a category that nothing in the policy gives to a property, or of events that never arrive."""
    known = {rule.category for rule in examined.policy.rules} | set(CATEGORIES.values())
    for at, each in enumerate(examined.policy.retention):
        path = f"retention[{at}]"
        if each.category and not any(is_within(category, each.category) for category in known):
            message = f"`{each.id}` is about `{each.category}`, which no rule has"
            yield examined.doubt("retention-without-rule", f"{path}.category", message, "use the category of a rule")
        elif each.events and (why := _absent(examined, each.events)):
            yield examined.doubt(
                "retention-without-rule", f"{path}.events", f"`{each.id}` is about events that {why}", "remove it"
            )


def cases(examined: Examined) -> Findings:
    """Actions that no case shows."""
    policy = examined.policy
    used = {rule.action.kind: (at, rule.id) for at, rule in reversed(list(enumerate(policy.rules)))}
    used.pop(ActionKind.KEEP, None)
    if not policy.cases:
        if used:
            yield examined.doubt(
                "no-cases", "policy", "the policy carries no cases", "add `cases`: they are run before each activation"
            )
        return
    shown = _shown(examined, policy)
    for kind, (at, rule_id) in sorted(used.items()):
        if kind not in shown:
            message = f"no case shows `{kind}`, which rule `{rule_id}` uses"
            yield examined.doubt("action-without-case", f"rules[{at}].action", message, "add a case to `cases`")


def _shown(examined: Examined, policy: Policy) -> set[str]:
    """The actions of rules that the cases bring about."""
    written = {rule.id for rule in policy.rules}
    return {
        remark.action
        for case in policy.cases
        for decision in examined.gate.check([case.record], case_context(case))
        for remark in decision.remarks
        if remark.rule in written
    }
