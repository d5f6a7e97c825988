"""What the name of a property says about its values, where detectors see nothing: names, addresses, health, belief.

A name is split into words (``firstName``, ``first_name`` and ``First-Name`` are one) and compared word by word, so that
``race`` is not found in ``trace``. The first entry that fits decides. Categories are fideslang keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from policies.model import Scope, Sensitivity
from policies.text import folded_name

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATOR = re.compile(r"[^\w]+|_+")


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of properties whose name has these words: ``a b`` means that they stand side by side."""

    category: str
    sensitivity: Sensitivity
    action: str
    confidence: float
    words: tuple[str, ...]
    classified: bool = True
    scope: Scope | None = None


_RESTRICTED, _CONFIDENTIAL, _INTERNAL = Sensitivity.RESTRICTED, Sensitivity.CONFIDENTIAL, Sensitivity.INTERNAL


def _k(category: str, sensitivity: Sensitivity, action: str, confidence: float, words: str, **more: object) -> Knowledge:
    return Knowledge(category, sensitivity, action, confidence, tuple(words.split("|")), **more)  # type: ignore[arg-type]


KNOWN: tuple[Knowledge, ...] = (
    _k(
        "user.authorization.credentials", _RESTRICTED, "drop", 0.95,
        "password|passwd|pwd|passphrase|secret|api key|apikey|access token|refresh token|auth token|session token|private key"
        "|otp|pin|cvv|cvc|passwort|contrasena|mot de passe",
    ),
    _k(
        "user.government_id", _RESTRICTED, "drop", 0.95,
        "ssn|social security|passport|national id|tax id|tin|driver license|drivers license|driving licence|nino|dni|nif|cpf"
        "|bsn|pesel|steuer id|aadhaar",
    ),
    _k(
        "user.health_and_medical", _RESTRICTED, "drop", 0.9,
        "health|medical|diagnosis|diagnoses|disease|illness|medication|prescription|symptom|symptoms|allergy|allergies|blood type"
        "|blood pressure|pregnant|pregnancy|disability|bmi|heart rate|patient|icd|therapy|vaccination",
    ),
    _k("user.demographic.religious_belief", _RESTRICTED, "drop", 0.9, "religion|religious|faith|church|denomination|konfession"),
    _k("user.demographic.political_opinion", _RESTRICTED, "drop", 0.9, "political|politics|party affiliation|voted for"),
    _k("user.demographic.race_ethnicity", _RESTRICTED, "drop", 0.7, "ethnicity|ethnic|race|racial"),
    _k("user.demographic.sexual_orientation", _RESTRICTED, "drop", 0.95, "sexual orientation|sexual preference|sexuality"),
    _k("user.workplace", _RESTRICTED, "drop", 0.9, "trade union|union member|union membership"),
    _k("user.biometric", _RESTRICTED, "drop", 0.85, "biometric|biometrics|faceprint|face id|voiceprint|iris"),
    _k("user.criminal_history", _RESTRICTED, "drop", 0.9, "criminal|conviction|convictions|felony"),
    _k("user.financial.credit_card", _RESTRICTED, "drop", 0.9, "card number|credit card|debit card|pan"),
    _k(
        "user.financial.bank_account", _RESTRICTED, "drop", 0.9,
        "iban|account number|routing number|sort code|bic|swift|bank account",
    ),
    _k("user.financial", _CONFIDENTIAL, "{generalise: {bucket: 10000}}", 0.8, "salary|income|wage|net worth|credit score"),
    _k("user.contact.email", _CONFIDENTIAL, "hash", 0.9, "email|emails|e mail|mail address|correo"),
    _k(
        "user.contact.phone_number", _CONFIDENTIAL, "{mask: {keep_last: 2}}", 0.9,
        "phone|telephone|mobile|mobile number|msisdn|tel|fax|telefon|handynummer|telefono",
    ),
    _k(
        "user.demographic.date_of_birth", _CONFIDENTIAL, "{generalise: {date: year}}", 0.9,
        "birthday|birthdate|birth date|date of birth|dob|geburtsdatum|fecha nacimiento|birth",
    ),
    _k("user.demographic.age_range", _CONFIDENTIAL, "{generalise: {bands: [18, 25, 35, 50, 65]}}", 0.7, "age"),
    _k("user.demographic.gender", _CONFIDENTIAL, "keep", 0.85, "gender|sex|pronouns|geschlecht|sexe|genero"),
    _k("user.demographic.marital_status", _CONFIDENTIAL, "keep", 0.85, "marital status|married|civil status"),
    _k(
        "user.name", _CONFIDENTIAL, "drop", 0.95,
        "first name|firstname|last name|lastname|full name|fullname|middle name|maiden name|given name|family name|surname"
        "|forename|nickname|display name|vorname|nachname|prenom|apellido|apellidos|customer name|user full name",
    ),
    _k("user.name", _CONFIDENTIAL, "drop", 0.8, "name", scope=Scope.PROFILE),
    _k(
        "user.contact.address.postal_code", _INTERNAL, "{generalise: {postal: 3}}", 0.85,
        "zip|zipcode|zip code|postcode|postal code|postal|plz|code postal|codigo postal", classified=False,
    ),
    _k("user.device.ip_address", _INTERNAL, "drop", 0.9, "ip|ip address|ipv4|ipv6|client ip|remote addr"),
    _k(
        "user.contact.address.street", _CONFIDENTIAL, "drop", 0.85,
        "street|address|addr|address line|house number|strasse|rue|calle|direccion|adresse",
    ),
    _k(
        "user.location.precise", _CONFIDENTIAL, "drop", 0.85,
        "latitude|longitude|lat|lng|lon|coordinates|geolocation|gps|geo point",
    ),
    _k("user.location.imprecise", _INTERNAL, "keep", 0.7, "city|town|region|province|county|country", classified=False),
    _k(
        "user.device.device_id", _CONFIDENTIAL, "hash", 0.85,
        "idfa|idfv|gaid|aaid|advertising id|imei|imsi|mac address|device id|serial number|device serial|android id",
    ),
    _k(
        "user.unique_id", _CONFIDENTIAL, "hash", 0.8,
        "user id|userid|customer id|account id|member id|login|username|user name|client id|visitor id|employee id|uuid|guid",
    ),
    _k("user.biometric", _CONFIDENTIAL, "drop", 0.8, "avatar|avatar url|photo|profile picture|selfie"),
    _k(
        "user.content", _CONFIDENTIAL, "keep", 0.6,
        "message|comment|comments|note|notes|feedback|body|bio|about me|review|description|query|search|search term|subject|text",
    ),
    _k("user.behavior.browsing_history", _INTERNAL, "keep", 0.6, "url|referrer|referer|link|href|uri", classified=False),
    _k(
        "user.device", _INTERNAL, "keep", 0.8,
        "os|browser|version|build|sdk|model|platform|user agent|screen|resolution|manufacturer|carrier|locale|language|timezone",
        classified=False,
    ),
)  # fmt: skip
"""In order: the gravest and the most specific first."""


def known(path: str, scope: Scope) -> Knowledge | None:
    """What the name says: of the property itself, and failing that of what it is a part of."""
    for segment in reversed(path.replace("[]", "").split(".")):
        phrase = f" {' '.join(words(segment))} "
        for each in KNOWN:
            if each.scope in (None, scope) and any(f" {word} " in phrase for word in each.words):
                return each
    return None


def words(name: str) -> list[str]:
    """The words of a name in folded form."""
    return [word for word in _SEPARATOR.split(folded_name(_CAMEL.sub("_", name))) if word]
