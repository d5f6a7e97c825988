"""Frozen values of the rules: the written policy, the records it judges, and the decisions it gives.

Nothing here behaves; ``compile`` gives a ``Policy`` its meaning and ``gate`` applies it.
Fields that may hold personal data are kept out of every ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias


class Scope(StrEnum):
    """What kind of record a property belongs to."""

    EVENT = "event"
    PROFILE = "profile"
    GROUP = "group"


class Verdict(StrEnum):
    """What became of one record."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password.
    CHANGED = "changed"
    DROPPED = "dropped"
    QUARANTINED = "quarantined"


class SubjectState(StrEnum):
    """What the register knows of the person a record belongs to, at the moment of the check."""

    ACTIVE = "active"
    OPTED_OUT = "opted_out"
    RESTRICTED = "restricted"
    ERASING = "erasing"
    ERASED = "erased"


class Sensitivity(StrEnum):
    """How harmful disclosure would be; RESTRICTED covers GDPR Article 9 data and the like."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class Reason(StrEnum):
    """Why a remark was made. Closed: docs/policy.md explains every member, and a test compares the two."""

    CLASSIFIED = "classified"
    DETECTED_EMAIL = "detected_email"
    DETECTED_PHONE = "detected_phone"
    DETECTED_CARD = "detected_card"
    DETECTED_IBAN = "detected_iban"
    DETECTED_SSN = "detected_ssn"
    DETECTED_NATIONAL_ID = "detected_national_id"
    DETECTED_IP = "detected_ip"
    DETECTED_MAC = "detected_mac"
    DETECTED_JWT = "detected_jwt"
    DETECTED_SECRET = "detected_secret"  # noqa: S105 - a reason, not a secret.
    DETECTED_URL_CREDENTIALS = "detected_url_credentials"
    DETECTED_COORDINATES = "detected_coordinates"
    DETECTED_BIRTH_DATE = "detected_birth_date"
    DETECTED_CRYPTO_ADDRESS = "detected_crypto_address"
    UNKNOWN_PROPERTY = "unknown_property"
    UNKNOWN_EVENT = "unknown_event"
    BLOCKED_EVENT = "blocked_event"
    OPTED_OUT = "opted_out"
    RESTRICTED = "restricted"
    ERASED = "erased"
    GEOLOCATION_OFF = "geolocation_off"
    IP_NEVER_STORED = "ip_never_stored"
    INVALID_TYPE = "invalid_type"
    TOO_DEEP = "too_deep"
    DUPLICATE_KEY = "duplicate_key"
    CHECK_FAILED = "check_failed"


class ActionKind(StrEnum):
    """The tag of an action, as written in a policy and as shown in a remark."""

    KEEP = "keep"
    DROP = "drop"
    DROP_EVENT = "drop_event"
    QUARANTINE = "quarantine"
    HASH = "hash"
    MASK = "mask"
    TRUNCATE = "truncate"
    REDACT = "redact"


class Detector(StrEnum):
    """A kind of personal data found by its form, wherever it stands."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    SSN = "ssn"
    NATIONAL_ID = "national_id"
    IP = "ip"
    MAC = "mac"
    JWT = "jwt"
    SECRET = "secret"  # noqa: S105 - an API key or a private key is a kind of finding here.
    URL_CREDENTIALS = "url_credentials"
    COORDINATES = "coordinates"
    BIRTH_DATE = "birth_date"
    CRYPTO_ADDRESS = "crypto_address"


class Geolocation(StrEnum):
    """The ladder of how precisely a place may be kept. Only OFF is available so far."""

    OFF = "off"
    COUNTRY = "country"
    REGION = "region"
    CITY = "city"


class Fallback(StrEnum):
    """What happens to an event or a property that the policy does not name."""

    ALLOW = "allow"
    QUARANTINE = "quarantine"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Keep:
    """Let the value through; detectors still read it unless the rule says ``scan: false``."""

    kind: ActionKind = field(default=ActionKind.KEEP, init=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove the property."""

    kind: ActionKind = field(default=ActionKind.DROP, init=False)


@dataclass(frozen=True, slots=True)
class DropEvent:
    """Refuse the whole record."""

    kind: ActionKind = field(default=ActionKind.DROP_EVENT, init=False)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Hold the record for a person to look at, with the value itself replaced by its placeholder."""

    kind: ActionKind = field(default=ActionKind.QUARANTINE, init=False)


@dataclass(frozen=True, slots=True)
class Hash:
    """Replace the value by a keyed pseudonym; ``purpose`` None means the category of the rule."""

    purpose: str | None = None
    kind: ActionKind = field(default=ActionKind.HASH, init=False)


@dataclass(frozen=True, slots=True)
class Mask:
    """Replace every character by ``*`` except this many at either end."""

    keep_first: int = 0
    keep_last: int = 0
    kind: ActionKind = field(default=ActionKind.MASK, init=False)


@dataclass(frozen=True, slots=True)
class Truncate:
    """Keep the first ``length`` characters."""

    length: int
    kind: ActionKind = field(default=ActionKind.TRUNCATE, init=False)


@dataclass(frozen=True, slots=True)
class Redact:
    """Replace the value by a typed placeholder such as ``[email]``."""

    kind: ActionKind = field(default=ActionKind.REDACT, init=False)


Action: TypeAlias = Keep | Drop | DropEvent | Quarantine | Hash | Mask | Truncate | Redact


@dataclass(frozen=True, slots=True)
class Rule:
    """One written rule: which properties, what they are, and what is done with them.

    ``properties`` are names, globs or dotted paths; ``events`` are globs, empty for every event;
    ``category`` is a fideslang key; ``scan`` False exempts a kept property from the detectors;
    ``classified`` marks values that readers without the permission must not see.
    """

    id: str
    properties: tuple[str, ...]
    category: str
    sensitivity: Sensitivity
    action: Action
    scopes: tuple[Scope, ...] = tuple(Scope)
    events: tuple[str, ...] = ()
    classified: bool = False
    scan: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A worked example carried by a policy: one record in, and what the gate must answer.

    ``expected`` None means that the properties are not compared. In it ``<pseudonym>`` stands for any
    pseudonym, because those depend on a key. ``reasons`` None means that the remarks are not compared.
    """

    name: str
    record: Record
    verdict: Verdict
    expected_name: str | None = field(default=None, repr=False)
    expected: Mapping[str, Any] | None = field(default=None, repr=False)
    reasons: tuple[Reason, ...] | None = None


@dataclass(frozen=True, slots=True)
class DetectorTerms:
    """How a policy uses one detector.

    ``action`` is what happens to a finding (KEEP switches the detector off); a finding below ``confidence``
    (0 to 1) is left alone; ``context`` are further words that raise the confidence of what stands near them or
    under a name that has them; ``allow`` are globs over the text of a finding that is no personal data here.
    """

    action: ActionKind = ActionKind.REDACT
    confidence: float = 0.5
    context: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole written policy. ``detectors`` holds terms for every member of ``Detector``."""

    name: str
    description: str = ""
    rules: tuple[Rule, ...] = ()
    detectors: tuple[tuple[Detector, DetectorTerms], ...] = tuple((d, DetectorTerms()) for d in Detector)
    default_region: str = "US"
    geolocation: Geolocation = Geolocation.OFF
    unknown_properties: Fallback = Fallback.ALLOW
    unknown_events: Fallback = Fallback.ALLOW
    allowed_events: tuple[str, ...] = ()
    blocked_events: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One thing to judge: an event, or one operation map of a profile or group update.

    ``name`` is the event name, or the operation such as ``$set``; ``properties`` is JSON-like and never
    changed.
    """

    scope: Scope
    name: str = field(repr=False)
    properties: Mapping[str, Any] = field(repr=False)
    state: SubjectState = SubjectState.ACTIVE


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing the gate did: which rule, where, which action, and why. It never holds a value."""

    rule: str
    path: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one record. ``name`` and ``properties`` are None exactly when it was dropped.

    A quarantined record holds the cleaned form, so that what waits for review is already safe to keep.
    """

    verdict: Verdict
    name: str | None = field(repr=False)
    properties: dict[str, Any] | None = field(repr=False)
    remarks: tuple[Remark, ...]
