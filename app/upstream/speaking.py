"""Speaking to a collector: one request, one answer, and what the answer means. No redirect is followed, and what is sent or
answered is never put into a message or a log.

`/import` with strict answers for each record (wire section 6). It is told to look no place up: the address that it sees is
this server's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import urllib3

from app.errors import PortcullisError
from app.upstream.service import Account, Collector

_TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
_MOST_ANSWERED = 4 << 20
_WAIT_FOR = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOST_WAIT_S = 3_600


class NotTaken(PortcullisError):
    """The collector took nothing of a request and may later. `retry_after` is its own wish in seconds, or None.

    The code says what happened: `unreachable`, `busy`, `credentials_refused`, `moved`, `unintelligible`."""

    code = "not_taken"

    def __init__(self, code: str, retry_after: int | None = None) -> None:
        super().__init__(f"the collector did not take the data ({code})")
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request's records: those at `refused` were not taken and will not be, each with a reason code."""

    refused: Mapping[int, str]


class Speaker:
    """Keeps connections open. Make one in each process; safe to share between threads."""

    def __init__(self) -> None:
        # Neither retries nor redirects: both are decided by whoever holds the queue.
        self._pool = urllib3.PoolManager(num_pools=8, maxsize=2, retries=False, timeout=_TIMEOUT)

    def events(self, to: Collector, events: Sequence[Mapping[str, Any]]) -> Taken:
        """Import events; each has a `$insert_id`, so that one which is sent again is the same event over there.

        Raises `NotTaken`.
        """
        query = f"?strict=1&ip=0{f'&project_id={to.account.project_id}' if to.account.username else ''}"
        answer = self._post(to, f"/import{query}", events, _basic(to.account))
        if answer.status == 200:
            return Taken({})
        if answer.status == 400:
            return Taken(_failed(answer.body, len(events)))
        raise _trouble(answer)

    def _post(self, to: Collector, path: str, records: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> _Answer:
        body = msgspec.json.encode(records)
        try:
            answer = self._pool.request(
                "POST",
                to.to.base + path,
                body=body,
                headers={"Content-Type": "application/json", "Accept": "application/json", **headers},
                redirect=False,
                preload_content=False,
            )
            try:
                told = answer.read(_MOST_ANSWERED, decode_content=True)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError:
            # From no cause on: its text may hold the address with what stands in it.
            raise NotTaken("unreachable") from None
        return _Answer(answer.status, told, answer.headers.get("Retry-After"))


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after: str | None


def _basic(account: Account) -> dict[str, str]:
    user = f"{account.username}:{account.secret}" if account.username else f"{account.token}:"
    return dict(urllib3.make_headers(basic_auth=user))


def _trouble(answer: _Answer) -> NotTaken:
    if answer.status in _WAIT_FOR:
        said = answer.retry_after or ""
        wait = min(int(said), _MOST_WAIT_S) if said.isascii() and said.isdigit() else None
        return NotTaken("busy", wait)
    if answer.status in (401, 403):
        return NotTaken("credentials_refused")
    if 300 <= answer.status < 400:
        return NotTaken("moved")
    return NotTaken("too_large" if answer.status == 413 else "unintelligible")


def _failed(body: bytes, sent: int) -> dict[int, str]:
    """The records that a strict import lists as failed, each with the field at fault as its reason.

    Raises `NotTaken` for an answer that lists none: then nobody knows what was taken, and asking again is safe.
    """
    listed = _object(body).get("failed_records")
    found: dict[int, str] = {}
    for each in listed if isinstance(listed, list) else ():
        index = each.get("index") if isinstance(each, dict) else None
        if isinstance(index, int) and 0 <= index < sent:
            found[index] = "invalid_record"
    if not found:
        raise NotTaken("unintelligible")
    return found


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
