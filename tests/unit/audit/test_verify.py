"""What an auditor checks alone: checkpoints in their one spelling, and bundles against every kind of tampering."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.checkpoint import BadCheckpoint, Checkpoint, parse
from app.audit.entry import AuditAction, Entry
from app.audit.merkle import Frontier, leaf_hash
from app.audit.note import BadNote, sign, verifier_key
from app.audit.verify import DoesNotHold, verify_bundle

ORIGIN = "portcullis/1/audit"
KEY = Ed25519PrivateKey.generate()
VERIFIER = verifier_key(ORIGIN, KEY)
REFUSALS = (BadNote, BadCheckpoint, DoesNotHold)


def bodies(n: int, said: str = "somebody") -> list[bytes]:
    return [Entry(AuditAction.AUDIT_READ, 1, said, 1_795_000_000_000 + i, counts={"i": i + 1}).canonical() for i in range(n)]


def checkpoint(entries: list[bytes], key: Ed25519PrivateKey = KEY, origin: str = ORIGIN) -> str:
    tree = Frontier()
    for body in entries:
        tree.append(leaf_hash(body))
    return sign(Checkpoint(origin, tree.size, tree.root()).text(), origin, key)


def bundle(entries: list[bytes], note: str | None = None) -> list[str]:
    head = json.dumps({"bundle": "portcullis audit bundle v1", "checkpoint": note or checkpoint(entries)})
    return [head, *(line(i, body) for i, body in enumerate(entries))]


def line(index: int, body: bytes, leaf: bytes | None = None) -> str:
    return json.dumps({"index": index, "leaf": (leaf or leaf_hash(body)).hex(), "entry": json.loads(body)})


ENTRIES = bodies(21)
OTHER = bodies(21, "somebody else")
HELD = checkpoint(ENTRIES[:13])


def test_a_true_bundle_holds_with_and_without_an_older_checkpoint() -> None:
    assert verify_bundle(bundle(ENTRIES), VERIFIER).size == 21
    for size in (0, 1, 13, 21):
        assert verify_bundle(bundle(ENTRIES), VERIFIER, checkpoint(ENTRIES[:size])).root.hex()


@pytest.mark.parametrize("at", [0, 7, 12, 20])
@pytest.mark.parametrize(
    "tampered",
    [
        lambda i: [*ENTRIES[:i], OTHER[i], *ENTRIES[i + 1 :]],
        lambda i: ENTRIES[:i] + ENTRIES[i + 1 :],
        lambda i: [*ENTRIES[:i], OTHER[i], *ENTRIES[i:]],
        lambda i: [*ENTRIES[:i], ENTRIES[i], ENTRIES[i], *ENTRIES[i + 1 :]],
        lambda i: [*ENTRIES[: i - 1], ENTRIES[i], ENTRIES[i - 1], *ENTRIES[i + 1 :]] if i else ENTRIES[::-1],
        lambda i: ENTRIES[:i],
    ],
    ids=["edited", "removed", "put in", "doubled", "swapped", "cut"],
)
def test_entries_that_are_not_those_that_were_signed(tampered: Callable[[int], list[bytes]], at: int) -> None:
    # Whoever tampers is clever: indexes run on and every leaf hash fits its entry.
    with pytest.raises(DoesNotHold):
        verify_bundle(bundle(tampered(at), checkpoint(ENTRIES)), VERIFIER)


@pytest.mark.parametrize("kind", ["edited", "cut", "forked", "rolled back"])
def test_the_holder_of_the_signing_key_is_caught_by_a_checkpoint_held_and_by_nothing_else(kind: str) -> None:
    rewritten = {
        "edited": [*ENTRIES[:5], OTHER[5], *ENTRIES[6:]],
        "cut": ENTRIES[:3] + ENTRIES[4:],
        "forked": [*ENTRIES[:12], *OTHER[12:]],
        "rolled back": ENTRIES[:12],
    }[kind]
    given = bundle(rewritten)
    assert verify_bundle(given, VERIFIER).size == len(rewritten)
    with pytest.raises(DoesNotHold):
        verify_bundle(given, VERIFIER, HELD)


def test_what_came_after_the_checkpoint_held_is_only_as_good_as_the_key() -> None:
    verify_bundle(bundle([*ENTRIES[:13], *OTHER[13:]]), VERIFIER, HELD)


def test_a_note_by_another_key_or_of_another_log_is_refused() -> None:
    stranger = Ed25519PrivateKey.generate()
    for note in (
        checkpoint(ENTRIES, stranger),
        checkpoint(ENTRIES, KEY, "portcullis/2/audit"),
        checkpoint(ENTRIES).replace("21", "12"),
        checkpoint(ENTRIES).replace("\n\n", "\n"),
        "",
    ):
        with pytest.raises(REFUSALS):
            verify_bundle(bundle(ENTRIES, note or "x"), VERIFIER)
    with pytest.raises(REFUSALS):
        verify_bundle(bundle(ENTRIES), VERIFIER, checkpoint(ENTRIES[:13], stranger))


def test_every_bit_of_the_first_line_counts() -> None:
    note = checkpoint(ENTRIES)
    undetected = []
    for at in range(len(note)):
        for bit in range(7):
            changed = note[:at] + chr(ord(note[at]) ^ (1 << bit)) + note[at + 1 :]
            try:
                verify_bundle(bundle(ENTRIES, changed), VERIFIER)
            except REFUSALS:
                continue
            undetected.append((at, bit))
    assert undetected == []


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"index":0}',
        '{"index":"0","leaf":"","entry":{}}',
        '{"index":true,"leaf":"","entry":{}}',
        "[" * 100_000,
        line(0, ENTRIES[0], leaf_hash(b"x")),
    ],
)
def test_lines_that_are_no_entries(wrong: str) -> None:
    given = bundle(ENTRIES)
    with pytest.raises(DoesNotHold):
        verify_bundle([given[0], wrong, *given[2:]], VERIFIER)
    with pytest.raises(DoesNotHold):
        verify_bundle([wrong, *given[1:]], VERIFIER)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        f"o\n01\n{'A' * 43}=\n",
        f"o\n+1\n{'A' * 43}=\n",
        f"o\n-1\n{'A' * 43}=\n",
        f"o\n١\n{'A' * 43}=\n",
        f"o\n1\n{'A' * 42}B=\n",
        f"o\n1\n{'A' * 42}==\n",
        "o\n1\nAAAA\n",
        f"o\n1\n{'A' * 43}=\nextension\n",
        f"\n1\n{'A' * 43}=\n",
        f"o\n1\n{'A' * 43}=",
        f"o\n1\n {'A' * 43}=\n",
    ],
)
def test_a_checkpoint_has_one_spelling(text: str) -> None:
    with pytest.raises(BadCheckpoint):
        parse(text)


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    said = Checkpoint(ORIGIN, 7, bytes(range(32)))
    assert parse(said.text()) == said
