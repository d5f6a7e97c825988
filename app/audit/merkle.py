"""Merkle trees of RFC 6962 section 2.1 over SHA-256: roots, proofs, and the checks of RFC 9162 section 2.1.

Pure, and standard library only, so that `verify.py` can run alone. A hash is 32 bytes. What builds a root or a proof asks
for *perfect subtrees* by level and index: level 0 is a leaf, and subtree `(level, index)` covers the leaves from
`index << level` on, `1 << level` of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Subtree = Callable[[int, int], bytes]


class ProofWrong(ValueError):
    """A proof does not show what it is said to show."""


def leaf_hash(body: bytes) -> bytes:
    """The hash of one entry: SHA-256 over a zero byte and its bytes."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that grows leaf by leaf and remembers only the roots of its perfect subtrees: at most 64 hashes."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add the hash of one more leaf."""
        rest = self.size
        while rest & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            rest >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root of what was added so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def perfect(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def root(size: int, subtree: Subtree) -> bytes:
    """The root of the first `size` leaves."""
    return _range(0, size, subtree) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, from the leaf upwards (RFC 6962 section 2.1.1)."""
    if not 0 <= index < size:
        raise ProofWrong("the index lies outside the tree")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range(middle, high, subtree))
            high = middle
        else:
            path.append(_range(low, middle, subtree))
            low = middle
    return path[::-1]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """The proof that the tree of `old` leaves is the beginning of the tree of `new` (RFC 6962 section 2.1.2)."""
    if not 0 <= old <= new:
        raise ProofWrong("the older tree is larger than the newer")
    if old in (0, new):
        return []
    low, high, path, whole = 0, new, [], True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_range(middle, high, subtree))
            high = middle
        else:
            path.append(_range(low, middle, subtree))
            low, whole = middle, False
    return ([] if whole else [_range(low, high, subtree)]) + path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Raises `ProofWrong` unless `proof` shows that `leaf` is entry `index` of the tree with this root (RFC 9162 2.1.3.2)."""
    _whole_hashes(leaf, expected, *proof)
    if not 0 <= index < size:
        raise ProofWrong("the index lies outside the tree")
    place, last, computed = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise ProofWrong("the proof is too long")
        if place & 1 or place == last:
            computed = node_hash(step, computed)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            computed = node_hash(computed, step)
        place, last = place >> 1, last >> 1
    if last or computed != expected:
        raise ProofWrong("the entry is not in the tree of this root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `ProofWrong` unless `proof` shows that the newer tree extends the older one (RFC 9162 section 2.1.4.2)."""
    _whole_hashes(old_root, new_root, *proof)
    if not 0 <= old <= new:
        raise ProofWrong("the older tree is larger than the newer")
    if old in (0, new):
        if proof or old_root != (new_root if old else EMPTY_ROOT):
            raise ProofWrong("two trees of one size have different roots")
        return
    steps = list(proof)
    if not old & (old - 1):
        steps.insert(0, old_root)
    if not steps:
        raise ProofWrong("the proof is too short")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    was = now = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofWrong("the proof is too long")
        if place & 1 or place == last:
            was, now = node_hash(step, was), node_hash(step, now)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            now = node_hash(now, step)
        place, last = place >> 1, last >> 1
    if last or was != old_root or now != new_root:
        raise ProofWrong("the newer tree does not extend the older one")


def _range(low: int, high: int, subtree: Subtree) -> bytes:
    """The root over the leaves from `low` to `high`, where `low` is a multiple of every power of two that fits."""
    size = high - low
    if not size & (size - 1):
        level = size.bit_length() - 1
        return subtree(level, low >> level)
    middle = low + _split(size)
    return node_hash(_range(low, middle, subtree), _range(middle, high, subtree))


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _whole_hashes(*hashes: bytes) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofWrong("a hash does not have 32 bytes")
