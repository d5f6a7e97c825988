"""Where the pages of a profile query end, and how its stream is packed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence

import pytest

from app.errors import InvalidInput
from app.events.port import ProfileRow
from app.query.batches import batches
from app.query.export import gzipped
from app.query.sessions import PAGE_SIZE, Session, measure


def rows(count: int) -> list[ProfileRow]:
    return [ProfileRow(seq * 3, seq, "{}", None, 1) for seq in range(1, count + 1)]


def everyone(uids: Sequence[int]) -> Collection[int]:
    return uids


@pytest.mark.parametrize(("count", "pages"), [(0, 0), (1, 1), (PAGE_SIZE, 1), (PAGE_SIZE + 1, 2), (2 * PAGE_SIZE, 2), (2500, 3)])
def test_pages_hold_a_thousand_and_the_last_one_the_rest(count: int, pages: int) -> None:
    total, bounds = measure(rows(count), everyone)
    assert total == count
    assert len(bounds) == pages
    session = Session("s", total, bounds)
    found = [[row.uid for row in rows(count) if after < row.seq <= up_to] for after, up_to in map(session.page, range(pages))]
    assert all(len(page) == PAGE_SIZE for page in found[:-1])
    assert [uid for page in found for uid in page] == list(range(1, count + 1))


def test_the_hidden_count_neither_in_the_total_nor_in_the_length_of_a_page() -> None:
    total, bounds = measure(rows(3000), lambda uids: {uid for uid in uids if uid % 2})
    assert total == 1500
    assert bounds == (3 * 1999, 3 * 2999)


def test_the_page_after_the_last_is_empty_and_later_ones_do_not_exist() -> None:
    session = Session("s", 1000, (3000,))
    assert session.page(0) == (0, 3000)
    assert session.page(1) == (3000, 3000)
    with pytest.raises(InvalidInput) as caught:
        session.page(2)
    assert "uncached query" in caught.value.message
    assert Session("s", 0, ()).page(0) == (0, 0)


def test_batches_are_full_but_for_the_last() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []


def test_a_packed_chunk_can_be_read_before_the_next_one_is_made() -> None:
    stream = gzipped(iter([b"one\n", b"two\n"]))
    unpacker = zlib.decompressobj(wbits=31)
    assert unpacker.decompress(next(stream)) == b"one\n"
    assert unpacker.decompress(next(stream)) == b"two\n"
    assert unpacker.decompress(b"".join(stream)) == b""
    assert unpacker.eof


def test_a_failure_midway_leaves_the_packed_stream_without_its_end() -> None:
    def broken() -> Iterator[bytes]:
        yield b"one\n"
        raise ConnectionError

    received: list[bytes] = []
    with pytest.raises(ConnectionError):
        received.extend(gzipped(broken()))
    assert zlib.decompressobj(wbits=31).decompress(b"".join(received)) == b"one\n"
    with pytest.raises(EOFError):
        gzip.decompress(b"".join(received))
