"""The price of the check: ``Gate.check`` divided by decoding and encoding the same events, in one run.

    python -m benchmarks.check [rounds]

Prints ratios and asserts nothing: absolute times of a shared machine wander, ratios within one run are what
counts. The batch is 2,000 events of about 12 properties; 8 % hold personal data in some value.
"""

from __future__ import annotations

import random
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.gate import Gate
from policies.load import load
from policies.model import Record, Scope, Verdict
from policies.pseudonym import PseudonymKey

EVENTS = 2_000
WITH_PERSONAL_DATA = 0.08
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_WORDS = [
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliett",
    "kilo",
    "lima",
    "mike",
    "november",
    "oscar",
    "papa",
]
_PERSONAL: tuple[tuple[str, str], ...] = (
    ("note", "please write to jane.doe@example.com about it"),
    ("comment", "call me at +1 415 555 2671 tomorrow"),
    ("message", "card 4111 1111 1111 1111 was refused"),
    ("debug", "request from 203.0.113.77 timed out"),
    ("$email", "jane.doe@example.com"),
    ("phone", "+49 30 901820"),
)


def events(seed: int, prefix: str = "") -> list[dict[str, Any]]:
    """Generated events with names of properties that begin with ``prefix``; the same seed gives the same
    events."""
    rng = random.Random(seed)
    return [_event(rng, index, prefix) for index in range(EVENTS)]


def _event(rng: random.Random, index: int, prefix: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "time": 1_795_450_828 + index + 0.125,
        "distinct_id": f"$device:{uuid.UUID(int=rng.getrandbits(128))}",
        "$insert_id": f"{rng.getrandbits(128):032x}",
        "mp_lib": "web",
        "$lib_version": "2.83.0",
        "$os": rng.choice(("Mac OS X", "Windows", "Linux")),
        "$browser": "Chrome",
        "$browser_version": 131,
        "$current_url": f"https://shop.example/p/{rng.randrange(10_000)}?utm_source=mail",
        f"{prefix}plan": rng.choice(("free", "pro")),
        f"{prefix}amount": round(rng.random() * 100, 2),
        f"{prefix}title": " ".join(rng.choices(_WORDS, k=6)),
    }
    if index % 4 == 0:
        properties[f"{prefix}since"] = "2026-11-23T10:00:00"
    if index % 5 == 0:
        properties["$user_agent"] = _AGENT
    if index % 20 == 0:
        properties[f"{prefix}items"] = [{"sku": "A-1", "quantity": 2}, {"sku": "B-7", "quantity": 1}]
    if rng.random() < WITH_PERSONAL_DATA:
        properties.update((rng.choice(_PERSONAL),))
    return {"event": rng.choice(("Page Viewed", "Checkout", "Signed Up")), "properties": properties}


def _best(action: Callable[[], object], rounds: int) -> float:
    """The fastest of several runs, in seconds: the one least disturbed by the rest of the machine."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times)


def _records(batch: list[dict[str, Any]]) -> list[Record]:
    return [Record(Scope.EVENT, event["event"], event["properties"]) for event in batch]


def _gate() -> Gate:
    return compile_policy(load(library.text("gdpr-analytics")))


def main(rounds: int = 15) -> None:
    """Measure and print."""
    batch = events(1)
    records = _records(batch)
    lines = [msgspec.json.encode(event) for event in batch]
    context = CheckContext(PseudonymKey(1, bytes(32)))
    gate = _gate()
    decisions = gate.check(records, context)
    changed = sum(decision.verdict is Verdict.CHANGED for decision in decisions)
    floor = _best(lambda: [msgspec.json.encode(msgspec.json.decode(line)) for line in lines], rounds)
    warm = _best(lambda: gate.check(records, context), rounds)
    both = _best(lambda: _through(lines, gate, context), rounds)
    cold = min(_best(lambda g=g: g.check(records, context), 1) for g in [_gate() for _ in range(3)])  # type: ignore[misc]
    shapes = [_records(_made_up(batch, turn)) for turn in range(3)]
    made_up = min(_best(lambda s=s: gate.check(s, context), 1) for s in shapes)  # type: ignore[misc]
    print(f"{EVENTS} events, {sum(map(len, lines)) // EVENTS} bytes each, {100 * changed / EVENTS:.1f} % changed")
    for label, seconds in (
        ("floor: decode + encode", floor),
        ("check, warm", warm),
        ("decode + check + encode", both),
        ("check, new gate", cold),
        ("check, every event a new shape", made_up),
    ):
        print(f"{label:32} {seconds * 1e3:7.2f} ms  {EVENTS / seconds:10,.0f} events/s  {seconds / floor:5.2f} x floor")


def _through(lines: list[bytes], gate: Gate, context: CheckContext) -> list[bytes]:
    """One event at a time from bytes to bytes, as a sender's body would be."""
    decode, encode, out = msgspec.json.decode, msgspec.json.encode, []
    for line in lines:
        event = decode(line)
        (decision,) = gate.check((Record(Scope.EVENT, event["event"], event["properties"]),), context)
        out.append(encode({"event": decision.name, "properties": decision.properties}))
    return out


def _made_up(batch: list[dict[str, Any]], turn: int) -> list[dict[str, Any]]:
    """The same events, each with a property no other event has."""
    return [{**event, "properties": {**event["properties"], f"made_up_{turn}_{index:x}": 1}} for index, event in enumerate(batch)]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
