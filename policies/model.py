"""Frozen values of the rules: the written policy, the records it judges, and the decisions it gives.

Nothing here behaves; ``compile`` gives a ``Policy`` its meaning and ``gate`` applies it.
Fields that may hold personal data are kept out of every ``repr``. What is made once for every event is a
``msgspec.Struct``, which costs a fifth of a frozen dataclass; ``gc=False``, because values that are made after their
parts are in no cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from policies.vocabulary import (
    ActionKind as ActionKind,
    Consented as Consented,
    DateUnit as DateUnit,
    Detector as Detector,
    Fallback as Fallback,
    Geolocation as Geolocation,
    Period as Period,
    Reason as Reason,
    Scope as Scope,
    Sensitivity as Sensitivity,
    Signal as Signal,
    SubjectState as SubjectState,
    Verdict as Verdict,
)


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
    """Replace the value by a keyed pseudonym; ``purpose`` None means the category of the rule.

    With a ``period`` the key is another one each day, week, ...: values join within it and not beyond.
    """

    purpose: str | None = None
    period: Period | None = None
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
class Generalise:
    """Coarsen the value; exactly one way is set.

    ``bucket``: a number becomes the start of its interval of this width. ``bands``: ascending bounds; a number
    becomes ``<18``, ``18-24`` ... ``65+``, and a date of birth its age's band. ``date``: a date or time keeps this
    much (``2026-11``). ``postal``: a postal code keeps this many characters.
    What cannot be read as such a value becomes the placeholder.
    """

    bucket: float | None = None
    bands: tuple[float, ...] = ()
    date: DateUnit | None = None
    postal: int | None = None
    kind: ActionKind = field(default=ActionKind.GENERALISE, init=False)


@dataclass(frozen=True, slots=True)
class Replace:
    """Put a constant in place of every value."""

    value: str | int | float | bool
    kind: ActionKind = field(default=ActionKind.REPLACE, init=False)


@dataclass(frozen=True, slots=True)
class Redact:
    """Replace the value by a typed placeholder such as ``[email]``."""

    kind: ActionKind = field(default=ActionKind.REDACT, init=False)


@dataclass(frozen=True, slots=True)
class Encrypt:
    """Encrypt under the key of the record's person, so that destroying the key destroys the value."""

    kind: ActionKind = field(default=ActionKind.ENCRYPT, init=False)


@dataclass(frozen=True, slots=True)
class Tokenise:
    """Replace by a reversible, keyed, deterministic token; ``purpose`` as in ``Hash``."""

    purpose: str | None = None
    kind: ActionKind = field(default=ActionKind.TOKENISE, init=False)


Action: TypeAlias = (
    Keep | Drop | DropEvent | Quarantine | Hash | Mask | Truncate | Generalise | Replace | Redact | Encrypt | Tokenise
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One written rule: which properties, what they are, and what is done with them.

    ``properties`` are names, globs or dotted paths; ``events`` are globs, empty for every event;
    ``category`` is a fideslang key; ``scan`` False exempts a kept property from the detectors;
    ``classified`` marks values that readers without the permission must not see; ``purposes`` are the only ones that the
    properties serve: they are removed where all of these are refused. Empty: they serve none that could be refused.
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
    purposes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A worked example carried by a policy: one record in, and what the gate must answer.

    ``expected`` None means that the properties are not compared. In it ``<pseudonym>`` stands for any
    pseudonym, ``<token>`` for any token and ``<encrypted>`` for anything encrypted, because those depend on a key.
    ``reasons`` None means that the remarks are not compared. ``signals`` are those that the request carries.
    """

    name: str
    record: Record
    verdict: Verdict
    expected_name: str | None = field(default=None, repr=False)
    expected: Mapping[str, Any] | None = field(default=None, repr=False)
    reasons: tuple[Reason, ...] | None = None
    signals: frozenset[Signal] = frozenset()


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
class Unknown:
    """What becomes of what no rule names: by the gravest thing the detectors see in it, and ``otherwise``."""

    otherwise: Fallback = Fallback.ALLOW
    found: tuple[tuple[Sensitivity, Fallback], ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """One test on one property of an event: ``test`` is ``is``, ``is_not``, ``contains``, ``exists``, ``above`` or
    ``below``; ``values`` are the JSON scalars to compare with, any of which suffices."""

    property: str
    test: str
    values: tuple[str | int | float | bool | None, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class DropFilter:
    """Refuse events of these names (globs) that meet every condition."""

    id: str
    events: tuple[str, ...]
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Purpose:
    """A purpose of processing that people can refuse by itself, the events (globs) that serve it, and the browser signals
    that refuse it for the request that carries them."""

    name: str
    events: tuple[str, ...] = ()
    signals: tuple[Signal, ...] = ()


@dataclass(frozen=True, slots=True)
class Consent:
    """Whose data may enter: the default for people who said nothing, the browser signals that refuse the whole record, and
    the purposes that can be refused one by one. An event that serves none of them needs no purpose."""

    default: Consented = Consented.OPTED_IN
    signals: tuple[Signal, ...] = ()
    purposes: tuple[Purpose, ...] = ()


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days stored data stays: events of these names (globs), or properties whose category is ``category``
    or lies below it. Exactly one of the two is given."""

    id: str
    days: int
    events: tuple[str, ...] = ()
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole written policy. ``detectors`` holds terms for every member of ``Detector``."""

    name: str
    description: str = ""
    rules: tuple[Rule, ...] = ()
    detectors: tuple[tuple[Detector, DetectorTerms], ...] = tuple((d, DetectorTerms()) for d in Detector)
    default_region: str = "US"
    geolocation: Geolocation = Geolocation.OFF
    unknown_properties: Unknown = Unknown()
    unknown_events: Unknown = Unknown()
    allowed_events: tuple[str, ...] = ()
    blocked_events: tuple[str, ...] = ()
    drop_filters: tuple[DropFilter, ...] = ()
    consent: Consent = Consent()
    retention: tuple[Retention, ...] = ()
    cases: tuple[Case, ...] = ()


class _Silent:
    """A value whose repr shows no field, because any of them may be personal."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


NOBODY_REFUSES: frozenset[str] = frozenset()


class Record(_Silent, msgspec.Struct, frozen=True, gc=False):
    """One thing to judge: an event, or one operation map of a profile or group update.

    ``name`` is the event name, or the operation such as ``$set``; ``properties`` is JSON-like and never
    changed. ``state`` and ``refused_purposes`` are what the register knows of the person; ``time_ms`` is when it
    happened, Unix milliseconds; ``subject_key`` is the person's 32-byte key, or None while nobody has one.
    """

    scope: Scope
    name: str
    properties: Mapping[str, Any]
    state: SubjectState = SubjectState.ACTIVE
    time_ms: int = 0
    refused_purposes: frozenset[str] = NOBODY_REFUSES
    subject_key: bytes | None = None


class Remark(msgspec.Struct, frozen=True, gc=False):
    """One thing the gate did: which rule, where, which action, and why. It never holds a value."""

    rule: str
    path: str
    action: str
    reason: str


class Decision(_Silent, msgspec.Struct, frozen=True, gc=False):
    """The answer for one record. ``name`` and ``properties`` are None exactly when it was dropped.

    The properties of a record that passes untouched are its own, not a copy. A quarantined record holds the cleaned
    form, so that what waits for review is already safe to keep.
    ``needs_key`` says that a rule encrypts under the person's key and the record came without it: a placeholder
    stands there, and whoever holds the key checks the record again with it. ``bridges`` pairs each pseudonym of an
    older key version, within its bridge period, with the one that was stored.
    """

    verdict: Verdict
    name: str | None
    properties: Mapping[str, Any] | None
    remarks: tuple[Remark, ...]
    needs_key: bool = False
    bridges: tuple[tuple[str, str], ...] = ()
