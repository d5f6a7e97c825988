"""Mixpanel's Lexicon Schemas API (wire section 16), answer for answer as published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from app.access.roles import Permission
from app.errors import InvalidInput, NotFound
from app.http import app_dialect, caller, json_body, json_response, needs, services, speak
from app.lexicon.documents import Bulk, Upload, read_bulk
from app.lexicon.model import Editor

_ROOT = "/api/app/projects/<int:project_id>/schemas"
_encode = msgspec.json.encode


def blueprint() -> Blueprint:
    """The routes of schema clients; lists with and without a trailing slash, names with any character."""
    routes = Blueprint("schemas", __name__)
    for path, method, view in (
        (_ROOT, "GET", listing),
        (_ROOT, "POST", upload_many),
        (_ROOT, "DELETE", delete_many),
        (f"{_ROOT}/<entity_type>", "GET", listing),
        (f"{_ROOT}/<entity_type>", "DELETE", delete_many),
    ):
        for slash in ("", "/"):
            routes.add_url_rule(path + slash, view.__name__, view, methods=[method], strict_slashes=True)
    routes.add_url_rule(f"{_ROOT}/<entity_type>/<path:name>", "one", one, methods=["GET"])
    routes.add_url_rule(f"{_ROOT}/<entity_type>/<path:name>", "upload_one", upload_one, methods=["POST"])
    routes.add_url_rule(f"{_ROOT}/<entity_type>/<path:name>", "delete_one", delete_one, methods=["DELETE"])
    speak(routes, app_dialect)
    return routes


@needs(Permission.LEXICON_READ)
def listing(project_id: int, entity_type: str | None = None) -> Response:
    """Every entity that has a schema, or those of one type, or one by `entity_name`."""
    _enter(project_id)
    found = services().schemas.listed(project_id, entity_type, request.args.get("entity_name"))
    # The first is fetched before the answer begins, so that a mistake still has its status.
    first = next(found, None)
    response = Response(_stream(first, found), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


@needs(Permission.LEXICON_READ)
def one(project_id: int, entity_type: str, name: str) -> Response:
    """The schema of one entity, bare: the one answer without an envelope."""
    _enter(project_id)
    return json_response(services().schemas.one(project_id, entity_type, name))


@needs(Permission.LEXICON_WRITE)
def upload_many(project_id: int) -> Response:
    """Create or replace many, after deleting all with `truncate`."""
    _mine(project_id)
    bulk = read_bulk(json_body())
    services().schemas.spend(project_id, len(bulk.entries))
    done = services().schemas.upload(project_id, _editor(), bulk)
    return _left_out(json_response({"results": {"added": done.added, "deleted": done.deleted}, "status": "ok"}), done.left_out)


@needs(Permission.LEXICON_WRITE)
def upload_one(project_id: int, entity_type: str, name: str) -> Response:
    """Create or replace one."""
    _mine(project_id)
    sent = json_body()
    if not isinstance(sent, dict):
        raise InvalidInput("the body is not a JSON object", field="body", remedy='send {"properties": {…}}')
    services().schemas.spend(project_id, 1)
    upload = Upload(entity_type, name, sent)  # type: ignore[arg-type]  # looked at by the service
    done = services().schemas.upload(project_id, _editor(), Bulk((upload,)))
    return _left_out(json_response({"status": "ok"}), done.left_out)


@needs(Permission.LEXICON_WRITE)
def delete_many(project_id: int, entity_type: str | None = None) -> Response:
    """Delete every schema, those of one type, or one by `entity_name`."""
    return _deleted(project_id, entity_type, request.args.get("entity_name") if entity_type else None)


@needs(Permission.LEXICON_WRITE)
def delete_one(project_id: int, entity_type: str, name: str) -> Response:
    """Delete one schema."""
    return _deleted(project_id, entity_type, name)


def _deleted(project_id: int, entity_type: str | None, name: str | None) -> Response:
    _enter(project_id)
    n = services().schemas.delete(project_id, _editor(), entity_type, name)
    return json_response({"results": {"delete_count": n}, "status": "ok"})


def _enter(project_id: int) -> None:
    _mine(project_id)
    services().schemas.spend(project_id)


def _mine(project_id: int) -> None:
    if project_id != caller().project.id:
        raise NotFound("no such project for this credential", field="projectId", remedy="use the credential's own project")


def _editor() -> Editor:
    return Editor(caller().id, caller().permissions)


def _left_out(response: Response, something: bool) -> Response:
    if something:
        response.headers["Portcullis-Left-Out"] = "examples"
    return response


def _stream(first: Any, rest: Iterator[Any]) -> Iterator[bytes]:
    yield b'{"results":['
    if first is not None:
        yield _encode(first)
    for each in rest:
        yield b"," + _encode(each)
    yield b'],"status":"ok"}'
