"""The only reader of the environment: defaults, and refusals that name the variable."""

import pytest

from app.errors import StartupRefused
from app.settings import Settings


def test_the_embedded_default_needs_no_variable():
    settings = Settings.from_env({})
    assert settings.embedded
    assert settings.database_url.endswith(".portcullis/portcullis.db")
    assert (settings.host, settings.port, settings.base_url) == ("127.0.0.1", 8080, "http://127.0.0.1:8080")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgresql_url_of_any_spelling_uses_psycopg(scheme):
    settings = Settings.from_env({"DATABASE_URL": f"{scheme}://u:p@h/d"})
    assert settings.database_url == "postgresql+psycopg://u:p@h/d"
    assert not settings.embedded


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "70000"),
        ("PORTCULLIS_THREADS", "-1"),
        ("DATABASE_URL", "mysql://x"),
        ("PORTCULLIS_LOG_LEVEL", "loud"),
        ("PORTCULLIS_EMBEDDED", "maybe"),
        ("PORTCULLIS_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("PORTCULLIS_TRUSTED_PROXIES", "-1"),
    ],
)
def test_a_bad_value_is_refused_by_name_with_a_remedy(name, value):
    with pytest.raises(StartupRefused) as refused:
        Settings.from_env({name: value})
    assert refused.value.field == name
    assert refused.value.remedy


def test_secrets_stay_out_of_the_representation():
    settings = Settings.from_env({"DATABASE_URL": "postgresql://u:hush@h/d", "PORTCULLIS_MASTER_KEY": "hush"})
    assert "hush" not in repr(settings)
