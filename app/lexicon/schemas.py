"""Shapes of the dictionary's `/v1` API."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.audit.entry import iso
from app.lexicon.anomalies import Anomaly
from app.lexicon.model import Approval, Change, Key, Kind, Settings, State
from app.lexicon.names import LONGEST_NAME
from app.lexicon.overview import Shown
from app.lexicon.standards import PATTERN, STYLES

_WORDS = validate.Length(max=100)


def _choice(kind: Any, **options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf([each.value for each in kind]), **options)


class EntryKeySchema(Schema):
    """Which entry. `event` only for a property within one event."""

    kind = _choice(Kind, required=True)
    name = fields.String(required=True, validate=validate.Length(1, LONGEST_NAME))
    event = fields.String(load_default="", validate=validate.Length(max=LONGEST_NAME))


class EntryChangeSchema(EntryKeySchema):
    """One entry and what is new about it. What is left out stays; null clears."""

    display_name = fields.String(allow_none=True)
    description = fields.String(allow_none=True)
    tags = fields.List(fields.String(), validate=_WORDS)
    owners = fields.List(fields.String(), validate=_WORDS, metadata={"description": "Mail addresses of who answers for it."})
    teams = fields.List(fields.String(), validate=_WORDS)
    state = fields.String(validate=validate.OneOf(["visible", "hidden", "blocked"]))
    verified = fields.Boolean()


class EntryChangesSchema(Schema):
    """Entries to change, all of them or none."""

    entries = fields.List(fields.Nested(EntryChangeSchema), required=True, validate=validate.Length(1, 1_000))


class EntriesChangedSchema(Schema):
    """How many entries were changed; what said the same already is not counted."""

    changed = fields.Integer(required=True)


class BlockSchema(EntryKeySchema):
    """Refuse a name at ingest from now on, or take it again."""

    blocked = fields.Boolean(load_default=True)


class MergeSchema(EntryKeySchema):
    """Read a name as another from now on; null reads it as itself again."""

    into = fields.String(required=True, allow_none=True, validate=validate.Length(1, LONGEST_NAME))


class ClassifySchema(EntryKeySchema):
    """Mark a property as classified, or take the mark away. What the policy classifies stays so."""

    classified = fields.Boolean(load_default=True)


class EntriesQuery(Schema):
    """Which entries. `event` asks for the properties within one event."""

    kind = _choice(Kind)
    event = fields.String()
    state = _choice(State)
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1_000))
    cursor = fields.String()


class ByPolicySchema(Schema):
    """What the policy in force says of a property."""

    category = fields.String(required=True, allow_none=True)
    sensitivity = fields.String(required=True, allow_none=True)
    action = fields.String(required=True, allow_none=True)
    classified = fields.Boolean(required=True)


class EntrySchema(Schema):
    """One entry: as seen, as described, as enforced, as classified."""

    kind = fields.String(required=True)
    event = fields.String(required=True, allow_none=True)
    name = fields.String(required=True)
    state = fields.String(required=True)
    merged_into = fields.String(required=True, allow_none=True)
    display_name = fields.String(required=True, allow_none=True)
    description = fields.String(required=True, allow_none=True)
    tags = fields.List(fields.String(), required=True)
    owners = fields.List(fields.String(), required=True)
    teams = fields.List(fields.String(), required=True)
    verified = fields.Boolean(required=True)
    marked_classified = fields.Boolean(required=True)
    classified = fields.Boolean(required=True, metadata={"description": "By the policy or by a mark."})
    policy = fields.Nested(ByPolicySchema, required=True)
    lacks = fields.List(fields.String(), required=True, metadata={"description": "Of the data standards; empty: compliant."})
    types = fields.List(fields.String(), required=True)
    first_seen = fields.String(required=True, allow_none=True)
    last_seen = fields.String(required=True, allow_none=True)
    volume_30_days = fields.Integer(required=True, allow_none=True, metadata={"description": "Null within one event."})
    refused_30_days = fields.Integer(required=True, allow_none=True)
    changed = fields.String(required=True, allow_none=True)
    changed_by = fields.String(required=True, allow_none=True)


class EntriesSchema(Schema):
    """A page of entries. `cursor` asks for the next one; null on the last."""

    entries = fields.List(fields.Nested(EntrySchema), required=True)
    cursor = fields.String(required=True, allow_none=True)


class VolumeQuery(EntryKeySchema):
    """Whose volume, and of how many days."""

    days = fields.Integer(load_default=30, validate=validate.Range(1, 180))


class VolumeDaySchema(Schema):
    """One UTC day."""

    day = fields.String(required=True)
    taken = fields.Integer(required=True)
    refused = fields.Integer(required=True)


class VolumeSchema(Schema):
    """Days on which the name came, in order. A property is counted over all events."""

    days = fields.List(fields.Nested(VolumeDaySchema), required=True)


class StandardsSchema(Schema):
    """What entries must have. Nothing is refused for it: entries say what they lack."""

    naming = fields.String(load_default="any", validate=validate.OneOf([*STYLES, PATTERN]))
    pattern = fields.String(load_default="", metadata={"description": "RE2 over the whole name, with naming `pattern`."})
    description = fields.Boolean(load_default=False)
    owner = fields.Boolean(load_default=False)


class LexiconSettingsSchema(Schema):
    """What becomes of names never seen before, and the data standards. What is left out stays."""

    new_events = _choice(Approval)
    new_properties = _choice(Approval)
    standards = fields.Nested(StandardsSchema)


class LexiconSettingsAnswerSchema(LexiconSettingsSchema):
    """The settings as they stand."""

    version = fields.Integer(required=True)
    approval_since = fields.String(required=True, allow_none=True)
    digest = fields.String(required=True, allow_none=True)


class DigestSchema(Schema):
    """Where the daily digest of pending names goes."""

    how = fields.String(required=True, allow_none=True, validate=validate.OneOf(["webhook", "mail"]))
    to = fields.String(allow_none=True, load_default=None)

    @validates_schema
    def _complete(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("how") is None) != (data.get("to") is None):
            raise ValidationError("give both how and to, or null for how alone", "to")


class AnomalySchema(Schema):
    """A day on which an event came far more or far less often than on that weekday before."""

    id = fields.String(required=True)
    event = fields.String(required=True)
    day = fields.String(required=True)
    taken = fields.Integer(required=True)
    expected = fields.Integer(required=True)
    spread = fields.Integer(required=True)
    state = fields.String(required=True)
    opened = fields.String(required=True)
    decided = fields.String(required=True, allow_none=True)
    decided_by = fields.String(required=True, allow_none=True)


class AnomaliesSchema(Schema):
    """Anomalies, newest first."""

    anomalies = fields.List(fields.Nested(AnomalySchema), required=True)


CSV_DOC = {
    "responses": {"200": {"description": "CSV, one row an entry", "content": {"text/csv": {"schema": {"type": "string"}}}}}
}
CSV_BODY_DOC = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}


def key_of(body: dict[str, Any]) -> Key:
    """The key that a body names."""
    return Key(Kind(body["kind"]), body["name"], body.get("event", ""))


def change_of(body: dict[str, Any]) -> Change:
    """The change that a body asks for."""
    given: dict[str, Any] = {name: body[name] for name in ("display_name", "description", "verified") if name in body}
    given |= {name: tuple(body[name]) for name in ("tags", "owners", "teams") if name in body}
    if "state" in body:
        given["state"] = State(body["state"])
    return Change(**given)


def entry_view(shown: Shown) -> dict[str, Any]:
    """As `EntrySchema` shows it."""
    entry, said, volume = shown.entry, shown.said, shown.volume or (None, None)
    plain = ("merged_into", "display_name", "description", "verified", "changed_by")
    return {
        "kind": entry.key.kind.value,
        "event": entry.key.event or None,
        "name": entry.key.name,
        "state": entry.state.value,
        **{name: getattr(entry, name) for name in plain},
        **{name: list(getattr(entry, name)) for name in ("tags", "owners", "teams", "types")},
        "marked_classified": entry.classified,
        "classified": entry.classified or said.classified,
        "policy": {name: getattr(said, name) for name in ("category", "sensitivity", "action", "classified")},
        "lacks": list(shown.lacks),
        "first_seen": _moment(entry.first_ms),
        "last_seen": _moment(entry.last_ms),
        "volume_30_days": volume[0],
        "refused_30_days": volume[1],
        "changed": _moment(entry.changed_ms),
    }


def settings_view(settings: Settings) -> dict[str, Any]:
    """As `LexiconSettingsAnswerSchema` shows it."""
    wanted = ("naming", "pattern", "description", "owner")
    return {
        "version": settings.version,
        "new_events": settings.new_events.value,
        "new_properties": settings.new_properties.value,
        "standards": {name: getattr(settings.standards, name) for name in wanted},
        "approval_since": _moment(settings.approval_since_ms),
        "digest": settings.digest,
    }


def anomaly_view(found: Anomaly) -> dict[str, Any]:
    """As `AnomalySchema` shows it."""
    return {
        "id": found.id,
        "event": found.name,
        "day": found.day,
        "taken": found.n,
        "expected": found.expected,
        "spread": found.spread,
        "state": found.state,
        "opened": iso(found.opened_ms),
        "decided": _moment(found.decided_ms),
        "decided_by": found.decided_by,
    }


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
