"""Policy versions of a project: list, add, activate."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import Schema, fields

from app.access.roles import Permission
from app.audit.entry import iso
from app.errors import NotFound
from app.http import api_blueprint, caller, needs, services
from app.rulebook.service import PolicyVersion

# What the column holds: no database needs to be asked for more.
_LARGEST_VERSION = 2**31 - 1


class NewPolicySchema(Schema):
    """A policy as its author wrote it (docs/policy.md)."""

    text = fields.String(required=True, metadata={"description": "YAML."})
    activate = fields.Boolean(load_default=False)


class PolicySchema(Schema):
    """One immutable version."""

    version = fields.Integer(required=True)
    name = fields.String(required=True)
    digest = fields.String(required=True)
    created = fields.String(required=True)
    active = fields.Boolean(required=True)
    text = fields.String()


class PolicyListSchema(Schema):
    """Every version, newest first."""

    policies = fields.List(fields.Nested(PolicySchema), required=True)


def blueprint() -> Blueprint:
    """The routes of whoever writes policy."""
    routes = api_blueprint("policies", "Policy versions.")
    routes.route("/v1/policies", methods=["GET"])(routes.response(200, PolicyListSchema)(listing))
    routes.route("/v1/policies", methods=["POST"])(routes.arguments(NewPolicySchema)(routes.response(201, PolicySchema)(add)))
    routes.route("/v1/policies/<int:version>/activate", methods=["POST"])(routes.response(200, PolicySchema)(activate))
    return routes


@needs(Permission.POLICY_READ)
def listing() -> dict[str, Any]:
    """Every version of the project's policy, with its text."""
    with services().database.read() as tx:
        found = services().rulebook.versions(tx, caller().project.id)
    return {"policies": [_view(each) for each in found]}


@needs(Permission.POLICY_WRITE)
def add(body: dict[str, Any]) -> dict[str, Any]:
    """Store a new version; every mistake of the file is listed at once. Activates it when asked."""
    who = caller()
    with services().database.write() as tx:
        made = services().rulebook.add(tx, who.project.id, body["text"], author=who.id)
        if body["activate"]:
            services().rulebook.activate(tx, who.project.id, made.version, actor=who.id)
    return {**_view(made), "active": body["activate"]}


@needs(Permission.POLICY_WRITE)
def activate(version: int) -> dict[str, Any]:
    """Put a version in force for every event acknowledged after this answers. Rolling back is activating an older one."""
    if version > _LARGEST_VERSION:
        raise NotFound("the project has no such policy version", field="version", remedy="see GET /v1/policies")
    who = caller()
    with services().database.write() as tx:
        services().rulebook.activate(tx, who.project.id, version, actor=who.id)
        found = services().rulebook.versions(tx, who.project.id)
    return _view(next(each for each in found if each.version == version))


def _view(found: PolicyVersion) -> dict[str, Any]:
    return {
        "version": found.version,
        "name": found.name,
        "digest": found.digest,
        "created": iso(found.created_ms),
        "active": found.active,
        "text": found.text,
    }
