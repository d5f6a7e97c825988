"""How well the detectors find: precision and recall for each kind on a labelled corpus, and their speed.

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
from typing import Any

from benchmarks.corpus import SIZE, Text, corpus
from policies.detect import Finding, Scanner
from policies.model import Detector, DetectorTerms

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
    texts = corpus(size=size)
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
    ours = _speed(scanners, texts)
    _peer(texts, ours)


def _table(texts: list[Text], planted: Counter[str], hit: Counter[str], right: Counter[str], wrong: Counter[str]) -> None:
    print(f"{len(texts):,} texts of {len({text.region for text in texts})} regions, {sum(planted.values()):,} planted items")
    print(f"{'kind':18}{'planted':>8}{'recall':>9}{'precision':>11}")
    for kind in Detector:
        recall = hit[kind] / planted[kind] if planted[kind] else 1.0
        claimed = right[kind] + wrong[kind]
        print(f"{kind:18}{planted[kind]:8}{recall:9.4f}{right[kind] / claimed if claimed else 1.0:11.4f}")


def _speed(scanners: dict[str, Scanner], texts: list[Text]) -> float:
    """Texts a second through the cheap question and, where it says so, the exact detectors; one scanner, as a policy has."""
    scanner = scanners["US"]
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        for text in texts:
            if scanner.is_doubtful(text.text, ""):
                scanner.scrub(text.text, _placeholder)
        best = min(best, time.perf_counter() - begin)
    print(f"ours: {len(texts) / best:,.0f} texts/s")
    return len(texts) / best


def _placeholder(finding: Finding) -> str:
    return f"[{finding.detector}]"


def _peer(texts: list[Text], ours: float) -> None:
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
    sample = texts[: max(1, len(texts) // 5)]
    planted, hit = Counter[str](), Counter[str]()
    begin = time.perf_counter()
    results = [
        [one for recognizer in used for one in recognizer.analyze(text.text, recognizer.supported_entities, None) or ()]
        for text in sample
    ]
    seconds = time.perf_counter() - begin
    for text, found in zip(sample, results, strict=True):
        for kind, start, end in text.labels:
            if kind in _PRESIDIO.values():
                planted[kind] += 1
                hit[kind] += any(_PRESIDIO.get(one.entity_type) == kind and one.start < end and start < one.end for one in found)
    print(
        f"presidio, {len(used)} pattern recognisers: {len(sample) / seconds:,.0f} texts/s; ours is {ours * seconds / len(sample):.0f} times as fast"
    )
    print("  recall: " + ", ".join(f"{kind} {hit[kind] / planted[kind]:.3f}" for kind in sorted(planted)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), verbose="-v" in sys.argv)
