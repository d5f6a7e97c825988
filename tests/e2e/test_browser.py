"""The unmodified browser SDK in a real Chromium, on a page of another origin than the gate."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

from tests.e2e.client import Gate
from tests.e2e.installation import until

SDK = "node_modules/mixpanel-browser/dist/mixpanel.umd.js"
SOON = {"batch_flush_interval_ms": 200, "debug": False}
NEVER = {"batch_flush_interval_ms": 600_000}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def translate_path(self, path):
        """The SDK at one address; at every other the page, whatever its query."""
        return str(Path(self.directory) / (SDK if path == "/mixpanel.umd.js" else "page.html"))


@pytest.fixture(scope="module")
def site(packages):
    """The address of a shop whose pages load the SDK."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=packages)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Visit:
    """One visitor: a page, and every request that it sent to the gate."""

    def __init__(self, page, one, site):
        self.page, self.one, self.site, self.sent, self.complaints = page, one, site, [], []
        page.on("request", self._note)
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)

    def _note(self, request):
        if request.url.startswith(self.one.base_url) and request.method != "OPTIONS":
            self.sent.append((urllib.parse.urlsplit(request.url), request))

    def open(self, query="", **options):
        self.page.goto(f"{self.site}/{query}")
        settings = {"api_host": self.one.base_url, "persistence": "localStorage"} | SOON | options
        self.page.evaluate(
            "([token, settings]) => mixpanel.init(token, settings)", [self.one.credentials.project_token, settings]
        )
        return self

    def do(self, script):
        return self.page.evaluate(script)

    def records(self, path):
        """What was sent to `path`, decoded, in order."""
        return [each for url, request in self.sent if url.path == path for each in _decoded(request.post_data)]

    def device(self):
        return self.do("mixpanel.get_property('$device_id')")


def _decoded(body):
    text = urllib.parse.parse_qs(body)["data"][0]
    found = json.loads(base64.b64decode(text))
    return found if isinstance(found, list) else [found]


@pytest.fixture
def visit(chromium, one, site):
    context = chromium.new_context()
    visitor = Visit(context.new_page(), one, site)
    yield visitor
    context.close()
    assert not [text for text in visitor.complaints if "CORS" in text or "blocked" in text]


@pytest.fixture(scope="module")
def gate(one):
    return Gate(one.credentials)


def stored(gate, **having):
    """Names of the stored events that have these properties, in the order of their time."""
    found = [each for each in gate.export() if having.items() <= each["properties"].items()]
    return [each["event"] for each in found]


def waits_for(visit, gate, n, **having):
    """Wait until so many events are stored. The page must be asked meanwhile, or Playwright handles no request."""

    def there():
        visit.page.wait_for_timeout(100)
        return len(stored(gate, **having)) >= n

    until(there, 20, f"{n} events")
    return stored(gate, **having)


def test_events_travel_in_one_batch_and_are_stored_once(visit, gate):
    # Long enough that a busy machine does not cut the batch in two.
    visit.open(batch_flush_interval_ms=2_000)
    visit.do("for (let n = 0; n < 3; n++) mixpanel.track('Batched', {story: 'batch', n, note: 'a+b/c=??>> ünï'})")
    assert waits_for(visit, gate, 3, story="batch") == ["Batched"] * 3
    ((url, request),) = [(url, request) for url, request in visit.sent if url.path == "/track/"]
    assert {"verbose=1", "ip=1"} <= set(url.query.split("&"))
    assert request.response().json() == {"error": None, "status": 1}
    assert request.response().headers["access-control-allow-origin"] == visit.site


def test_ip_false_asks_for_no_look_up(visit, gate):
    visit.open(ip=False).do("mixpanel.track('Unlocated', {story: 'ip'})")
    waits_for(visit, gate, 1, story="ip")
    (url,) = {url for url, _ in visit.sent if url.path == "/track/"}
    assert "ip=0" in url.query.split("&")


def test_a_page_that_goes_leaves_a_beacon_and_nothing_is_stored_twice(visit, gate):
    visit.open(**NEVER).do("mixpanel.track('Left', {story: 'beacon'})")
    visit.page.goto("about:blank")
    assert waits_for(visit, gate, 1, story="beacon") == ["Left"]
    # The next page may send it again, because nobody told the SDK that it arrived.
    visit.open().do("mixpanel.track('Back', {story: 'beacon'})")
    assert sorted(waits_for(visit, gate, 2, story="beacon")) == ["Back", "Left"]


def test_a_beacon_is_a_form_under_the_name_of_plain_text(visit, gate):
    visit.open(**NEVER).do("mixpanel.track('Hid', {story: 'hidden'})")
    # A page that is really gone tells Playwright nothing: this one only says so.
    visit.do("window.dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    waits_for(visit, gate, 1, story="hidden")
    (beacon,) = [request for url, request in visit.sent if url.path == "/track/"]
    assert (beacon.resource_type, beacon.headers["content-type"]) == ("ping", "text/plain;charset=UTF-8")


def test_unbatched_and_json_payloads_are_read_too(visit, gate):
    visit.open(batch_requests=False).do("mixpanel.track('Single', {story: 'single'})")
    visit.open(batch_requests=False, api_payload_format="json").do("mixpanel.track('Plain', {story: 'single'})")
    visit.open(api_method="GET", batch_requests=False).do("mixpanel.track('Got', {story: 'single'})")
    assert sorted(waits_for(visit, gate, 3, story="single")) == ["Got", "Plain", "Single"]


def test_identify_people_and_groups_meet_in_one_person(visit, gate):
    visit.open("?utm_source=letter")
    visit.do("mixpanel.track('Anonymous', {story: 'person'})")
    visit.do("""
        mixpanel.identify('eve');
        mixpanel.people.set({plan: 'pro'});
        mixpanel.people.union({tags: ['a', 'b']});
        mixpanel.people.increment('logins');
        mixpanel.set_group('shop', 'acme');
        mixpanel.get_group('shop', 'acme').set('size', 12);
        mixpanel.track('Known', {story: 'person'});
    """)
    waits_for(visit, gate, 2, story="person")
    until(lambda: visit.page.wait_for_timeout(100) or len(visit.records("/groups/")) == 1, 10, "group")
    # The SDK locks its queue by polling, so four updates of one moment may travel in two requests, in either order.
    whole = {"plan", "tags", "logins", "shop"}
    until(
        lambda: visit.page.wait_for_timeout(100) or any(whole <= each["$properties"].keys() for each in gate.profiles()),
        10,
        "eve",
    )
    people = {each["properties"]["distinct_id"] for each in gate.export() if each["properties"].get("story") == "person"}
    assert people == {"eve"}, "what was anonymous is read under the person who signed in"
    (eve,) = [each["$properties"] for each in gate.profiles() if each["$distinct_id"] == "eve"]
    assert (eve["plan"], eve["tags"], eve["logins"], eve["shop"]) == ("pro", ["a", "b"], 1, ["acme"])
    reply = gate.get("/api/2.0/engage?data_group_id=shop", gate.credentials.admin_token).json()
    assert [(each["$distinct_id"], each["$properties"]["size"]) for each in reply["results"]] == [("acme", 12)]


def test_after_an_opt_out_nothing_is_sent_and_an_opt_in_begins_anew(visit, gate):
    visit.open().do("mixpanel.identify('otto'); mixpanel.people.set({plan: 'pro'}); mixpanel.track('Before', {story: 'consent'})")
    waits_for(visit, gate, 1, story="consent")
    until(
        lambda: visit.page.wait_for_timeout(100) or any(each["$distinct_id"] == "otto" for each in gate.profiles()), 10, "profile"
    )
    seen, written = len(visit.sent), len(visit.records("/engage/"))
    visit.do("mixpanel.opt_out_tracking(); mixpanel.track('Silent', {story: 'consent'})")
    visit.page.wait_for_timeout(700)
    # As recorded under jsdom: the request to delete the profile is queued and does not leave while the visitor is out.
    assert visit.sent[seen:] == []
    visit.do("mixpanel.opt_in_tracking({track_properties: {story: 'consent'}}); mixpanel.track('After', {story: 'consent'})")
    assert sorted(waits_for(visit, gate, 3, story="consent")) == ["$opt_in", "After", "Before"]
    until(lambda: visit.page.wait_for_timeout(100) or len(visit.records("/engage/")) > written, 10, "the deletion sent")
    operations = [next(key for key in each if key in ("$delete", "$set")) for each in visit.records("/engage/")[written:]]
    assert operations == ["$delete", "$set"], "the deletion comes first, and the SDK then writes the profile anew"
    otto = next(each["$properties"] for each in gate.profiles() if each["$distinct_id"] == "otto")
    assert "plan" not in otto


def test_flags_and_remote_settings_are_answered_across_origins(visit):
    visit.open(flags=True, remote_settings_mode="fallback")
    until(
        lambda: visit.page.wait_for_timeout(100) or {"/flags/", "/settings/"} <= {url.path for url, _ in visit.sent}, 10, "asked"
    )
    visit.page.wait_for_timeout(200)
    for url, request in visit.sent:
        if url.path in ("/flags/", "/settings/"):
            assert request.response().status == 200
            assert request.headers["authorization"].startswith("Basic ")
    assert visit.do("mixpanel.flags.are_flags_ready()") is True


def test_a_batch_that_is_refused_is_kept_and_sent_again(visit, gate):
    visit.open(**NEVER)
    visit.page.route(
        "**/track/**",
        lambda route: route.fulfill(
            status=503, headers={"Access-Control-Allow-Origin": visit.site, "Access-Control-Allow-Credentials": "true"}
        ),
    )
    visit.do("mixpanel.track('Kept', {story: 'again'}); mixpanel.start_batch_senders()")
    visit.page.wait_for_timeout(300)
    visit.page.unroute("**/track/**")
    began = time.monotonic()
    visit.open().do("mixpanel.track('Next', {story: 'again'})")
    assert sorted(waits_for(visit, gate, 2, story="again")) == ["Kept", "Next"]
    assert time.monotonic() - began < 10
