"""Who sends: the unmodified SDKs, and by hand, byte for byte as recorded, what Node and browsers send."""

from __future__ import annotations

import base64
import json
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import mixpanel
from mixpanel_utils import MixpanelUtils

from tests.e2e.client import Reply, call
from tests.e2e.installation import Credentials

_FORM = "application/x-www-form-urlencoded"
_BROWSER = {"Origin": "https://shop.example", "Referer": "https://shop.example/", "User-Agent": "Mozilla/5.0"}


def python_consumer(base_url: str, kind: Any = mixpanel.Consumer, **options: Any) -> Any:
    """A consumer of the `mixpanel` package that sends to the gate."""
    return kind(
        events_url=f"{base_url}/track",
        people_url=f"{base_url}/engage",
        groups_url=f"{base_url}/groups",
        import_url=f"{base_url}/import",
        request_timeout=30,
        **options,
    )


def python_sdk(credentials: Credentials, **options: Any) -> mixpanel.Mixpanel:
    """The `mixpanel` package, sending one request a call."""
    return mixpanel.Mixpanel(credentials.project_token, consumer=python_consumer(credentials.base_url, **options))


def utils_sdk(credentials: Credentials, **options: Any) -> MixpanelUtils:
    """The `mixpanel-utils` package with the service account. It has no constructor option for an address."""
    settings: dict[str, Any] = {
        "api_secret": credentials.service_account["secret"],
        "token": credentials.project_token,
        "service_account_username": credentials.service_account["username"],
        "project_id": credentials.project_id,
        "timeout": 30,
        "pool_size": 4,
    }
    utils = MixpanelUtils(**(settings | options))
    utils.import_api = credentials.base_url
    utils.raw_api = utils.formatted_api = f"{credentials.base_url}/api"
    return utils


def node_get(base_url: str, endpoint: str, record: Mapping[str, Any]) -> Reply:
    """What the `mixpanel` package of npm sends: GET with base64 in the query. It wants the single byte `1`."""
    return call("GET", base_url + node_path(endpoint, record))


def node_path(endpoint: str, record: Mapping[str, Any]) -> str:
    """The target of that request."""
    encoded = urllib.parse.quote(_base64(record), safe="")
    return f"/{endpoint}?ip=0&verbose=0&data={encoded}"


def browser_post(base_url: str, endpoint: str, records: Sequence[Mapping[str, Any]]) -> Reply:
    """What mixpanel-browser sends: a credentialed form post with the base64 of a batch."""
    url = f"{base_url}/{endpoint}/?verbose=1&ip=1&_={time.time_ns() // 1_000_000}"
    return call("POST", url, body=_form(records), headers=_BROWSER | {"Content-Type": _FORM})


def browser_beacon(base_url: str, endpoint: str, records: Sequence[Mapping[str, Any]]) -> Reply:
    """What mixpanel-browser leaves with `navigator.sendBeacon` as the page goes: the same form as plain text."""
    url = f"{base_url}/{endpoint}/?verbose=1&ip=1&_={time.time_ns() // 1_000_000}"
    return call("POST", url, body=_form(records), headers=_BROWSER | {"Content-Type": "text/plain;charset=UTF-8"})


def _form(records: Sequence[Mapping[str, Any]]) -> bytes:
    return b"data=" + urllib.parse.quote(_base64(list(records)), safe="").encode()


def _base64(value: Any) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()
