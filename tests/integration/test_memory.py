"""What a batch costs in memory: a small multiple of its body, however many records that is."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path

import pytest

from app.ingest.outcome import Event
from app.ingest.parcel import PART_BYTES, PART_RECORDS, Parcel
from tests.integration.gate import Gate, build
from tests.integration.test_quarantine import HOLDING, activate


def _body(gate: Gate, records: int, properties: int, seed: int, **more: str) -> bytes:
    draw, values = (
        random.Random(seed),
        {**more, **{f"p{k}": f"some text, some {chr(97 + k % 26) * 20}" for k in range(properties)}},
    )
    return json.dumps(
        [gate.event(f"user-{seed}-{i}", f"{draw.getrandbits(128):032x}", **values) for i in range(records)]
    ).encode()


def _peak(gate: Gate, body: bytes, path: str = "/track") -> float:
    """The most memory at any one time while the body is taken in, itself included, as a multiple of it."""
    tracemalloc.start()
    try:
        answer = gate.client.post(f"{path}?verbose=1", data=body, content_type="application/json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.get_json()["status"] == 1
    return peak / len(body)


@pytest.mark.parametrize("policy", ["passes", "changes"])
def test_a_batch_costs_memory_like_its_body(tmp_path: Path, policy: str) -> None:
    gate = build(tmp_path, None)
    note = {} if policy == "passes" else {"mail": "ann@mail.example"}
    gate.track(gate.event("warm", "a" * 32, **note))
    # Three megabytes either way; as Python objects at once they would be more than ten times that.
    few, many = _body(gate, 500, 100, 1, **note), _body(gate, 2_000, 22, 2, **note)
    assert _peak(gate, few) < 4
    assert _peak(gate, many) < 4


def _updates(gate: Gate, records: int, properties: int, people: int, **more: str) -> bytes:
    values = {**more, **{f"p{k}": f"some text, some {chr(97 + k % 26) * 20}" for k in range(properties)}}
    return json.dumps(
        [{"$token": gate.token, "$distinct_id": f"p{people}-{i % people}", "$set": values} for i in range(records)]
    ).encode()


@pytest.mark.parametrize("policy", ["passes", "changes", "holds"])
def test_a_batch_of_profile_updates_costs_memory_like_its_body(tmp_path: Path, policy: str) -> None:
    gate = build(tmp_path, None)
    note = {"passes": {}, "changes": {"mail": "ann@mail.example"}, "holds": {"diagnosis": "x"}}[policy]
    if policy == "holds":
        activate(gate, HOLDING)
    gate.client.post("/engage", data=_updates(gate, 1, 1, 1, **note), content_type="application/json")
    # Three megabytes and more, of as many people or of few whose profiles are worked on again and again.
    assert _peak(gate, _updates(gate, 2_000, 40, 2_000, **note), "/engage") < 5
    assert _peak(gate, _updates(gate, 2_000, 40, 10, **note), "/engage") < 5


def test_a_parcel_gives_back_what_it_was_given_in_bounded_parts() -> None:
    parcel: Parcel[Event] = Parcel(Event)
    given = [Event(f"E{i}", {"a": "x" * (i % 7) * 1_000, "n": 2**64 - 1, "l": [None, -1.5]}, i, None, "t") for i in range(1_200)]
    for i, each in enumerate(given):
        parcel.add(i * 2, each)
    parts = list(parcel.parts())
    assert [pair for part in parts for pair in part] == [(i * 2, each) for i, each in enumerate(given)]
    assert all(len(part) <= PART_RECORDS for part in parts)
    assert all(sum(len(event.properties["a"]) for _, event in part) < PART_BYTES + 10_000 for part in parts)
