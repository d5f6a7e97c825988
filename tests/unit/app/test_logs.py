"""Logs hold fields of an allow-list and nothing of what other libraries say."""

import json
import logging

import pytest
import structlog

from app.logs import configure


@pytest.fixture(autouse=True)
def _restore():
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


def test_only_allowed_fields_are_written(capsys):
    configure("info")
    structlog.get_logger().info("step_done", step="delete", email="ada@example.com")
    line = json.loads(capsys.readouterr().err)
    assert line["step"] == "delete"
    assert "email" not in line


def test_the_message_of_another_library_is_not_written(capsys):
    configure("info")
    logging.getLogger("some.library").warning("failed for %s", "ada@example.com")
    written = capsys.readouterr().err
    assert "some.library" in written
    assert "ada@example.com" not in written
