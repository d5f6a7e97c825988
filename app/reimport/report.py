"""What an officer reviews, and what a finished re-import signs. Counts and names only: no value and no id of anybody."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.engine import Connection

from app.audit.certificate import signer_name
from app.audit.entry import iso
from app.audit.note import sign
from app.reimport import ledger
from app.reimport.ledger import Total
from app.reimport.model import Reimport, Scope, Terms
from policies.anonymity import Measure, digest_of, measure
from policies.sanitise import Account

HEADER = "portcullis reimport statement v1"
MOST_SHOWN = 50
NOT_MEASURED, K_ANONYMITY, L_DIVERSITY, FINDINGS = "not_measured", "k_anonymity", "l_diversity", "findings"
RECONCILIATION = "reconciliation"
"""Why a re-import is blocked. Two people can override all but the last: figures that do not agree are not staged."""
_LINKS = (
    "the erased ids keep a keyed digest each, so that they stay refused; no table leads from such a digest, from the erasure, or"
    " from the audit log to an id that is stored now, and the key of the staged copy was destroyed"
)
_EXCLUSIONS = (
    "backups, write-ahead logs and replicas from before completion, in which old and new rows can be compared",
    "moments that were kept to the second, and rare behaviour, by which somebody who knows it may recognise a person",
    "copies that were exported, downloaded or forwarded before",
)


def build(tx: Connection, of: Reimport, account: Account, people: int, left_out: int, salt: bytes) -> dict[str, Any]:
    """The report on a pass that is complete. `left_out` counts people who may not be processed."""
    found = measure(of.terms.traits, ledger.sizes(tx, of.id), of.terms.k, of.terms.l) if of.terms.quasi else None
    figures = _figures(tx, of, salt)
    return {
        "people": people,
        "left_out": left_out,
        "records": {scope: {"read": n, "dropped": account.dropped.get(scope, 0)} for scope, n in sorted(account.records.items())},
        "properties": account.shown(),
        "findings": account.findings(),
        "anonymity": None if found is None else msgspec.to_builtins(found),
        "reconciliation": figures,
        "blocked": _blocked(of, account, found, figures),
    }


def objections(report: dict[str, Any], terms: Terms) -> list[str]:
    """What blocks it, in words that name the remedy."""
    anonymity = report["anonymity"] or {}
    words = {
        NOT_MEASURED: "no quasi-identifiers were picked, so nobody knows who could be told apart",
        K_ANONYMITY: f"the smallest cell holds {anonymity.get('k')} people, and {terms.k} are wanted",
        L_DIVERSITY: f"a sensitive property takes fewer than {terms.l} values in some cell",
        FINDINGS: f"detectors still find personal data in {report['findings']} places",
        RECONCILIATION: "figures before and after differ by more than the tolerance",
    }
    return [words[each] for each in report["blocked"]]


def statement(of: Reimport, report: dict[str, Any], certificate: str | None, now_ms: int, key: Ed25519PrivateKey) -> str:
    """A signed note on what was done (C2SP signed-note, as the certificate of an erasure is). It names nobody."""
    fields: dict[str, Any] = {
        "reimport": of.id,
        "project": of.project_id,
        "scope": of.scope.value,
        "policy": of.terms.library or of.terms.version,
        "policy_sha256": of.terms.digest,
        "people": report["people"],
        "records": report["records"],
        "times": of.terms.times.value,
        "anonymity": report["anonymity"],
        "findings": report["findings"],
        "overridden": report["blocked"],
        "overrides": [{"by": each.by, "reason": each.reason, "at": iso(each.at_ms)} for each in of.overrides],
        "approved_by": of.approved_by,
        "reconciled": not report["reconciliation"]["differences"],
        "tolerance_per_million": round(of.terms.tolerance * 1_000_000),
        "completed": iso(now_ms),
    }
    if of.scope is not Scope.PROPERTY:
        fields |= {"erasure": of.erasure_id, "erasure_certificate_sha256": certificate, "links": _LINKS}
    fields["exclusions"] = list(_EXCLUSIONS)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sign(f"{HEADER}\n{text}\n", signer_name(of.project_id), key)


def _figures(tx: Connection, of: Reimport, salt: bytes) -> dict[str, Any]:
    """Totals before and after, and the first of those that differ too much."""
    names = {name_digest(salt, each): each for each in ledger.labels(tx, of.id)}
    before = after = compared = wrong = 0
    differences: list[dict[str, Any]] = []
    removed: set[str] = set()
    every: Iterable[Total] = chain(ledger.totals(tx, of.id), ledger.uniques(tx, of.id, names))
    for each in every:
        if each.removed:
            removed.add(each.key)
            continue
        compared += 1
        if each.what == ledger.EVENTS:
            before, after = before + round(each.before), after + round(each.after)
        if not each.agrees(of.terms.tolerance):
            wrong += 1
            if len(differences) < MOST_SHOWN:
                shown = {"what": each.what, "event": each.name, "key": each.key}
                differences.append({**shown, "before": each.before, "after": each.after})
    return {
        "events_before": before,
        "events_after": after,
        "compared": compared,
        "differing": wrong,
        "differences": differences,
        "removed_by_policy": sorted(removed)[:MOST_SHOWN],
    }


def _blocked(of: Reimport, account: Account, found: Measure | None, figures: dict[str, Any]) -> list[str]:
    blocked = []
    if of.scope is not Scope.PROPERTY:
        if found is None:
            blocked.append(NOT_MEASURED)
        elif found.k is not None and found.k < of.terms.k:
            blocked.append(K_ANONYMITY)
        if found is not None and any(each.least < of.terms.l for each in found.diversity):
            blocked.append(L_DIVERSITY)
    if account.findings():
        blocked.append(FINDINGS)
    if figures["differing"]:
        blocked.append(RECONCILIATION)
    return blocked


def name_digest(salt: bytes, label: str) -> bytes:
    """What marks the people of one event name in the ledger."""
    return digest_of(salt, "name", label)
