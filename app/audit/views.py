"""The auditor's API: pull the log, its signed checkpoints and proofs. Pulling is itself an entry."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from flask import Response, jsonify
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from app.access.roles import Permission
from app.audit.entry import AuditAction, Entry
from app.audit.service import Wanted
from app.audit.stored import SequencedEntry
from app.audit.tree import TILE
from app.errors import InvalidInput, NotFound
from app.http import api_blueprint, caller, needs, services

_MOST = 10_000
# What a column holds: a larger number is a mistake of the caller, not a failure of the database.
_LARGEST = 2**63 - 1
_TIME = r"^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,3})?Z)?$"
# C2SP tlog-tiles: groups of three digits, all but the last with an x; `.p/W` after a tile that is not full.
_PATH = re.compile(r"((?:x\d{3}/)*\d{3})(?:\.p/(\d{1,3}))?")
_CSV = ("index", "t", "actor", "action", "obj", "ref", "n", "facts", "leaf")
_FRESH = {"Cache-Control": "no-store"}


class EntriesQuery(Schema):
    """Which entries."""

    start = fields.Integer(load_default=0, validate=validate.Range(0, _LARGEST), metadata={"description": "First index, from 0."})
    limit = fields.Integer(load_default=1_000, validate=validate.Range(1, _MOST))
    action = fields.String(metadata={"description": "An action, or the part of it before the point: `erasure`."})
    actor = fields.String(metadata={"description": "The id of whoever acted."})
    obj = fields.String(data_key="object", metadata={"description": "The id of what was acted on."})
    since = fields.String(validate=validate.Regexp(_TIME), metadata={"description": "RFC 3339 in UTC: at this time or later."})
    before = fields.String(validate=validate.Regexp(_TIME), metadata={"description": "RFC 3339 in UTC: earlier than this."})
    form = fields.String(data_key="format", load_default="ndjson", validate=validate.OneOf(("ndjson", "csv")))


class InclusionQuery(Schema):
    """Which entry, in which tree."""

    index = fields.Integer(required=True, validate=validate.Range(0, _LARGEST))
    size = fields.Integer(required=True, validate=validate.Range(1, _LARGEST), metadata={"description": "Size of the tree."})


class ConsistencyQuery(Schema):
    """Which two trees."""

    old = fields.Integer(data_key="from", required=True, validate=validate.Range(0, _LARGEST))
    new = fields.Integer(data_key="to", required=True, validate=validate.Range(0, _LARGEST))


def blueprint() -> Blueprint:
    """The routes of auditors."""
    routes = api_blueprint("audit", "The append-only audit log, its checkpoints and proofs.")
    routes.route("/v1/audit/entries", methods=["GET"])(routes.arguments(EntriesQuery, location="query")(entries))
    routes.route("/v1/audit/checkpoint", methods=["GET"])(checkpoint)
    routes.route("/v1/audit/key", methods=["GET"])(key)
    routes.route("/v1/audit/bundle", methods=["GET"])(bundle)
    routes.route("/v1/audit/proof/inclusion", methods=["GET"])(routes.arguments(InclusionQuery, location="query")(inclusion))
    routes.route("/v1/audit/proof/consistency", methods=["GET"])(
        routes.arguments(ConsistencyQuery, location="query")(consistency)
    )
    routes.route("/v1/audit/tile/<int:tier>/<path:number>", methods=["GET"])(tile)
    routes.route("/v1/audit/tile/entries/<path:number>", methods=["GET"])(tile_entries)
    return routes


@needs(Permission.AUDIT_READ)
def entries(query: dict[str, Any]) -> Response:
    """Entries as NDJSON, one a line: `index`, `leaf` (RFC 6962 leaf hash of the entry's canonical bytes), `entry`.

    The header `X-Next-Index` is where to go on; it equals `start` when there is nothing new. With a filter one answer looks
    at 50,000 entries at most, so it may hold none and still say where to go on.
    """
    wanted = Wanted(query.get("action"), query.get("actor"), query.get("obj"), query.get("since"), query.get("before"))
    found, following = services().audit.search(caller().project.id, query["start"], query["limit"], wanted)
    _note_reading({"start": query["start"], "entries": len(found)})
    headers = {"X-Next-Index": str(following), **_FRESH}
    if query["form"] == "csv":
        return Response(_csv(found), mimetype="text/csv", headers=headers)
    return Response(_lines(found), mimetype="application/x-ndjson", headers=headers)


@needs(Permission.AUDIT_READ)
def checkpoint() -> Response:
    """The newest checkpoint, a signed note: origin, size and root of the log (C2SP tlog-checkpoint). Keep it."""
    return Response(_checkpoint(), mimetype="text/plain", headers=_FRESH)


@needs(Permission.AUDIT_READ)
def key() -> Response:
    """The public key under which checkpoints verify, as `name+id+key` (C2SP signed-note)."""
    return Response(services().audit.verifier_key(caller().project.id) + "\n", mimetype="text/plain")


@needs(Permission.AUDIT_READ)
def bundle() -> Response:
    """The whole log as NDJSON: a line with the checkpoint, then every entry that it covers.

    `portcullis audit verify bundle` checks it with the key alone: no network, no database, no secret.
    """
    note = _checkpoint()
    _note_reading({"bundles": 1})
    head = json.dumps({"bundle": "portcullis audit bundle v1", "checkpoint": note}, ensure_ascii=False) + "\n"
    lines = chain((head,), _lines(services().audit.covered(caller().project.id, note)))
    return Response(lines, mimetype="application/x-ndjson", headers=_FRESH)


@needs(Permission.AUDIT_READ)
def inclusion(query: dict[str, Any]) -> Response:
    """The audit path of one entry in the tree of `size` entries, from the leaf upwards, in hex (RFC 6962 2.1.1)."""
    leaf, proof = services().audit.inclusion_proof(caller().project.id, query["index"], query["size"])
    return jsonify(index=query["index"], size=query["size"], leaf=leaf.hex(), proof=[each.hex() for each in proof])


@needs(Permission.AUDIT_READ)
def consistency(query: dict[str, Any]) -> Response:
    """The proof that the log of `to` entries extends that of `from`, in hex (RFC 6962 2.1.2)."""
    proof = services().audit.consistency_proof(caller().project.id, query["old"], query["new"])
    return jsonify(**{"from": query["old"], "to": query["new"], "proof": [each.hex() for each in proof]})


@needs(Permission.AUDIT_READ)
def tile(tier: int, number: str) -> Response:
    """256 hashes of one level of the tree, one after the other (C2SP tlog-tiles); `.p/W` for the first W of a tile."""
    place, width = _tile_path(number)
    if tier > 7:
        raise InvalidInput("a tree has tiles of the levels 0 to 7", field="tier", remedy="ask for level 0 for the leaves")
    hashes = services().audit.tile(caller().project.id, tier, place, width)
    return Response(hashes, mimetype="application/octet-stream", headers=_FRESH)


@needs(Permission.AUDIT_READ)
def tile_entries(number: str) -> Response:
    """The 256 entries of one tile, each with its length in two bytes before it (C2SP tlog-tiles)."""
    place, width = _tile_path(number)
    bodies = services().audit.bodies(caller().project.id, place, width)
    _note_reading({"start": place * TILE, "entries": width})
    return Response(bodies, mimetype="application/octet-stream", headers=_FRESH)


def _note_reading(counts: dict[str, int]) -> None:
    who = caller()
    with services().database.write() as tx:
        services().audit.stage(tx, Entry(AuditAction.AUDIT_READ, who.project.id, who.id, services().clock(), counts=counts))


def _checkpoint() -> str:
    note = services().audit.checkpoint(caller().project.id)
    if note is None:
        raise NotFound("the log has no entry yet", remedy="ask again after something was done in the project")
    return note


def _tile_path(text: str) -> tuple[int, int]:
    found = _PATH.fullmatch(text)
    width = int(found[2]) if found and found[2] else TILE
    number = int(found[1].replace("x", "").replace("/", "")) if found else 0
    if not found or not 1 <= width <= TILE or number > _LARGEST // TILE - 1:
        raise InvalidInput(
            "this is not the path of a tile", field="tile", remedy="write 000, x001/234, or 000.p/17 for the first 17 of it"
        )
    return number, width


def _lines(found: Iterable[SequencedEntry]) -> Iterator[str]:
    for each in found:
        entry = json.loads(each.body)
        yield json.dumps({"index": each.index, "leaf": each.leaf.hex(), "entry": entry}, ensure_ascii=False) + "\n"


def _csv(found: list[SequencedEntry]) -> str:
    text = io.StringIO()
    rows = csv.DictWriter(text, _CSV, extrasaction="ignore", lineterminator="\r\n")
    rows.writeheader()
    for each in found:
        entry = json.loads(each.body)
        nested = {name: json.dumps(entry[name], sort_keys=True) for name in ("n", "facts") if name in entry}
        rows.writerow({**entry, **nested, "index": each.index, "leaf": each.leaf.hex()})
    return text.getvalue()
