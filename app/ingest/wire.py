"""From any sender's encoding to one batch of records (wire reference section 3).

Pure: bytes and strings in, values out. What HTTP said arrives as a `WireRequest`; what is wrong with the
request as a whole leaves as a `WireError`; what is wrong with one record stays with that record, so that its
neighbours in the batch are not lost.

The order of decoding: gzip, then `data` in the query, then `data` in a form, then the whole body as JSON,
then newline-delimited JSON.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from app.ingest.errors import (
    BadBase64,
    BadForm,
    BadGzip,
    BadJson,
    InflatedTooLarge,
    MissingData,
    PayloadTooLarge,
    TooManyRecords,
    UnsupportedEncoding,
    WireError,
)
from app.ingest.limits import Limits
from app.ingest.outcome import token_of
from app.ingest.records import Fault, Malformed, Records, pieces, size

__all__ = [
    "BadBase64",
    "BadForm",
    "BadGzip",
    "BadJson",
    "Batch",
    "Controls",
    "Endpoint",
    "Fault",
    "InflatedTooLarge",
    "Malformed",
    "MissingData",
    "PayloadTooLarge",
    "Records",
    "TooManyRecords",
    "UnsupportedEncoding",
    "WireError",
    "WireRequest",
    "decode",
    "dialect",
    "query_pairs",
    "record_token",
]

Endpoint = Literal["track", "import", "engage", "groups"]

_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
_WHITESPACE = b" \t\r\n"
_NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What a view read off HTTP. `query` holds percent-decoded pairs in order (`query_pairs` makes them);
    `body` is as it arrived, still compressed if `content_encoding` says so."""

    method: str
    endpoint: Endpoint
    query: Sequence[tuple[str, str]] = field(repr=False)
    content_type: str | None
    content_encoding: str | None
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Controls:
    """Parameters that steer the answer, from the query first and the form second; the first of a name counts.

    `ip` is None where the sender did not say. `redirect` is deliberately not read: following it would make
    this server an open redirector. Everything else (`_`, `api_key`, ...) is ignored."""

    verbose: bool = False
    ip: bool | None = None
    img: bool = False
    callback: str | None = field(default=None, repr=False)
    strict: bool = False
    project_id: str | None = None
    test: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """One request, decoded. `bare` tells a raw JSON or ndjson body from a `data` field, because the answer
    differs. `sizes` holds the bytes of each record as JSON text (0 where it could not be told)."""

    records: Records
    controls: Controls
    bare: bool
    sizes: tuple[int, ...] = field(repr=False)


def decode(request: WireRequest, limits: Limits) -> Batch:
    """The batch that `request` carries. Raises `WireError` if there is none; no other exception."""
    body = _inflate(request, limits)
    form = _form_pairs(request, body, limits)
    controls = _controls([*request.query, *form])
    text = _first("data", request.query) or _first("data", form)
    if text is None and any(name == "data" for name, _ in form):
        text = ""
    payload, bare = (body, True) if text is None else (_data_field(text), False)
    payload = payload.removeprefix(_BOM).strip(_WHITESPACE)
    if not payload:
        raise MissingData("data, missing or empty", field="data", remedy="send a form field `data` or a JSON body")
    found = pieces(payload, bare and _media_type(request) in _NDJSON, limits)
    return Batch(Records(found), controls, bare, tuple(size(piece) for piece in found))


def dialect(request: WireRequest, limits: Limits) -> tuple[Controls, bool]:
    """How the sender wants to be answered, and whether the body is bare, for a request that may not decode.

    As much as can be read: the form counts only if the body inflates and parses. Never raises."""
    form: list[tuple[str, str]] = []
    with suppress(WireError):
        form = _form_pairs(request, _inflate(request, limits), limits)
    bare = not form and _first("data", request.query) is None
    for pairs in ([*request.query, *form], request.query):
        with suppress(WireError):
            return _controls(pairs), bare
    return Controls(), bare


def query_pairs(query_string: str | bytes, limits: Limits) -> list[tuple[str, str]]:
    """Percent-decoded pairs of a query string or form, blank values kept. Bytes that are not UTF-8 become
    lone surrogates (PEP 383), so that the one record they belong to can be told later. Raises `BadForm`."""
    raw = query_string.encode("latin-1", "replace") if isinstance(query_string, str) else query_string
    if raw.count(b"&") >= limits.form_fields:
        raise BadForm(f"form or query has more than {limits.form_fields} fields: send the records in the one field data")
    fields = (part.partition(b"=") for part in raw.split(b"&") if part)
    return [(_unquoted(name), _unquoted(value)) for name, _, value in fields]


def record_token(record: Any, endpoint: Endpoint) -> str | None:
    """The project token that one record names: `properties.token` of an event, `$token` of an update."""
    if not isinstance(record, dict):
        return None
    if endpoint in ("track", "import"):
        properties = record.get("properties")
        token = properties.get("token") if isinstance(properties, dict) else None
    else:
        token = record.get("$token")
    return token_of(token)


_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def _unquoted(text: bytes) -> str:
    # Quoted-printable is percent-encoding with another sign, and its decoder is C. `urllib.parse` makes an
    # object for each escape: 3 s and 850 MB for a body of 10 MB that is nothing but escapes.
    if b"%" in text:
        whole = _BROKEN_ESCAPE.sub(b"%25", text)
        text = binascii.a2b_qp(whole.replace(b"+", b" ").replace(b"=", b"=3D").replace(b"%", b"="))
    else:
        text = text.replace(b"+", b" ")
    return text.decode("utf-8", "surrogateescape")


# --- bytes of the body


def _inflate(request: WireRequest, limits: Limits) -> bytes:
    if len(request.body) > limits.body_bytes:
        raise PayloadTooLarge(f"request exceeds max limit of {limits.body_bytes} bytes", field="body")
    encoding = (request.content_encoding or "").strip().lower()
    if encoding in ("", "identity"):
        return request.body
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedEncoding("Content-Encoding is not supported: send gzip, once, or no encoding", field="Content-Encoding")
    if not request.body and request.method == "GET":
        return b""
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(request.body, limits.inflated_bytes + 1)
    except zlib.error:
        raise BadGzip("body is not valid gzip: compress it again, or send it plain", field="body") from None
    if len(inflated) > limits.inflated_bytes:
        raise InflatedTooLarge(f"request exceeds max limit of {limits.inflated_bytes} bytes", field="body")
    if not inflater.eof:
        raise BadGzip("gzip body is cut short: send the whole stream", field="body")
    if inflater.unused_data:
        raise BadGzip("gzip body has bytes after its end: send one gzip member and nothing else", field="body")
    if inflated.startswith(_GZIP_MAGIC):
        raise BadGzip("gzip body holds gzip again: compress once", field="body")
    return inflated


def _media_type(request: WireRequest) -> str:
    return (request.content_type or "").partition(";")[0].strip().lower()


def _form_pairs(request: WireRequest, body: bytes, limits: Limits) -> list[tuple[str, str]]:
    # sendBeacon labels its form text/plain, and `curl -d` labels JSON as a form: the body's first bytes
    # decide.
    text = body.lstrip(_WHITESPACE)
    labelled = _media_type(request) == "application/x-www-form-urlencoded" and not text.startswith((b"[", b"{", _BOM))
    if not (labelled or text.startswith(b"data=")):
        return []
    return query_pairs(text, limits)


def _first(name: str, pairs: Sequence[tuple[str, str]]) -> str | None:
    return next((value for key, value in pairs if key == name and value.strip()), None)


# --- control parameters

_FALSE = frozenset({"", "0", "false", "no", "off", "null", "undefined"})


def _controls(pairs: Sequence[tuple[str, str]]) -> Controls:
    named: dict[str, str] = {}
    for key, value in pairs:
        if key in Controls.__slots__:
            named.setdefault(key, _text(key, value))
    ip = named.get("ip")
    return Controls(
        verbose=_truthy(named.get("verbose")),
        # Only an explicit yes lets the request's address be looked at.
        ip=None if ip is None else ip.strip().lower() in ("1", "true"),
        img=_truthy(named.get("img")),
        callback=named.get("callback") or None,
        strict=_truthy(named.get("strict")),
        project_id=token_of(named.get("project_id")),
        test=_truthy(named.get("test")),
    )


def _truthy(value: str | None) -> bool:
    return value is not None and value.strip().lower() not in _FALSE


def _text(name: str, value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadForm(f"{name} is not valid UTF-8: percent-encode it as UTF-8", field=name) from None
    return value


# --- the field `data`

_URL_SAFE = bytes.maketrans(b"-_ ", b"+/+")


def _data_field(text: str) -> bytes:
    """JSON text of a `data` field, which is JSON itself or base64 of it."""
    try:
        value = text.encode("utf-8", "surrogateescape").strip(_WHITESPACE).removeprefix(_BOM)
    except UnicodeEncodeError:
        raise BadForm("data is not valid UTF-8: percent-encode it as UTF-8", field="data") from None
    if value.startswith((b"{", b"[")):
        return value
    # Node sends base64 without percent-encoding, so that each `+` arrives as a space. Trimming first is safe:
    # base64 of JSON neither begins nor ends with `+`.
    compact = value.translate(_URL_SAFE, b"\r\n\t").rstrip(b"=")
    try:
        return binascii.a2b_base64(compact + b"=" * (-len(compact) % 4), strict_mode=True)
    except binascii.Error:
        raise BadBase64("data is neither JSON nor base64: send one of them", field="data") from None
