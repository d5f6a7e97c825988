"""The WSGI entry point, for any server: `gunicorn wsgi:app`, `granian --interface wsgi wsgi:app`, or `portcullis serve`."""

from app.logs import configure
from app.settings import Settings
from app.web import create_app

_settings = Settings.from_env()
configure(_settings.log_level)
app = create_app(_settings)
