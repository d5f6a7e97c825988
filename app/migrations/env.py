"""Alembic's environment: the connection is handed in by `app.database.migrate`, already in its transaction."""

from alembic import context

from app.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
