"""The auditor's API: pull the log by index. Pulling the log is itself an entry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from app.access.roles import Permission
from app.audit.entry import AuditAction, Entry
from app.audit.service import SequencedEntry
from app.http import api_blueprint, caller, needs, services

_MOST = 10_000
# What a column holds: a larger number is a mistake of the caller, not a failure of the database.
_LARGEST = 2**63 - 1


class EntriesQuery(Schema):
    """Which entries."""

    start = fields.Integer(load_default=0, validate=validate.Range(0, _LARGEST), metadata={"description": "First index, from 0."})
    limit = fields.Integer(load_default=1_000, validate=validate.Range(1, _MOST))


def blueprint() -> Blueprint:
    """The routes of auditors."""
    routes = api_blueprint("audit", "The append-only audit log.")
    routes.route("/v1/audit/entries", methods=["GET"])(routes.arguments(EntriesQuery, location="query")(entries))
    return routes


@needs(Permission.AUDIT_READ)
def entries(query: dict[str, Any]) -> Response:
    """Entries as NDJSON, one a line: `index`, `leaf` (RFC 6962 leaf hash of the entry's canonical bytes), `entry`.

    The header `X-Next-Index` is where to go on; it equals `start` when there is nothing new.
    """
    log, who = services().audit, caller()
    found = log.entries(who.project.id, query["start"], query["limit"])
    with services().database.write() as tx:
        counts = {"start": query["start"], "entries": len(found)}
        log.stage(tx, Entry(AuditAction.AUDIT_READ, who.project.id, who.id, services().clock(), counts=counts))
    following = found[-1].index + 1 if found else query["start"]
    headers = {"X-Next-Index": str(following), "Cache-Control": "no-store"}
    return Response(_lines(found), mimetype="application/x-ndjson", headers=headers)


def _lines(found: list[SequencedEntry]) -> Iterator[str]:
    for each in found:
        entry = json.loads(each.body)
        yield json.dumps({"index": each.index, "leaf": each.leaf.hex(), "entry": entry}, ensure_ascii=False) + "\n"
