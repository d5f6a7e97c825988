"""The policy language as JSON Schema (draft 2020-12), for editors: made from the vocabulary, so that it cannot drift.

``load`` is the judge of a policy; a schema cannot say everything that it checks (that ids are unique, for example).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from policies import model
from policies.categories import CATEGORIES
from policies.classify import HOUSEKEEPING
from policies.model import (
    ActionKind,
    Consented,
    DateUnit,
    Detector,
    Fallback,
    Geolocation,
    Period,
    Reason,
    Scope,
    Sensitivity,
    Signal,
    SubjectState,
    Verdict,
)

_Schema = dict[str, Any]
_SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
_BARE = (
    ActionKind.KEEP,
    ActionKind.DROP,
    ActionKind.DROP_EVENT,
    ActionKind.QUARANTINE,
    ActionKind.REDACT,
    ActionKind.ENCRYPT,
    ActionKind.HASH,
    ActionKind.MASK,
    ActionKind.TOKENISE,
)
_OF_DETECTORS = (
    ActionKind.KEEP,
    ActionKind.DROP,
    ActionKind.DROP_EVENT,
    ActionKind.QUARANTINE,
    ActionKind.HASH,
    ActionKind.REDACT,
)
_CLASSES = {kind: getattr(model, "".join(word.title() for word in kind.split("_"))) for kind in ActionKind}


def policy_schema() -> dict[str, Any]:
    """The schema of a policy file, as JSON values."""
    listed = {name: _list(_ref(one)) for name, one in (("rules", "rule"), ("retention", "retention"), ("cases", "case"))}
    keys: _Schema = {
        "policy": {"type": "string", "pattern": _SLUG, "description": "The name, in lower case with dashes."},
        "description": _text("One or two sentences.", 4_000),
        "geolocation": _words(Geolocation, "How precisely a place may be kept."),
        "default_region": {
            "type": "string",
            "pattern": "^[A-Z]{2}$",
            "description": "The country whose phone numbers are written without a country code.",
        },
        "unknown_properties": _unknown("What becomes of a property that no rule names."),
        "unknown_events": _unknown("What becomes of an event that is not in `events.allow`."),
        "events": _events(),
        "consent": _consent(),
        "detectors": _detectors(),
        **listed,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Portcullis policy",
        "description": "What may be kept about people, property by property.",
        **_object(keys, ("policy",)),
        "$defs": {
            "action": _action(),
            "detector": _detector(),
            "globs": _one_or_more(_text("`*` stands for any text, `?` for any one character.")),
            "category": _category(),
            "rule": _rule(),
            "filter": _filter(),
            "retention": _retention(),
            "case": _case(),
        },
    }


# --- parts -----------------------------------------------------------------------------------------------------------


def _rule() -> _Schema:
    keys: _Schema = {
        "id": _slug("Remarks and explanations name it."),
        "properties": _one_or_more(_property()),
        "scope": _one_or_more(_words(Scope, "Records of this kind only; all when left out.")),
        "events": _ref("globs", "Events of these names only; needs `scope: event`."),
        "category": _ref("category"),
        "sensitivity": _words(Sensitivity, "How harmful disclosure would be."),
        "action": _ref("action"),
        "classified": {"type": "boolean", "description": "Readers need a permission to see the values."},
        "scan": {"type": "boolean", "description": "`false` exempts a kept property from the detectors."},
        "purposes": _ref("globs", "The only purposes that the properties serve: they go where all of these are refused."),
        "why": _text("The reason, for the next person who reads the policy.", 2_000),
    }
    event_only = {"properties": {"scope": {"enum": ["event", ["event"]]}}, "required": ["scope"]}
    kept = {"properties": {"action": {"const": "keep"}}}
    removed = {"properties": {"action": {"enum": ["drop", "drop_event"]}}, "required": ["purposes", "action"]}
    return {
        **_object(keys, ("id", "properties", "category", "sensitivity", "action")),
        "allOf": [
            {"if": {"required": ["events"]}, "then": event_only},
            {"if": {"properties": {"scan": {"const": False}}, "required": ["scan"]}, "then": kept},
            {"not": removed},
        ],
    }


def _property() -> _Schema:
    refused = [{"enum": sorted(HOUSEKEEPING)}, {"pattern": r"\[[^\]]|^[.\[]|\.$|\.\."}]
    about = "A name (`email`), a pattern (`*_email`), or a path (`items[].email`)."
    return {**_text(about), "not": {"anyOf": refused}}


def _category() -> _Schema:
    form = {"type": "string", "pattern": r"^(?:user|system)(?:\.[a-z0-9_]+)*$"}
    return {**form, "description": "A fideslang key.", "examples": sorted(CATEGORIES)}


def _action() -> _Schema:
    words = [{"const": kind.value, "description": _said(kind)} for kind in _BARE]
    with_settings = [
        _object({kind.value: {**settings, "description": _said(kind)}}, (kind.value,)) for kind, settings in _settings().items()
    ]
    return {"oneOf": [*words, *with_settings]}


def _settings() -> dict[ActionKind, _Schema]:
    purpose = _text("Values join only within one purpose; the category when left out.")
    ends = {"type": "integer", "minimum": 0, "maximum": 100}
    ways: _Schema = {
        "bucket": {"type": "number", "minimum": 1e-6, "maximum": 1e15},
        "bands": {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 50, "uniqueItems": True},
        "date": _words(DateUnit, "How much of a date remains."),
        "postal": {"type": "integer", "minimum": 1, "maximum": 10},
    }
    period = _words(Period, "The key changes this often, and values join within one period only.")
    return {
        ActionKind.HASH: _object({"purpose": purpose, "period": period}),
        ActionKind.MASK: _object({"keep_first": ends, "keep_last": ends}),
        ActionKind.TRUNCATE: _object({"length": {"type": "integer", "minimum": 0, "maximum": 10_000}}, ("length",)),
        ActionKind.GENERALISE: {**_object(ways), "minProperties": 1, "maxProperties": 1},
        ActionKind.REPLACE: _object({"with": {"type": ["string", "number", "boolean"]}}, ("with",)),
        ActionKind.TOKENISE: _object({"purpose": purpose}),
    }


def _detectors() -> _Schema:
    keys = {detector.value: _ref("detector") for detector in Detector}
    one = _words(_OF_DETECTORS, "One action for every detector.")
    return {"oneOf": [one, _object(keys)], "description": "What happens to personal data that is found by its form."}


def _detector() -> _Schema:
    action = _words(_OF_DETECTORS, "What happens to a finding; `keep` switches the detector off.")
    keys: _Schema = {
        "action": action,
        "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "What is below it is left alone."},
        "context": _ref("globs", "Further words that raise the confidence of what stands near them."),
        "allow": _ref("globs", "Texts that are no personal data here."),
    }
    return {"oneOf": [action, _object(keys)]}


def _unknown(about: str) -> _Schema:
    keys = {each: _words(Fallback, about) for each in ("otherwise", *Sensitivity)}
    return {"oneOf": [_words(Fallback, about), _object(keys, ("otherwise",))], "description": about}


def _events() -> _Schema:
    return _object(
        {
            "allow": _ref("globs", "Events that are known."),
            "block": _ref("globs", "Events that are refused."),
            "drop": {**_list(_ref("filter")), "description": "Events that are refused for what their properties say."},
        }
    )


def _filter() -> _Schema:
    scalar: _Schema = {"type": ["string", "number", "boolean", "null"]}
    values: _Schema = {"oneOf": [scalar, {"type": "array", "items": scalar, "minItems": 1}]}
    tests: _Schema = {
        "is": values,
        "is_not": values,
        "contains": _one_or_more({"type": "string"}),
        "exists": {"type": "boolean"},
        "above": {"type": "number"},
        "below": {"type": "number"},
    }
    condition = _object({"property": _text("A name or a path."), **tests}, ("property",))
    condition |= {"minProperties": 2, "maxProperties": 2}
    keys = {"id": _slug("Remarks name it."), "events": _ref("globs"), "where": {**_list(condition), "minItems": 1}}
    return _object(keys, ("id", "where"))


def _consent() -> _Schema:
    purpose = _object(
        {
            "id": _slug("People refuse it by this name, and rules name it."),
            "events": _ref("globs", "The events that serve it."),
            "signals": _one_or_more(_words(Signal, "Browser signals that refuse it, and leave everything else.")),
        },
        ("id",),
    )
    return _object(
        {
            "default": _words(Consented, "What holds for a person who has said nothing."),
            "signals": _one_or_more(_words(Signal, "Browser signals that refuse the whole record.")),
            "purposes": _list(purpose),
        }
    )


def _retention() -> _Schema:
    days = {"type": "integer", "minimum": 1, "maximum": 36_500}
    keys = {"id": _slug("Remarks name it."), "events": _ref("globs"), "category": _ref("category"), "days": days}
    either = [{"required": ["events"]}, {"required": ["category"]}]
    return {**_object(keys, ("id", "days")), "oneOf": either}


def _case() -> _Schema:
    expect: _Schema = {
        "verdict": _words(Verdict, "What becomes of the record."),
        "event": _text("The name that is stored."),
        "properties": {"type": "object"},
        "reasons": _list(_words(Reason, "The reasons of the remarks, in any order.")),
    }
    keys: _Schema = {
        "name": _text("What the case shows."),
        "scope": _words(Scope, "`event` when left out."),
        "event": _text("The name of the event."),
        "operation": _text("The operation of a profile or group update, such as `$set`."),
        "properties": {"type": "object"},
        "state": _words(SubjectState, "What is known of the person."),
        "time": {"type": "string", "description": "ISO 8601, UTC unless it says otherwise."},
        "signals": _one_or_more(_words(Signal, "What the request carries.")),
        "refused_purposes": _ref("globs"),
        "expect": _object(expect, ("verdict",)),
    }
    other = {"properties": {"scope": {"enum": ["profile", "group"]}}, "required": ["scope"]}
    needed = {"if": other, "then": {"required": ["operation"]}, "else": {"required": ["event"]}}
    return {**_object(keys, ("name", "properties", "expect")), **needed}


# --- building blocks -------------------------------------------------------------------------------------------------


def _object(keys: _Schema, required: Iterable[str] = ()) -> _Schema:
    found: _Schema = {"type": "object", "properties": keys, "additionalProperties": False}
    return {**found, "required": list(required)} if required else found


def _words(kind: type[StrEnum] | Iterable[StrEnum], about: str) -> _Schema:
    return {"enum": [each.value for each in kind], "description": about}


def _text(about: str, longest: int = 200) -> _Schema:
    # An unquoted 404 or true is a text to the policy reader and a number to the editor.
    return {"type": ["string", "number", "boolean"], "minLength": 1, "maxLength": longest, "description": about}


def _slug(about: str) -> _Schema:
    return {"type": "string", "pattern": _SLUG, "maxLength": 200, "description": about}


def _list(item: _Schema) -> _Schema:
    return {"type": "array", "items": item, "maxItems": 1_000}


def _one_or_more(item: _Schema) -> _Schema:
    return {"oneOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _ref(name: str, about: str = "") -> _Schema:
    return {"$ref": f"#/$defs/{name}", "description": about} if about else {"$ref": f"#/$defs/{name}"}


def _said(kind: ActionKind) -> str:
    """What an action does: the first line of the docstring of its class."""
    return str(_CLASSES[kind].__doc__).partition("\n")[0]
