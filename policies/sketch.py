"""How many different things there were, without keeping any of them: HyperLogLog (Flajolet et al., 2007).

Written here and not taken from a library because what is counted are 64-bit numbers already, which leaves twenty lines,
and because a sketch must be able to rest in a checkpoint. With ``2**precision`` registers the standard error is
1.04 / sqrt(registers): 2.3 % for 11, 6.5 % for 8; below twice the registers it is smaller (linear counting).
"""

from __future__ import annotations

import math

_MASK = (1 << 64) - 1


class Distinct:
    """A set of whole numbers of which only the size is known. One byte a register."""

    __slots__ = ("_precision", "_registers")

    def __init__(self, precision: int = 11, registers: bytes | None = None) -> None:
        """Start empty, or where ``registers`` of an earlier sketch of this precision stood."""
        self._precision = precision
        self._registers = bytearray(1 << precision) if registers is None else bytearray(registers)
        if len(self._registers) != 1 << precision:
            raise ValueError("these registers belong to another precision")

    def add(self, number: int) -> None:
        """Count ``number`` once, however often it comes."""
        mixed = _mixed(number)
        rank = 65 - self._precision - (mixed >> self._precision).bit_length()
        place = mixed & ((1 << self._precision) - 1)
        self._registers[place] = max(self._registers[place], rank)

    def count(self) -> int:
        """The estimate."""
        size = len(self._registers)
        empty = self._registers.count(0)
        estimate = 0.7213 / (1 + 1.079 / size) * size * size / math.fsum(2.0**-rank for rank in self._registers)
        if empty and estimate <= 2.5 * size:
            estimate = size * math.log(size / empty)
        return round(estimate)

    @property
    def registers(self) -> bytes:
        """What a later sketch may start from."""
        return bytes(self._registers)


def _mixed(number: int) -> int:
    """A permutation of 64 bits that spreads neighbours apart (SplitMix64, Steele et al., 2014)."""
    mixed = (number + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
