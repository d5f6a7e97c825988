"""The data map is generated from what columns declare: nothing can hold personal data and be forgotten."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.database import Holds, Place, column, data_map
from app.events.sql import SqlEventStore
from app.identity import register
from app.schema import metadata
from app.subjects.tables import subject_request
from tests.installation import Installation, Tenant, count

# What a tombstone may keep of a person: a keyed digest and what it needs to refuse.
TOMBSTONE = {"lookup", "form", "state", "request_id", "created_ms"}


def all_columns() -> list[sa.Column[object]]:
    return [each for table in metadata.sorted_tables for each in table.columns]


def test_every_module_of_tables_is_in_the_schema() -> None:
    root = Path(__file__).parents[2] / "app"
    named = (root / "schema.py").read_text()
    rooms = {path.parent.name for path in root.glob("*/tables.py")}
    assert rooms
    assert {room for room in rooms if f"from app.{room} import tables" not in named} == set()


@pytest.mark.parametrize("each", all_columns(), ids=str)
def test_every_column_declares_what_it_holds(each: sa.Column[object]) -> None:
    assert isinstance(each.info.get("holds"), Holds), "declare it: app.database.column(…, holds=…)"


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_a_table_with_personal_data_says_whose_it_is(table: sa.Table) -> None:
    personal = [each.name for each in table.columns if each.info["holds"] is Holds.SUBJECT]
    if not personal:
        assert "subject" not in table.info, "it names a subject and holds nothing of one"
        return
    subject = table.c[table.info["subject"]]
    assert subject.info["holds"] is Holds.SUBJECT
    assert isinstance(subject.type, sa.BigInteger), "a person is named by the uid of the register and by nothing else"
    assert _indexed(table, subject.name), "erasure finds a person's rows by an index that begins with them"


def _indexed(table: sa.Table, subject: str) -> bool:
    keys = [tuple(table.primary_key.columns.keys())]
    keys += [tuple(index.columns.keys()) for index in table.indexes]
    keys += [tuple(c.columns.keys()) for c in table.constraints if isinstance(c, sa.UniqueConstraint)]
    return any(key[:2] == ("project_id", subject) or key[:1] == (subject,) for key in keys)


def test_every_place_of_the_store_is_in_the_map() -> None:
    assert {place.name for place in data_map()} >= set(SqlEventStore().places())


def test_an_erasure_leaves_no_row_of_the_person_in_any_place_of_the_map(home: Installation) -> None:
    tenant = home.tenant()
    for person in ("goes", "stays"):
        tenant.send([tenant.event(distinct_id=person)])
        tenant.engage([{"$token": tenant.token, "$distinct_id": person, "$set": {"plan": "pro"}}])
    uids = {person: _uid(tenant, person) for person in ("goes", "stays")}
    for uid in uids.values():
        _fill(home, tenant, uid)
    before = {place.name: _rows(home, place, uids["goes"]) for place in data_map()}
    assert all(before.values()), f"the test reaches no row in some place: {before}"
    kept = {place.name: _rows(home, place, uids["stays"]) for place in data_map()}

    answer = tenant.client.post(
        "/v1/requests", json={"kind": "erasure", "distinct_ids": ["goes"]}, headers=tenant.auth("officer")
    )
    assert answer.status_code == 201
    while home.work():
        pass

    assert {place.name: _rows(home, place, uids["goes"]) for place in data_map()} == dict.fromkeys(before, 0)
    assert {place.name: _rows(home, place, uids["stays"]) for place in data_map()} == kept
    assert tenant.state("goes", "stays") == ["erased", "active"]


def _uid(tenant: Tenant, identifier: str) -> int:
    services = tenant.home.services
    with services.database.read() as tx:
        uid = register.resolve(tx, services.keyring.of(tx, tenant.id), [identifier])[identifier].uid
    assert uid is not None
    return uid


def _fill(home: Installation, tenant: Tenant, uid: int) -> None:
    """A row of this person in every place that ordinary traffic has not reached."""
    with home.services.database.write() as tx:
        for place in data_map():
            mine = sa.and_(place.table.c.project_id == tenant.id, place.subject == uid)
            if tx.execute(sa.select(sa.func.count()).select_from(place.table).where(mine)).scalar_one():
                continue
            wanted = [each for each in place.table.columns if not each.nullable and each.autoincrement is not True]
            values = {each.name: _some(each, tenant, uid, tx) for each in wanted}
            tx.execute(sa.insert(place.table).values({**values, place.subject.name: uid}))


def _some(each: sa.Column[Any], tenant: Tenant, uid: int, tx: Connection) -> Any:
    """Any value that fits; a foreign key gets a row to point at."""
    for key in each.foreign_keys:
        if key.column.table.name == "subject_request":
            services = tenant.home.services
            return tx.execute(
                sa.insert(subject_request)
                .values(
                    {name.name: _some(name, tenant, uid, tx) for name in subject_request.columns if not name.nullable}
                    | {"kind": "access", "state": "done", "step": "finished", "counts": "{}", "id": secrets.token_hex(8)}
                    | {"created_ms": services.clock()}
                )
                .returning(subject_request.c.id)
            ).scalar_one()
    if each.name == "project_id":
        return tenant.id
    kinds: dict[type[Any], Any] = {sa.Boolean: True, sa.LargeBinary: b"x", sa.Text: secrets.token_hex(8)}
    return next((value for kind, value in kinds.items() if isinstance(each.type, kind)), 1)


def _rows(home: Installation, place: Place, uid: int) -> int:
    return count(home, place.table, place.subject == uid)


def test_every_place_can_be_asked_for_one_project() -> None:
    for place in data_map():
        assert "project_id" in place.table.c


def test_a_tombstone_keeps_a_digest_and_what_it_needs_to_refuse() -> None:
    kept = {each.name for each in all_columns() if each.info["holds"] is Holds.TOMBSTONE}
    assert kept == TOMBSTONE
    register = metadata.tables["register"]
    emptied = {each.name for each in register.columns if each.info["holds"] is Holds.SUBJECT}
    assert emptied == {
        "uid",
        "person",
        "prior_state",
        "restricted_from",
        "sealed_id",
        "wrapped_key",
        "audit_ref",
        "refused_purposes",
        "read_as",
        "led",
    }
    assert all(register.c[name].nullable for name in emptied), "entombing empties them"


def test_a_forgotten_declaration_is_found() -> None:
    strange = sa.MetaData()
    sa.Table("secret_notes", strange, column("about", sa.BigInteger, holds=Holds.SUBJECT))
    with pytest.raises(KeyError):
        data_map(strange)
