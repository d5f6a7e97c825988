"""Rules that the service proposes, written in the policy language: ready to paste, and read back by ``load`` in a test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policies.classify import HOUSEKEEPING
from policies.detect import CATEGORIES, SENSITIVITIES
from policies.model import Detector, Scope, Sensitivity

_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_LONGEST_ID = 60
# From this share on a property is taken to be what the detector finds, and below it for a text in which that occurs.
WHOLE = 0.5

# What is done with a property that *is* such a thing; the rest is dropped, which is never wrong.
_ACTIONS: dict[Detector, str] = {
    Detector.EMAIL: "hash",
    Detector.PHONE: "{mask: {keep_last: 2}}",
    Detector.MAC: "hash",
    Detector.CRYPTO_ADDRESS: "hash",
    Detector.BIRTH_DATE: "{generalise: {date: year}}",
    # The rest of the address is worth having, and the detector takes the credentials out of it.
    Detector.URL_CREDENTIALS: "keep",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposed rule. ``action`` is written in the policy language; ``events`` empty means every event."""

    property: str
    scope: Scope
    category: str
    sensitivity: Sensitivity
    action: str
    classified: bool = False
    events: tuple[str, ...] = ()
    why: str = ""


def nameable(path: str) -> bool:
    """Whether a rule can name this path. Not where a name was personal itself, nor a property of the wire format."""
    if path in HOUSEKEEPING or not path or "<" in path or len(path) > 200:
        return False
    return not (path.startswith((".", "[")) or path.endswith(".") or ".." in path or re.search(r"\[[^\]]", path))


def for_detector(scope: Scope, event: str, path: str, detector: Detector, share: float) -> Proposal | None:
    """The rule for a property in which a detector finds something in this share of records; None where none can
    name it."""
    if not nameable(path) or not event.isprintable() or "<" in event:
        return None
    category, sensitivity, action = treatment(detector)
    events = (_literal(event),) if scope is Scope.EVENT else ()
    if share >= WHOLE:
        why = f"The detector {detector} found one in {share:.0%} of the records."
        return Proposal(path, scope, category, sensitivity, action, True, events, why)
    why = f"A text: the detector {detector} found one in {share:.1%} of the records and goes on to treat each."
    return Proposal(path, scope, category, sensitivity, "keep", True, events, why)


def treatment(detector: Detector) -> tuple[str, Sensitivity, str]:
    """Category, sensitivity and action of a property that holds what the detector finds."""
    category = CATEGORIES.get(detector, "user")
    return category, SENSITIVITIES.get(detector, Sensitivity.CONFIDENTIAL), _ACTIONS.get(detector, "drop")


def rule_text(proposal: Proposal, rule_id: str | None = None) -> str:
    """One entry for the list under ``rules:``, indented by two spaces."""
    lines = [
        f"- id: {rule_id or slug(proposal)}",
        f"  properties: [{_quoted(proposal.property)}]",
        f"  scope: {proposal.scope}",
        *([f"  events: [{', '.join(map(_quoted, proposal.events))}]"] if proposal.events else []),
        f"  category: {proposal.category}",
        f"  sensitivity: {proposal.sensitivity}",
        f"  action: {proposal.action}",
        *(["  classified: true"] if proposal.classified else []),
        *([f"  why: {_quoted(proposal.why)}"] if proposal.why else []),
    ]
    return "".join(f"  {line}\n" for line in lines)


def policy_text(name: str, proposals: Iterable[Proposal]) -> str:
    """A whole policy of these rules, which loads as it is and from which rules can be pasted into another."""
    entries = [rule_text(each, rule_id) for each, rule_id in _named(proposals)]
    return f"policy: {name}\nrules:{' []' if not entries else ''}\n" + "\n".join(entries)


def slug(proposal: Proposal) -> str:
    """An id for the rule, from the property and where it stands."""
    words = _NOT_SLUG.sub("-", f"{proposal.property} {proposal.scope}".lower()).strip("-")
    return f"proposed-{words[:_LONGEST_ID].strip('-')}"


def _named(proposals: Iterable[Proposal]) -> Iterator[tuple[Proposal, str]]:
    seen: dict[str, int] = {}
    for each in proposals:
        base = slug(each)
        seen[base] = seen.get(base, 0) + 1
        yield each, base if seen[base] == 1 else f"{base}-{seen[base]}"


def _literal(name: str) -> str:
    """The name as a glob that matches it: what a glob would read as a wildcard matches any one character."""
    return name.replace("*", "?")


def _quoted(text: str) -> str:
    # A JSON string is a YAML string, whatever is in it.
    return json.dumps(text)
