"""From the JSON text of a payload to its records, each one on its own (wire reference section 3).

Pure. A record that cannot be decoded never takes its neighbours with it: as long as brackets and strings
close, the boundaries of the records are known whatever stands inside them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, overload

import msgspec

from app.ingest.errors import BadJson, TooManyRecords
from app.ingest.limits import Limits

_GZIP_MAGIC = b"\x1f\x8b"
_WHITESPACE = b" \t\r\n"


class Fault(StrEnum):
    """Why one record of a batch could not be decoded."""

    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Malformed:
    """Stands in the batch for a record that could not be decoded, at that record's index."""

    reason: Fault


Piece = msgspec.Raw | bytes | memoryview | Malformed
"""JSON text of one record, or what stands for it."""


class Records(Sequence[Any]):
    """The records of a batch, each decoded when it is asked for and not kept: go through them once, in order.

    So a body of 10 MB costs 10 MB and not the twenty-fold of its Python objects. An item is any JSON value,
    or `Malformed`. Values may hold what JSON or a store cannot (lone surrogates where the sender wrote
    `\\ud800` or broken UTF-8, NaN, Infinity): `app.ingest.validate` refuses those and can name the property.
    """

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [_record(piece) for piece in self._pieces[index]]
        return _record(self._pieces[index])

    def __iter__(self) -> Iterator[Any]:
        return map(_record, self._pieces)

    def __repr__(self) -> str:
        return f"<{len(self._pieces)} records>"


_ANY = msgspec.json.Decoder()
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ONE = msgspec.json.Decoder(msgspec.Raw)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# A decoder that only finds boundaries still makes an object for each element, so that `[0,0,0,...]` would
# cost hundreds of megabytes before its length is known. Beyond this many commas the scanner, which counts,
# goes first.
_MANY_COMMAS = 100_000


def pieces(payload: bytes, ndjson: bool, limits: Limits) -> list[Piece]:
    """The records of `payload` (JSON text without surrounding whitespace), undecoded. `ndjson` says that the
    sender labelled it so. Raises `BadJson` if no records can be told apart, `TooManyRecords`."""
    if payload.startswith(b"["):
        found = _array(payload, limits)
    elif payload.startswith(b"{"):
        found = _lines(payload, limits) if ndjson else _object(payload, limits)
    elif ndjson:
        found = _lines(payload, limits)
    else:
        _not_json(payload)
    return [_bounded(piece, limits) for piece in found]


def _not_json(payload: bytes) -> NoReturn:
    if payload.startswith(_GZIP_MAGIC):
        raise BadJson("body is gzip without saying so: add the header Content-Encoding: gzip", field="body")
    raise BadJson("payload is not JSON: send an array of records, one record, or one record a line", field="data")


def _array(payload: bytes, limits: Limits) -> list[Piece]:
    if payload.count(b",") <= _MANY_COMMAS:
        try:
            raws = _LIST.decode(payload)
        except _UNREADABLE:
            pass
        else:
            _count(len(raws), limits)
            return list(raws)
    pieces = list(_split(payload, limits))
    tried = [Malformed(Fault.NOT_JSON) if _syntax_error(piece, limits) else piece for piece in pieces]
    if tried and all(isinstance(piece, Malformed) for piece in tried):
        _not_json(payload)
    return list(tried)


def _object(payload: bytes, limits: Limits) -> list[Piece]:
    try:
        _ONE.decode(payload)
    except _UNREADABLE:
        first = payload.partition(b"\n")[0].rstrip()
        if b"\n" in payload and first.endswith(b"}"):
            return _lines(payload, limits)
        if _syntax_error(payload, limits):
            _not_json(payload)
    return [payload]


_LINE = re.compile(rb"\S[^\n]*")


def _lines(payload: bytes, limits: Limits) -> list[Piece]:
    lines: list[Piece] = []
    for match in _LINE.finditer(payload):
        _count(len(lines) + 1, limits)
        lines.append(match.group().rstrip())
    return lines


def _count(records: int, limits: Limits) -> None:
    if records > limits.records:
        raise TooManyRecords(f"request exceeds max limit of {limits.records} records: send fewer at a time", field="data")


def size(piece: Piece) -> int:
    """Bytes of one piece as JSON text; 0 where it could not be kept."""
    return 0 if isinstance(piece, Malformed) else memoryview(piece).nbytes


def _bounded(piece: Piece, limits: Limits) -> Piece:
    return Malformed(Fault.TOO_LARGE) if size(piece) > limits.record_bytes else piece


def _record(piece: Piece) -> Any:
    """The value of one piece; `Malformed` where there is none. Never raises."""
    if isinstance(piece, Malformed):
        return piece
    try:
        return _ANY.decode(piece)
    except _UNREADABLE:
        return _tolerant(bytes(piece))


def _tolerant(text: bytes) -> Any:
    """Decodes what the strict decoder refuses for its content rather than its grammar, so that validation can
    name the property: broken UTF-8 and lone surrogates stay as surrogates, numbers without end become inf."""
    try:
        return _TOLERANT.decode(text.decode("utf-8", "surrogateescape"))
    except RecursionError:
        return Malformed(Fault.TOO_DEEP)
    except ValueError:
        return Malformed(Fault.NOT_JSON)


def _whole_number(digits: str) -> int | float:
    # Python refuses to read an integer of more than 4,300 digits; 64 bits need 20.
    return int(digits) if len(digits) <= 32 else float("inf")


_TOLERANT = json.JSONDecoder(parse_int=_whole_number)


def _syntax_error(piece: bytes | memoryview, limits: Limits) -> bool:
    # A record that is too large is not decoded to find out: it is refused for its size later.
    if len(piece) > limits.record_bytes:
        return False
    value = _record(piece)
    return isinstance(value, Malformed) and value.reason is Fault.NOT_JSON


# Runs of bytes that cannot change the nesting, each at the regex engine's speed. All repeats are possessive,
# so matching is linear; the outer ones are bounded, because the engine keeps a frame for each turn.
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_LEAF = rb'[\[{](?:[^"\[\]{}]++|' + _STRING + rb"){0,99}+[\]}]"
_TOP_RUN = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb"){0,999}+", re.DOTALL)
_INNER_RUN = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb"|" + _LEAF + rb"){0,999}+", re.DOTALL)


# A step is about a microsecond and takes in a whole flat object. Bodies that need more are made for the
# purpose.
_MOST_STEPS = 500_000


def _split(array: bytes, limits: Limits) -> Iterator[memoryview]:
    """The elements of a JSON array by brackets and strings alone, whatever stands inside them. Raises
    `BadJson` where brackets or strings do not close, `TooManyRecords` as soon as there is one too many."""
    position = start = depth = 1
    found = 0
    for _ in range(_MOST_STEPS):
        run = (_TOP_RUN if depth == 1 else _INNER_RUN).match(array, position)
        end = run.end() if run else position
        mark = array[end : end + 1]
        if not mark or (mark == b'"' and end == position):
            _not_json(array)
        position = end + 1 if mark in (b"[", b"{", b"]", b"}", b",") else end
        depth += (mark in (b"[", b"{")) - (mark in (b"]", b"}"))
        if depth == 0 or (mark == b"," and depth == 1):
            piece = _view(array, start, end)
            if piece or found or depth:
                found += 1
                _count(found, limits)
                yield piece
            start = position
        if depth == 0:
            break
    if depth or mark != b"]" or array[position:].strip(_WHITESPACE):
        _not_json(array)


def _view(array: bytes, start: int, end: int) -> memoryview:
    """The element without the whitespace around it, and not a copy: together they would be the body twice."""
    element = array[start:end]
    left = element.lstrip(_WHITESPACE)
    return memoryview(array)[end - len(left) : end - len(left) + len(left.rstrip(_WHITESPACE))]
