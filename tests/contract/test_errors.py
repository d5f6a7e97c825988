"""Every error of the tree has a status of its own, and says in each dialect what its readers look for."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Blueprint, Response

import app
import jobs
from app import errors
from app.errors import PortcullisError, Unavailable
from app.http import STATUS, Problem, api_dialect, app_dialect, public, speak, status_of
from app.ingest.errors import WireError
from app.web import create_app
from policies.errors import PolicyError, PolicyInvalid
from tests.installation import Installation

CANARY = "canary-7f3a"


def whole_tree(root: type[Any]) -> Iterator[type[Any]]:
    yield root
    for child in root.__subclasses__():
        yield from whole_tree(child)


def every_module() -> None:
    """Import everything, so that no error class hides in a module that nobody loaded."""
    for package in (app, jobs):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in found.name:
                importlib.import_module(found.name)


every_module()
TREE = sorted(set(whole_tree(PortcullisError)), key=lambda kind: kind.__qualname__)
# What a worker or a starting process raises and no request ever sees.
NEVER_ANSWERED = (
    "jobs.",
    "app.supervise",
    "app.embedded",
    "app.subjects.queue",
    "app.subjects.archive.ArchiveRevoked",
    "app.upstream.speaking",
    "app.turns",
)


def test_the_tree_is_the_one_that_its_docstring_draws() -> None:
    drawn = {name for line in (errors.__doc__ or "").splitlines() for name in line.split() if name[:1].isupper()}
    own = {kind.__name__ for kind in TREE if kind.__module__ == "app.errors"}
    assert own <= drawn


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__qualname__)
def test_every_error_has_a_status(kind: type[PortcullisError]) -> None:
    if kind is PortcullisError or f"{kind.__module__}.{kind.__qualname__}".startswith(NEVER_ANSWERED):
        return
    mapped = [base for base in kind.__mro__ if base in STATUS or base is PortcullisError]
    fault = kind("what was wrong")
    if mapped[0] is PortcullisError:
        # An error of a room that is not in the table is our own mistake, and must read as one.
        assert status_of(fault) == 500
        assert kind.__module__ == "app.database"
    else:
        assert status_of(fault) == STATUS[mapped[0]]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__qualname__)
def test_every_error_has_a_stable_code_of_its_own(kind: type[PortcullisError]) -> None:
    assert kind.code.replace("_", "").isalnum()
    if kind.__module__ == "app.errors":
        assert [other.__name__ for other in TREE if other.code == kind.code and other.__module__ == "app.errors"] == [
            kind.__name__
        ]


def test_every_class_in_the_table_is_in_the_tree() -> None:
    assert set(STATUS) <= set(TREE)
    assert {kind for kind in TREE if kind.__module__ == "app.errors"} - set(STATUS) == {PortcullisError}


@pytest.mark.parametrize("kind", sorted(whole_tree(WireError), key=lambda kind: kind.__name__), ids=lambda k: k.__name__)
def test_a_wire_error_has_a_client_status(kind: type[WireError]) -> None:
    assert 400 <= kind.status < 500


# --- what each dialect says ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raising(sqlite_home: Installation) -> Any:
    """An application with a route in each dialect that raises whatever it is told to."""
    built = create_app(built=sqlite_home.services)
    told: dict[str, Exception] = {}

    @public
    def fail() -> Response:
        raise told["fault"]

    for name, dialect in (("v1", api_dialect), ("app", app_dialect)):
        routes = Blueprint(name, __name__)
        routes.add_url_rule(f"/raise/{name}", "fail", fail)
        speak(routes, dialect)
        built.register_blueprint(routes)

    def ask(dialect: str, fault: Exception) -> Any:
        told["fault"] = fault
        return built.test_client().get(f"/raise/{dialect}")

    return ask


@pytest.mark.parametrize("kind", [k for k in STATUS if k is not Unavailable], ids=lambda kind: kind.__name__)
def test_an_error_is_told_with_its_code_its_field_and_its_remedy(raising: Any, kind: type[PortcullisError]) -> None:
    fault = kind("it was wrong", field="body", remedy="mend it")
    answer = raising("v1", fault)
    assert answer.status_code == STATUS[kind]
    assert answer.json == {"error": {"code": kind.code, "message": "it was wrong", "field": "body", "remedy": "mend it"}}
    answer = raising("app", fault)
    assert answer.status_code == STATUS[kind]
    assert answer.json == {"error": "it was wrong (mend it)", "status": "error"}


@pytest.mark.parametrize("dialect", ["v1", "app"])
def test_what_is_down_says_when_to_come_back(raising: Any, dialect: str) -> None:
    answer = raising(dialect, Unavailable("the database does not answer", retry_after=7))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize("dialect", ["v1", "app"])
def test_an_unexpected_failure_tells_nothing_of_itself(raising: Any, dialect: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer = raising(dialect, RuntimeError(f"value {CANARY} of a person"))
    assert answer.status_code == 500
    shown = capsys.readouterr()
    assert CANARY not in answer.text + shown.out + shown.err + str(answer.headers)
    assert "RuntimeError" not in answer.text
    assert "unexpected_failure" in shown.out + shown.err, "it is told to the operator, by its class and place"
    assert "RuntimeError" in shown.out + shown.err


def test_every_mistake_of_a_policy_is_told(raising: Any, sqlite_home: Installation) -> None:
    from policies.load import load

    with pytest.raises(PolicyInvalid) as refused:
        load("policy: A B\nrulez: []\ngeolocation: mars\n")
    answer = raising("v1", refused.value)
    assert answer.status_code == 422
    assert len(answer.json["error"]["problems"]) >= 3
    assert all(each["line"] and each["message"] for each in answer.json["error"]["problems"])
    assert isinstance(refused.value, PolicyError)


@pytest.mark.parametrize("path", ["/nowhere", "/v1/requests/not-a-uuid"])
def test_an_unknown_path_says_where_the_routes_are(sqlite_home: Installation, path: str) -> None:
    answer = sqlite_home.app.test_client().get(path)
    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["error"]["code"] == "http_404"
    assert answer.json["error"]["remedy"]


def test_a_wrong_method_says_which_are_right(sqlite_home: Installation) -> None:
    answer = sqlite_home.app.test_client().put("/v1/check")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert answer.json is not None
    assert answer.json["error"]["remedy"]


def test_who_is_not_known_is_asked_who_they_are(sqlite_home: Installation) -> None:
    answer = sqlite_home.app.test_client().get("/v1/audit/entries")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"]
    assert answer.json is not None
    assert answer.json["error"]["code"] == "not_authenticated"
    assert answer.json["error"]["field"] == "Authorization"


# Senders compare these: python raises KeyError without `error` and `status`, strict import reads `code`.
INGEST_DIALECTS = {
    "/track": {"error", "status"},
    "/track?verbose=1": {"error", "status"},
    "/engage": {"error", "status"},
    "/engage?verbose=1": {"error", "status"},
    "/import": {"code", "error", "status"},
    "/import?strict=1": {"code", "error", "status"},
}


@pytest.mark.parametrize("path", INGEST_DIALECTS)
def test_a_refused_batch_has_the_keys_its_sender_reads(sqlite_home: Installation, path: str) -> None:
    tenant = sqlite_home.tenant()
    answer = tenant.client.post(path, data=b"{[", headers={"Content-Type": "application/json", **tenant.auth("ingest")})
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json.keys() == INGEST_DIALECTS[path]
    assert answer.json["error"]


def test_the_export_speaks_text(sqlite_home: Installation) -> None:
    tenant = sqlite_home.tenant()
    answer = tenant.client.get("/api/2.0/export", headers=tenant.auth("admin"))
    assert answer.status_code == 400
    assert answer.content_type.startswith("text/plain")
    assert "from_date" in answer.text


def test_a_problem_holds_nothing_but_what_it_says() -> None:
    problem = Problem(400, "code", "message", "field", "remedy")
    assert json.loads(json.dumps(problem.sentence)) == "message (remedy)"
    assert replace(problem, remedy=None).sentence == "message"
