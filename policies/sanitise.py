"""Stored records made anonymous under a chosen policy, and an account of what that did to each property. Pure.

Policy decides first. What it leaves then loses everything that this service itself put there to recognise a person by:
pseudonyms, tokens and ciphertexts become placeholders whatever the policy says, because each is the same in the next record
of that person, and a key turns it back. Last, every detector looks at what is left, whatever the policy thinks of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from policies.cipher import ENCRYPTED_CODE, TOKEN_CODE
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.gate import Gate
from policies.model import Policy, Record, Scope, Verdict
from policies.pseudonym import PSEUDONYM_CODE

OTHER, UNNAMED = "<other>", "<key>"
OWN_ID = "own_id"
"""The finding that a value is, or holds, an id of the person whose record it is."""
_MOST_PROPERTIES = 2_000
_LONGEST_NAME = 200
_SHORTEST_ID = 3
_SHORTEST_PART = 8
_DETECTED = "detector."
_PLACEHOLDERS = (("[pseudonym]", PSEUDONYM_CODE), ("[token]", TOKEN_CODE), ("[encrypted]", ENCRYPTED_CODE))
_CODES = tuple((text, re.compile(rf"(?<![A-Za-z0-9])(?:{code.pattern})")) for text, code in _PLACEHOLDERS)
_MARKS = re.compile(r"[pt][1-9][0-9]*\.|e1\.")


@dataclass(frozen=True, slots=True)
class Sanitised:
    """One record as it may be stored under a new id. ``properties`` is None when the policy does not let it pass;
    ``label`` is its name, or a placeholder where that itself looks personal."""

    label: str = field(repr=False)
    name: str = field(repr=False)
    properties: Mapping[str, Any] | None = field(repr=False)


class Fate(msgspec.Struct):
    """What became of one property: in how many records it was kept, changed or dropped, and by detector in how many
    something personal was still found in it afterwards."""

    kept: int = 0
    changed: int = 0
    dropped: int = 0
    findings: dict[str, int] = {}


class Account(msgspec.Struct):
    """Everything that was sanitised so far. ``fates`` are by scope, event and property; memory is bounded by names."""

    records: dict[str, int] = {}
    dropped: dict[str, int] = {}
    fates: dict[str, Fate] = {}

    def fate(self, scope: str, event: str, name: str) -> Fate:
        """The fate of one property; beyond 2,000 of them all others share one."""
        key = _SEPARATOR.join((scope, event, name))
        found = self.fates.get(key)
        if found is None:
            key = key if len(self.fates) < _MOST_PROPERTIES else _SEPARATOR.join((scope, OTHER, OTHER))
            found = self.fates.setdefault(key, Fate())
        return found

    def findings(self) -> int:
        """In how many places, and records of them, something personal is left."""
        return sum(n for each in self.fates.values() for n in each.findings.values())

    def shown(self) -> list[dict[str, Any]]:
        """One entry a property, those with findings first. Names and counts, no values."""
        ordered = sorted(self.fates.items(), key=lambda item: (-sum(item[1].findings.values()), item[0]))
        parts = ((key.split(_SEPARATOR), fate) for key, fate in ordered)
        return [
            {"scope": scope, "event": event, "property": name, **msgspec.to_builtins(fate)}
            for (scope, event, name), fate in parts
        ]


_SEPARATOR = "\x1f"


class Sanitiser:
    """One policy applied to stored records. Safe to use for any number of batches."""

    def __init__(self, gate: Gate, *, unlink: bool = True) -> None:
        """Take the gate of the chosen policy. Without ``unlink`` pseudonyms, tokens and ciphertexts stay: for records whose
        person stays known."""
        self._gate = gate
        self._unlink = unlink
        self._strict = compile_policy(Policy("residual"))

    def sanitise(
        self, records: Sequence[Record], own_ids: Sequence[Collection[str]], context: CheckContext, account: Account
    ) -> list[Sanitised]:
        """The records as they may be stored, in order; the account is added to. ``own_ids`` are every id of the person
        of each record. A record that the policy would hold for a person to look at is dropped: nobody looks at it here."""
        found = self.outcomes(records, context)
        left = [
            Record(record.scope, each.name, each.properties or {}, time_ms=record.time_ms)
            for record, each in zip(records, found, strict=True)
        ]
        for record, each, ids, residue in zip(records, found, own_ids, self._strict.check(left, context), strict=True):
            hits = {} if each.properties is None else _hits(residue.remarks, each.properties)
            self._note(account, record, each, ids, hits)
        return found

    def outcomes(self, records: Sequence[Record], context: CheckContext) -> list[Sanitised]:
        """The records as they may be stored, without an account of it: what others would be under the same policy."""
        found = []
        for record, decision in zip(records, self._gate.check(records, context), strict=True):
            properties = decision.properties if decision.verdict in (Verdict.PASS, Verdict.CHANGED) else None
            if properties is not None and self._unlink:
                properties = _unlinked(properties)
            found.append(Sanitised(self.label(decision.name or record.name), decision.name or "", properties))
        return found

    def label(self, name: str) -> str:
        """A name as it may stand in a report: not if it is long, unprintable or looks like personal data."""
        fit = len(name) <= _LONGEST_NAME and name.isprintable()
        return name if fit and not self._strict.terms.scanner.suspicion.name(name) else UNNAMED

    def _note(
        self, account: Account, record: Record, each: Sanitised, ids: Collection[str], hits: Mapping[str, Collection[str]]
    ) -> None:
        scope, event = record.scope.value, each.label if record.scope is Scope.EVENT else ""
        account.records[scope] = account.records.get(scope, 0) + 1
        after = each.properties
        if after is None:
            account.dropped[scope] = account.dropped.get(scope, 0) + 1
            return
        for name, value in record.properties.items():
            fate = account.fate(scope, event, self.label(name))
            if name not in after:
                fate.dropped += 1
            elif after[name] == value:
                fate.kept += 1
            else:
                fate.changed += 1
        for name in {*after, *hits}:
            own = name in after and _mentions(name, after[name], ids)
            for detector in (*hits.get(name, ()), *((OWN_ID,) if own else ())):
                fate = account.fate(scope, event, self.label(name))
                fate.findings[detector] = fate.findings.get(detector, 0) + 1


def _unlinked(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without anything of ours that names a person: as text, because a code may stand in JSON inside a string."""
    text = msgspec.json.encode(properties).decode()
    if not _MARKS.search(text):
        return properties
    changed = text
    for placeholder, code in _CODES:
        changed = code.sub(placeholder, changed)
    if changed == text:
        return properties
    found: dict[str, Any] = msgspec.json.decode(changed)
    return found


def _hits(remarks: Sequence[Any], properties: Mapping[str, Any]) -> dict[str, set[str]]:
    """Detectors by the top-level property in which they found something; by `UNNAMED` where that cannot be told."""
    found: dict[str, set[str]] = {}
    for each in remarks:
        if each.rule.startswith(_DETECTED):
            path = each.path.removeprefix("properties.")
            # A name may hold dots itself, so the longest that fits is meant.
            fitting = (name for name in properties if path == name or path.startswith((f"{name}.", f"{name}[")))
            found.setdefault(max(fitting, key=len, default=UNNAMED), set()).add(each.rule.removeprefix(_DETECTED))
    return found


def _mentions(name: str, value: Any, ids: Collection[str]) -> bool:
    """Whether a property says an id of its person: a text that is one, or holds one that is long enough to mean it."""
    texts = (name, *_texts(value))
    folded = [text.casefold() for text in texts]
    for each in ids:
        wanted = each.casefold()
        if len(wanted) >= _SHORTEST_ID and wanted in folded:
            return True
        if len(wanted) >= _SHORTEST_PART and any(wanted in text for text in folded):
            return True
    return False


def _texts(value: Any) -> list[str]:
    """Every text in a JSON value, names of members and numbers as they are written included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int | float):
        return [str(value)]
    if isinstance(value, Mapping):
        return [text for key, each in value.items() for text in (str(key), *_texts(each))]
    return [text for each in value for text in _texts(each)] if isinstance(value, list | tuple) else []
