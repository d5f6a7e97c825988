"""What browsers and SDKs need of HTTP itself: CORS, no redirects, a line for bulk imports (wire sections 1 and 6)."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Any

import pytest

from app.access.roles import Role
from app.errors import TooBusy
from app.ingest.lanes import Lane
from tests.contract.test_routes import APP, ROUTES
from tests.installation import Installation, Tenant

ORIGIN = "https://shop.example"
SENDERS = ("/track", "/engage", "/groups", "/import", "/flags", "/settings", "/record")


@pytest.fixture(scope="module")
def tenant(sqlite_home: Installation) -> Tenant:
    return sqlite_home.tenant()


@pytest.mark.parametrize("path", SENDERS)
def test_a_preflight_is_answered_with_what_it_asks_for(tenant: Tenant, path: str) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "traceparent, x-own"}
    for slash in ("", "/"):
        answer = tenant.client.options(path + slash, headers=asked)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Access-Control-Allow-Headers"] == "traceparent, x-own"
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("path", SENDERS)
def test_an_answer_and_a_refusal_can_be_read_by_the_page(tenant: Tenant, path: str) -> None:
    for body in (b"data=[]", b"data=*"):
        answer = tenant.client.post(path, data=body, headers={"Origin": ORIGIN})
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", sorted({route.rule for route in ROUTES if "<" not in route.rule and route.rule != "/docs/"}))
def test_no_slash_too_many_or_too_few_is_a_redirect(tenant: Tenant, path: str) -> None:
    bare = path.rstrip("/")
    for spelling in (bare, bare + "/", "/" + bare, bare.replace("/", "//") + "//"):
        for method in ("GET", "POST"):
            assert _status(tenant, spelling, method) not in (301, 302, 303, 307, 308, 404), spelling


def _status(tenant: Tenant, path: str, method: str) -> int:
    # Two slashes at the beginning of a URL would name a host: the path is put where a server puts it.
    return tenant.client.open("/", method=method, environ_overrides={"PATH_INFO": path}).status_code


def test_the_parameter_redirect_goes_nowhere(tenant: Tenant) -> None:
    answer = tenant.client.post("/track?redirect=https://evil.example", json=[tenant.event()])
    assert (answer.status_code, answer.data) == (200, b"1")
    assert "Location" not in answer.headers


def test_the_map_redirects_nowhere() -> None:
    assert APP.url_map.strict_slashes is False


def test_flags_and_settings_are_empty_and_replays_refused(tenant: Tenant) -> None:
    auth = {"Authorization": "Basic " + base64.b64encode(f"{tenant.token}:".encode()).decode()}
    assert tenant.client.get("/flags/?context=%7B%7D", headers=auth).json["flags"] == {}  # type: ignore[index]
    assert tenant.client.get("/flags/definitions", headers=auth).json["flags"] == []  # type: ignore[index]
    config = tenant.client.get("/settings/?sdk_config=1", headers=auth).json["sdk_config"]["config"]  # type: ignore[index]
    assert config == {"record_sessions_percent": 0}
    refused = tenant.client.post("/record/?seq=0", data=b"x", headers=auth)
    assert refused.status_code == 403
    assert refused.json["status"] == "error"  # type: ignore[index]


def test_a_pixel_and_a_test_request_are_stored_like_any_other(tenant: Tenant) -> None:
    event = base64.b64encode(json.dumps(tenant.event("Pixel")).encode()).decode()
    answer = tenant.client.get("/track", query_string={"data": event, "img": "1", "test": "1", "ip": "0"})
    assert answer.content_type == "image/gif"
    assert "Pixel" in tenant.names()


# --- the line of bulk imports


def test_an_import_waits_for_a_place_and_then_gets_it() -> None:
    lane, order = Lane(1, waiting=1, patience=10), []

    def second() -> None:
        with lane.place() as waited:
            order.append(("second", waited > 0))

    with lane.place() as waited:
        assert waited == 0
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        with pytest.raises(TooBusy), lane.place():
            pass  # The one place to wait at is taken.
        order.append(("first", True))
    thread.join(10)
    assert order == [("first", True), ("second", True)]


def test_a_line_that_does_not_move_is_told_in_the_published_words(sqlite_home: Installation, tenant: Tenant) -> None:
    ingest: Any = sqlite_home.services.ingest
    before, ingest.lane = ingest.lane, Lane(1, waiting=1, patience=0.01)
    try:
        with ingest.lane.place():
            answer = tenant.send([tenant.event()])
    finally:
        ingest.lane = before
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "10"
    assert answer.json == {
        "code": 429,
        "error": "Project exceeded rate limits. Please retry the request with exponential backoff.",
        "status": "Too Many Requests",
    }
    assert tenant.client.post("/track", json=[tenant.event()]).data == b"1", "single events do not wait behind imports"
    metrics = tenant.client.get("/metrics", headers=tenant.auth(Role.ADMIN)).text
    assert 'portcullis_import_waits_total{outcome="refused"} 1.0' in metrics
