"""Each kind of personal data: what is found, alone and beside context, and what is left alone."""

from __future__ import annotations

import base64

import pytest

from policies.categories import is_known
from policies.detect import CATEGORIES, PLACEHOLDERS, REASONS, SENSITIVITIES, Finding, Scanner
from policies.detect.money import is_base58_address, is_bech32_address
from policies.model import ActionKind, Detector, DetectorTerms, Sensitivity

ALL = {detector: DetectorTerms() for detector in Detector}
SCANNER = Scanner(ALL, "US")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
ETHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
# Put together here, so that scanners for secrets leave this file alone.
STRIPE, GITHUB, SLACK = (
    "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc",
    "gh" + "p_16C7e42F292c6912E7710c838347Ae178B4a",
    "xox" + "b-123456789012-abcdefABCDEF",
)


def scrubbed(text: str, scanner: Scanner = SCANNER, name: str = "") -> str:
    return scanner.scrub(text, lambda finding: PLACEHOLDERS[finding.detector], name)


FOUND = [
    # Addresses spelled out or dressed up.
    ("jane [at] example.com", "[email]"),
    ("jane(at)example(dot)com", "[email]"),
    ("jane at example dot com", "[email]"),
    ("jane@example[.]com", "[email]"),
    ("jan\u0435@example.com", "[email]"),
    ("jane&#64;example&#46;com", "[email]"),
    ("ja\\u006ee\\u0040example.com", "ja\\[email]"),
    # Bank accounts.
    ("GB82 WEST 1234 5698 7654 32", "[iban]"),
    ("DE89370400440532013000.", "[iban]."),
    ("pay nl91abna0417164300 now", "pay [iban] now"),
    ("NO93-8601-1117-947", "[iban]"),
    # Government numbers that say themselves what they are.
    ("536-90-4399", "[ssn]"),
    ("12345678Z", "[national_id]"),
    ("X1234567L", "[national_id]"),
    ("RSSMRA85T10A562S", "[national_id]"),
    ("2 55 08 14 168 025 38", "[national_id]"),
    ("85.07.30-033.28", "[national_id]"),
    ("811218-9876", "[national_id]"),
    ("131052-308T", "[national_id]"),
    ("111.444.777-35", "[national_id]"),
    ("11010519491231002X", "[national_id]"),
    ("AB 12 34 56 C", "[national_id]"),
    ("HEGG560427MVZRRL04", "[national_id]"),
    ("12.345.678-5", "[national_id]"),
    ("ABCPD1234E", "[national_id]"),
    # Those that need a word.
    ("my ssn is 536904399", "my ssn is [ssn]"),
    ("NHS number: 943 476 5919", "NHS number: [national_id]"),
    ("SIN: 046 454 286", "SIN: [national_id]"),
    ("Steuer-ID 86 095 742 719", "Steuer-ID [national_id]"),
    ("BSN 111222333", "BSN [national_id]"),
    ("NIF 123456789", "NIF [national_id]"),
    ("PESEL 44051401359", "PESEL [national_id]"),
    ("TC kimlik 10000000146", "TC kimlik [national_id]"),
    ("TFN 123 456 782", "TFN [national_id]"),
    ("Aadhaar 2341 2341 2346", "Aadhaar [national_id]"),
    ("ID number 8001015009087", "ID number [national_id]"),
    ("CPR-nr 070761-4285", "CPR-nr [national_id]"),
    # Devices.
    ("00:1A:2B:3C:4D:5E", "[mac]"),
    ("device:3c-76-b0-a1-c5-6d,", "device:[mac],"),
    ("001a.2b3c.4d5e", "[mac]"),
    ("note:2001:db8::42", "note:[ip]"),
    # Credentials.
    (f"Bearer {JWT}", "Bearer [jwt]"),
    ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "[jwt]"),
    ("AKIA" + "IOSFODNN7EXAMPLE", "[secret]"),
    (f"use {STRIPE}", "use [secret]"),
    (GITHUB, "[secret]"),
    (SLACK, "[secret]"),
    ('{"password": "hunter2!x"}', '{"password": "[secret]"}'),
    ("api_key = 9fKq27Lz0pWvB4xT81mN", "api_key = [secret]"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY----- end", "[secret] end"),
    ("https://jane:hunter2@db.example/x", "https://[url_credentials]@db.example/x"),
    ("https://x.example/reset?token=abc123&page=2", "https://x.example/reset?token=[url_credentials]&page=2"),
    ("https://x.example/cb?code=4f2a&state=z", "https://x.example/cb?code=[url_credentials]&state=z"),
    ("https://x.example/#access_token=abc", "https://x.example/#access_token=[url_credentials]"),
    # Places and dates.
    ("geo:37.786971,-122.399677", "geo:[coordinates]"),
    ("location 37.774929, -122.419416", "location [coordinates]"),
    ("40°26′46″N 79°58′56″W", "[coordinates]"),
    ("https://maps.example/@48.8583,2.2944,17z", "https://maps.example/@[coordinates],17z"),
    ("born on 12 March 1985 in Rome", "born on [birth_date] in Rome"),
    ("DOB: 03/12/1985", "DOB: [birth_date]"),
    ("geboren am 3.12.1985", "geboren am [birth_date]"),
    ("生年月日1985年3月12日", "生年月日[birth_date]"),
    # Wallets.
    ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "[crypto_address]"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "[crypto_address]"),
    (ETHER, "[crypto_address]"),
    (f"wallet {ETHER.lower()}", "wallet [crypto_address]"),
    (ETHER.lower(), "[crypto_address]"),
    (f"to {ETHER.upper()}", "to [crypto_address]"),
    # A text inside a text.
    (f"x {base64.b64encode(b'mail jane.doe@example.com').decode()} y", "x [email] y"),
    (base64.urlsafe_b64encode(b'{"card":"4111111111111111"}').decode(), "[card]"),
    # Phones beside a word.
    ("call me at 4155552671", "call me at [phone]"),
    ("WhatsApp: 0049 30 901820", "WhatsApp: [phone]"),
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_found(text: str, expected: str) -> None:
    assert scrubbed(text) == expected


LEFT_ALONE = [
    "GB82 WEST 1234 5698 7654 33",  # The check digits are wrong.
    "666-12-3456",
    "000-12-3456",
    "900-12-3456",
    "536-00-4399",
    "order no. 536-90-4399",
    "536904399",
    "12345678A",
    "043 476 5919",
    "111222333",
    "111.444.777-36",
    "RSSMRA85T10A562T",
    "11010519491231002Y",
    "00:00:00:00:00:00",
    "12:30:45:10:20:30",
    "SHA256:43:51:43:a1:b5:fc:8b:b7:0a:3a:a9:b1:0f:66:73:a8",
    "e4d909c290d0fb1ca068ffaddf22cbd0",
    "eyJoZWxsbyI6IndvcmxkIn0.eyJzdWIiOiIxIn0.abc",  # No algorithm, no token.
    "the secret is out, and the key to success is patience",
    "password: required",
    "token limit 4096",
    "sk-learn and sk-image",
    "https://x.example/?code=US&key=home",
    "https://x.example/?page=2#section",
    "std::map<key, value>",
    "37.774929, -122.419416",
    "0.25, 0.75, 0.125",
    "released on 12 March 1985",
    "1985-03-12",
    "born 31/31/1985",
    ETHER.lower() + "0" * 24,
    ETHER.lower()[2:],
    "0x" + "ab" * 32,
    "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
    "ISBN 0-306-40615-2",
    "nginx/1.24.0.1 started",
    "Chrome/97.0.5.165",
    "section 1.2.3.4 of the contract",
    "foo-1.2.3.4.tar.gz",
    "version 10.0.19.4",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "internationalisation and containerisation",
    "icon@3x.webp",
    "git@github.com:example/repository.git",
    "10 000 000",
]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_left_alone(text: str) -> None:
    assert scrubbed(text) == text


@pytest.mark.parametrize(
    ("name", "text", "detector"),
    [
        ("customer.ssn", "536904399", Detector.SSN),
        ("patient.nhs_number", "9434765919", Detector.NATIONAL_ID),
        ("user.birthdate", "1985-03-12", Detector.BIRTH_DATE),
        ("profile.date_of_birth", "12/03/1985", Detector.BIRTH_DATE),
        ("store.location", "37.774929,-122.419416", Detector.COORDINATES),
        ("contact.phone_number", "4155552671", Detector.PHONE),
        ("service.api_key", "9fKq27Lz0pWvB4xT81mN", Detector.SECRET),
    ],
)
def test_the_name_of_a_property_is_context(name: str, text: str, detector: Detector) -> None:
    assert scrubbed(text) == text
    assert SCANNER.is_telling(name)
    assert [one.detector for one in SCANNER.find(text, name)] == [detector]


@pytest.mark.parametrize("name", ["plan", "amount", "current_url", "hotel", "shipping.method", "monkey", ""])
def test_other_names_tell_nothing(name: str) -> None:
    assert not SCANNER.is_telling(name)


@pytest.mark.parametrize(
    ("value", "name", "detector"),
    [
        (536904399, "customer.ssn", Detector.SSN),
        (4155552671, "phone", Detector.PHONE),
        (37.774929, "place.latitude", Detector.COORDINATES),
        (19850312, "birth_date", Detector.BIRTH_DATE),
        (110105194912310021, "", None),
        (536904399, "order_id", None),
        (12.5, "latitude", None),
        (True, "phone", None),
    ],
)
def test_numbers(value: float, name: str, detector: Detector | None) -> None:
    found = SCANNER.number(value, name)
    assert (found.detector if found else None) == detector


def test_a_policy_may_ask_for_less_or_more_certainty() -> None:
    bold = Scanner(ALL | {Detector.COORDINATES: DetectorTerms(confidence=0.3)}, "US")
    assert scrubbed("37.774929, -122.419416", bold) == "[coordinates]"
    shy = Scanner(ALL | {Detector.SSN: DetectorTerms(confidence=0.95)}, "US")
    assert scrubbed("536-90-4399", shy) == "536-90-4399"
    assert scrubbed("SSN 536-90-4399", shy) == "SSN [ssn]"


def test_a_policy_may_add_words_and_allow_values() -> None:
    terms = {Detector.SSN: DetectorTerms(context=("sozialnummer",)), Detector.EMAIL: DetectorTerms(allow=("*@example.com",))}
    scanner = Scanner(ALL | terms, "US")
    assert scrubbed("Sozialnummer 536904399", scanner) == "Sozialnummer [ssn]"
    assert scrubbed("Info@Example.com, jane@example.org", scanner) == "Info@Example.com, [email]"


@pytest.mark.parametrize("detector", Detector)
def test_a_detector_that_is_kept_is_off(detector: Detector) -> None:
    scanner = Scanner(ALL | {detector: DetectorTerms(ActionKind.KEEP)}, "US")
    assert {one.detector for text, _ in FOUND for one in scanner.find(text)} == set(Detector) - {detector}


def test_findings_are_sure_in_part_and_silent_about_what_they_are() -> None:
    findings = [one for text, _ in FOUND for one in SCANNER.find(text)]
    assert all(0.5 <= one.confidence <= 1 for one in findings)
    assert all(one.canonical not in repr(one) for one in findings)
    assert {one.confidence for one in findings} > {0.95}


def test_every_detector_is_described() -> None:
    assert all(map(is_known, CATEGORIES.values()))
    assert set(CATEGORIES) == set(REASONS) == set(SENSITIVITIES) == set(PLACEHOLDERS) == set(Detector)
    assert {detector for detector, how in SENSITIVITIES.items() if how is Sensitivity.INTERNAL} == {Detector.IP, Detector.MAC}


def test_a_text_of_one_script_is_no_disguise() -> None:
    text = "Привет, как дела? Ορίστε το τιμολόγιο."
    assert scrubbed(text) == text
    assert not SCANNER.suspicion.any(text.encode())


def test_checksums_of_wallets() -> None:
    assert is_base58_address("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2")
    assert is_bech32_address("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4")
    assert is_bech32_address("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0")
    assert not is_bech32_address("bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")


def test_an_encoded_text_is_replaced_whole() -> None:
    token = base64.b64encode("Größe: jane.doe@example.com".encode()).decode()
    found = SCANNER.find(token)
    assert [(one.start, one.end) for one in found] == [(0, len(token))]
    assert isinstance(found[0], Finding)
