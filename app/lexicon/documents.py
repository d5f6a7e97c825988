"""JSON Schemas of the Schemas API to changes of entries, and entries to JSON Schemas (wire section 16). Pure.

What a schema gives as an example is a value, and values are not kept: `examples` and whatever the published subset does not
know are left out, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from app.errors import InvalidInput
from app.lexicon.model import USER, Change, Entry, Key, Kind, State
from app.lexicon.names import personal

EntityType = Literal["event", "profile"]
_VENDOR = "com.mixpanel"
_OF_ENTITY = ("$schema", "required", "additionalProperties")
_OF_PROPERTY = ("type", "format")
_MOST_PROPERTIES = 2_000
_MOST_ENTRIES = 4_000

_Text = str | None | UnsetType
_Flag = bool | None | UnsetType
_Words = tuple[str, ...] | None | UnsetType


class _PropertyWords(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    display_name: _Text = UNSET
    hidden: _Flag = UNSET
    dropped: _Flag = UNSET


class _EntityWords(
    _PropertyWords,
    forbid_unknown_fields=True,
    rename={"display_name": "displayName", "team_contacts": "teamContacts", "source": "$source"},
):
    tags: _Words = UNSET
    contacts: _Words = UNSET
    team_contacts: _Words = UNSET
    source: _Text = UNSET


class _PropertyMetadata(msgspec.Struct):
    vendor: _PropertyWords = msgspec.field(name=_VENDOR, default_factory=_PropertyWords)


class _EntityMetadata(msgspec.Struct):
    vendor: _EntityWords = msgspec.field(name=_VENDOR, default_factory=_EntityWords)


class _Property(msgspec.Struct):
    type: Literal["array", "boolean", "integer", "null", "number", "object", "string"]
    description: str | None = None
    format: str | UnsetType = UNSET
    metadata: _PropertyMetadata = msgspec.field(default_factory=_PropertyMetadata)


class _Schema(msgspec.Struct):
    description: str | None = None
    schema: str | UnsetType = msgspec.field(name="$schema", default=UNSET)
    required: tuple[str, ...] | UnsetType = UNSET
    additional: bool | UnsetType = msgspec.field(name="additionalProperties", default=UNSET)
    properties: dict[str, _Property] = {}
    metadata: _EntityMetadata = msgspec.field(default_factory=_EntityMetadata)


class Upload(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One entity to create or replace. `schema_json` is what the client sent, to be read by `read_schema`."""

    entity_type: EntityType
    name: str
    schema_json: dict[str, Any]


class Bulk(msgspec.Struct, forbid_unknown_fields=True):
    """Many, and whether the whole dictionary is emptied first."""

    entries: tuple[Upload, ...]
    truncate: bool = False


def read_bulk(sent: Any) -> Bulk:
    """A bulk upload. Raises `InvalidInput` that says where, and never what was sent."""
    bulk: Bulk = _converted(sent, Bulk)
    if len(bulk.entries) > _MOST_ENTRIES:
        raise InvalidInput(f"more than {_MOST_ENTRIES} entries", field="entries", remedy="send fewer at a time")
    return bulk


def key_of(entity_type: str, name: str) -> Key:
    """The entry of an entity. Raises `InvalidInput` for a type that is none, and a profile that is not the user's."""
    if entity_type not in ("event", "profile"):
        raise InvalidInput("entityType is neither event nor profile", field="entityType", remedy="use event or profile")
    if entity_type == "profile" and name != USER:
        raise InvalidInput("the profile entity is $user", field="name", remedy="use profile/$user")
    return Key(Kind(entity_type), name)


def property_key(entity: Key, name: str) -> Key:
    """The entry of a property within an entity."""
    return Key(Kind.EVENT_PROPERTY, name, entity.name) if entity.kind is Kind.EVENT else Key(Kind.PROFILE_PROPERTY, name)


def changes_of(entity: Key, sent: Any, held: Mapping[Key, Entry]) -> tuple[dict[Key, Change], bool]:
    """The changes that make a schema so, and whether something of it was left out. `held` are the entries as they stand:
    metadata that the schema does not mention stays, what it says null to is cleared, all else is replaced."""
    schema: _Schema = _converted(sent, _Schema)
    if len(schema.properties) > _MOST_PROPERTIES:
        raise InvalidInput(f"more than {_MOST_PROPERTIES} properties", field="properties", remedy="describe fewer")
    words, now = schema.metadata.vendor, held.get(entity, Entry(entity))
    document = {name: sent[name] for name in _OF_ENTITY if name in sent}
    source = now.document.get("$source") if words.source is UNSET else words.source
    if source is not None:
        document["$source"] = source
    _refuse_personal(document)
    lists = {"tags": words.tags, "owners": words.contacts, "teams": words.team_contacts}
    given = {name: () if value is None else value for name, value in lists.items() if value is not UNSET}
    changes = {entity: _change(now, schema.description, document, words, **given)}
    for name, each in schema.properties.items():
        key = property_key(entity, name)
        own = {word: sent["properties"][name][word] for word in _OF_PROPERTY if word in sent["properties"][name]}
        _refuse_personal(own)
        changes[key] = _change(held.get(key, Entry(key)), each.description, own, each.metadata.vendor)
    return changes, _leaves_out(sent)


def drops(sent: Any) -> bool:
    """Whether a schema says of its entity or of a property that it is dropped at ingest. Looks without judging: `changes_of`
    does."""
    properties = _part(sent, "properties")
    parts = (sent, *properties.values())
    return any(_part(_part(each, "metadata"), _VENDOR).get("dropped") is True for each in parts)


def _part(of: Any, name: str) -> dict[str, Any]:
    found = of.get(name) if isinstance(of, dict) else None
    return found if isinstance(found, dict) else {}


def _change(now: Entry, description: str | None, document: dict[str, Any], words: _PropertyWords, **more: Any) -> Change:
    shown = UNSET if words.display_name is UNSET else words.display_name or None
    state = _state(now.state, words)
    return Change(state=state, display_name=shown, description=description or None, document=document, **more)


def _state(now: State, words: _PropertyWords) -> State:
    hidden = now is State.HIDDEN if words.hidden is UNSET else bool(words.hidden)
    dropped = now is State.BLOCKED if words.dropped is UNSET else bool(words.dropped)
    if dropped:
        return State.BLOCKED
    if hidden:
        return State.HIDDEN
    told = words.hidden is not UNSET or words.dropped is not UNSET
    return now if now is State.PENDING and not told else State.VISIBLE


def _leaves_out(sent: Mapping[str, Any]) -> bool:
    entity = {*_OF_ENTITY, "description", "properties", "metadata", "type"}
    known = {*_OF_PROPERTY, "description", "metadata"}
    return bool(sent.keys() - entity) or any(each.keys() - known for each in sent.get("properties", {}).values())


def _refuse_personal(document: Mapping[str, Any]) -> None:
    if any(personal(text) for text in _texts(document) if not text.startswith("http")):
        raise InvalidInput(
            "the schema holds what looks like personal data", field="schemaJson", remedy="describe without an example"
        )


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _texts(each)


def schema_of(entity: Entry | None, properties: Iterable[Entry]) -> dict[str, Any]:
    """The schema of an entity as it was uploaded, or as it would be."""
    schema: dict[str, Any] = {}
    if entity is not None:
        schema = {name: value for name, value in entity.document.items() if name != "$source"}
        if entity.description:
            schema["description"] = entity.description
    schema["properties"] = {each.key.name: _property(each) for each in properties}
    words = {} if entity is None else _words(entity) | _owners(entity)
    if words:
        schema["metadata"] = {_VENDOR: words}
    return schema


def _property(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"type": entry.types[0] if entry.types else "string", **entry.document}
    if entry.description:
        found["description"] = entry.description
    words = _words(entry)
    return found | {"metadata": {_VENDOR: words}} if words else found


def _words(entry: Entry) -> dict[str, Any]:
    words: dict[str, Any] = {"displayName": entry.display_name} if entry.display_name else {}
    if entry.state is State.HIDDEN:
        words["hidden"] = True
    if entry.state is State.BLOCKED:
        words["dropped"] = True
    return words


def _owners(entry: Entry) -> dict[str, Any]:
    lists = {"tags": entry.tags, "contacts": entry.owners, "teamContacts": entry.teams}
    words: dict[str, Any] = {name: list(value) for name, value in lists.items() if value}
    return words | {"$source": entry.document["$source"]} if "$source" in entry.document else words


def _converted(sent: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(sent, kind)
    except msgspec.ValidationError as fault:
        # The message names place and expected type. Of an unknown word and an unknown field it also says what was sent.
        said, _, place = str(fault).partition(" - at ")
        if "enum" in said:
            said = "an unknown word"
        elif "unknown field" in said:
            said = "a field that is not known here"
        where = place.strip("`") or "$"
        raise InvalidInput(
            f"{said} at {where}", field="body", remedy="see the Schemas API: entityType, name, schemaJson"
        ) from None
