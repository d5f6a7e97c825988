"""Cutting a stream into lists, so that one question to the register serves many rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The same items in lists of `size`, the last one shorter; none is empty."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
