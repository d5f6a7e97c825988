"""The wide pass is as wide as the exact one, tight on clean events, and both are linear on anything."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, example, given, settings, strategies as st

from benchmarks.check import events
from benchmarks.corpus import corpus
from policies.detect import PLACEHOLDERS, Scanner
from policies.detect.suspicion import _ORDINARY
from policies.model import Detector, DetectorTerms
from tests.unit.policies.bypass.hostile import work

REGIONS = ("US", "DE", "FR", "NO", "CN", "BR")
SCANNERS = {region: Scanner({detector: DetectorTerms() for detector in Detector}, region) for region in REGIONS}
EAGER = Scanner({detector: DetectorTerms(confidence=0.0) for detector in Detector}, "US")
TEXTS = corpus(seed=11, size=1_500)

EDGES = st.sampled_from(
    ["", " ", "\n", "\t", "\x1f", '"', "\\", "é", ":", "=", "(", "7 ", "a ", ", ", "/", "~", "&", "?", "好", "-", "_", "."]
)
PIECES = st.sampled_from([text.text[start:end] for text in TEXTS for _, start, end in text.labels])
WORDS = st.sampled_from(
    ["", "ssn", "tel", "born", "BSN", "Phone:", "iban", "nhs no", "wallet", "gps", "telefonnummer", "身份证", "né le", "t.c."]
)


def exact(scanner: Scanner, text: str) -> list[tuple[Detector, int, int]]:
    """What the exact detectors see when all of them run."""
    everything = scanner.suspicion._everything
    return [(one.detector, one.start, one.end) for one in scanner._found(text, "", everything)]


def suspected(scanner: Scanner, text: str) -> list[tuple[Detector, int, int]]:
    return [(one.detector, one.start, one.end) for one in scanner.find(text)]


@given(
    st.lists(st.tuples(EDGES, WORDS, EDGES, PIECES, EDGES).map("".join), min_size=1, max_size=3).map("".join),
    st.sampled_from(REGIONS),
)
@settings(max_examples=600, deadline=None)
@example("\n536904399 ssn", "US")
@example(".3622.006459.0278", "US")
@example("5 March 1989 né lea", "US")
def test_what_exact_detectors_find_is_suspected(text: str, region: str) -> None:
    scanner = SCANNERS[region]
    found = exact(scanner, text)
    assert suspected(scanner, text) == found
    if found:
        assert scanner.is_doubtful(text)
        assert scanner.suspicion.any(text.encode())
        # As the gate asks: about a JSON text with other values beside this one.
        assert scanner.suspicion.any(msgspec.json.encode(["web", text, 5]))


@given(st.text(max_size=60), st.sampled_from(REGIONS))
@settings(max_examples=300, deadline=None)
def test_any_text_is_suspected_where_something_is_found(text: str, region: str) -> None:
    assert suspected(SCANNERS[region], text) == exact(SCANNERS[region], text)


def test_the_corpus_is_suspected_where_something_is_found() -> None:
    for text in TEXTS:
        scanner = SCANNERS.get(text.region, SCANNERS["US"])
        assert suspected(scanner, text.text) == exact(scanner, text.text)


def test_a_scrubbed_text_has_nothing_left_to_find() -> None:
    for text in TEXTS[:400]:
        scanner = SCANNERS.get(text.region, SCANNERS["US"])
        clean = scanner.scrub(text.text, lambda finding: PLACEHOLDERS[finding.detector])
        assert scanner.scrub(clean, lambda finding: PLACEHOLDERS[finding.detector]) == clean


def test_clean_events_are_seldom_suspected() -> None:
    scanner = SCANNERS["US"]
    scalars = [[value for value in event["properties"].values() if not isinstance(value, list)][4:] for event in events(3)]
    blobs = [msgspec.json.encode(values) for values in scalars]
    dirty = [any(isinstance(value, str) and scanner.find(value) for value in values) for values in scalars]
    hits = [scanner.suspicion.any(blob) for blob in blobs]
    assert all(hit for hit, found in zip(hits, dirty, strict=True) if found)
    assert sum(hit and not found for hit, found in zip(hits, dirty, strict=True)) <= len(blobs) * 0.02


HOSTILE = [
    "1", "@", "a@", "a@a.", "1.2.", ":", "f:", "4111 ", "+1", "1-", "eyJ", "sk-", "-----BEGIN PRIVATE KEY-----", "key=", "?token=", "://a:", "0123456789abcdef",
    "%40", "&#64;", "\\u0040", " at x dot ", "a[at]b", "phone ssn tel ", "00:1a:", "bc1q", "é", "aа", '{"a":"', "1985-", "lat=", "Aa9", "secret is ", "(", "1 ", "A1",
    "SGVsbG8gV29ybGQh", "12.3456,", "40°26′46″N ", "jane@example.com ", "415-555-2671 ", "DE89 3704 0044 0532 0130 00 ", "ssn 123456789 ", "\u200b1", "=", "-", "_", "/",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE, ids=repr)
def test_work_grows_no_faster_than_the_text(unit: str) -> None:
    def counted(length: int) -> int:
        text = (unit * (length // len(unit) + 1))[:length]
        return work(lambda: SCANNERS["US"].scrub(text, lambda finding: PLACEHOLDERS[finding.detector]))

    # Quadratic work would be sixteen times as much; a text that is cut is looked at once more.
    assert counted(32_000) <= 8 * counted(8_000) + 2_000


NUMBER = "4929 3813 3266 4295 "


def test_what_is_left_of_a_flood_is_one_finding() -> None:
    found = SCANNERS["US"].find(NUMBER * 5_000)
    assert len(found) < 500
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert (found[-1].detector, found[-1].end) == (Detector.CARD, len(NUMBER) * 5_000)
    left = SCANNERS["US"].scrub(NUMBER * 5_000, lambda finding: PLACEHOLDERS[finding.detector])
    assert not any(map(str.isdigit, left))


@pytest.mark.parametrize("unit", HOSTILE, ids=repr)
def test_nothing_passes_behind_or_before_a_flood(unit: str) -> None:
    flood = (unit * (20_000 // len(unit) + 1))[:20_000]
    for text in (f"{flood} mail quill@example.com now", f"mail quill@example.com now {flood}", f"{flood} {NUMBER} {flood}"):
        left = SCANNERS["US"].scrub(text, lambda finding: PLACEHOLDERS[finding.detector])
        assert "quill@example.com" not in left
        assert "3266" not in left


def test_a_text_of_ordinary_length_is_judged_to_its_end() -> None:
    text = "1.2.3 4.5.6 " * 150 + "quill@example.com"
    assert [one.canonical for one in SCANNERS["US"].find(text)] == ["quill@example.com"]


def test_a_failure_on_a_name_speaks_for_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    suspicion = SCANNERS["US"].suspicion
    assert suspicion.context("colour") == frozenset()
    assert suspicion.context("ssn")
    monkeypatch.setattr(suspicion._names, "match", lambda _: None)
    assert suspicion.context("colour") == suspicion._every


def test_a_policy_without_detectors_lets_encoded_text_pass() -> None:
    text = "see cXVpbGxmZWF0aGVyIG1hcnJvdw and quill@example.com"
    assert Scanner({}, "US").scrub(text, lambda finding: PLACEHOLDERS[finding.detector]) == text


@given(st.from_regex(r"\A[$]?[a-z_]{0,11}([0-9][a-z_]{0,3}){0,4}\Z", alphabet=st.characters(max_codepoint=127)))
@settings(max_examples=500, deadline=None)
def test_a_name_that_is_not_even_asked_about_could_hold_nothing(name: str) -> None:
    assume(len(name) <= 15)
    assert _ORDINARY.fullmatch(name)
    assert exact(EAGER, name) == []
