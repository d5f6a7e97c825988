"""The closed lists of words that policies, decisions and remarks are written in."""

from __future__ import annotations

from enum import StrEnum


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
    OPTED_IN = "opted_in"
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
    DROP_FILTER = "drop_filter"
    NOT_OPTED_IN = "not_opted_in"
    OPTED_OUT = "opted_out"
    GPC_SIGNAL = "gpc_signal"
    DNT_SIGNAL = "dnt_signal"
    PURPOSE_REFUSED = "purpose_refused"
    RESTRICTED = "restricted"
    ERASED = "erased"
    GEOLOCATION_OFF = "geolocation_off"
    GEOLOCATION_COARSENED = "geolocation_coarsened"
    GEOLOCATED = "geolocated"
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
    GENERALISE = "generalise"
    REPLACE = "replace"
    REDACT = "redact"
    ENCRYPT = "encrypt"
    TOKENISE = "tokenise"


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
    """The ladder of how precisely a place may be kept."""

    OFF = "off"
    COUNTRY = "country"
    REGION = "region"
    CITY = "city"


class Period(StrEnum):
    """How long a rotating pseudonym key lasts; afterwards the same value gets another pseudonym."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class DateUnit(StrEnum):
    """How much of a date remains."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class Consented(StrEnum):
    """What holds for a person who has said nothing."""

    OPTED_IN = "opted_in"
    OPTED_OUT = "opted_out"


class Signal(StrEnum):
    """A preference that a browser sends with every request: Global Privacy Control, Do Not Track."""

    GPC = "gpc"
    DNT = "dnt"


class Fallback(StrEnum):
    """What happens to an event or a property that the policy does not name."""

    ALLOW = "allow"
    QUARANTINE = "quarantine"
    DROP = "drop"
