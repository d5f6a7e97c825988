"""Keccak-256 as Ethereum uses it: the submission of 2011, whose padding differs from FIPS 202 SHA3-256."""

from __future__ import annotations

_MASK = (1 << 64) - 1
_RATE = 136
_ROTATIONS = ((0, 36, 3, 41, 18), (1, 44, 10, 45, 2), (62, 6, 43, 15, 61), (28, 55, 25, 21, 56), (27, 20, 39, 8, 14))


def _round_constants() -> list[int]:
    """The constants of the 24 rounds, from the linear feedback register of the specification."""
    found, register = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if register & 1:
                constant |= 1 << ((1 << j) - 1)
            register = register << 1 ^ (0x171 if register >> 7 else 0)
        found.append(constant)
    return found


_CONSTANTS = _round_constants()


def _rotated(lane: int, by: int) -> int:
    return (lane << by | lane >> (64 - by)) & _MASK


def _permuted(a: list[list[int]]) -> list[list[int]]:
    for constant in _CONSTANTS:
        c = [column[0] ^ column[1] ^ column[2] ^ column[3] ^ column[4] for column in a]
        d = [c[x - 1] ^ _rotated(c[(x + 1) % 5], 1) for x in range(5)]
        b = [[0] * 5 for _ in range(5)]
        for x in range(5):
            for y in range(5):
                b[y][(2 * x + 3 * y) % 5] = _rotated(a[x][y] ^ d[x], _ROTATIONS[x][y])
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    return a


def keccak_256(message: bytes) -> bytes:
    """The digest of a message shorter than one block of 136 bytes; an address has 40."""
    block = bytearray(message + b"\x01" + bytes(_RATE - len(message) - 1))
    block[-1] |= 0x80
    state = [[0] * 5 for _ in range(5)]
    for i in range(_RATE // 8):
        state[i % 5][i // 5] = int.from_bytes(block[8 * i : 8 * i + 8], "little")
    state = _permuted(state)
    return b"".join(state[i][0].to_bytes(8, "little") for i in range(4))
