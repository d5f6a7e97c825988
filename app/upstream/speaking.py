"""Speaking to a collector: one request, one answer, and what the answer means. No redirect is followed, and what is sent or
answered is never put into a message or a log.

`/import`, `/engage` and `/groups` with strict answers for each record (wire sections 4, 6, 8, 9). The collector is told to
look no place up: the address that it sees is this server's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import urllib3

from app.errors import PortcullisError
from app.upstream.collector import Account, Collector

_CONNECT_S, _SILENCE_S = 5.0, 30.0
# However a collector dribbles, an answer is over by then: whoever speaks to it holds a lease of two minutes.
_MOST_S = 45.0
_MOST_ANSWERED = 4 << 20
_PIECE = 1 << 16
_WAIT_FOR = frozenset({408, 425, 429, 500, 502, 503, 504})
# After these nobody knows whether the request was dealt with.
_UNSURE = frozenset({500, 502, 504})
_MOST_WAIT_S = 3_600
_NEVER_ARRIVED = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)


class NotTaken(PortcullisError):
    """The collector took nothing of a request and may later. `retry_after` is its own wish in seconds, or None; `surely` is
    False when it may have taken it after all.

    The code says what happened: `unreachable`, `busy`, `credentials_refused`, `moved`, `too_large`, `refused` for a request
    that it understood and will not have, `unintelligible` for an answer that cannot be one."""

    code = "not_taken"

    def __init__(self, code: str, retry_after: int | None = None, *, surely: bool = True) -> None:
        super().__init__(f"the collector did not take the data ({code})")
        self.code = code
        self.retry_after = retry_after
        self.surely = surely


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request's records: those at `refused` were not taken and will not be, each with a reason code."""

    refused: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, the first megabytes of the body, and how long to wait before the next request, as it was said."""

    status: int
    body: bytes
    retry_after: str | None


class Speaker:
    """Keeps connections open. Make one in each process; safe to share between threads. `patience` is how many seconds a
    collector may be silent."""

    def __init__(self, patience: float = _SILENCE_S) -> None:
        timeout = urllib3.Timeout(connect=min(_CONNECT_S, patience), read=patience)
        # Neither retries nor redirects: both are decided by whoever holds the queue.
        self._pool = urllib3.PoolManager(num_pools=8, maxsize=2, retries=False, timeout=timeout)

    def events(self, to: Collector, events: Sequence[Mapping[str, Any]]) -> Taken:
        """Import events; each has a `$insert_id`, so that one which is sent again is the same event over there.

        Raises `NotTaken`.
        """
        query = f"?strict=1&ip=0{f'&project_id={to.account.project_id}' if to.account.username else ''}"
        return _taken(self._post(to, f"/import{query}", events, _basic(to.account)), len(events))

    def operations(self, to: Collector, path: str, records: Sequence[Mapping[str, Any]]) -> Taken:
        """Change profiles (`path` is `engage`) or groups (`groups`), in order. The records carry the token, which is all that
        names the project there. Raises `NotTaken`."""
        return _taken(self._post(to, f"/{path}?strict=1&verbose=1&ip=0", records, {}), len(records))

    def request(self, method: str, url: str, headers: Mapping[str, str], body: Any = None) -> Answer:
        """Send one request, `body` as JSON, and read the answer to its end. Raises `NotTaken` when none came."""
        ends = time.monotonic() + _MOST_S
        try:
            answer = self._pool.request(
                method,
                url,
                body=None if body is None else msgspec.json.encode(body),
                headers={"Content-Type": "application/json", "Accept": "application/json", **headers},
                redirect=False,
                preload_content=False,
            )
            try:
                return Answer(answer.status, _read(answer, ends), answer.headers.get("Retry-After"))
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as fault:
            # From no cause on: its text may hold the address with what stands in it.
            raise NotTaken("unreachable", surely=isinstance(fault, _NEVER_ARRIVED)) from None

    def _post(self, to: Collector, path: str, records: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> Answer:
        return self.request("POST", to.to.base + path, headers, records)


def trouble(answer: Answer) -> NotTaken:
    """What an answer means that takes nothing."""
    if answer.status in _WAIT_FOR:
        said = answer.retry_after or ""
        wait = min(int(said), _MOST_WAIT_S) if said.isascii() and said.isdigit() else None
        return NotTaken("busy", wait, surely=answer.status not in _UNSURE)
    if answer.status in (401, 403):
        return NotTaken("credentials_refused")
    if 300 <= answer.status < 400:
        return NotTaken("moved")
    return NotTaken("too_large") if answer.status == 413 else NotTaken("unintelligible", surely=False)


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; empty for anything else."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _read(answer: urllib3.BaseHTTPResponse, ends: float) -> bytes:
    """The body, at most 4 MiB of it. Raises `ReadTimeoutError` or `IncompleteRead` of urllib3."""
    pieces, size = [], 0
    while piece := answer.read1(_PIECE, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size >= _MOST_ANSWERED or time.monotonic() > ends:
            answer.close()
            break
    return b"".join(pieces)


def _basic(account: Account) -> dict[str, str]:
    user = f"{account.username}:{account.secret}" if account.username else f"{account.token}:"
    return dict(urllib3.make_headers(basic_auth=user))


def _taken(answer: Answer, sent: int) -> Taken:
    """What became of records that were sent with `strict=1`. Raises `NotTaken`; `refused` when all of them are at fault and
    none is named."""
    if answer.status not in (200, 400):
        raise trouble(answer)
    said = json_object(answer.body)
    if refused := _failed(said, sent):
        return Taken(refused)
    if answer.status == 200 and (answer.body == b"1" or said.get("status") in (1, "OK", "ok")):
        return Taken({})
    if answer.status == 200 and (answer.body == b"0" or said.get("status") == 0):
        raise NotTaken("refused")
    # Only what has the form of an answer is one: a page of some proxy in between must not empty the queue.
    raise NotTaken("unintelligible", surely=False)


def _failed(said: Mapping[str, Any], sent: int) -> dict[int, str]:
    """The records that a strict answer lists as failed. What it says of them may quote them, so a code stands for it."""
    listed = said.get("failed_records")
    found: dict[int, str] = {}
    for each in listed if isinstance(listed, list) else ():
        index = each.get("index") if isinstance(each, dict) else None
        if isinstance(index, int) and 0 <= index < sent:
            found[index] = "invalid_record"
    return found
