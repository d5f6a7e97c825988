"""HTTP for whoever governs data: entries, blocking, merging, marking, approval, standards, digests, anomalies, CSV."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request
from flask_smorest import Blueprint

from app.access.roles import Permission
from app.errors import InvalidInput, NotFound
from app.http import api_blueprint, caller, needs, services
from app.lexicon import schemas, spreadsheet
from app.lexicon.model import Approval, Change, Editor, Key, Kind, Standards, State
from app.lexicon.overview import Place, place_of

_MOST_CSV_BYTES = 5_000_000


def blueprint() -> Blueprint:
    """The routes of the dictionary."""
    routes = api_blueprint("lexicon", "The data dictionary: as seen, as described, and what is enforced by name.")

    def add(path: str, method: str, view: Any, answer: Any, body: Any = None, query: Any = None) -> None:
        made = routes.response(200, answer)(view)
        made = made if body is None else routes.arguments(body)(made)
        made = made if query is None else routes.arguments(query, location="query")(made)
        routes.route(f"/v1/lexicon/{path}", methods=[method])(made)

    add("entries", "GET", listing, schemas.EntriesSchema, query=schemas.EntriesQuery)
    add("entries", "POST", change, schemas.EntriesChangedSchema, schemas.EntryChangesSchema)
    add("block", "POST", block, schemas.EntriesChangedSchema, schemas.BlockSchema)
    add("merge", "POST", merge, schemas.EntriesChangedSchema, schemas.MergeSchema)
    add("classify", "POST", classify, schemas.EntriesChangedSchema, schemas.ClassifySchema)
    add("volume", "GET", volume, schemas.VolumeSchema, query=schemas.VolumeQuery)
    add("settings", "GET", settings, schemas.LexiconSettingsAnswerSchema)
    add("settings", "POST", change_settings, schemas.LexiconSettingsAnswerSchema, schemas.LexiconSettingsSchema)
    add("digest", "POST", digest, schemas.LexiconSettingsAnswerSchema, schemas.DigestSchema)
    add("anomalies", "GET", anomalies, schemas.AnomaliesSchema)
    add("anomalies/<string:anomaly_id>/acknowledge", "POST", acknowledge, schemas.AnomalySchema)
    routes.route("/v1/lexicon/csv", methods=["GET"])(routes.doc(**schemas.CSV_DOC)(export_csv))
    imported = routes.response(200, schemas.EntriesChangedSchema)(import_csv)
    routes.route("/v1/lexicon/csv", methods=["POST"])(routes.doc(**schemas.CSV_BODY_DOC)(imported))
    return routes


@needs(Permission.LEXICON_READ)
def listing(query: dict[str, Any]) -> dict[str, Any]:
    """Entries by kind, event and name, with what the policy says of them and what they lack of the standards."""
    kinds = (Kind(query["kind"]),) if "kind" in query else tuple(Kind)
    state, limit = State(query["state"]) if "state" in query else None, query["limit"]
    after, event = _after(query.get("cursor")), query.get("event", "")
    page = services().overview.page(caller().project.id, kinds, event=event, state=state, after=after, limit=limit + 1)
    more = place_of(page[limit - 1].entry) if len(page) > limit else None
    cursor = None if more is None else msgspec.json.encode(more).hex()
    return {"entries": [schemas.entry_view(each) for each in page[:limit]], "cursor": cursor}


@needs(Permission.LEXICON_WRITE)
def change(body: dict[str, Any]) -> dict[str, Any]:
    """Describe, hide, show, verify or approve entries, all of them or none. Each change is an audit entry."""
    return _changed({schemas.key_of(each): schemas.change_of(each) for each in body["entries"]})


@needs(Permission.LEXICON_BLOCK)
def block(body: dict[str, Any]) -> dict[str, Any]:
    """Refuse a name in every batch that is acknowledged after this answers. What is stored stays."""
    return _changed({schemas.key_of(body): Change(state=State.BLOCKED if body["blocked"] else State.VISIBLE)})


@needs(Permission.LEXICON_BLOCK)
def merge(body: dict[str, Any]) -> dict[str, Any]:
    """Read a name as another. Nothing stored is changed, and taking it back is enough to undo it."""
    return _changed({schemas.key_of(body): Change(merged_into=body["into"])})


@needs(Permission.LEXICON_CLASSIFY)
def classify(body: dict[str, Any]) -> dict[str, Any]:
    """Mark a property, so that only who holds the permission reads its values; seeing them is not needed for it."""
    return _changed({schemas.key_of(body): Change(classified=body["classified"])})


@needs(Permission.LEXICON_READ)
def volume(query: dict[str, Any]) -> dict[str, Any]:
    """How often a name came, by UTC day."""
    with services().database.read() as tx:
        found = services().lexicon.days(
            tx, caller().project.id, schemas.key_of(query), services().overview.days_ago(query["days"] - 1)
        )
    return {"days": [{"day": day, "taken": n, "refused": refused} for day, n, refused in found]}


@needs(Permission.LEXICON_READ)
def settings() -> dict[str, Any]:
    """What becomes of new names, and what entries must have."""
    with services().database.read() as tx:
        return schemas.settings_view(services().lexicon.settings(tx, caller().project.id))


@needs(Permission.LEXICON_WRITE)
def change_settings(body: dict[str, Any]) -> dict[str, Any]:
    """Change them. What becomes of new names wants the permission to block as well."""
    approvals = {name: Approval(body[name]) for name in ("new_events", "new_properties") if name in body}
    standards = Standards(**body["standards"]) if "standards" in body else None
    with services().database.write() as tx:
        made = services().lexicon.change_settings(tx, caller().project.id, _editor(), **approvals, standards=standards)
    return schemas.settings_view(made)


@needs(Permission.LEXICON_BLOCK)
def digest(body: dict[str, Any]) -> dict[str, Any]:
    """Say where the daily digest of pending names goes; the first one is sent at once."""
    services().digests.choose(caller().project.id, _editor(), body["how"], body["to"])
    with services().database.read() as tx:
        return schemas.settings_view(services().lexicon.settings(tx, caller().project.id))


@needs(Permission.LEXICON_READ)
def anomalies() -> dict[str, Any]:
    """Days on which an event came far more or far less often than on that weekday before, newest first."""
    return {"anomalies": [schemas.anomaly_view(each) for each in services().anomalies.of(caller().project.id)]}


@needs(Permission.LEXICON_WRITE)
def acknowledge(anomaly_id: str) -> dict[str, Any]:
    """Say that somebody knows of it."""
    return schemas.anomaly_view(services().anomalies.acknowledge(caller().project.id, _editor(), anomaly_id))


@needs(Permission.LEXICON_READ)
def export_csv() -> Response:
    """The whole dictionary, streamed, one row an entry."""
    rows = spreadsheet.written(services().overview.rows(caller().project.id))
    response = Response(rows, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="lexicon.csv"'
    response.headers["Cache-Control"] = "no-store"
    return response


@needs(Permission.LEXICON_WRITE)
def import_csv() -> dict[str, Any]:
    """Change what the rows say, all of it or nothing. Columns that only show something are not read."""
    body = request.get_data(cache=False)
    if len(body) > _MOST_CSV_BYTES:
        raise InvalidInput(f"more than {_MOST_CSV_BYTES} bytes", field="body", remedy="split the file")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("the file is not UTF-8", field="body", remedy="save it as CSV in UTF-8") from None
    return _changed(spreadsheet.read(text))


def _changed(changes: dict[Key, Change]) -> dict[str, Any]:
    with services().database.write() as tx:
        return {"changed": services().lexicon.change(tx, caller().project.id, _editor(), changes)}


def _editor() -> Editor:
    return Editor(caller().id, caller().permissions)


def _after(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    try:
        kind, event, name = msgspec.json.decode(bytes.fromhex(cursor), type=tuple[str, str, str])
    except (ValueError, msgspec.DecodeError):
        raise NotFound("no such page", field="cursor", remedy="send the cursor of the page before, or none") from None
    return kind, event, name
