"""Findings about single rules and detectors: what is kept, hashed, masked or left unread that should not be."""

from __future__ import annotations

import re
from collections import defaultdict

from policies.categories import is_known, is_within, suggestion
from policies.detect import CATEGORIES, SENSITIVITIES
from policies.findings import Examined, Findings, LintFinding
from policies.model import (
    ActionKind,
    Detector,
    Fallback,
    Hash,
    Keep,
    Mask,
    Rule,
    Sensitivity,
    Tokenise,
    Truncate,
)
from policies.patterns import segments

_SPECIAL = "special category data"
_PHONE = "user.contact.phone_number"
_CARD = "user.financial.credit_card"
# Names that say what they hold, by their last words, and the detector that would see it in a value.
_RESTRICTED_NAMES: tuple[tuple[re.Pattern[str], str, Detector | None], ...] = tuple(
    (re.compile(rf"(?:.*[_\-. $])?(?:{words})s?"), what, detector)
    for words, what, detector in (
        (r".*passwo?r?d|pwd|pass_?phrase|pin|pin_?code|cvv|cvc|cvv2|otp|otp_?code", "a credential", None),
        (
            r".*(?:api|private|secret)_?key|.*(?:access|refresh|auth|session)_?token|client_?secret|secret",
            "a key",
            Detector.SECRET,
        ),
        (r"ssn|.*social_?security(?:_?number)?", "a social security number", Detector.SSN),
        (r".*(?:credit|debit)_?card|card_?(?:number|no)|pan|.*card_?number", "a payment card", Detector.CARD),
        (r"iban|bank_?account|account_?number", "a bank account", Detector.IBAN),
        (r"passport(?:_?(?:number|no))?|national_?id|tax_?id|drivers?_?licen[cs]e", "an identity document", Detector.NATIONAL_ID),
        (
            r"diagnos[ie]s|medical_?(?:record|condition|history)|health_?(?:condition|status)|medications?|allerg(?:y|ie)|"
            r"disabilit(?:y|ie)|pregnan(?:t|cy)|hiv_?status|genetic_?(?:data|test)|dna",
            _SPECIAL,
            None,
        ),
        (
            r"religion|religious_?(?:belief|affiliation)|faith|philosophical_?belief|political_?(?:opinion|party|affiliation|view)|"
            r"(?:trade_?)?union_?member(?:ship)?|race|ethnic(?:ity|_?origin|_?group)|racial_?(?:origin|group)",
            _SPECIAL,
            None,
        ),
        (
            r"sexual_?(?:orientation|preference)|sexuality|sex_?life|biometrics?|finger_?print|face_?(?:id|print|scan)|"
            r"voice_?print|(?:iris|retina)_?scan",
            _SPECIAL,
            None,
        ),
    )
)
_MUCH = 10
# GDPR Article 9(1), as far as the taxonomy has a place for it.
_ARTICLE_9 = (
    "user.health_and_medical",
    "user.biometric",
    "user.authorization.biometric",
    "user.demographic.race_ethnicity",
    "user.demographic.religious_belief",
    "user.demographic.political_opinion",
    "user.demographic.sexual_orientation",
)


def kept(examined: Examined) -> Findings:
    """Rules that keep what their own sensitivity, or the name of the property, calls restricted."""
    on = {detector for detector, terms in examined.policy.detectors if terms.action is not ActionKind.KEEP}
    for at, rule in enumerate(examined.policy.rules):
        if not isinstance(rule.action, Keep):
            continue
        if rule.sensitivity is Sensitivity.RESTRICTED:
            message = f"rule `{rule.id}` keeps what it calls restricted"
            yield examined.doubt("keeps-restricted", f"rules[{at}].action", message, "drop it, or `encrypt` it")
        if any(is_within(rule.category, each) for each in _ARTICLE_9):
            message = f"rule `{rule.id}` keeps `{rule.category}`, {_SPECIAL}"
            yield _special(examined, rule, f"rules[{at}].category", message)
        for i, pattern in enumerate(rule.properties):
            yield from _kept_name(examined, f"rules[{at}].properties[{i}]", rule, pattern, on)


def _kept_name(examined: Examined, path: str, rule: Rule, pattern: str, on: set[Detector]) -> Findings:
    name = segments(pattern)[-1].strip("*?")
    for form, what, detector in _RESTRICTED_NAMES:
        if form.fullmatch(name):
            read = rule.scan and detector in on
            message = f"rule `{rule.id}` keeps `{pattern}`, by its name {what}"
            if what == _SPECIAL:
                yield _special(examined, rule, path, message)
                return
            report = examined.doubt if read else examined.fault
            hint = "a detector still reads it; better drop it" if read else "drop it: no detector will find it in the value"
            yield report("keeps-restricted", path, message, hint)
            return


def _special(examined: Examined, rule: Rule, path: str, message: str) -> LintFinding:
    """What somebody's health or belief is may be the very purpose of a policy. Then the policy says on what ground.

    GDPR Article 9(1) forbids it, and 9(2) lists what allows it.
    """
    if rule.why.strip():
        return examined.doubt("keeps-restricted", path, message, "its `why` must name the ground (GDPR Article 9(2))")
    return examined.fault("keeps-restricted", path, message, "drop or `encrypt` it; or write the ground that allows it as `why`")


def pseudonyms(examined: Examined) -> Findings:
    """Hashes and tokens that join too much, or stand where only encryption can be undone for the person or erased."""
    categories: dict[tuple[str, str], set[str]] = defaultdict(set)
    for at, rule in enumerate(examined.policy.rules):
        action = rule.action
        if isinstance(action, Hash) and action.period is None and rule.sensitivity is Sensitivity.RESTRICTED:
            yield examined.doubt(
                "hashes-restricted",
                f"rules[{at}].action",
                f"rule `{rule.id}` makes a lasting pseudonym of restricted data: it stays attributable while the key lives",
                "`encrypt` dies with the person's key and can be read for their access request; or drop it",
            )
        if isinstance(action, Hash | Tokenise) and action.purpose:
            seen = categories[action.kind, action.purpose]
            seen.add(rule.category)
            if len(seen) > 1:
                message = f"purpose `{action.purpose}` joins values of {', '.join(f'`{each}`' for each in sorted(seen))}"
                yield examined.doubt("shared-purpose", f"rules[{at}].action", message, "give each category a purpose of its own")


def shortened(examined: Examined) -> Findings:
    """Masks and truncations that leave what they should hide."""
    for at, rule in enumerate(examined.policy.rules):
        path, action = f"rules[{at}].action", rule.action
        if isinstance(action, Mask) and _hides_nothing(action, rule.category):
            shown = action.keep_first + action.keep_last
            message = f"rule `{rule.id}` leaves {shown} characters, which is most of the value"
            yield examined.doubt("mask-hides-nothing", path, message, "keep 4 at most")
        if isinstance(action, Truncate) and action.length and is_within(rule.category, CATEGORIES[Detector.EMAIL]):
            message = f"rule `{rule.id}` keeps the first characters of an e-mail address, which is the name in it"
            yield examined.doubt("truncates-email", path, message, "`hash` it, or `mask` it")


def _hides_nothing(action: Mask, category: str) -> bool:
    # Six and four digits of a payment card may be shown (PCI DSS 4.0, requirement 3.4.1).
    allowed = _MUCH if is_within(category, _CARD) else _MUCH - 3
    return action.keep_first + action.keep_last > allowed


def categories(examined: Examined) -> Findings:
    """Categories that the taxonomy does not have."""
    written = [(f"rules[{at}].category", rule.category) for at, rule in enumerate(examined.policy.rules)]
    written += [(f"retention[{at}].category", each.category or "user") for at, each in enumerate(examined.policy.retention)]
    for path, category in written:
        if not is_known(category):
            yield examined.doubt("unknown-category", path, f"`{category}` is not in the fideslang taxonomy", suggestion(category))


def detectors(examined: Examined) -> Findings:
    """Detectors that are switched off for what is always restricted; and a policy that looks at nothing."""
    policy = examined.policy
    off = [detector for detector, terms in policy.detectors if terms.action is ActionKind.KEEP]
    unknown = policy.unknown_properties
    if len(off) == len(policy.detectors) and unknown.otherwise is Fallback.ALLOW:
        yield examined.doubt(
            "lets-everything-through",
            "detectors",
            "this gate lets everything through that no rule names: unknown properties are allowed and no detector is on",
            "switch detectors on, or set `unknown_properties: drop`",
        )
        return
    for detector in off:
        if SENSITIVITIES.get(detector) is Sensitivity.RESTRICTED:
            message = f"the detector `{detector}` is off, and what it finds is restricted"
            yield examined.doubt(
                "detector-off", f"detectors.{detector}", message, "`redact` it; use `allow` for what is harmless"
            )


def region(examined: Examined) -> Findings:
    """A policy about phone numbers that says nothing of the country they are written for."""
    if not examined.positions or "default_region" in examined.positions:
        return
    for at, rule in enumerate(examined.policy.rules):
        if is_within(rule.category, _PHONE) and rule.action.kind in (ActionKind.MASK, ActionKind.HASH, ActionKind.TOKENISE):
            yield examined.doubt(
                "default-region",
                f"rules[{at}]",
                f"rule `{rule.id}` is about phone numbers, and numbers without a country code are read as those of the US",
                "write `default_region: US`, or your own country",
            )
            return
