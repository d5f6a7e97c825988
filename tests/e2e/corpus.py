"""Bad input, a case a line: what is sent where, and what a clear answer to it must name. Every case carries a canary.

A canary is an e-mail address that nobody has, unique to its case, of one family (`FAMILY`) that a byte search can seek.
It stands wherever a person's data could stand: as a property, in free text, as an id, as a key, in a URL, in a header.
"""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from tests.e2e.client import Reply, call
from tests.e2e.installation import Credentials

FAMILY = "quetzalcanary"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_MB = 1_048_576


@dataclass(frozen=True)
class Case:
    """One bad request. `statuses` are those it may be answered with; `names` are words that the error must hold."""

    name: str
    ask: Callable[[Credentials, str], Reply]
    statuses: tuple[int, ...] = (400,)
    names: tuple[str, ...] = ()
    stored: bool = field(default=False)

    @property
    def canary(self) -> str:
        mark = "".join(c if c.isalnum() else "-" for c in self.name)
        return f"{FAMILY}.{mark}@corpus.example"


# --- records: each is sent alone, and between two good neighbours ----------------------------------------------------


@dataclass(frozen=True)
class BadRecord:
    """One record that is wrong, as JSON text; `names` are what the error must hold; None means that it is taken."""

    name: str
    text: Callable[[dict[str, Any], str], str]
    names: tuple[str, ...] | None
    endpoints: tuple[str, ...] = ("track", "import")

    @property
    def canary(self) -> str:
        mark = "".join(c if c.isalnum() else "-" for c in self.name)
        return f"{FAMILY}.{mark}@corpus.example"


def _with(**more: Any) -> Callable[[dict[str, Any], str], str]:
    """The good record with properties changed; `{}` in a text is the canary."""

    def text(record: dict[str, Any], canary: str) -> str:
        properties = {**record["properties"], **{key: _filled(value, canary) for key, value in more.items()}}
        return json.dumps({**record, "properties": properties})

    return text


def _filled(value: Any, canary: str) -> Any:
    if isinstance(value, str):
        return value.replace("{}", canary)
    if isinstance(value, list):
        return [_filled(each, canary) for each in value]
    return {_filled(key, canary): _filled(each, canary) for key, each in value.items()} if isinstance(value, dict) else value


def _raw(old: str, new: str) -> Callable[[dict[str, Any], str], str]:
    def text(record: dict[str, Any], canary: str) -> str:
        whole = json.dumps({**record, "properties": {**record["properties"], "spot": "SPOT"}})
        return whole.replace(old, new.replace("{}", canary))

    return text


def _top(**more: Any) -> Callable[[dict[str, Any], str], str]:
    return lambda record, canary: json.dumps({**record, **{key: _filled(value, canary) for key, value in more.items()}})


_IN = ("import",)
RECORDS = (
    BadRecord("unknown token", _with(token="{}"), ("token",), ("track",)),
    BadRecord("token of a type", _with(token=["{}"]), ("token",), ("track",)),
    BadRecord("no token", _with(token=None), ("token",), ("track",)),
    BadRecord("event is no text", _top(event={"{}": 1}), ("event",)),
    BadRecord("event is empty", _top(event=""), ("event",)),
    BadRecord("properties are no object", _top(properties="{}"), ("properties",)),
    BadRecord("a record is a text", lambda _record, canary: json.dumps(canary), ()),
    BadRecord("a record is a list", lambda _record, canary: json.dumps([[canary]]), ()),
    BadRecord("time is a word", _with(time="{}"), ("time",)),
    BadRecord("time is an object", _with(time={"{}": 1}), ("time",)),
    BadRecord("far future", _with(time=int(time.time()) + 40 * 86_400), ("time",)),
    BadRecord("before 1971", _with(time=12), ("time",), _IN),
    BadRecord("long id", _with(distinct_id="{}" * 12), ("distinct_id",)),
    BadRecord("id is an object", _with(distinct_id={"{}": "{}"}), ("distinct_id",), _IN),
    BadRecord("insert id is an object", _with(**{"$insert_id": {"{}": 1}}), ("$insert_id",), _IN),
    BadRecord("insert id with a canary", _with(**{"$insert_id": "{} {}"}), ("$insert_id",), _IN),
    BadRecord("300 properties", _with(**{f"p{n}": n for n in range(300)}), ("propert",)),
    BadRecord("deep nesting", _raw('"SPOT"', '{"a":' * 60 + '"{}"' + "}" * 60), ("",)),
    BadRecord("very deep nesting", _raw('"SPOT"', "[" * 5000 + '"{}"' + "]" * 5000), ()),
    BadRecord("NaN", _raw('"SPOT"', "NaN"), ()),
    BadRecord("infinity", _raw('"SPOT"', "-Infinity"), ()),
    BadRecord("a number beyond any width", _raw('"SPOT"', "1e999"), ("spot", "finite")),
    BadRecord("long record", _with(text="{} " * 40_000), ("record", "bytes")),
    BadRecord("NUL in a value", _with(text="a\0{}"), None, ("track",)),
    BadRecord("NUL in a value, strict", _with(text="a\0{}"), ("properties.text", "NUL"), _IN),
    BadRecord("NUL in a key", _with(**{"a\0b": "{}"}), None, ("track",)),
    BadRecord("NUL in a key, strict", _with(**{"a\0b": "{}"}), ("key", "NUL"), _IN),
    BadRecord("NUL in an id", _with(distinct_id="a\0{}"), None, ("track",)),
    BadRecord("NUL in an id, strict", _with(distinct_id="a\0{}"), ("distinct_id", "NUL"), _IN),
    BadRecord("lone surrogate in a value", _raw('"SPOT"', '"\\ud800 {}"'), ("spot", "utf8")),
    BadRecord("lone surrogate in a key", _raw('"spot"', '"\\udfff {}"'), ("key", "utf8")),
    BadRecord("key is an address", _with(**{"who": {"{}": 1}}), None),
    BadRecord("id with percent and quotes", _with(distinct_id="100%_'\"\\{}; DROP TABLE event --"), None),
    BadRecord("event name is an address", _top(event="mail to {}"), None),
)

_UPDATES: tuple[tuple[str, dict[str, Any], tuple[str, ...] | None], ...] = (
    ("unknown token", {"$token": "{}"}, ("$token",)),
    ("no id", {"$distinct_id": None}, ("$distinct_id",)),
    ("id is an object", {"$distinct_id": {"{}": 1}}, ("$distinct_id",)),
    ("long id", {"$distinct_id": "{}" * 12}, ("$distinct_id",)),
    ("set is a text", {"$set": "{}"}, ("$set",)),
    ("set is a list", {"$set": ["{}"]}, ("$set",)),
    ("add is a word", {"$set": None, "$add": {"n": "{}"}}, ("$add",)),
    ("unset is an object", {"$set": None, "$unset": {"{}": 1}}, ("$unset",)),
    ("no operation", {"$set": None}, ()),
    ("unknown operation", {"$set": None, "$frobnicate": {"{}": 1}}, ()),
    ("NUL", {"$set": {"a\0": "\0{}"}}, None),
    ("address as a key", {"$set": {"{}": "{}"}}, None),
    ("id with percent and quotes", {"$distinct_id": "100%_'\"{}"}, None),
)
UPDATES = tuple(
    BadRecord(
        f"update {name}",
        lambda record, canary, more=more: json.dumps(
            {k: v for k, v in {**record, **{k: _filled(v, canary) for k, v in more.items()}}.items() if v is not None}
        ),
        names,
        ("engage",),
    )
    for name, more, names in _UPDATES
)


# --- whole requests of senders ---------------------------------------------------------------------------------------


def _post(path: str, body: Callable[[str], bytes], headers: dict[str, str]) -> Callable[[Credentials, str], Reply]:
    def ask(held: Credentials, canary: str) -> Reply:
        who = {"Authorization": f"Bearer {held.ingest_token}"} if path.startswith("/import") else {}
        return call("POST", held.base_url + path, body=body(canary), headers=headers | who)

    return ask


def _gz(text: bytes) -> bytes:
    return gzip.compress(text, 1)


def _wire_cases() -> Iterator[Case]:
    bodies: tuple[tuple[str, Callable[[str], bytes], dict[str, str], tuple[int, ...], tuple[str, ...]], ...] = (
        ("malformed JSON", lambda c: f'[{{"event": "{c}", '.encode(), JSON, (400,), ("JSON",)),
        ("no JSON at all", lambda c: c.encode(), JSON, (400,), ()),
        ("nothing", lambda _c: b"", JSON, (400,), ("data",)),
        ("malformed base64", lambda c: urlencode({"data": f"*{c}*"}).encode(), FORM, (400,), ("base64",)),
        ("base64 of no JSON", lambda c: urlencode({"data": base64.b64encode(c.encode())}).encode(), FORM, (400,), ()),
        ("broken UTF-8", lambda c: b"data=%ff%fe" + quote(c).encode(), FORM, (400,), ()),
        ("many fields", lambda c: "&".join(f"{quote(c)}{n}=1" for n in range(100)).encode(), FORM, (400,), ("data",)),
        ("no data field", lambda c: urlencode({c: c}).encode(), FORM, (400,), ("payload",)),
        ("oversized", lambda c: c.encode() + b"x" * (11 * _MB), JSON, (413,), ()),
        (
            "oversized gzip",
            lambda c: _gz(c.encode() + b"x" * (11 * _MB)),
            JSON | {"Content-Encoding": "gzip"},
            (413,),
            ("bytes",),
        ),
        ("bomb", lambda c: _gz(c.encode() + b"x" * (300 * _MB)), JSON | {"Content-Encoding": "gzip"}, (413,), ("bytes",)),
        ("no gzip", lambda c: c.encode(), JSON | {"Content-Encoding": "gzip"}, (400,), ("gzip",)),
        ("cut gzip", lambda c: _gz(c.encode() * 99)[:-9], JSON | {"Content-Encoding": "gzip"}, (400,), ("gzip",)),
        ("gzip twice", lambda c: _gz(_gz(c.encode())), JSON | {"Content-Encoding": "gzip"}, (400,), ("gzip",)),
        ("unknown encoding", lambda c: c.encode(), JSON | {"Content-Encoding": "br"}, (415,), ("Content-Encoding", "gzip")),
        ("2001 records", lambda c: json.dumps([{"event": c}] * 2001).encode(), JSON, (400, 413), ("2000",)),
    )
    for path in ("/track", "/engage", "/import", "/import?strict=1"):
        for name, body, headers, statuses, names in bodies:
            yield Case(f"{path} {name}", _post(path, body, headers), statuses, names)
    for path in ("/track", "/engage"):
        yield Case(f"{path} callback", _get(path, lambda c: {"data": "*", "callback": f"alert('{c}')"}))
        yield Case(f"{path} get", _get(path, lambda c: {"data": c, "verbose": "1"}))


def _get(path: str, query: Callable[[str], dict[str, str]], role: str = "") -> Callable[[Credentials, str], Reply]:
    def ask(held: Credentials, canary: str) -> Reply:
        headers = {"Authorization": f"Bearer {getattr(held, f'{role}_token')}"} if role else {}
        return call("GET", f"{held.base_url}{path.replace('{}', quote(canary))}?{urlencode(query(canary))}", headers=headers)

    return ask


# --- the control plane -----------------------------------------------------------------------------------------------


def _api(path: str, role: str, body: Callable[[str], Any], method: str = "POST") -> Callable[[Credentials, str], Reply]:
    def ask(held: Credentials, canary: str) -> Reply:
        sent = body(canary)
        raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        headers = JSON | {"Authorization": f"Bearer {getattr(held, f'{role}_token')}"}
        return call(method, held.base_url + path.replace("{}", quote(canary)), body=raw, headers=headers)

    return ask


_GDPR = ("/api/app/data-deletions/v3.0", "/api/app/data-retrievals/v3.0/")
_ID_ROUTES = ("/v1/requests", "/v1/opt-outs", "/v1/opt-ins", "/v1/subjects/states", "/v1/tombstones/lift", *_GDPR)
_REFUSED = (400, 422)


def _of_route(path: str) -> dict[str, str]:
    return {"/v1/requests": {"kind": "erasure"}, "/v1/tombstones/lift": {"basis": "consent"}}.get(path, {})


def _id_cases() -> Iterator[Case]:
    bodies: tuple[tuple[str, Callable[[str], Any], tuple[int, ...], tuple[str, ...]], ...] = (
        ("malformed JSON", lambda c: f'{{"distinct_ids": ["{c}"'.encode(), _REFUSED, ()),
        ("nothing", lambda _c: b"", _REFUSED, ()),
        ("broken UTF-8", lambda c: b'{"distinct_ids": ["\xff' + c.encode() + b'"]}', _REFUSED, ()),
        ("a text", lambda c: c, _REFUSED, ()),
        ("a list", lambda c: [c], _REFUSED, ()),
        ("deep", lambda c: b"[" * 100_000 + c.encode(), _REFUSED, ()),
        ("no ids", lambda c: {"note": c}, _REFUSED, ("distinct_ids",)),
        ("empty ids", lambda _c: {"distinct_ids": []}, _REFUSED, ("distinct_ids",)),
        ("ids are a number", lambda _c: {"distinct_ids": 7}, _REFUSED, ("distinct_ids",)),
        ("ids are an object", lambda c: {"distinct_ids": {c: c}}, _REFUSED, ("distinct_ids",)),
        ("ids are CSV with NUL", lambda c: {"distinct_ids": f"distinct_id\n{c}\n{c}\0"}, _REFUSED, ("distinct_ids",)),
        ("an id is an object", lambda c: {"distinct_ids": [{c: c}]}, _REFUSED, ("distinct_ids",)),
        ("an id is null", lambda c: {"distinct_ids": [c, None]}, _REFUSED, ("distinct_ids",)),
        ("an id with NUL", lambda c: {"distinct_ids": [f"{c}\0"]}, _REFUSED, ("distinct_ids", "NUL")),
        ("an id with a surrogate", lambda c: {"distinct_ids": [f"\ud800{c}"]}, _REFUSED, ("distinct_ids",)),
        ("a long id", lambda c: {"distinct_ids": [c * 50]}, _REFUSED, ("distinct_ids", "bytes")),
        ("2001 ids", lambda c: {"distinct_ids": [f"{n}{c}" for n in range(2001)]}, _REFUSED, ("distinct_ids",)),
        (
            "odd ids",
            lambda c: {"distinct_ids": [f"100%_'\"\\{c}", f"{c}%", f"_{c}", f"'; DROP TABLE register; --{c}"]},
            (200, 201),
            (),
        ),
    )
    for path in _ID_ROUTES:
        for name, body, statuses, names in bodies:
            filled = lambda c, body=body, path=path: sent | _of_route(path) if isinstance(sent := body(c), dict) else sent  # noqa: E731
            yield Case(f"{path} {name}", _api(path, "officer", filled), statuses, names)
        # The officer's API reads a text as CSV, an id a line; the API of others has lists only.
        as_text = lambda c, path=path: {"distinct_ids": c} | _of_route(path)  # noqa: E731
        taken = (200, 201) if path.startswith("/v1") else _REFUSED
        yield Case(f"{path} ids are a text", _api(path, "officer", as_text), taken)
        if path.startswith("/v1"):
            extra = lambda c, path=path: {"distinct_ids": [c], c: c} | _of_route(path)  # noqa: E731
            yield Case(f"{path} unknown field", _api(path, "officer", extra), _REFUSED, ())
    for path in _GDPR:
        odd = lambda c: {"distinct_ids": [c], "compliance_type": c, "disclosure_type": c}  # noqa: E731
        yield Case(f"{path} odd types", _api(path, "officer", odd), _REFUSED, ("compliance_type",))
        yield Case(
            f"{path} token of another", _api(path + "?token={}", "officer", lambda c: {"distinct_ids": [c]}), (403,), ("token",)
        )
        yield Case(f"{path} status", _api(path.rstrip("/") + "/{}", "officer", lambda _c: b"", "GET"), (404,))
        yield Case(f"{path} cancel", _api(path.rstrip("/") + "/{}", "officer", lambda _c: b"", "DELETE"), (404, 405))
    yield Case("cancel by body", _api(_GDPR[0], "officer", lambda c: {"tracking_id": c}, "DELETE"), (404,))
    yield Case("cancel by nothing", _api(_GDPR[0], "officer", lambda c: {c: c}, "DELETE"), (400,), ("tracking_id",))
    kind = lambda c: {"distinct_ids": [c], "kind": c}  # noqa: E731
    yield Case("kind", _api("/v1/requests", "officer", kind), _REFUSED, ("kind",))


_POLICY = """\
policy: five-mistakes
description: written by {}
geolocation: mars
unknown_propertys: allow
detectors: {email: shout}
rules:
  - {id: a, properties: [email], category: no.such.category, sensitivity: restricted, action: drop}
  - {id: a, properties: [], category: user.contact.email, sensitivity: secret, action: explode}
cases:
  - name: one
    event: Seen
    properties: {email: "{}", note: "write to {}"}
    expect: {verdict: pass, properties: {email: "{}", note: "{}"}}
"""


def _policy_cases() -> Iterator[Case]:
    texts = (("five mistakes", _POLICY), ("no YAML", "a: [b\n{}: }"), ("a text", "{}"))
    for name, text in texts:
        yield Case(
            f"policy {name}", _api("/v1/policies", "admin", lambda c, t=text: {"text": t.replace("{}", c)}), (422,), ("line",)
        )
    yield Case("policy is no text", _api("/v1/policies", "admin", lambda c: {"text": {c: c}}), (422,), ("text",))
    yield Case("policy with an unknown field", _api("/v1/policies", "admin", lambda c: {"text": "", c: 1}), (422,))
    yield Case("policy malformed", _api("/v1/policies", "admin", lambda c: f'{{"text": "{c}'.encode()), (400, 422))
    for version in ("0", "999999", "9" * 30):
        yield Case(f"policy version {version}", _api(f"/v1/policies/{version}/activate", "admin", lambda _c: {}), (404,))
    yield Case("policy version is a word", _api("/v1/policies/{}/activate", "admin", lambda _c: {}), (404,))


def _check_cases() -> Iterator[Case]:
    def case(name: str, body: Callable[[str], Any], statuses: tuple[int, ...] = (400,), names: tuple[str, ...] = ()) -> Case:
        return Case(f"check {name}", _api("/v1/check", "ingest", body), statuses, names)

    yield case("malformed", lambda c: f'{{"events": ["{c}'.encode(), names=("JSON",))
    yield case("a text", lambda c: c)
    yield case("unknown field", lambda c: {"events": [], c: 1})
    yield case("events are a text", lambda c: {"events": c}, names=("events",))
    yield case("an event is a text", lambda c: {"events": [c]}, names=("events",))
    yield case("no name", lambda c: {"events": [{"properties": {c: c}}]}, names=("event",))
    yield case("name is an object", lambda c: {"events": [{"event": {c: c}, "properties": {}}]}, names=("event",))
    yield case("2001 events", lambda c: {"events": [{"event": c, "properties": {}}] * 2001}, names=("2000",))
    yield case("deep", lambda c: b'{"events":' + b"[" * 100_000 + c.encode())
    yield case("NaN", lambda c: f'{{"events":[{{"event":"{c}","properties":{{"a":NaN}}}}]}}'.encode(), names=("JSON",))
    yield case("surrogate", lambda c: {"events": [{"event": "e", "properties": {"a": f"\ud800 {c}"}}]}, (200, 400))
    yield case("NUL", lambda c: {"events": [{"event": "e", "properties": {"\0": f"\0 {c}"}}]}, (200,))
    yield case("300 properties", lambda c: {"events": [{"event": "e", "properties": {f"p{n}": c for n in range(300)}}]}, (200,))
    yield case("an odd id", lambda c: {"events": [{"event": "e", "properties": {"distinct_id": {c: c}}}]}, (200,))
    yield case("oversized", lambda c: c.encode() + b"x" * (11 * _MB), (413,))


def _query_cases() -> Iterator[Case]:
    def case(path: str, role: str, statuses: tuple[int, ...], *names: str, **query: str) -> Case:
        filled = lambda c: {key: value.replace("{}", c) for key, value in query.items()}  # noqa: E731
        return Case(f"GET {path} {' '.join(query)} {list(query.values())[-1][:9]}", _get(path, filled, role), statuses, names)

    days = {"from_date": "2026-01-01", "to_date": "2026-01-02"}
    export, profiles = "/api/2.0/export", "/api/2.0/engage"
    yield case(export, "admin", (400,), "from_date", from_date="{}", to_date="2026-01-02")
    yield case(export, "admin", (400,), "to_date", from_date="2026-01-01", to_date="2026-13-45 {}")
    yield case(export, "admin", (400,), "event", **days, event="[{}")
    yield case(export, "admin", (400,), "where", **days, where="{}")
    yield case(export, "admin", (400,), "limit", **days, limit="{}")
    yield case(export, "admin", (403,), "project", **days, project_id="{}")
    yield case(profiles, "admin", (400,), "page", page="{}")
    yield case(profiles, "admin", (400,), "session_id", page="1", session_id="{}")
    yield case(profiles, "admin", (400,), "where", where="{}")
    yield case(profiles, "admin", (400,), "distinct_ids", distinct_ids="[{}")
    yield case(profiles, "admin", (200,), output_properties="{}")
    yield case(profiles, "admin", (200,), distinct_id="100%_'\"{}")
    yield case("/v1/requests", "officer", _REFUSED, "limit", limit="{}")
    yield case("/v1/requests", "officer", _REFUSED, "before_ms", before_ms="9" * 30)
    yield case("/v1/requests", "officer", (200,), q="{}")
    yield case("/v1/refusals", "officer", _REFUSED, "from_date", from_date="{}")
    yield case("/v1/audit/entries", "auditor", _REFUSED, "start", start="{}")
    yield case("/v1/audit/entries", "auditor", _REFUSED, "start", start="9" * 30)
    yield case("/v1/audit/entries", "auditor", _REFUSED, "limit", limit="0")
    for path in ("/v1/requests/{}", "/v1/requests/{}/certificate", "/v1/requests/{}/archive", "/v1/{}", "/{}"):
        yield case(path, "officer", (404,), q="{}")
    nobody = "/v1/requests/00000000-0000-4000-8000-000000000000"
    for path in (nobody, f"{nobody}/certificate", f"{nobody}/archive"):
        yield case(path, "officer", (404,), q="{}")


def _credential_cases() -> Iterator[Case]:
    paths = (
        ("POST", "/import"), ("GET", "/api/2.0/export"), ("POST", "/v1/check"), ("GET", "/v1/requests"),
        ("POST", _GDPR[0]), ("GET", "/v1/audit/entries"), ("GET", "/metrics"),
    )  # fmt: skip
    for method, path in paths:
        for name, header in (
            ("bearer", "Bearer {}"),
            ("basic", "Basic {}"),
            ("basic pair", "pair"),
            ("digest", "Digest {}"),
            ("none", ""),
        ):

            def ask(held: Credentials, canary: str, method: str = method, path: str = path, header: str = header) -> Reply:
                pair = "Basic " + base64.b64encode(f"{canary}:{canary}".encode()).decode()
                value = pair if header == "pair" else header.replace("{}", canary)
                headers = JSON | ({"Authorization": value} if value else {})
                body = json.dumps({"distinct_ids": [canary]}).encode() if method == "POST" else None
                return call(method, held.base_url + path, body=body, headers=headers)

            yield Case(f"{method} {path} credential {name}", ask, (401,), ("credential",))


_DECISIONS = (
    ("/v1/policies/validate", "admin"), ("/v1/policies/explain", "officer"), ("/v1/policies/rollback", "admin"),
    ("/v1/policies/1/activate", "admin"), ("/v1/policies/1/simulate", "officer"), ("/v1/quarantine/release", "officer"),
    ("/v1/quarantine/discard", "officer"), ("/v1/findings/{}/resolve", "officer"), ("/v1/keys/rotate", "admin"),
    ("/v1/tokens/reveal", "officer"),
)  # fmt: skip
"""Routes that take an object, and a role that may ask."""
_NOWHERE = (
    ("POST", "/v1/findings/{}/acknowledge", "officer"), ("POST", "/v1/simulations/{}/cancel", "officer"),
    ("GET", "/v1/simulations/{}", "officer"), ("GET", "/v1/quarantine/{}", "officer"),
    ("GET", "/v1/policies/{}", "admin"), ("GET", "/v1/policies/1/diff/{}", "admin"),
    ("GET", "/v1/policies/library/{}", "admin"),
)  # fmt: skip
"""Routes whose path names something; a canary names nothing."""


def _living_cases() -> Iterator[Case]:
    bodies: tuple[tuple[str, Callable[[str], Any]], ...] = (
        ("malformed JSON", lambda c: f'{{"text": "{c}'.encode()),
        ("broken UTF-8", lambda c: b'{"text": "\xff' + c.encode() + b'"}'),
        ("a text", lambda c: c),
        ("a list", lambda c: [c]),
        ("deep", lambda c: b"[" * 100_000 + c.encode()),
        ("unknown field", lambda c: {c: c}),
    )
    for path, role in _DECISIONS:
        for name, body in bodies:
            yield Case(f"{path} {name}", _api(path, role, body), _REFUSED)
    for method, path, role in _NOWHERE:
        yield Case(f"{method} {path} of nothing", _api(path, role, lambda _c: b"", method), (404,))
    for path, name, value in (
        ("/v1/findings", "state", "{}"),
        ("/v1/policies/suggestions", "events", "{}"),
        ("/v1/quarantine", "before_ms", "{}"),
        ("/v1/quarantine", "limit", "9" * 30),
    ):
        filled = lambda c, name=name, value=value: {name: value.replace("{}", c)}  # noqa: E731
        yield Case(f"GET {path} {name} is odd", _get(path, filled, "officer"), _REFUSED, (name,))
    made_up = lambda c: {"cursor": c}  # noqa: E731
    yield Case("GET /v1/quarantine cursor is made up", _get("/v1/quarantine", made_up, "officer"), (404,), ("cursor",))


def cases() -> tuple[Case, ...]:
    """Every whole request."""
    parts = (_wire_cases(), _id_cases(), _policy_cases(), _check_cases(), _living_cases(), _query_cases(), _credential_cases())
    return tuple(case for part in parts for case in part)
