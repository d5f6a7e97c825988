"""The tree against the definition of RFC 6962, word for word, and proofs against everything that is nearly one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings, strategies as st

from app.audit import merkle
from app.audit.merkle import ProofWrong

# The example entries of the certificate-transparency test suites, and the roots over the first n of them.
ENTRIES = [bytes.fromhex(each) for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
ENTRIES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def defined(bodies: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, as it is written there."""
    if not bodies:
        return hashlib.sha256().digest()
    if len(bodies) == 1:
        return hashlib.sha256(b"\x00" + bodies[0]).digest()
    k = 1
    while k * 2 < len(bodies):
        k *= 2
    return hashlib.sha256(b"\x01" + defined(bodies[:k]) + defined(bodies[k:])).digest()


def path(m: int, bodies: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1, as it is written there."""
    if len(bodies) == 1:
        return []
    k = 1
    while k * 2 < len(bodies):
        k *= 2
    if m < k:
        return [*path(m, bodies[:k]), defined(bodies[k:])]
    return [*path(m - k, bodies[k:]), defined(bodies[:k])]


def subtrees(bodies: Sequence[bytes]) -> Callable[[int, int], bytes]:
    return lambda level, index: defined(bodies[index << level : (index + 1) << level])


def numbered(n: int) -> list[bytes]:
    return [str(i).encode() for i in range(n)]


@pytest.mark.parametrize("n", ROOTS)
def test_the_published_roots(n: int) -> None:
    tree = merkle.Frontier()
    for body in ENTRIES[:n]:
        tree.append(merkle.leaf_hash(body))
    assert tree.root().hex() == merkle.root(n, subtrees(ENTRIES)).hex() == ROOTS[n]


@given(st.integers(0, 300))
def test_every_way_to_a_root_is_the_definition(n: int) -> None:
    bodies, tree = numbered(n), merkle.Frontier()
    for body in bodies:
        tree.append(merkle.leaf_hash(body))
    assert tree.root() == merkle.root(n, subtrees(bodies)) == defined(bodies)
    assert tree.size == n


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_an_inclusion_proof_is_the_path_of_the_rfc_and_verifies(pair: tuple[int, int]) -> None:
    index, size = pair
    bodies = numbered(size)
    proof = merkle.inclusion_proof(index, size, subtrees(bodies))
    assert proof == path(index, bodies)
    merkle.verify_inclusion(merkle.leaf_hash(bodies[index]), index, size, proof, defined(bodies))


@given(st.integers(0, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_consistency_proof_verifies(pair: tuple[int, int]) -> None:
    old, new = pair
    bodies = numbered(new)
    proof = merkle.consistency_proof(old, new, subtrees(bodies))
    assert len(proof) <= 2 * new.bit_length()
    merkle.verify_consistency(old, new, defined(bodies[:old]), defined(bodies), proof)


def nearly(proof: list[bytes], root: bytes) -> Iterator[list[bytes]]:
    """What is nearly a proof: longer, shorter, in another order, with one bit or one hash of another."""
    yield [*proof, root]
    yield [root, *proof]
    yield [*proof, b""]
    for i, step in enumerate(proof):
        yield proof[:i] + proof[i + 1 :]
        yield [*proof[:i], step, *proof[i:]]
        yield [*proof[:i], bytes([step[0] ^ 1, *step[1:]]), *proof[i + 1 :]]
        yield [*proof[:i], step[:-1], *proof[i + 1 :]]
    if proof[::-1] != proof:
        yield proof[::-1]


@settings(max_examples=40)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_nothing_but_the_proof_shows_an_inclusion(pair: tuple[int, int]) -> None:
    index, size = pair
    bodies = numbered(size)
    leaf, proof, root = merkle.leaf_hash(bodies[index]), path(index, bodies), defined(bodies)
    for wrong in nearly(proof, root):
        with pytest.raises(ProofWrong):
            merkle.verify_inclusion(leaf, index, size, wrong, root)
    for other in {index - 1, index + 1, index + size, size + 1} - {index}:
        with pytest.raises(ProofWrong):
            merkle.verify_inclusion(leaf, other, size, proof, root)
    with pytest.raises(ProofWrong):
        merkle.verify_inclusion(leaf, index, size, proof, leaf if size > 1 else defined(ENTRIES))


@settings(max_examples=40)
@given(st.integers(2, 40).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n))))
def test_nothing_but_the_proof_shows_that_a_tree_grew(pair: tuple[int, int]) -> None:
    old, new = pair
    bodies = numbered(new)
    proof = merkle.consistency_proof(old, new, subtrees(bodies))
    was, now = defined(bodies[:old]), defined(bodies)
    for wrong in nearly(proof, now):
        with pytest.raises(ProofWrong):
            merkle.verify_consistency(old, new, was, now, wrong)
    forked = defined([*bodies[: old - 1], b"another", *bodies[old:]])
    for before, after in ((was, forked), (forked, now), (now, was), (now, now), (was, was)):
        with pytest.raises(ProofWrong):
            merkle.verify_consistency(old, new, before, after, proof)
    with pytest.raises(ProofWrong):
        merkle.verify_consistency(new, old, now, was, proof)


def test_two_trees_of_one_size_are_one_tree() -> None:
    one, other = defined(numbered(5)), defined(numbered(6))
    merkle.verify_consistency(5, 5, one, one, [])
    for given_proof, new_root in (([], other), ([one], one)):
        with pytest.raises(ProofWrong):
            merkle.verify_consistency(5, 5, one, new_root, given_proof)
    with pytest.raises(ProofWrong):
        merkle.verify_consistency(0, 5, one, one, [])


def test_what_lies_outside_the_tree_has_no_proof() -> None:
    for call in (
        lambda: merkle.inclusion_proof(5, 5, subtrees(numbered(5))),
        lambda: merkle.inclusion_proof(-1, 5, subtrees(numbered(5))),
        lambda: merkle.consistency_proof(6, 5, subtrees(numbered(5))),
    ):
        with pytest.raises(ProofWrong):
            call()
