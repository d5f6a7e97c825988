"""What is planted: for every policy, values that it forbids, where they would stand, and the needles that give them away.

Nothing here names a shipped policy or a rule: seeds are read off the written policy, so a new one is attacked as soon
as it ships.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from policies.detect import CATEGORIES
from policies.model import ActionKind, Detector, Fallback, Geolocation, Mask, Policy, Rule, Scope, SubjectState, Truncate

CANARY: Final = "Quillfeathermarrowbystone"
"""A word that no detector knows: only a rule can forbid it."""
CANARY_NUMBER: Final = 739_182_640_517
EVENT: Final = "Support Asked"


@dataclass(frozen=True)
class Seed:
    """One forbidden thing: a value under a path of names, or a text that a detector must read.

    ``needles`` are lower-case letters and digits. ``kind`` is ``rule``, ``place`` or ``detector``; ``kept`` says that a
    policy which keeps everything keeps this too; ``splits`` are separators that hide nothing between its digits.
    """

    label: str
    kind: str
    scope: Scope
    event: str
    path: tuple[str, ...]
    value: Any
    needles: tuple[str, ...]
    number: Any = None
    number_needles: tuple[str, ...] = ()
    kept: bool = True
    splits: str = ""
    glues: bool = False
    action: ActionKind = ActionKind.DROP


@dataclass(frozen=True)
class Plant:
    """A value of one detector's kind, ``before`` it what a sentence would say, and what its parts are."""

    detector: Detector
    value: str
    needles: tuple[str, ...]
    before: str = "see "
    splits: str = ""
    glues: bool = False


def windows(text: str, width: int) -> tuple[str, ...]:
    """Every run of ``width`` characters of ``text``: half a number is a find too."""
    return tuple(text[i : i + width] for i in range(max(1, len(text) - width + 1)))


def with_luhn(digits: str) -> str:
    """The digits with the one that makes them pass the Luhn check."""
    for last in "0123456789":
        total = 0
        for place, char in enumerate(reversed(digits + last)):
            one = int(char) * (2 if place % 2 else 1)
            total += one - 9 if one > 9 else one
        if total % 10 == 0:
            return digits + last
    raise AssertionError


_CARD = with_luhn("492938133266429")
_JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IlF1aWxsIn0.dGVzdHNpZ25hdHVyZXF1aWxsZmVhdGhlcm1hcnJvdw"

PLANTS: Final = (
    Plant(Detector.EMAIL, "quillfeather.marrowby@example.com", ("quillfeather", "marrowby"), "write to ", glues=True),
    Plant(Detector.PHONE, "+1 415 555 2671", windows("14155552671", 8), "call ", " -."),
    Plant(Detector.CARD, _CARD, windows(_CARD, 9), "paid with ", " -._"),
    Plant(Detector.IBAN, "DE89370400440532013000", windows("89370400440532013000", 9), "iban ", " "),
    Plant(Detector.SSN, "536-22-8716", ("536228716",), "ssn "),
    Plant(Detector.NATIONAL_ID, "RSSMRA85T10A562S", ("rssmra85t10a562s",), "codice fiscale "),
    Plant(Detector.IP, "203.0.113.77", ("203011377",), "from "),
    Plant(Detector.IP, "2001:db8:4a3c::8a2e:370:7334", ("8a2e3707334",), "from "),
    Plant(Detector.MAC, "3c:22:fb:9a:41:d7", ("3c22fb9a41d7",), "device "),
    Plant(Detector.JWT, _JWT, ("dgvzdhnpz25hdhvyzxf1",), "token "),
    Plant(Detector.SECRET, "AKIA" + "QX3ZK7PLM2VN5RTD", ("akiaqx3zk7plm2vn5rtd",), "key "),
    Plant(Detector.URL_CREDENTIALS, "https://marlow:quillfeather9@db.example/x", ("quillfeather9",), "see "),
    Plant(Detector.COORDINATES, "48.858370, 2.294481", ("48858370",), "location "),
    Plant(Detector.BIRTH_DATE, "1985-04-12", ("19850412",), "date of birth: "),
    Plant(
        Detector.CRYPTO_ADDRESS,
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        windows("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", 16),
        "to ",
    ),
)
"""At least one of each kind; the detectors that a build does not have yet are passed over by ``seeds``."""


AGREED: Final = SubjectState.OPTED_IN
"""The person of every mutant has agreed, so that nothing is refused for consent and every mutant reaches the rules."""


def event_of(policy: Policy) -> str:
    """An event name that the policy lets in."""
    lenient = policy.unknown_events.otherwise is Fallback.ALLOW
    allowed = next(iter(policy.allowed_events), EVENT)
    return EVENT if lenient else allowed.replace("*", "x").replace("?", "x")


def seeds(policy: Policy) -> Iterator[Seed]:
    """Everything that ``policy`` forbids and a sender might send."""
    yield from _of_places(policy)
    for rule in policy.rules:
        for written in rule.properties:
            yield from _of_rule(policy, rule, written)
    terms = dict(policy.detectors)
    for plant in PLANTS:
        its = terms[plant.detector]
        if plant.detector in CATEGORIES and its.action is not ActionKind.KEEP and its.confidence <= 0.5 and not its.allow:
            for path in (("note",), ("zqx",)):
                text = plant.before + plant.value
                yield Seed(
                    f"detector.{plant.detector}", "detector", Scope.EVENT, event_of(policy), path, text, plant.needles,
                    splits=plant.splits, glues=plant.glues, action=its.action,
                )  # fmt: skip


def _of_places(policy: Policy) -> Iterator[Seed]:
    rungs = [Geolocation.OFF, Geolocation.COUNTRY, Geolocation.REGION, Geolocation.CITY]
    above = rungs.index(policy.geolocation)
    places = [("ip", 9), ("$ip", 9), ("$city", 3), ("$region", 2), ("$timezone", 2), ("mp_country_code", 1), ("$country_code", 1)]
    for name, rung in places:
        if rung > above:
            yield Seed(
                f"place.{name}",
                "place",
                Scope.EVENT,
                event_of(policy),
                (name,),
                CANARY,
                windows(CANARY.lower(), 9),
                kept=rung < 9,
            )


def _of_rule(policy: Policy, rule: Rule, written: str) -> Iterator[Seed]:
    scope = rule.scopes[0]
    event = rule.events[0].replace("*", "x").replace("?", "x") if rule.events else event_of(policy)
    path = tuple(part.replace("*", "").replace("?", "x") or "x" for part in written.replace("[]", "").split("."))
    first = _first_match(policy, scope, event, path)
    if first is None or first.action.kind is ActionKind.KEEP:
        return
    action = first.action
    ends = action.length if isinstance(action, Truncate) else 0
    ends = action.keep_first + action.keep_last if isinstance(action, Mask) else ends
    width = max(9, ends + 3)
    if width > len(CANARY):
        return
    # What `generalise` leaves of a number is a number that begins like it.
    number = None if action.kind is ActionKind.GENERALISE else CANARY_NUMBER
    digits = windows(str(CANARY_NUMBER), max(9, ends + 1))
    needles = windows(CANARY.lower(), width)
    yield Seed(f"rule.{first.id}", "rule", scope, event, path, CANARY, needles, number, digits, action=action.kind)


def _first_match(policy: Policy, scope: Scope, event: str, path: tuple[str, ...]) -> Rule | None:
    """The first rule that names this path, by the words of docs/policy.md and by nothing of the engine."""
    for rule in policy.rules:
        fits = not rule.events or any(fnmatch.fnmatchcase(event.lower(), glob.lower()) for glob in rule.events)
        if scope in rule.scopes and fits:
            for written in rule.properties:
                parts = written.replace("[]", "").lower().split(".")
                ending = [name.lower() for name in path[-len(parts) :]]
                if len(ending) == len(parts) and all(map(fnmatch.fnmatchcase, ending, parts)):
                    return rule
    return None
