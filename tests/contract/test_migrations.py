"""The migrations and the tables of the code describe one schema, on both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.database import Database, _alembic_config, expected_revision, migrate
from app.errors import Unavailable
from app.schema import metadata
from tests.installation import in_threads


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def database(empty_url: str) -> Any:
    """The same, open and migrated."""
    migrate(empty_url)
    opened = Database(empty_url, pool_size=1)
    yield opened
    opened.close()


def differences(database: Database) -> list[Any]:
    with database.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))


def test_the_migrated_schema_is_that_of_the_tables(database: Database) -> None:
    assert differences(database) == []


def test_the_comparison_sees_a_difference(database: Database) -> None:
    with database.write() as tx:
        tx.execute(sa.text("ALTER TABLE event ADD COLUMN forgotten TEXT"))
        tx.execute(sa.text("DROP TABLE quarantined"))
    kinds = {each[0] for each in differences(database) if isinstance(each, tuple)}
    assert {"remove_column", "add_table"} <= kinds


def test_constraints_are_the_same_too(database: Database) -> None:
    # Autogeneration does not compare primary keys and compares few options: what create_all makes is the measure.
    inspector = sa.inspect(database.engine)
    for table in metadata.sorted_tables:
        found = inspector.get_pk_constraint(table.name)["constrained_columns"]
        assert found == [each.name for each in table.primary_key.columns], table.name
        wanted_keys = {(tuple(each.column_keys), each.elements[0].column.table.name) for each in table.foreign_key_constraints}
        found_keys = {
            (tuple(each["constrained_columns"]), each["referred_table"]) for each in inspector.get_foreign_keys(table.name)
        }
        assert found_keys == wanted_keys, table.name
        nullable = {each["name"]: each["nullable"] for each in inspector.get_columns(table.name)}
        assert nullable == {each.name: bool(each.nullable) for each in table.columns}, table.name


def test_sqlite_tables_are_clustered_as_declared(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/clustered.db"
    migrate(url)
    database = Database(url, pool_size=1)
    with database.read() as tx:
        made = {name: sql for name, sql in tx.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))}
    database.close()
    for table in metadata.sorted_tables:
        assert ("WITHOUT ROWID" in made[table.name].upper()) == (not table.dialect_options["sqlite"]["with_rowid"])
        assert ("AUTOINCREMENT" in made[table.name].upper()) == bool(table.dialect_options["sqlite"]["autoincrement"])


def test_migrating_twice_changes_nothing_and_the_database_is_ready(empty_url: str) -> None:
    migrate(empty_url)
    migrate(empty_url)
    database = Database(empty_url, pool_size=1)
    database.ping()
    database.close()


def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    in_threads([lambda: migrate(empty_url)] * 4)
    database = Database(empty_url, pool_size=1)
    database.ping()
    database.close()


def test_a_schema_of_another_release_is_not_ready(database: Database) -> None:
    with database.write() as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(Unavailable, match="not the one of this release"):
        database.ping()


def test_the_newest_numbered_file_is_the_head_of_the_chain() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_alembic_config())
    assert script.get_heads() == [expected_revision()]
