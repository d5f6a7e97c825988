"""Database migrations, applied by `app.database.migrate`."""
