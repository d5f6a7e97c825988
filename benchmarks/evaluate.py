"""How well the detectors find: precision and recall for each kind on two labelled corpora, one generated and one written by
hand, and their speed.

    python -m benchmarks.evaluate [texts]

A label counts as found when a finding of its kind overlaps it. A finding counts as right when it overlaps a label of any
kind that means the same, because a bank account inside a URL is still rightly taken out. Where presidio-analyzer can be
imported its pattern recognisers are run on the same texts; it is a peer to compare with, not a dependency.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.check import events
from benchmarks.corpus import SIZE, Text, corpus
from benchmarks.handmade import handmade
from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.detect import Finding, Scanner
from policies.load import load
from policies.model import Detector, DetectorTerms, Record, Scope
from policies.pseudonym import PseudonymKey

_TERMS = {detector: DetectorTerms() for detector in Detector}
# What presidio calls the kinds that it has recognisers for.
_PRESIDIO = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IBAN_CODE": "iban", "US_SSN": "ssn", "IP_ADDRESS": "ip",
    "CRYPTO": "crypto_address", "MAC_ADDRESS": "mac",
}  # fmt: skip
_SHOWN_MISTAKES = 3


def found_in(scanner: Scanner, text: str) -> list[Finding]:
    """Every finding in the text, those that a plain form of it shows included."""
    found = scanner.find(text)
    if found:
        return found
    hidden: list[Finding] = []

    def note(finding: Finding) -> str:
        hidden.append(finding)
        return ""

    scanner.scrub(text, note)
    return [Finding(one.detector, 0, len(text), one.canonical, one.confidence) for one in hidden]


def main(size: int = SIZE, verbose: bool = False) -> None:
    """Measure and print."""
    for texts in (handmade(), corpus(size=size)):
        scanner = _judge(texts, verbose)
    print(f"ours: {1 / _seconds_each(lambda text: _scrubbed(scanner, text), [text.text for text in texts]):,.0f} texts/s")
    _peer(scanner, texts)


def _judge(texts: list[Text], verbose: bool) -> Scanner:
    """Print what was found in the texts, and give the scanner of the United States."""
    regions = sorted({text.region for text in texts})
    scanners = {region: Scanner(_TERMS, region) for region in regions}
    planted, hit, right, wrong = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    mistakes: dict[str, list[str]] = {}
    for text in texts:
        found = found_in(scanners[text.region], text.text)
        for kind, start, end in text.labels:
            planted[kind] += 1
            if any(one.detector == kind and one.start < end and start < one.end for one in found):
                hit[kind] += 1
            else:
                mistakes.setdefault(f"missed {kind}", []).append(f"{text.region} {text.text[start:end]!r} in {text.text!r}")
        for one in found:
            if any(one.start < end and start < one.end for _, start, end in text.labels):
                right[one.detector] += any(
                    one.detector == kind and one.start < end and start < one.end for kind, start, end in text.labels
                )
            else:
                wrong[one.detector] += 1
                mistakes.setdefault(f"false {one.detector}", []).append(
                    f"{text.region} {text.text[one.start : one.end]!r} in {text.text!r}"
                )
    _table(texts, planted, hit, right, wrong)
    if verbose:
        for kind, lines in sorted(mistakes.items()):
            print(f"{kind}: {len(lines)}", *lines[:_SHOWN_MISTAKES], sep="\n    ")
    return scanners["US"]


def _table(texts: list[Text], planted: Counter[str], hit: Counter[str], right: Counter[str], wrong: Counter[str]) -> None:
    print(f"{len(texts):,} texts of {len({text.region for text in texts})} regions, {sum(planted.values()):,} planted items")
    print(f"{'kind':18}{'planted':>8}{'recall':>9}{'precision':>11}")
    for kind in Detector:
        recall = hit[kind] / planted[kind] if planted[kind] else 1.0
        claimed = right[kind] + wrong[kind]
        print(f"{kind:18}{planted[kind]:8}{recall:9.4f}{right[kind] / claimed if claimed else 1.0:11.4f}")


def _seconds_each(judge: Callable[[str], object], texts: Sequence[str], rounds: int = 3) -> float:
    """Seconds a text, in the best of a few rounds."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for text in texts:
            judge(text)
        best = min(best, time.perf_counter() - begin)
    return best / len(texts)


def _scrubbed(scanner: Scanner, text: str) -> str:
    """The cheap question and, where it says so, the exact detectors; one scanner, as a policy has."""
    return scanner.scrub(text, _placeholder) if scanner.is_doubtful(text) else text


def _placeholder(finding: Finding) -> str:
    return f"[{finding.detector}]"


def _peer(scanner: Scanner, texts: list[Text]) -> None:
    try:
        recognizers = importlib.import_module("presidio_analyzer.predefined_recognizers")
    except ImportError:
        print(
            "presidio-analyzer is not installed; to compare: pip install presidio-analyzer, in a virtual environment of its own"
        )
        return
    names = (
        "EmailRecognizer",
        "CreditCardRecognizer",
        "IbanRecognizer",
        "UsSsnRecognizer",
        "IpRecognizer",
        "CryptoRecognizer",
        "MacAddressRecognizer",
        "PhoneRecognizer",
    )
    used: list[Any] = [getattr(recognizers, name)() for name in names if hasattr(recognizers, name)]

    def analyze(text: str) -> list[Any]:
        return [one for recognizer in used for one in recognizer.analyze(text, recognizer.supported_entities, None) or ()]

    sample = texts[: max(1, len(texts) // 5)]
    planted, hit = Counter[str](), Counter[str]()
    for text in sample:
        found = analyze(text.text)
        for kind, start, end in text.labels:
            if kind in _PRESIDIO.values():
                planted[kind] += 1
                hit[kind] += any(_PRESIDIO.get(one.entity_type) == kind and one.start < end and start < one.end for one in found)
    print(f"presidio, {len(used)} pattern recognisers")
    print("  recall: " + ", ".join(f"{kind} {hit[kind] / planted[kind]:.3f}" for kind in sorted(planted)))
    _ratios(scanner, analyze, [text.text for text in sample])


def _ratios(scanner: Scanner, analyze: Callable[[str], object], dense: list[str]) -> None:
    """How many times as fast, where nearly every text holds something, and on the texts of events, few of which do."""
    batch = events(1)[:400]
    sparse = [value for event in batch for value in event["properties"].values() if isinstance(value, str)]
    theirs = _seconds_each(analyze, sparse, 1)
    for event in events(2)[:400]:
        # Warm with other events, because the scanner remembers texts that it has seen to be clean.
        for value in event["properties"].values():
            if isinstance(value, str):
                _scrubbed(scanner, value)
    ours = _seconds_each(lambda text: _scrubbed(scanner, text), sparse, 1)
    gate, context = compile_policy(load(library.text("gdpr-analytics"))), CheckContext(PseudonymKey(1, bytes(32)))
    records = [Record(Scope.EVENT, event["event"], event["properties"]) for event in batch]
    checked = min(_took(lambda: gate.check(records, context)) for _ in range(10)) / len(sparse)
    peer = _seconds_each(analyze, dense, 1)
    same = Scanner({detector: DetectorTerms() for detector in Detector if detector in _PRESIDIO.values()}, "US")
    for which, each in ("all our kinds against its eight", scanner), ("the same eight kinds on either side", same):
        took = _seconds_each(lambda text, each=each: _scrubbed(each, text), dense)  # type: ignore[misc]
        print(f"  generated corpus, {which}: {peer * 1e6:.0f} us a text, ours {took * 1e6:.1f}, {peer / took:.0f} times as fast")
    print(
        f"  {len(sparse):,} texts of events: presidio {theirs * 1e6:.1f} us each, ours {ours * 1e6:.2f} us, {theirs / ours:.0f} times as fast"
    )
    print(
        f"  the whole check of those events, every rule included: {checked * 1e6:.2f} us a text, {theirs / checked:.0f} times as fast"
    )


def _took(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), verbose="-v" in sys.argv)
