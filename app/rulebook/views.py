"""The rulebook of a project: draft, validate, compare, explain, activate, roll back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from app.access.roles import Permission
from app.audit.entry import iso
from app.errors import Conflict, InvalidInput
from app.http import api_blueprint, caller, json_response, needs, public, services
from app.rulebook import history, schemas
from app.rulebook.question import read_question
from app.rulebook.review import Review, review
from app.rulebook.service import PolicyVersion
from policies import library
from policies.explain import explain
from policies.jsonschema import policy_schema
from policies.load import load

_RECENT = 100


def blueprint() -> Blueprint:
    """The routes of whoever writes policy."""
    routes = api_blueprint("policies", "The policy of a project: versions, validation, explanation, activation.")

    def add_route(path: str, method: str, view: Any, answer: Any, body: Any = None, status: int = 200) -> None:
        answering = routes.response(status, answer)(view)
        routes.route(path, methods=[method])(answering if body is None else routes.arguments(body)(answering))

    add_route("/v1/policies", "GET", listing, schemas.PolicyListSchema)
    add_route("/v1/policies", "POST", add, schemas.PolicySchema, schemas.NewPolicySchema, 201)
    add_route("/v1/policies/<int:version>", "GET", one, schemas.PolicySchema)
    add_route("/v1/policies/<int:version>/activate", "POST", activate, schemas.PolicySchema, schemas.ActivateSchema)
    add_route("/v1/policies/<int:before>/diff/<int:after>", "GET", compare, schemas.DiffSchema)
    add_route("/v1/policies/rollback", "POST", rollback, schemas.PolicySchema, schemas.RollbackSchema)
    add_route("/v1/policies/activations", "GET", activations, schemas.ActivationListSchema)
    add_route("/v1/policies/validate", "POST", validate, schemas.ReviewSchema, schemas.TextSchema)
    add_route("/v1/policies/library", "GET", shipped, schemas.LibrarySchema)
    routes.route("/v1/policies/explain", methods=["POST"])(routes.doc(**schemas.EXPLAIN_DOC)(explained))
    routes.route("/policy.schema.json", methods=["GET"])(routes.doc(security=[])(schema))
    return routes


@needs(Permission.POLICY_READ)
def listing() -> dict[str, Any]:
    """Every version of the project's policy, with its text."""
    with services().database.read() as tx:
        found = services().rulebook.versions(tx, caller().project.id)
    return {"policies": [_view(each) for each in found]}


@needs(Permission.POLICY_READ)
def one(version: int) -> dict[str, Any]:
    """One version, with its text."""
    with services().database.read() as tx:
        return _view(services().rulebook.version(tx, caller().project.id, version))


@needs(Permission.POLICY_WRITE)
def add(body: dict[str, Any]) -> dict[str, Any]:
    """Store a new version, a draft; every mistake of the file is listed at once. Activates it when asked."""
    who, rulebook = caller(), services().rulebook
    if not body["activate"]:
        with services().database.write() as tx:
            return _view(rulebook.add(tx, who.project.id, body["text"], author=who.id))
    with _counted(body.get("force")), services().database.write() as tx:
        made = rulebook.add(tx, who.project.id, body["text"], author=who.id)
        return _view(rulebook.activate(tx, who.project.id, made.version, actor=who.id, force=body.get("force")))


@needs(Permission.POLICY_WRITE)
def activate(body: dict[str, Any], version: int) -> dict[str, Any]:
    """Put a version in force for every event acknowledged after this answers, in every process.

    Refused with 409 when one of the policy's own cases fails or lint finds an error, unless `force` gives a reason.
    """
    who = caller()
    with _counted(body.get("force")), services().database.write() as tx:
        chosen = services().rulebook.activate(tx, who.project.id, version, actor=who.id, force=body.get("force"))
    return _view(chosen)


@needs(Permission.POLICY_WRITE)
def rollback(body: dict[str, Any]) -> dict[str, Any]:
    """Put the version in force that was before the active one. A second time goes back a second step."""
    who = caller()
    with services().database.write() as tx:
        chosen = services().rulebook.rollback(tx, who.project.id, actor=who.id, reason=body.get("reason"))
    services().metrics.activations.labels("rolled_back").inc()
    return _view(chosen)


@needs(Permission.POLICY_READ)
def activations() -> dict[str, Any]:
    """What was put in force, when and by whom; newest first."""
    with services().database.read() as tx:
        found = history.recent(tx, caller().project.id, _RECENT)
    return {
        "activations": [
            {"version": each.version, "act": each.act.value, "actor": each.actor, "reason": each.reason, "at": iso(each.at_ms)}
            for each in found
        ]
    }


@needs(Permission.POLICY_READ)
def validate(body: dict[str, Any]) -> dict[str, Any]:
    """Examine a text and store nothing: mistakes with their place, lint findings, the results of its cases."""
    return review_view(review(body["text"]))


@needs(Permission.POLICY_READ)
def compare(before: int, after: int) -> dict[str, Any]:
    """What changes in meaning from one version to another, and whether it lets less or more through."""
    with services().database.read() as tx:
        items = services().rulebook.compare(tx, caller().project.id, before, after)
    changes = [
        {"kind": each.kind, "name": each.name, "change": each.change, "direction": each.direction, "details": each.details}
        for each in items
    ]
    return {"before": before, "after": after, "changes": changes}


@needs(Permission.POLICY_READ)
def explained() -> Response:
    """Explain what a version does with one record. The register is not asked: say in `state` what it knows."""
    body, longest = request.get_data(cache=False), services().ingest.limits.record_bytes
    if len(body) > longest:
        raise InvalidInput("the record is longer than ingest takes", field="body", remedy=f"send at most {longest} bytes")
    asked = read_question(body, services().clock())
    project_id, rulebook = caller().project.id, services().rulebook
    with services().database.read() as tx:
        chosen = rulebook.active(tx, project_id) if asked.version is None else rulebook.gate(tx, project_id, asked.version)
        keys = services().keyring.of(tx, project_id)
    context = replace(keys.check_context(services().clock()), signals=asked.signals)
    told = explain(chosen.gate, asked.record, context)
    return json_response({"version": chosen.version, **told.as_json()})


@needs(Permission.POLICY_READ)
def shipped() -> dict[str, Any]:
    """The policies that ship: what they are for, and their texts to start from."""
    return {"policies": _library()}


@public
def schema() -> Response:
    """The JSON Schema of a policy file, for editors."""
    response = json_response(policy_schema())
    response.content_type = "application/schema+json"
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


@contextmanager
def _counted(force: str | None) -> Iterator[None]:
    """Count what becomes of an attempt to activate."""
    try:
        yield
    except Conflict:
        services().metrics.activations.labels("refused").inc()
        raise
    services().metrics.activations.labels("activated" if force is None else "forced").inc()


@cache
def _library() -> list[dict[str, str]]:
    texts = {name: library.text(name) for name in library.names()}
    return [{"name": name, "description": load(text).description, "text": text} for name, text in texts.items()]


def review_view(found: Review) -> dict[str, Any]:
    """A review as JSON values."""
    return {
        "valid": found.policy is not None,
        "fit": found.is_clear,
        "problems": [_place(each) for each in found.problems],
        "findings": [{**_place(each), "code": each.code, "severity": each.severity.value} for each in found.findings],
        "cases": [{"name": each.name, "passed": not each.wrong, "wrong": each.wrong} for each in found.cases],
    }


def _place(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("line", "column", "path", "message", "hint")}


def _view(found: PolicyVersion) -> dict[str, Any]:
    return {
        "version": found.version,
        "name": found.name,
        "digest": found.digest,
        "created": iso(found.created_ms),
        "active": found.active,
        "text": found.text,
    }
