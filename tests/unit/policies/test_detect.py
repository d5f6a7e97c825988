"""What each detector must find, and what it must leave alone."""

from __future__ import annotations

import pytest

from policies.detect import Scanner
from policies.model import ActionKind, Detector, DetectorTerms


def terms(*off: Detector) -> dict[Detector, DetectorTerms]:
    return {one: DetectorTerms(ActionKind.KEEP if one in off else ActionKind.REDACT) for one in Detector}


SCANNER = Scanner(terms(), "US")


def scrubbed(text: str, scanner: Scanner = SCANNER, name: str = "") -> str:
    return scanner.scrub(text, lambda finding: f"<{finding.detector}>", name)


FOUND = [
    # E-mail addresses.
    ("jane@example.com", "<email>"),
    ("Write to JANE.DOE+news@Mail.Example.CO.UK, please", "Write to <email>, please"),
    ("<jane@example.com>;joe@example.org", "<<email>>;<email>"),
    ("https://x.example/?email=jane%40example.com&page=2", "https://x.example/?email=<email>&page=2"),
    ("https://x.example/?email=jane%2540example%2Ecom", "https://x.example/?email=<email>"),
    ("jane\\u0040example.com", "<email>"),
    ("jane&#64;example.com", "<email>"),
    ("jane＠example．com", "<email>"),
    ("ja\u200bne@exa\u00admple.com", "<email>"),
    ("почта@пример.рф", "<email>"),
    ("jane@xn--e1afmkfd.xn--p1ai", "<email>"),
    ("o'brien@example.com", "<email>"),
    ("mailto:jane@example.com?subject=hi", "mailto:<email>?subject=hi"),
    ('"jane doe"@example.com', "<email>"),
    # Phone numbers.
    ("+14155552671", "<phone>"),
    ("call +1 (415) 555-2671 now", "call <phone> now"),
    ("call (415) 555-2671 now", "call <phone> now"),
    ("415-555-2671", "<phone>"),
    ("415.555.2671", "<phone>"),
    ("1-415-555-2671", "<phone>"),
    ("+49 30 901820", "<phone>"),
    ("+44 (0)20 7946 0958", "<phone>"),
    ("電話+81312345678です", "電話<phone>です"),
    ("tel:+33-1-42-68-53-00", "tel:<phone>"),
    ("%2B14155552671", "<phone>"),
    ("+١٤١٥٥٥٥٢٦٧١", "<phone>"),
    ("on 2026-11-23 call 415-555-2671", "on 2026-11-23 call <phone>"),
    # Cards.
    ("4111111111111111", "<card>"),
    ("4111 1111 1111 1111 exp 12/28", "<card> exp 12/28"),
    ("4111-1111-1111-1111 123", "<card> 123"),
    ("5500 0000 0000 0004", "<card>"),
    ("2223003122003222", "<card>"),
    ("3782 822463 10005", "<card>"),
    ("6011111111111117", "<card>"),
    ("3056 930902 5904", "<card>"),
    ("card4111111111111111", "card<card>"),
    ("卡号4111111111111111号", "卡号<card>号"),
    ("４１１１ １１１１ １１１１ １１１１", "<card>"),
    ("4111\u00a01111\u00a01111\u00a01111", "<card>"),
    ("4111–1111–1111–1111", "<card>"),
    ("4111%201111%201111%201111", "<card>"),
    # Addresses.
    ("203.0.113.9", "<ip>"),
    ("from 203.0.113.9:8080, twice", "from <ip>:8080, twice"),
    ("http://203.0.113.9/path", "http://<ip>/path"),
    ("192.168.001.001", "<ip>"),
    ("ip=10.1.2.3;", "ip=<ip>;"),
    ("2001:db8::1", "<ip>"),
    ("2001:0db8:0000:0000:0000:ff00:0042:8329", "<ip>"),
    ("[2001:db8::1]:443", "[<ip>]:443"),
    ("::1", "<ip>"),
    ("::ffff:192.0.2.1", "<ip>"),
    ("fe80::1%eth0", "<ip>%eth0"),
    ("the host 2001:db8::a7.", "the host <ip>."),
    ("2001:db8:0:0:0:0:192.0.2.33", "<ip>"),
    ("version 1.2.3 talks to 10.1.2.3", "version 1.2.3 talks to <ip>"),
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_found(text: str, expected: str) -> None:
    assert scrubbed(text) == expected


LEFT_ALONE = [
    # Identifiers and hashes.
    "29fc2962b5054d8b9d0f5d1f6e3f0a11",
    "41111111111111114111111111111111",
    "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "41111111-1111-4111-8111-111111111111",
    "$device:41555526-7112-4155-8526-711234567890",
    "k3j9x0q2m4n8b7v1",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "a4111111111111111f",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "p1.dppcjbfxstsjrdgxraaswktjd4oqr2ql",
    # Times.
    "2026-11-23",
    "2026-11-23T10:00:00Z",
    "2026-11-23 10:30:45.123456",
    "2026-11-23T10:00:00+05:30",
    "23/11/2026 10:30",
    "Mon, 23 Nov 2026 10:30:00 +0100",
    "1795450828",
    "1795450828.14",
    "1795450828123",
    "1795450828123456",
    "20261123103000123",
    "10:30:45",
    # Versions and agents.
    "1.2.3",
    "2.83.0",
    "v1.2.3.4",
    "version 10.0.19.4",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) Version/17.1.2.3 Mobile/15E148 Safari/604.1",
    "1.3.6.1.4.1.311",
    "10.0.19045.3693",
    "Chrome/119.0.6045.105",
    # Numbers of other kinds.
    "order 1234567890",
    "4155552671",
    "invoice 2026-000123",
    "4111111111111112",
    "1234567890123456",
    "1,795,450,828",
    "1 234 567 890",
    "37.774929, -122.419416",
    "+37.7749",
    "$1,234.56",
    "978-3-16-148410-0",
    # Words and addresses of other kinds.
    "@handle",
    "meet @ noon",
    "logo@2x.png",
    "react@18.2.0",
    "std::vector<int>",
    "Foo::Bar",
    "a::b",
    "https://shop.example/p/42?utm_source=mail&since=2026-11-23",
    "https://medium.com/@user.name/post-1",
    "100% sure",
    "jane@localhost",
    "naïve café – 10 €",
    "",
]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_left_alone(text: str) -> None:
    assert scrubbed(text) == text


@pytest.mark.parametrize("text", ["10.1.2.3", "415.555.2671", "v10.1.2.3-beta"])
def test_a_property_named_version_may_hold_what_looks_like_an_address(text: str) -> None:
    assert scrubbed(text, name="app.version") == text
    assert scrubbed(f"{text} of jane@example.com", name="app.version") != f"{text} of jane@example.com"


@pytest.mark.parametrize(
    ("region", "text"),
    [
        ("DE", "030 901820"),
        ("GB", "020 7946 0958"),
        ("GB", "07912 345 678"),
        ("FR", "01 42 68 53 00"),
        ("FR", "06.12.34.56.78"),
        ("ES", "612 34 56 78"),
        ("NO", "22 12 34 56"),
        ("SG", "6123 4567"),
        ("IN", "98765 43210"),
        ("JP", "090-1234-5678"),
        ("BR", "(11) 91234-5678"),
    ],
)
def test_national_numbers_are_read_as_of_the_default_region(region: str, text: str) -> None:
    assert scrubbed(f"ring {text} soon", Scanner(terms(), region)) == "ring <phone> soon"


@pytest.mark.parametrize("region", ["DE", "GB", "FR", "ES", "NO", "SG", "IN", "JP", "BR"])
@pytest.mark.parametrize("text", ["2026-11-23 10:30:45", "01.02.2026", "1795450828123", "1.2.3", "order 20261123"])
def test_dates_and_counters_are_no_national_numbers_anywhere(region: str, text: str) -> None:
    assert scrubbed(text, Scanner(terms(), region)) == text


@pytest.mark.parametrize("value", [4111111111111111, 4111111111111111.0, -4111111111111111, 378282246310005])
def test_a_card_may_be_a_number(value: float) -> None:
    found = SCANNER.number(value)
    assert found is not None
    assert found.detector is Detector.CARD


@pytest.mark.parametrize(
    "value", [1795450828, 1795450828123, 1795450828123456, 1795450828123456789, 10**400, 0.5, 4111111111111112]
)
def test_times_and_counters_are_not_cards(value: float) -> None:
    assert SCANNER.number(value) is None


def test_a_detector_that_is_off_finds_nothing() -> None:
    only_email = Scanner(terms(*(set(Detector) - {Detector.EMAIL})), "US")
    text = "+14155552671 4111111111111111 203.0.113.9 jane@example.com"
    assert scrubbed(text, only_email) == "+14155552671 4111111111111111 203.0.113.9 <email>"
    assert only_email.number(4111111111111111) is None


def test_a_flood_of_candidates_is_redacted_rather_than_judged_one_by_one() -> None:
    assert "555" not in scrubbed("415-555-2671 " * 2_000)


@pytest.mark.parametrize("text", ["1" * 20_000, "a" * 20_000 + "@", "1.2.3." * 5_000, ":" * 20_000, "f:" * 10_000])
def test_hostile_repetition_is_survived(text: str) -> None:
    assert scrubbed(text) == text


def test_what_the_exact_detectors_find_the_wide_pass_suspects() -> None:
    for text, _ in FOUND:
        assert SCANNER.is_doubtful(text), "the wide pass missed an entry of FOUND"


def test_findings_do_not_show_what_was_found() -> None:
    (finding,) = SCANNER.find("jane@example.com")
    assert finding.canonical == "jane@example.com"
    assert "jane" not in repr(finding)
