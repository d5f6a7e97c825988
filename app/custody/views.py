"""Keys of a project: list, rotate; and tokens: reveal. No key and no value ever stands in a URL or a log."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from app.access.roles import Permission
from app.custody.schemas import KeyListSchema, KeySchema, RevealedListSchema, RevealSchema, RotateSchema, key_view
from app.http import api_blueprint, caller, json_response, needs, services
from app.keys.service import Purpose


def blueprint() -> Blueprint:
    """The routes of custody."""
    routes = api_blueprint("keys", "Keys and tokens of a project.")
    routes.route("/v1/keys", methods=["GET"])(routes.response(200, KeyListSchema)(listing))
    routes.route("/v1/keys/rotate", methods=["POST"])(routes.arguments(RotateSchema)(routes.response(200, KeySchema)(rotate)))
    routes.route("/v1/tokens/reveal", methods=["POST"])(
        routes.arguments(RevealSchema)(routes.response(200, RevealedListSchema)(reveal))
    )
    return routes


@needs(Permission.KEYS_READ)
def listing() -> dict[str, Any]:
    """Every version of every key: its state and age, never the key."""
    return {"keys": [key_view(each) for each in services().custody.status(caller().project.id)]}


@needs(Permission.KEYS_ROTATE)
def rotate(body: dict[str, Any]) -> dict[str, Any]:
    """Make a new version of a key, in force for every event acknowledged after this answers."""
    who = caller()
    made = services().custody.rotate(who.project.id, Purpose(body["purpose"]), body.get("bridge_days"), actor=who.id)
    return key_view(made)


@needs(Permission.TOKENS_REVEAL)
def reveal(body: dict[str, Any]) -> Response:
    """The values behind tokens. Each call is in the audit log, by count, purpose and reason."""
    found = services().custody.reveal(caller(), body["purpose"], body["tokens"], body["reason"], body.get("reference"))
    return json_response({"results": [{"known": each.known, "value": each.value} for each in found]})
