"""The price of the check: ``Gate.check`` divided by decoding and encoding the same events, in one run.

    python -m benchmarks.check [rounds]

Prints ratios and asserts nothing: absolute times of a shared machine wander, ratios within one run are what
counts. The batch is 2,000 events of about 12 properties; 8 % hold personal data in some value.
"""

from __future__ import annotations

import random
import sys
import uuid
from typing import Any

import msgspec

from benchmarks import timing
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


def _records(batch: list[dict[str, Any]]) -> list[Record]:
    return [Record(Scope.EVENT, event["event"], event["properties"]) for event in batch]


def _gate() -> Gate:
    return compile_policy(load(library.text("gdpr-analytics")))


def main(rounds: int = 60) -> None:
    """Measure and print."""
    batch = events(1)
    records = _records(batch)
    lines = [msgspec.json.encode(event) for event in batch]
    context = CheckContext(PseudonymKey(1, bytes(32)))
    gate = _gate()
    changed = sum(decision.verdict is Verdict.CHANGED for decision in gate.check(records, context))
    clean = [one for one, decision in zip(records, gate.check(records, context), strict=True) if not decision.remarks]
    gates = iter([_gate() for _ in range(rounds)])
    shapes = iter([_records(_made_up(batch, turn)) for turn in range(rounds)])
    single = clean[:1]
    took = timing.seconds(
        {
            "floor: decode + encode": lambda: [msgspec.json.encode(msgspec.json.decode(line)) for line in lines],
            "decode + check + encode": lambda: _through(lines, gate, context),
            "check alone": lambda: gate.check(records, context),
            "check alone, clean events": lambda: gate.check(clean, context),
            "check alone, new gate": lambda: next(gates).check(records, context),
            "check alone, every event a new shape": lambda: gate.check(next(shapes), context),
            "check alone, one event at a time": lambda: [gate.check(single, context) for _ in range(EVENTS)],
        },
        rounds,
    )
    print(f"{EVENTS} events, {sum(map(len, lines)) // EVENTS} bytes each, {100 * changed / EVENTS:.1f} % changed")
    floor = took["floor: decode + encode"] / EVENTS
    for label, seconds in took.items():
        each = seconds / (len(clean) if "clean" in label else EVENTS)
        print(f"{label:38} {each * 1e6:7.2f} us an event  {1 / each:10,.0f} events/s  {each / floor:5.2f} x floor")


def _through(lines: list[bytes], gate: Gate, context: CheckContext) -> list[bytes]:
    """A few events at a time from bytes to bytes, as a sender's body would be."""
    decode, encode, out = msgspec.json.decode, msgspec.json.encode, []
    for start in range(0, len(lines), 8):
        some = [decode(line) for line in lines[start : start + 8]]
        records = [Record(Scope.EVENT, event["event"], event["properties"]) for event in some]
        for decision in gate.check(records, context):
            out.append(encode({"event": decision.name, "properties": decision.properties}))
    return out


def _made_up(batch: list[dict[str, Any]], turn: int) -> list[dict[str, Any]]:
    """The same events, each with a property no other event has."""
    return [{**event, "properties": {**event["properties"], f"made_up_{turn}_{index:x}": 1}} for index, event in enumerate(batch)]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
