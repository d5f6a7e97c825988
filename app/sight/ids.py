"""Ids in an expression become the uids that the store holds in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from sqlalchemy.engine import Connection

from app.identity import register
from app.identity.derive import DEVICE_PREFIX
from app.identity.register import Row
from app.keys.service import ProjectKeys
from app.where.tree import About, Among, Expr, Holder, IdField, children, walk


def bind_ids(tx: Connection, keys: ProjectKeys, node: Expr, about: About) -> Expr:
    """The expression with every `Holder` as an `Among`. One look-up for all its ids, none when it has none.

    `distinct_id` of an event is the canonical id of the person, as readers are shown it, so it stands for every uid of
    theirs; of a profile it is the id that the profile is kept under. An id that nobody has, or of somebody hidden, is
    among none.
    """
    holders = [each for each in walk(node) if isinstance(each, Holder)]
    if not holders:
        return node
    wanted = {name for each in holders for identifier in each.ids for name in _names(each.id_field, identifier)}
    found = {name: row for name, row in register.resolve(tx, keys, wanted).items() if not row.hidden}
    canonical = {row.person for row in found.values() if row.person is not None and row.person == row.uid}
    members: dict[int, set[int]] = {}
    if about is About.EVENT and any(each.id_field is IdField.SUBJECT for each in holders):
        everyone = register.rows_of(tx, keys.project_id, register.linked(tx, keys.project_id, canonical))
        for uid, row in everyone.items():
            members.setdefault(row.person or uid, set()).add(uid)
    return _bound(node, found, members, about)


def _bound(node: Expr, found: Mapping[str, Row], members: Mapping[int, set[int]], about: About) -> Expr:
    if isinstance(node, Holder):
        rows = [found[name] for each in node.ids for name in _names(node.id_field, each) if name in found]
        own = {row.uid for row in rows if row.uid is not None}
        if about is About.EVENT and node.id_field is IdField.SUBJECT:
            own = set().union(*(members.get(uid, set()) for uid in own))
        return Among(node.id_field, frozenset(own))
    if not any(isinstance(each, Holder) for each in walk(node)):
        return node
    changed: dict[str, Any] = {}
    for each in fields(node):
        value = getattr(node, each.name)
        if isinstance(value, tuple):
            changed[each.name] = tuple(_bound(part, found, members, about) for part in value)
        elif value in list(children(node)):
            changed[each.name] = _bound(value, found, members, about)
    return replace(node, **changed)


def _names(id_field: IdField, identifier: str) -> tuple[str, ...]:
    # Readers are shown a device without its prefix.
    return (identifier, DEVICE_PREFIX + identifier) if id_field is IdField.DEVICE else (identifier,)
