"""`POST /v1/check`: the same verdict for a caller who stores elsewhere; and how many records were refused, and why."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import msgspec
from flask import Response, request
from flask_smorest import Blueprint

from app.access.roles import Permission
from app.errors import InvalidInput
from app.http import api_blueprint, caller, json_response, needs, reading, services
from app.ingest.append import utc_day
from app.ingest.circumstances import Circumstances
from app.ingest.schemas import CHECK_DOC, RefusalsQuery, RefusalsSchema
from app.ingest.values import epoch_ms
from policies.model import Decision, Record, Scope, Signal

MAX_EVENTS = 2_000


class _Event(msgspec.Struct):
    event: str
    properties: dict[str, Any]


class _Check(msgspec.Struct, forbid_unknown_fields=True):
    events: list[_Event]
    signals: list[str] = []


def blueprint() -> Blueprint:
    """The routes of services that ask before they store."""
    routes = api_blueprint("check", "Ask the gate without storing anything.")
    routes.route("/v1/check", methods=["POST"])(routes.doc(**CHECK_DOC)(check))
    refused = routes.arguments(RefusalsQuery, location="query")(routes.response(200, RefusalsSchema)(refusals))
    routes.route("/v1/refusals", methods=["GET"])(needs(Permission.POLICY_READ)(refused))
    return routes


@needs(Permission.POLICY_CHECK, reads_on=True)
def check() -> Response:
    """Judge up to 2,000 events by the active policy, in order. Nothing is kept but a count."""
    asked = _read(request.get_data())
    now = services().clock()
    records = [Record(Scope.EVENT, each.event, each.properties, time_ms=_time_of(each, now)) for each in asked.events]
    circumstances = Circumstances(signals=_signals(asked.signals))
    with reading() as tx:
        name, version, decisions = services().ingest.check(tx, caller().project, records, circumstances)
    for verdict, n in Counter(decision.verdict for decision in decisions).items():
        services().metrics.checks.labels(verdict.value).inc(n)
    results = [_result(each) for each in decisions]
    return json_response({"policy": {"name": name, "version": version}, "results": results})


def _read(body: bytes) -> _Check:
    try:
        asked = msgspec.json.decode(body, type=_Check)
    except msgspec.ValidationError as fault:
        # The message names the path and the expected type, never the value: `Expected `str`, got `int` - at `$.events[0].event``.
        # Of an unknown field it names the field, which the caller chose.
        told = str(fault) if "unknown field" not in str(fault) else "the body has a field that is not known here"
        raise InvalidInput(told, field="events", remedy=_SHAPE) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("the body is not JSON", field="body", remedy=_SHAPE) from None
    if len(asked.events) > MAX_EVENTS:
        raise InvalidInput(f"more than {MAX_EVENTS} events", field="events", remedy="send fewer at a time")
    return asked


def _time_of(event: _Event, now_ms: int) -> int:
    """When the event happened, for ages and rotating periods: its own `time` as ingest reads it, else now."""
    own = epoch_ms(event.properties.get("time"))
    return now_ms if own is None else max(0, min(own, now_ms))


def _signals(names: list[str]) -> frozenset[Signal]:
    # Not an enumeration in the struct: msgspec would quote what was sent.
    if not set(Signal).issuperset(names):
        raise InvalidInput("unknown signal", field="signals", remedy=f"use {', '.join(Signal)}")
    return frozenset(map(Signal, names))


_SHAPE = 'send {"events":[{"event":"…","properties":{…}}]}, with "signals":["gpc"] where the browser sent Sec-GPC: 1'


def _result(decision: Decision) -> dict[str, Any]:
    kept = decision.properties is not None
    return {
        "verdict": decision.verdict.value,
        "event": {"event": decision.name, "properties": decision.properties} if kept else None,
        "remarks": [
            {"rule": each.rule, "path": each.path, "action": each.action, "reason": each.reason} for each in decision.remarks
        ],
    }


def refusals(query: dict[str, Any]) -> dict[str, Any]:
    """Refused records by reason between two UTC days, both inclusive; today alone when none is given."""
    today = utc_day(services().clock())
    first, last = _day(query.get("from_date"), today), _day(query.get("to_date"), today)
    if first > last:
        raise InvalidInput("from_date is after to_date", field="from_date", remedy="swap them")
    with services().database.read() as tx:
        reasons = services().ingest.refusals(tx, caller().project.id, first, last)
        unknown = services().ingest.signals_of_unknown_ids(tx, caller().project.id, first, last)
    return {
        "from_date": first,
        "to_date": last,
        "total": sum(reasons.values()),
        "reasons": reasons,
        "signals_of_unknown_ids": unknown,
    }


def _day(value: date | None, default: str) -> str:
    return default if value is None else value.isoformat()
