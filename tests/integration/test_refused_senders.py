"""A sender that is refused is answered in its own shape, wherever it says which: in the query or in the form."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.integration.gate import Gate, build

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    made = build(tmp_path_factory.mktemp("refused"), None)
    yield made
    made.services.close()


def _shape(body: str) -> tuple[str, Any]:
    """The callback and the status word of an error answer."""
    name, _, rest = body.partition("({")
    value = json.loads("{" + rest.removesuffix(");")) if rest else json.loads(body)
    assert value["error"]
    return (name if rest else ""), value["status"]


@pytest.mark.parametrize("where", ["query", "form", "beacon", "gzip"])
@pytest.mark.parametrize(
    ("endpoint", "controls", "expected"),
    [
        ("/track", {}, ("", "error")),
        ("/track", {"verbose": "1"}, ("", 0)),
        ("/track", {"callback": "mp.cb"}, ("mp.cb", 0)),
        ("/track", {"img": "1"}, ("", "error")),
        ("/engage", {"verbose": "1"}, ("", 0)),
        ("/engage", {"callback": "mp.cb", "verbose": "1"}, ("mp.cb", 0)),
        ("/import", {}, ("", "Bad Request")),
        ("/import", {"verbose": "1"}, ("", 0)),
        ("/import", {"verbose": "1", "strict": "1"}, ("", "Bad Request")),
    ],
)
def test_an_unreadable_batch(gate: Gate, where: str, endpoint: str, controls: dict[str, str], expected: tuple[str, Any]) -> None:
    query = controls if where == "query" else {}
    form = {"data": "*not base64*"} | ({} if where == "query" else controls)
    body: bytes = urlencode(form).encode()
    headers = {"Content-Type": "text/plain" if where == "beacon" else FORM} | gate.bearer("ingest")
    if where == "gzip":
        body, headers = gzip.compress(body), headers | {"Content-Encoding": "gzip"}
    answer = gate.client.post(endpoint, query_string=query, data=body, headers=headers)
    assert answer.status_code == 400
    assert _shape(answer.get_data(as_text=True)) == expected


def test_a_sender_without_a_credential_is_answered_in_the_shape_that_its_form_asks_for(gate: Gate) -> None:
    answer = gate.client.post("/import", data={"data": "[]", "verbose": "1"})
    assert answer.status_code == 401
    assert _shape(answer.get_data(as_text=True)) == ("", 0)


@pytest.mark.parametrize("endpoint", ["/track", "/engage"])
def test_a_batch_that_cannot_be_checked(tmp_path: Path, endpoint: str) -> None:
    gate = build(tmp_path, None)
    gate.services.database.close()
    (tmp_path / "data" / "portcullis.db").rename(tmp_path / "gone")
    (tmp_path / "data" / "portcullis.db").mkdir()
    record = {"event": "e", "properties": {"token": gate.token}} if endpoint == "/track" else {"$token": gate.token, "$set": {}}
    record["$distinct_id"] = "u"
    answer = gate.client.post(endpoint, data={"data": json.dumps(record), "verbose": "1"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert _shape(answer.get_data(as_text=True)) == ("", 0)
    gate.services.close()


@pytest.mark.parametrize("how", ["long", "bomb", "unknown coding", "not gzip"])
def test_a_body_that_is_not_read_is_refused_all_the_same(gate: Gate, how: str) -> None:
    body, coding = {
        "long": (b"verbose=1&data=" + b"x" * 10_485_760, ""),
        "bomb": (gzip.compress(b"verbose=1&data=" + b"x" * 10_485_760), "gzip"),
        "unknown coding": (b"verbose=1&data=x", "br"),
        "not gzip": (b"verbose=1&data=x", "gzip"),
    }[how]
    answer = gate.client.post("/track", data=body, headers={"Content-Type": FORM, "Content-Encoding": coding})
    assert answer.status_code in (400, 413, 415)
    assert answer.get_json()["error"]
    assert answer.get_json()["status"] == "error"
