"""The description, for `/openapi.json`, of the endpoints that speak Mixpanel's protocol. Data, no behaviour.

Their views read many encodings by hand, so nothing could generate this; a test compares it with the map of routes and
schemathesis sends what it allows. docs/wire.md says the same for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "Stable; made for programs."},
                "message": {"type": "string", "description": "What was wrong. Never holds a value that was sent."},
                "field": {"type": "string", "description": "Where."},
                "remedy": {"type": "string", "description": "What to do."},
                "problems": {"description": "Every mistake of a form or a policy, where there are several."},
            },
        }
    },
}
"""Every refusal of the `/v1` API."""

Operations = dict[str, dict[str, Any]]

_OBJECT: dict[str, Any] = {"type": "object"}
_TEXT: dict[str, Any] = {"type": "string"}
_FLAG: dict[str, Any] = {"enum": ["0", "1"]}
_TOKEN_OR_ACCOUNT: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}]
_ANYONE: list[dict[str, list[str]]] = [{}]
_DAY: dict[str, Any] = {"type": "string", "format": "date"}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def _closed(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _query(**parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    required = ("from_date", "to_date")
    return [
        {"name": name, "in": "query", "required": name in required, "schema": dict(schema)} for name, schema in parameters.items()
    ]


_FAULT = _closed(error=_TEXT, status={"type": ["string", "integer"]})
_IMPORT_FAULT = _closed(code={"type": "integer"}, error=_TEXT, status=_TEXT)
_CALLED = {"text/javascript": {"schema": _TEXT}}
_FAILED = {"type": "array", "items": _closed(index={"type": "integer"}, insert_id=_TEXT, field=_TEXT, message=_TEXT)}
_COUNTED = {
    **_closed(code={"type": "integer"}, error={"type": ["string", "null"]}, num_good_events={"type": "integer"}),
    "description": "with strict=1 on /engage and /groups",
}
_VERBOSE = _closed(error={"type": ["string", "null"]}, status={"type": "integer"})
_SENT = {
    "200": {
        "description": "`1` when a record was taken, `0` when none was; an object, a script or a pixel where asked for.",
        "content": {
            "text/plain": {"schema": {"enum": [0, 1, "0", "1"]}},
            **_json({"anyOf": [_COUNTED, _VERBOSE]}),
            **_CALLED,
            "image/gif": {"schema": _TEXT},
        },
    }
}
_STEERING = _query(
    verbose=_FLAG, ip=_FLAG, strict=_FLAG, img=_FLAG, callback=_TEXT, test=_FLAG, project_id=_TEXT, data={"type": "string"}
)

_EVENT = {
    "type": "object",
    "required": ["event", "properties"],
    "properties": {
        "event": _TEXT,
        "properties": {
            "type": "object",
            "properties": {
                "token": _TEXT,
                "time": {"type": ["number", "string"]},
                "distinct_id": {"type": ["string", "number"]},
                "$insert_id": _TEXT,
            },
        },
    },
}
_OPERATION_NAMES = ("$set", "$set_once", "$add", "$append", "$union", "$remove")


def _update(*ids: str) -> dict[str, Any]:
    operations = dict.fromkeys(_OPERATION_NAMES, _OBJECT) | {"$unset": {"type": "array", "items": _TEXT}, "$delete": {}}
    return {
        "type": "object",
        "required": ["$token", *ids],
        "properties": {"$token": _TEXT, **{name: {"type": ["string", "number"]} for name in ids}, **operations},
    }


def _faults(*codes: int, schema: Mapping[str, Any] = _FAULT, script: bool = False) -> dict[str, Any]:
    told = {
        400: "The request as a whole cannot be read, or with strict=1 some records are bad.",
        401: "No credential, or one that nobody holds.",
        403: "The credential does not hold the permission.",
        404: "No such thing in this project.",
        405: "It can no longer be cancelled.",
        409: "Its state does not allow this.",
        413: "More than 10 MB, or more than that once gzip is undone.",
        415: "A Content-Encoding other than one gzip.",
        429: "Too many bulk imports at once: they waited a minute already. Retry-After says for how long.",
        503: "The check could not run; nothing was stored. Retry-After says for how long.",
    }
    content = _json(schema) | (_CALLED if script else {})
    return {str(code): {"description": told[code], "content": content} for code in codes}


def _records(schema: Mapping[str, Any]) -> dict[str, Any]:
    many = {"anyOf": [{"type": "array", "items": schema, "maxItems": 2_000}, schema]}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": many},
            "application/x-ndjson": {"schema": _TEXT},
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["data"],
                    "properties": {"data": {"type": "string", "description": "JSON, or base64 of it"}, "verbose": _FLAG},
                }
            },
            "text/plain": {"schema": {"type": "string", "description": "the same form, as beacons label it"}},
        },
    }


def _sender(summary: str, schema: Mapping[str, Any]) -> Operations:
    answers = {**_SENT, **_faults(400, 413, 415, 503, script=True)}
    shared = {"tags": ["senders"], "security": _ANYONE, "parameters": _STEERING, "responses": answers}
    get = {**shared, "summary": f"{summary}, in the query", "operationId": f"get {summary}"}
    return {"get": get, "post": {**shared, "summary": summary, "operationId": summary, "requestBody": _records(schema)}}


def _import() -> Operations:
    done = _closed(code={"type": "integer"}, num_records_imported={"type": "integer"}, status=_TEXT)
    partial = {"type": "object", "required": ["error", "status"], "properties": {"failed_records": _FAILED}}
    answers = {
        "200": {
            "description": "Imported; `1`, `0` or the verbose object for a form without strict.",
            "content": {**_json({"anyOf": [done, _VERBOSE]}), "text/plain": {"schema": {"enum": [0, 1, "0", "1"]}}}
            | _CALLED
            | {"image/gif": {"schema": _TEXT}},
        },
        **_faults(400, schema=partial),
        **_faults(401, 403, 413, 415, 429, 503, schema={"anyOf": [_IMPORT_FAULT, _FAULT]}),
    }
    shared = {"tags": ["senders"], "security": _TOKEN_OR_ACCOUNT, "parameters": _STEERING, "responses": answers}
    return {
        "get": {**shared, "summary": "Import events of any age, in the query", "operationId": "get import"},
        "post": {**shared, "summary": "Import events of any age", "operationId": "import", "requestBody": _records(_EVENT)},
    }


def _answer(summary: str, schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An operation that answers one JSON object; `more` adds to it."""
    responses = {"200": {"description": "Done.", "content": _json(schema)}} | more.pop("faults", {})
    return {"summary": summary, "responses": responses, **more}


def _readers() -> Iterator[tuple[str, Operations]]:
    shared = {"tags": ["readers"], "security": _TOKEN_OR_ACCOUNT}
    lines = {"text/plain": {"schema": _TEXT}}
    plain = {code: {**told, "content": lines} for code, told in _faults(400, 401, 403, 503).items()}
    days = _query(from_date=_DAY, to_date=_DAY, event=_TEXT, where=_TEXT, limit={"type": "integer"}, time_in_ms=_TEXT)
    export = {"200": {"description": "One event a line, as JSON.", "content": lines}, **plain}
    yield "/api/2.0/export", {"get": {**shared, "summary": "Raw export", "parameters": days, "responses": export}}
    page = _closed(
        page={"type": "integer"},
        page_size={"type": "integer"},
        results={"type": "array", "items": _closed(**{"$distinct_id": _TEXT, "$properties": _OBJECT})},
        session_id={"type": ["string", "null"]},
        status=_TEXT,
        total={"type": "integer"},
    )
    names = ("distinct_id", "distinct_ids", "data_group_id", "output_properties", "session_id", "page", "where", "project_id")
    asked = _query(**dict.fromkeys(names, _TEXT))
    for path in ("/api/2.0/engage", "/api/query/engage"):
        faults = _faults(400, 401, 403, 413, 503)
        one = _answer("A page of profiles", page, faults=faults, parameters=asked, **shared)
        yield path, {"get": one, "post": one}


def _analysts() -> Iterator[tuple[str, Operations]]:
    shared = {"tags": ["readers"], "security": _TOKEN_OR_ACCOUNT}
    feed = _query(distinct_ids=_TEXT, from_date=_DAY, to_date=_DAY, where=_TEXT, limit={"type": "integer"}, sessions=_FLAG)
    for below in ("/api/2.0", "/api/query"):
        for path, summary, schema, asked in (
            ("stream/query", "What some people did", _OBJECT, feed),
            ("cohorts/list", "Saved filters", {"type": "array", "items": _OBJECT}, _query(project_id=_TEXT)),
        ):
            one = _answer(summary, schema, faults=_faults(400, 401, 403, 413, 503), parameters=asked, **shared)
            yield f"{below}/{path}", {"get": one, "post": one}


def _refused() -> Iterator[tuple[str, Operations]]:
    shared = {"tags": ["readers"], "security": _TOKEN_OR_ACCOUNT, "responses": _faults(400, 401, 403, 413, 503)}
    for path in ("/api/2.0/jql", "/api/query/jql"):
        yield path, {method: {**shared, "summary": "JQL: refused"} for method in ("get", "post")}


def _schemas() -> Iterator[tuple[str, Operations]]:
    codes = (400, 401, 403, 404, 413, 429, 503)
    shared = {"tags": ["schemas"], "security": _TOKEN_OR_ACCOUNT}
    entry = _closed(entityType={"enum": ["event", "profile"]}, name=_TEXT, schemaJson=_OBJECT)
    upload = {"type": "object", "required": ["entries"], "properties": {"entries": {"type": "array", "items": entry}}}
    many, done = _closed(results={"type": "array"}, status=_TEXT), _closed(status=_TEXT)
    path = "/api/app/projects/{project_id}/schemas"
    places: list[dict[str, Any]] = []
    for name in ("project_id", "entity_type", "name"):
        kind = {"type": "integer", "minimum": 0} if name == "project_id" else {"type": "string", "pattern": "^[A-Za-z$ ]+$"}
        places = [*places, {"name": name, "in": "path", "required": True, "schema": kind}]
        if name != "project_id":
            path = f"{path}/{{{name}}}"
        told = {**shared, "parameters": places}
        operations: Operations = {
            "get": _answer("What is described", _OBJECT if name == "name" else many, faults=_faults(*codes), **told),
            "delete": _answer("Forget what is described", _closed(results=_OBJECT, status=_TEXT), faults=_faults(*codes), **told),
        }
        if name != "entity_type":
            asked = {"required": True, "content": _json(_OBJECT if name == "name" else upload)}
            operations["post"] = _answer("Describe", done, faults=_faults(*codes), requestBody=asked, **told)
        yield path, operations


_NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0}
_NUMBERS: dict[str, Any] = {"type": "array", "items": _NUMBER}
_MOMENT: dict[str, Any] = {"type": ["string", "null"], "format": "date-time"}
_GRANT: dict[str, Any] = {"id": _NUMBER, "role": {"enum": ["owner", "admin", "analyst", "consumer"]}}
_ACCOUNT: dict[str, dict[str, Any]] = {
    "id": _NUMBER,
    "username": _TEXT,
    "last_used": _MOMENT,
    "expires": _MOMENT,
    "creator": {"type": ["integer", "null"]},
    "created": _MOMENT,
    "user": _NUMBER,
}
_MEMBER: dict[str, dict[str, Any]] = {
    **_ACCOUNT,
    "hasSensitiveAccess": {"type": "boolean"},
    "role": {"type": "string", "description": "owner, admin, analyst, consumer, or one of Portcullis's own"},
    "role_order": _NUMBER,
    "target_type": _TEXT,
    "email": _TEXT,
}
_NEW_ACCOUNT: dict[str, Any] = {
    "type": "object",
    "required": ["username"],
    "properties": {
        "username": {"type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z _.-]{0,63}$"},
        "role": _GRANT["role"],
        "expires": _MOMENT,
        "projects": {"type": "array", "items": {"type": "object", "required": ["id"], "properties": _GRANT}},
    },
}


def _account_operation(summary: str, schema: Mapping[str, Any], *places: str, body: Any = None, made: bool = False) -> Any:
    faults = _faults(400, 401, 403, 404, 409, 413, 503)
    named = [{"name": name, "in": "path", "required": True, "schema": _NUMBER} for name in places]
    told = _answer(summary, schema, faults=faults, parameters=named, tags=["service accounts"], security=_TOKEN_OR_ACCOUNT)
    if made:
        told["responses"] = {"201": {"description": "Made; its secret is shown this once.", "content": _json(schema)}, **faults}
    return told if body is None else {**told, "requestBody": {"required": True, "content": _json(body)}}


def _accounts() -> Iterator[tuple[str, Operations]]:
    tell, one, done = _account_operation, _closed(**_ACCOUNT), _closed(status=_TEXT)
    base, org = "/api/app/organizations/{organization_id}/service-accounts", "organization_id"
    secret = _closed(results=_closed(token=_TEXT, **_ACCOUNT), status=_TEXT)
    listed = _closed(results={"type": "array", "items": one}, status=_TEXT)
    adding = _closed(projects={"type": "array", "items": _closed(**_GRANT)}, service_account_ids=_NUMBERS)
    removing = _closed(projects={"type": "array", "items": _closed(id=_NUMBER, service_account_ids=_NUMBERS)})
    members = _closed(results={"type": "array", "items": _closed(**_MEMBER)}, status=_TEXT)
    yield "/api/app/me", {"get": tell("Who is calling", _closed(results=_OBJECT, status=_TEXT))}
    making = tell("Make a service account", secret, org, body=_NEW_ACCOUNT, made=True)
    yield base, {"get": tell("Service accounts", listed, org), "post": making}
    yield (
        f"{base}/{{account_id}}",
        {
            "get": tell("One service account", _closed(results=one, status=_TEXT), org, "account_id"),
            "delete": tell("End a service account", done, org, "account_id"),
        },
    )
    yield f"{base}/add-to-project", {"post": tell("Let accounts into projects", done, org, body=adding)}
    yield f"{base}/remove-from-project", {"post": tell("Take accounts out of projects", done, org, body=removing)}
    path = "/api/app/projects/{project_id}/service-accounts"
    yield path, {"get": tell("Service accounts of a project", members, "project_id")}


def _gdpr() -> Iterator[tuple[str, Operations]]:
    shared = {"tags": ["GDPR"], "security": _TOKEN_OR_ACCOUNT}
    token = _query(token=_TEXT)
    one = [{"name": "tracking_id", "in": "path", "required": True, "schema": _TEXT}, *token]
    people = {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1, "maxItems": 2_000}
    asked = {"type": "object", "required": ["distinct_ids"]}
    choices = {"distinct_ids": people, "compliance_type": {"enum": ["GDPR", "CCPA"]}}
    disclosure = {"disclosure_type": {"enum": ["Data", "Categories", "Sources"]}}
    wrapped = _closed(results=_OBJECT, status=_TEXT)
    refused = {**_faults(400, 401, 403, 404, 409, 413, 503)}
    for kind, more in (("deletions", {}), ("retrievals", disclosure)):
        body = {"required": True, "content": _json({**asked, "properties": {**choices, **more}})}
        created = {"201": {"description": "Accepted.", "content": _json(wrapped)}, **refused}
        base = f"/api/app/data-{kind}/v3.0"
        create = {**shared, "summary": f"Ask for {kind}", "parameters": token, "requestBody": body, "responses": created}
        cancel = {
            **shared,
            "summary": "Cancel a deletion",
            "responses": {"204": {"description": "Cancelled."}, **refused, **_faults(405)},
        }
        collection: Operations = {"post": create}
        single: Operations = {"get": _answer(f"How far {kind} are", wrapped, faults=refused, parameters=one, **shared)}
        if kind == "deletions":
            collection["delete"], single["delete"] = {**cancel, "parameters": token}, {**cancel, "parameters": one}
        yield base, collection
        yield f"{base}/{{tracking_id}}", single
    archive = {"200": {"description": "The archive.", "content": {"application/zip": {"schema": _TEXT}}}, **refused, **_gone()}
    path = "/api/app/data-retrievals/v3.0/{tracking_id}/archive"
    yield path, {"get": {**shared, "summary": "Download what was retrieved", "parameters": one, "responses": archive}}


def _gone() -> dict[str, Any]:
    return {"410": {"description": "It has expired or was revoked.", "content": _json(_FAULT)}}


def paths() -> Iterator[tuple[str, Operations]]:
    """Every compatible path, without its twin that ends with a slash, and its operations (OpenAPI 3.1)."""
    yield "/track", _sender("Send events", _EVENT)
    yield "/engage", _sender("Change profiles", _update("$distinct_id"))
    yield "/groups", _sender("Change groups", _update("$group_key", "$group_id"))
    yield "/import", _import()
    fixed: dict[str, Any] = {"tags": ["senders"], "security": _ANYONE}
    for path, schema, summary in (
        ("/flags", _closed(flags=_OBJECT), "No feature flags"),
        ("/flags/definitions", _closed(flags={"type": "array"}), "No definitions of flags"),
        ("/settings", _closed(sdk_config=_OBJECT), "Settings for browser SDKs: no session replay"),
    ):
        operation = _answer(summary, schema, **fixed)
        yield path, {"get": operation, "post": operation}
    yield "/record", {"post": {**fixed, "summary": "Session replay: refused", "responses": _faults(403)}}
    yield from _readers()
    yield from _analysts()
    yield from _refused()
    yield from _schemas()
    yield from _accounts()
    yield from _gdpr()


def answers_without_schema() -> Iterator[tuple[str, Operations]]:
    """The successful answers of `/v1` and operations that no schema class describes: texts, and objects made by hand."""
    texts = {
        "/policy.schema.json": "application/schema+json",
        "/v1/certificate-key": "text/plain",
        "/v1/audit/bundle": "application/x-ndjson",
        "/v1/audit/checkpoint": "text/plain",
        "/v1/audit/key": "text/plain",
        "/v1/audit/tile/{tier}/{number}": "application/octet-stream",
        "/v1/audit/tile/entries/{number}": "application/octet-stream",
        "/metrics": "text/plain",
    }
    for path, kind in texts.items():
        schema = _OBJECT if "json" in kind and "nd" not in kind else _TEXT
        yield path, {"get": {"responses": {"200": {"description": "OK", "content": {kind: {"schema": schema}}}}}}
    lines = {"application/x-ndjson": {"schema": _TEXT}, "text/csv": {"schema": _TEXT}}
    yield "/v1/audit/entries", {"get": {"responses": {"200": {"description": "OK", "content": lines}}}}
    ready = _closed(status=_TEXT, database=_TEXT, doorbell=_TEXT, geolocation=_TEXT)
    for path, schema in (
        ("/healthz", _closed(status=_TEXT, version=_TEXT)),
        ("/readyz", ready),
        ("/.well-known/gpc.json", _closed(gpc={"type": "boolean"}, lastUpdate=_DAY)),
    ):
        done = {"200": {"description": "OK", "content": _json(schema)}}
        if path == "/readyz":
            done["503"] = {"description": "Not ready", "content": _json(ready)}
        yield path, {"get": {"responses": done}}
