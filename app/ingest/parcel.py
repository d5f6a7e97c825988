"""Validated records between their validation and their turn in the transaction, kept small.

As Python objects a record takes some thirteen times the room of its JSON text; packed, about as much as the text. So a
batch is validated before its transaction begins, waits packed, and is unpacked a part at a time. What arrives at a part's
end is bounded by the part and not by the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

_T = TypeVar("_T")

PART_BYTES = 262_144
"""A part ends with the record that fills it to so many packed bytes, so one part is at most that and one record."""
PART_RECORDS = 500
"""A part holds at most so many records."""

_decoder: Callable[[Any], Any] = cache(msgspec.msgpack.Decoder)
_pack = msgspec.msgpack.Encoder().encode


class Parcel(Generic[_T]):
    """Records of one kind with a number each, in the order in which they were added."""

    __slots__ = ("_packed", "_unpack", "indexes")

    def __init__(self, kind: type[_T]) -> None:
        """`kind` is a dataclass or msgspec struct whose values are JSON-like."""
        self._unpack: Callable[[bytes], _T] = _decoder(kind).decode
        self._packed: list[bytes] = []
        self.indexes: list[int] = []

    def __len__(self) -> int:
        return len(self.indexes)

    def add(self, index: int, record: _T) -> None:
        """Pack one record."""
        self.indexes.append(index)
        self._packed.append(_pack(record))

    def parts(self) -> Iterator[list[tuple[int, _T]]]:
        """Everything, part by part. What was handed out is gone: go through it once."""
        part: list[tuple[int, _T]] = []
        filled = 0
        for at, index in enumerate(self.indexes):
            packed, self._packed[at] = self._packed[at], b""
            part.append((index, self._unpack(packed)))
            filled += len(packed)
            if filled >= PART_BYTES or len(part) >= PART_RECORDS:
                yield part
                part, filled = [], 0
        if part:
            yield part
