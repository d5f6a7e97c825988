"""What a check needs a person's key for, and what it finds out about older pseudonyms.

Which records need a key is known only after a first check, and whose key only after the register has been asked. So the
few records that carry a value under `encrypt` are checked a second time; all others cost nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from re import Match
from typing import Any

import msgspec
import structlog
from sqlalchemy.engine import Connection

from app.access.modes import IdentityMode
from app.identity import bridges, personal, register
from app.identity.derive import event_ids
from app.identity.register import Row
from app.keys.service import ProjectKeys
from policies.cipher import ENCRYPTED_CODE, NotOurs, decrypted, encrypted
from policies.context import CheckContext
from policies.gate import Gate
from policies.model import Decision, Record


def with_person_keys(
    tx: Connection,
    keys: ProjectKeys,
    gate: Gate,
    context: CheckContext,
    records: Sequence[Record],
    decisions: Sequence[Decision],
    people: Mapping[int, Row],
) -> list[Decision]:
    """The decisions, with values under `encrypt` encrypted; `people` are the register rows by index of the record.

    A record of nobody has no key that could ever be destroyed: there the placeholder stays.
    """
    result = list(decisions)
    if not people:
        return result
    whose = {i: row.person for i, row in sorted(people.items()) if decisions[i].needs_key}
    keyed = with_secrets(tx, keys, {i: records[i] for i in whose}, whose)
    for i, decision in zip(keyed, gate.check(list(keyed.values()), context), strict=True):
        result[i] = decision
    return result


def with_secrets(
    tx: Connection, keys: ProjectKeys, records: Mapping[int, Record], people: Mapping[int, int | None]
) -> dict[int, Record]:
    """The records with the key of their person, where the person has one; `people` are uids by the number of the record."""
    secrets = personal.secrets_of(tx, keys, {person for person in people.values() if person is not None}) if people else {}
    return {
        i: msgspec.structs.replace(record, subject_key=found[0]) if (found := secrets.get(people.get(i) or 0)) else record
        for i, record in records.items()
    }


def under_person_keys(
    tx: Connection, keys: ProjectKeys, owned: Sequence[tuple[int, Mapping[str, Any]]], people: Mapping[int, Row]
) -> list[Mapping[str, Any]]:
    """Properties that passed the gate before, each with its uid, as they would be had their device been linked then.

    What a device encrypted under its own key before it had a person comes under the person's key. Otherwise a second check
    would take it for a value in clear and encrypt it once more, and no reader would get behind both. `people` are the
    register rows by uid.
    """
    linked = {uid for uid, _ in owned if uid in people and people[uid].person not in (uid, None)}
    secrets = personal.secrets_of(tx, keys, linked) if linked else {}
    return [_under_first(properties, secrets.get(uid, ())) for uid, properties in owned]


def _under_first(properties: Mapping[str, Any], secrets: Sequence[bytes]) -> Mapping[str, Any]:
    text = msgspec.json.encode(properties).decode()
    if len(secrets) < 2 or not ENCRYPTED_CODE.search(text):
        return properties
    first, *others = secrets

    def moved(code: Match[str]) -> str:
        for secret in others:
            try:
                return encrypted(first, decrypted(secret, code[0]))
            except NotOurs:
                continue
        return code[0]

    # As text, because a code may stand in JSON inside a string; it has no character that JSON escapes.
    changed: dict[str, Any] = msgspec.json.decode(ENCRYPTED_CODE.sub(moved, text))
    return changed


def known_people(
    tx: Connection, keys: ProjectKeys, records: Sequence[Record], decisions: Sequence[Decision], mode: IdentityMode
) -> dict[int, Row]:
    """The register rows of those records that need a key and whose person is known, by index. Enrols nobody."""
    wanted = [i for i, decision in enumerate(decisions) if decision.needs_key]
    subjects = {i: event_ids(records[i].properties, mode, records[i].name).subject for i in wanted}
    if not subjects:
        return {}
    rows = register.resolve(tx, keys, {each for each in subjects.values() if each})
    return {i: rows[subject] for i, subject in subjects.items() if subject in rows}


def keep_bridges(
    tx: Connection, keys: ProjectKeys, decided: Iterable[tuple[int | None, Sequence[tuple[str, str]]]], now_ms: int
) -> dict[int, dict[str, str]]:
    """Note the pairs of pseudonyms of what was decided (`Decision.bridges`), by the uid it belongs to; returns them.

    Empty outside of a bridge.
    """
    pairs: dict[int, dict[str, str]] = {}
    for uid, found in decided:
        if found and uid:
            pairs.setdefault(uid, {}).update(found)
    left_out = bridges.keep(tx, keys, {uid: found.items() for uid, found in pairs.items()}, now_ms)
    if left_out:
        structlog.get_logger().warning("bridges_left_out", project=keys.project_id, pairs=left_out)
    return pairs
