"""A plain HTTP client of the gate, and the credentials that each question needs."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.installation import Credentials

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the gate answered, whatever its status."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def call(
    method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, timeout: float = 30
) -> Reply:
    """One request. A refusal is a reply like any other; raises `OSError` when nobody answers."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Reply(answer.status, answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as refused:
        with refused:
            return Reply(refused.code, refused.read(), dict(refused.headers))


class Gate:
    """The gate as officer, auditor, reader and asking service see it."""

    def __init__(self, credentials: Credentials) -> None:
        self.url = credentials.base_url
        self.credentials = credentials
        self._sees_classified = False

    def get(self, path: str, bearer: str | None = None) -> Reply:
        """GET with a bearer token, or with none."""
        return call("GET", self._at(path), headers=_bearer(bearer))

    def post(self, path: str, body: Any, bearer: str | None = None) -> Reply:
        """POST `body` as JSON."""
        headers = {"Content-Type": "application/json"} | _bearer(bearer)
        return call("POST", self._at(path), body=json.dumps(body).encode(), headers=headers)

    def _at(self, path: str) -> str:
        return path if path.startswith("http") else self.url + path

    # --- reading ---------------------------------------------------------------------------------------------------

    def export(self, **params: str) -> list[Event]:
        """Every event that a reader may see, by raw export."""
        today = datetime.now(UTC).date()
        span = {"from_date": str(today - timedelta(days=400)), "to_date": str(today + timedelta(days=1))}
        reply = self._read(f"/api/2.0/export?{urllib.parse.urlencode(span | params)}")
        return [json.loads(line) for line in reply.body.decode().splitlines()]

    def profiles(self) -> list[dict[str, Any]]:
        """Every profile that a reader may see, of the first page."""
        found: list[dict[str, Any]] = self._read("/api/2.0/engage").json()["results"]
        return found

    def see_classified(self) -> None:
        """Have the administrator give the service account the permission that no role holds."""
        if not self._sees_classified:
            self._sees_classified = True
            mine = self._read("/v1/sight").json()["principal"]
            body = {"principal": mine, "permission": "classified:read"}
            reply = self.post("/v1/grants", body, self.credentials.admin_token)
            assert reply.status == 200, f"the grant was answered {reply.status}"

    def _read(self, path: str) -> Reply:
        self.see_classified()
        account = self.credentials.service_account
        pair = base64.b64encode(f"{account['username']}:{account['secret']}".encode()).decode()
        url = f"{self.url}{path}{'&' if '?' in path else '?'}project_id={self.credentials.project_id}"
        reply = call("GET", url, headers={"Authorization": f"Basic {pair}"})
        assert reply.status == 200, f"a read was answered {reply.status}: {reply.body[:300]!r}"
        return reply

    # --- asking ----------------------------------------------------------------------------------------------------

    def check(self, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The verdict of the active policy on events that are not stored."""
        reply = self.post("/v1/check", {"events": list(events)}, self.credentials.ingest_token)
        assert reply.status == 200, f"a check was answered {reply.status}: {reply.body[:300]!r}"
        found: dict[str, Any] = reply.json()
        return found

    def refused(self, reason: str) -> int:
        """How many records were refused today for this reason."""
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        reply = self.get(f"/v1/refusals?from_date={yesterday}", self.credentials.officer_token)
        assert reply.status == 200, f"the refusals were answered {reply.status}"
        return int(reply.json()["reasons"].get(reason, 0))


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}
