"""The answers of the ingestion endpoints, byte for byte (wire reference sections 4 and 6, SDK traffic
section 7).

Pure: values in, one `Answer` out. Clients compare these bytes: a newline after `1` is a failure for one, an
object instead of a digit for another, a missing `error` key raises in a third. Which shape is used:

    /import with a JSON or ndjson body, or strict=1     {"code":...,"num_records_imported":...,"status":...}
    /engage and /groups with strict=1
    {"code":...,"error":...,"num_good_events":...,"status":0|1} img=1
          a transparent GIF of one pixel callback=f                                          f(1); or
          f({"error":...,"status":...});
    verbose=1                                           {"error":null,"status":1}
    otherwise                                           1 or 0

The first line that fits counts, save that `img` and `callback` come before `strict` on /engage and /groups.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from app.ingest.wire import Controls, Endpoint

Headers = tuple[tuple[str, str], ...]

# A stored answer would be a lost event (a pixel is a GET), and a browser must not take a body for something
# else.
_ALWAYS: Headers = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_SCRIPT = "text/javascript; charset=utf-8"
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,127}", re.ASCII)

PARTIAL_FAILURE = "some data points in the request failed validation"
EMPTY = "data, missing or empty"

# Where RFC 9110 renamed a status, clients and the published samples keep the old words.
_REASONS = {413: "Request Entity Too Large"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, ready to send. `headers` does not repeat the content type."""

    status: int
    body: bytes = field(repr=False)
    content_type: str
    headers: Headers = _ALWAYS


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record that was refused, as `failed_records` lists it. `insert_id` is empty unless it may be
    echoed."""

    index: int
    insert_id: str
    field: str
    message: str


def ingest_answer(
    controls: Controls, endpoint: Endpoint, bare: bool, accepted: int, failures: Sequence[FailedRecord] = ()
) -> Answer:
    """The answer to a batch that was worked through.

    `accepted` counts every record the sender should think of as taken: what was stored and what was passed
    over in silence (`$ignore`, age, opt-out, a policy that drops). The batch counts as good if one record
    was accepted."""
    if endpoint == "import" and (bare or controls.strict):
        return _import_answer(controls.strict, accepted, failures)
    error = None if accepted else (failures[0].message if failures else EMPTY)
    if endpoint in ("engage", "groups") and controls.strict and not (controls.img or _callback(controls)):
        return _update_answer(accepted, failures)
    return _simple_answer(controls, 200, error)


def ingest_error(
    controls: Controls,
    endpoint: Endpoint,
    bare: bool,
    status: int,
    code: str,
    message: str,
    retry_after: int | None = None,
) -> Answer:
    """The answer to a request that was refused as a whole, with HTTP `status`.

    Every body carries both `error` and `status`, whatever the sender asked for: Python's client raises a
    KeyError otherwise. A pixel is not sent for `img`: a browser that can draw the body tells the page that
    it arrived, whatever the status. `code` is our stable word for the reason and travels in the header
    `Portcullis-Error`. `retry_after` is in seconds."""
    headers = _error_headers(status, code, retry_after)
    if endpoint == "import" and (bare or controls.strict or not controls.verbose):
        return _json(status, {"code": status, "error": message, "status": _reason(status)}, headers)
    callback = _callback(controls)
    verbose = {"error": message, "status": 0}
    if callback is not None and endpoint != "import":
        return Answer(status, _script(callback, verbose), _SCRIPT, headers)
    # The published error bodies have the word; who asks for `verbose` compares with the integer.
    return _json(status, verbose if controls.verbose else {"error": message, "status": "error"}, headers)


# --- shapes


def _import_answer(strict: bool, accepted: int, failures: Sequence[FailedRecord]) -> Answer:
    if not (strict and failures):
        return _json(200, {"code": 200, "num_records_imported": accepted, "status": "OK"})
    return _json(
        400,
        {
            "code": 400,
            "error": PARTIAL_FAILURE,
            "failed_records": list(failures),
            "num_records_imported": accepted,
            "status": "Bad Request",
        },
    )


def _update_answer(accepted: int, failures: Sequence[FailedRecord]) -> Answer:
    # Only strict import may answer 400: browsers throw away a batch that was answered so.
    body: dict[str, Any] = {
        "code": 200,
        "error": None,
        "num_good_events": accepted,
        "status": int(accepted > 0),
    }
    if failures:
        body |= {"error": PARTIAL_FAILURE, "failed_records": list(failures)}
    elif not accepted:
        body["error"] = EMPTY
    return _json(200, body)


def _simple_answer(controls: Controls, status: int, error: str | None) -> Answer:
    good = int(error is None)
    if controls.img:
        return Answer(status, _PIXEL, "image/gif")
    value: Any = {"error": error, "status": good} if controls.verbose else good
    callback = _callback(controls)
    if callback is not None:
        return Answer(status, _script(callback, value), _SCRIPT)
    if controls.verbose:
        return _json(status, value)
    return Answer(status, b"%d" % good, _TEXT)


def _callback(controls: Controls) -> str | None:
    name = controls.callback
    return name if name is not None and _CALLBACK.fullmatch(name) else None


def _script(callback: str, value: Any) -> bytes:
    text = _encode(value).decode()
    # What may stand in a JSON string and not in a script, or not in a page that the script is pasted into.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"{callback}({text});".encode()


_encode = msgspec.json.Encoder(order="sorted").encode


def _json(status: int, value: Any, headers: Headers = _ALWAYS) -> Answer:
    return Answer(status, _encode(value), _JSON, headers)


def _reason(status: int) -> str:
    if status in _REASONS:
        return _REASONS[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _error_headers(status: int, code: str, retry_after: int | None) -> Headers:
    headers = (*_ALWAYS, ("Portcullis-Error", code))
    if status == 415:
        headers += (("Accept-Encoding", "gzip"),)
    if retry_after is not None:
        headers += (("Retry-After", str(retry_after)),)
    return headers
