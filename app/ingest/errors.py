"""What can be wrong with an ingestion request as a whole. Drawn in `WireError`."""

from __future__ import annotations

from typing import ClassVar

from app.errors import InvalidInput


class WireError(InvalidInput):
    """The request as a whole cannot be read. `status` is the HTTP status of the answer.

    WireError
    ├── PayloadTooLarge       413  more bytes than a request may have
    │   └── InflatedTooLarge  413  more bytes than that once gzip is undone
    ├── UnsupportedEncoding   415  a Content-Encoding other than one gzip (RFC 9110, 15.5.16)
    ├── TooManyRecords        400  413 speaks of bytes on this wire, and its text names a number of bytes
    ├── BadGzip               400  damaged, cut short, followed by something, or gzip inside gzip
    ├── BadForm               400  too many fields, or a field that is not UTF-8
    ├── BadBase64             400  `data` is neither JSON nor base64
    ├── BadJson               400  no records can be told apart in it
    └── MissingData           400  nothing was sent

    Messages name the field and the remedy, never a value.
    """

    code = "bad_request"
    status: ClassVar[int] = 400


class PayloadTooLarge(WireError):
    """The body has more bytes than one request may have."""

    code = "payload_too_large"
    status = 413


class InflatedTooLarge(PayloadTooLarge):
    """The body has more bytes than one request may have once its gzip is undone."""

    code = "inflated_too_large"


class UnsupportedEncoding(WireError):
    """A Content-Encoding that is not read here, or more than one."""

    code = "unsupported_encoding"
    status = 415


class TooManyRecords(WireError):
    """More records than one request may carry; none was read."""

    code = "too_many_records"


class BadGzip(WireError):
    """The body says gzip and is not one whole gzip member around the payload."""

    code = "bad_gzip"


class BadForm(WireError):
    """The form or query cannot be taken apart."""

    code = "bad_form"


class BadBase64(WireError):
    """The field `data` holds neither JSON nor base64."""

    code = "bad_base64"


class BadJson(WireError):
    """The payload is not a JSON array, a JSON object or newline-delimited JSON."""

    code = "bad_json"


class MissingData(WireError):
    """There is no payload: no field `data` and no body."""

    code = "missing_data"
